//! Who holds and who waits for what, and who waits in a circle (feature `diagnose`).

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::line::{Fields, Node, Phase};
use super::lot::{LOBBY, Queue};
use super::record::Task;
use super::trace::{Moment, Site};
use super::word::Mode;

/// A task, or a thread that blocks, as far as one diagnosis tells them apart. Shown as its number there.
///
/// A task is known by its waker, so two futures of one task that are polled by wakers of their own (`FuturesUnordered`)
/// count as two tasks.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let guards = (locks.blocking_lock_many(&[1]), locks.try_lock(&2));
/// let claims = locks.diagnose().claims().to_vec();
/// assert_eq!(claims[0].task.unwrap().to_string(), "task 1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskId(usize);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.0 + 1)
    }
}

/// How somebody stands to a stripe.
///
/// # Examples
///
/// ```
/// use stripe_lock::future::Standing;
///
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let guard = locks.blocking_lock(&1);
/// assert_eq!(locks.diagnose().claims()[0].standing, Standing::Holds);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Has it: by a guard, or by a future that waits for more.
    Holds,
    /// Was given it together with everything else that was asked for, by a release, and has not been polled since.
    Granted,
    /// Stands in its line.
    Waits,
}

/// One stripe that somebody holds or waits for.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
/// let guard = locks.blocking_read(&1);
/// let claim = locks.diagnose().claims()[0];
/// assert!(!claim.exclusive && claim.stripe == guard.stripe());
/// assert_eq!(claim.at.file(), file!());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The stripe.
    pub stripe: usize,
    /// Whether it is held or wanted alone, or together with others.
    pub exclusive: bool,
    /// How it is claimed.
    pub standing: Standing,
    /// By whom; none where a `try_` method took it, which doesn't see whose task it runs in.
    pub task: Option<TaskId>,
    /// Where in the program it was asked for.
    pub at: &'static Location<'static>,
    /// For how long it had been held or waited for at the time of the diagnosis.
    pub age: Duration,
}

/// Somebody who waits, and who stands in the way.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// assert!(locks.diagnose().cycles().iter().flatten().all(|blocked| blocked.waits.stripe == blocked.by.stripe));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Blocked {
    /// What is waited for.
    pub waits: Claim,
    /// The one who has it, or stands before in the same line.
    pub by: Claim,
}

/// What `diagnose` found in a set.
///
/// A *cycle* is a row of tasks each of which waits for the next, and the last for the first: a deadlock, unless one of them has
/// another way out, such as a timeout. A task that waits for what it holds itself is a cycle of one; it is one, too, where
/// two branches of a `join!` meet, of which the one that holds the stripe may go on. A guard counts for the task that took
/// it, wherever it has gone since. Only what happens within one set is seen.
///
/// # Examples
///
/// A task that awaits a stripe which it holds already:
///
/// ```
/// use std::pin::pin;
/// use std::sync::Arc;
/// use std::task::{Context, Wake, Waker};
/// # struct Bell;
/// # impl Wake for Bell { fn wake(self: Arc<Self>) {} }
/// # let waker = Waker::from(Arc::new(Bell));
/// let cx = &mut Context::from_waker(&waker);
///
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let mut task = pin!(async {
///     let _first = locks.lock(&1).await;
///     let _again = locks.lock(&1).await;
/// });
/// assert!(task.as_mut().poll(cx).is_pending());
///
/// let diagnosis = locks.diagnose();
/// assert_eq!(diagnosis.cycles().len(), 1);
/// println!("{diagnosis}");
/// ```
#[derive(Clone, Debug)]
pub struct Diagnosis {
    claims: Vec<Claim>,
    cycles: Vec<Vec<Blocked>>,
}

impl Diagnosis {
    /// `limited` says whether those who share a stripe take from each other.
    pub(super) fn of(queue: &Queue, limited: bool) -> Self {
        let mut census = Census::default();
        let buckets = queue.lock_all();
        queue.registry.each(|holder| {
            let (task, site) = (holder.taker.task, holder.taker.site);
            for &(stripe, mode) in &holder.stripes {
                census.add(stripe, mode, Standing::Holds, task, site, holder.since);
            }
        });
        for bucket in &buckets {
            // SAFETY: all buckets are locked.
            unsafe { bucket.each(|node, fields| census.add_waiter(node, fields)) };
        }
        drop(buckets);
        let claims = census.claims;
        let cycles = cycles(&claims, limited);
        Self { claims, cycles }
    }

    /// Everybody who holds or waits for something: first the holders, then those who wait, those for one stripe in the
    /// order of its line.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::AsyncStripedMutex::<u64>::new(64).diagnose().claims().is_empty());
    /// ```
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The cycles, each as the row of those who wait: the one that stands in the way of each is the one who waits next.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::AsyncStripedMutex::<u64>::new(64).diagnose().cycles().is_empty());
    /// ```
    pub fn cycles(&self) -> &[Vec<Blocked>] {
        &self.cycles
    }
}

/// Collects claims, and numbers the tasks.
#[derive(Default)]
struct Census {
    claims: Vec<Claim>,
    tasks: Vec<Task>,
}

impl Census {
    fn add(
        &mut self,
        stripe: usize,
        mode: Mode,
        standing: Standing,
        task: Option<Task>,
        site: Site,
        since: Moment,
    ) {
        let task = task.map(|task| {
            TaskId(self.tasks.iter().position(|&known| known == task).unwrap_or_else(|| {
                self.tasks.push(task);
                self.tasks.len() - 1
            }))
        });
        let exclusive = mode == Mode::Exclusive;
        self.claims.push(Claim { stripe, exclusive, standing, task, at: site.0, age: since.elapsed() });
    }

    /// Adds what a waiter has and what it waits for.
    fn add_waiter(&mut self, node: &Node, fields: &Fields) {
        let (task, home) = (Some(fields.task()), node.home());
        let granted = fields.phase == Phase::Granted;
        // SAFETY: a plan lives as long as its node is linked.
        if let Some(plan) = fields.plan.map(|plan| unsafe { plan.as_ref() }) {
            let standing = if granted { Standing::Granted } else { Standing::Holds };
            for stripe in plan.stripes().iter().filter(|&stripe| home == LOBBY || stripe < home) {
                self.add(stripe, plan.mode(stripe), standing, task, fields.site, fields.since);
            }
        }
        if home != LOBBY {
            let standing = if granted { Standing::Granted } else { Standing::Waits };
            self.add(home, fields.mode, standing, task, fields.site, fields.since);
        }
    }
}

/// Finds who waits in a circle.
fn cycles(claims: &[Claim], limited: bool) -> Vec<Vec<Blocked>> {
    let stuck = stuck(claims, limited);
    let mut cycles = Vec::new();
    let mut seen: Vec<TaskId> = Vec::new();
    for start in claims.iter().filter_map(|claim| claim.task).filter(|task| stuck.contains(task)) {
        let mut path: Vec<Blocked> = Vec::new();
        let mut at = start;
        // Whoever is stuck is so by another who is, so following them comes round.
        while !seen.contains(&at) {
            seen.push(at);
            let Some(blocked) = blocked(claims, at, |task| stuck.contains(&task)) else { break };
            path.push(blocked);
            let Some(next) = blocked.by.task else { break };
            at = next;
        }
        if let Some(begin) = path.iter().position(|blocked| blocked.waits.task == Some(at)) {
            cycles.push(path.split_off(begin));
        }
    }
    cycles
}

/// The tasks that can't go on, whatever the others do: the rest when everybody is taken away who can, and then who only
/// waited for those.
fn stuck(claims: &[Claim], limited: bool) -> Vec<TaskId> {
    let waits = |claim: &&Claim| claim.standing == Standing::Waits;
    let mut stuck: Vec<TaskId> = claims.iter().filter(waits).filter_map(|claim| claim.task).collect();
    loop {
        let before = stuck.len();
        let held_up = |claim: Option<TaskId>| claim.is_some_and(|task| stuck.contains(&task));
        let goes_on = |wait: &Claim| {
            let (ahead, holders): (Vec<&Claim>, Vec<&Claim>) =
                in_the_way(claims, wait, limited).partition(waits);
            let served = holders.iter().filter(|claim| !held_up(claim.task)).count();
            let enough = if limited { served > 0 || holders.is_empty() } else { served == holders.len() };
            enough && ahead.iter().all(|claim| !held_up(claim.task))
        };
        let going: Vec<_> =
            claims.iter().filter(waits).filter(|wait| goes_on(wait)).map(|wait| wait.task).collect();
        stuck.retain(|&task| !going.contains(&Some(task)));
        if stuck.len() == before {
            return stuck;
        }
    }
}

/// Who is in the way of one who waits: those who hold what it wants, then those before it in line.
fn in_the_way<'c>(claims: &'c [Claim], wait: &'c Claim, limited: bool) -> impl Iterator<Item = &'c Claim> {
    let here = claims.iter().filter(|claim| claim.stripe == wait.stripe);
    let holds = move |claim: &&Claim| {
        claim.standing != Standing::Waits && (limited || wait.exclusive || claim.exclusive)
    };
    let ahead = here.clone().take_while(|&claim| !std::ptr::eq(claim, wait));
    here.filter(holds).chain(ahead.filter(|claim| claim.standing == Standing::Waits))
}

/// What a stuck task waits for, and a stuck task in its way.
fn blocked(claims: &[Claim], task: TaskId, stuck: impl Fn(TaskId) -> bool) -> Option<Blocked> {
    let waits = claims.iter().filter(|claim| claim.task == Some(task) && claim.standing == Standing::Waits);
    // Shared claims are in the way of shared ones only where they are limited, and then so are all of them.
    waits.into_iter().find_map(|wait| {
        let mut by = in_the_way(claims, wait, false).chain(in_the_way(claims, wait, true));
        by.find(|claim| claim.task.is_some_and(&stuck)).map(|by| Blocked { waits: *wait, by: *by })
    })
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{task}")?,
            None => f.write_str("a task unknown")?,
        }
        let standing = match self.standing {
            Standing::Holds => "has held",
            Standing::Granted => "was granted, and has not claimed,",
            Standing::Waits => "has waited for",
        };
        let mode = if self.exclusive { "alone" } else { "shared" };
        write!(f, " {standing} stripe {} ({mode}) for {:.1?}, at {}", self.stripe, self.age, self.at)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut claims: Vec<_> = self.claims.iter().collect();
        claims.sort_by_key(|claim| (claim.stripe, claim.standing == Standing::Waits));
        for claim in claims {
            writeln!(f, "{claim}")?;
        }
        for cycle in &self.cycles {
            match cycle.len() {
                1 => writeln!(f, "one task waits for itself:")?,
                tasks => writeln!(f, "{tasks} tasks wait in a circle:")?,
            }
            for Blocked { waits, by } in cycle {
                writeln!(f, "  {waits}\n    where {by}")?;
            }
        }
        Ok(())
    }
}

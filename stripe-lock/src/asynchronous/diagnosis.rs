//! Holders, waiters and cycles of waiters (feature `diagnose`).

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::instrument::{Moment, Site, Task};
use super::queue::{Fields, Node, Queue, State};
use super::word::Mode;

mod cycles;

pub use cycles::{Blocked, Cycle};

/// A task, or a thread that blocks. It is displayed as its number in the diagnosis.
///
/// A task is known by its waker, so two futures of one task that are polled by wakers of their own (`FuturesUnordered`)
/// count as two tasks.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let guard = locks.blocking_lock(&1);
/// let claims = locks.diagnose().claims().to_vec();
/// assert_eq!(claims[0].task.unwrap().to_string(), "task 1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(usize);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.0 + 1)
    }
}

/// The relation of a task or thread to a stripe.
///
/// # Examples
///
/// ```
/// use stripe_lock::asynchronous::Standing;
///
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let guard = locks.blocking_lock(&1);
/// assert_eq!(locks.diagnose().claims()[0].standing, Standing::Holds);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// Holds it: by a guard, or by a future that waits for more stripes.
    Holds,
    /// Was granted it by a release, and has not been polled since. A future that is put aside stays in this state.
    Granted,
    /// Waits in its queue.
    Waits,
}

/// One stripe that a task or thread holds or waits for.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::AsyncGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(64);
/// let guard = locks.blocking_read(&1);
/// let claim = locks.diagnose().claims()[0];
/// assert!(!claim.exclusive && claim.stripe == AsyncGuard::stripe(&guard));
/// assert_eq!(claim.at.file(), file!());
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The stripe.
    pub stripe: usize,
    /// Whether it is held or wanted exclusively. If not, other holders may share it.
    pub exclusive: bool,
    /// How it is claimed.
    pub standing: Standing,
    /// The task or thread. `None` if a `try_` method took the stripe, because it does not know its task.
    pub task: Option<TaskId>,
    /// The call site of the acquisition.
    pub at: &'static Location<'static>,
    /// For how long it had been held, granted or waited for at the time of the diagnosis.
    pub age: Duration,
    /// The claim is of a thread in a blocking method.
    blocks: bool,
    /// The stripe is held by a future that still waits for other stripes, so no guard of it can have moved to another
    /// task.
    by_waiter: bool,
    /// Identifies this claim across diagnoses.
    id: Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Id {
    Record(u64),
    /// A waiter: the address of its node, and the moment when it joined the queue.
    Waiter(usize, Moment),
}

/// The result of `diagnose`: all holders, waiters and cycles of waiters of a set.
///
/// In a [`Cycle`] each task waits for the next, and the last for the first. Cycles across several sets are not found.
/// The set stays in use during a diagnosis: all holders and waiters are listed twice, one bucket after the other. A
/// cycle is reported if all of its claims are in both lists, because then they existed at the same time.
///
/// # Complexity
///
/// O(n log n) for n guards and waiters.
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
    cycles: Vec<Cycle>,
}

impl Diagnosis {
    /// `limited`: whether the holders of a stripe share a limited number of permits.
    pub(super) fn of(queue: &Queue, stripes: usize, limited: bool) -> Self {
        let before = Collector::take(queue, stripes);
        let cycles = cycles::find(&before, limited);
        if cycles.is_empty() {
            return Self { claims: before, cycles };
        }
        let claims = Collector::take(queue, stripes);
        let still: std::collections::HashSet<_> =
            claims.iter().map(|claim| (claim.id, claim.stripe)).collect();
        let lasts = |claim: &Claim| still.contains(&(claim.id, claim.stripe));
        let cycles = cycles.into_iter().filter(|cycle| cycle.claims().all(lasts)).collect();
        Self { claims: before, cycles }
    }

    /// All holders and waiters, by ascending stripes: first the holders of a stripe, then its waiters, in the order of
    /// the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::AsyncStripedMutex::<u64>::new(64).diagnose().claims().is_empty());
    /// ```
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// The cycles.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::AsyncStripedMutex::<u64>::new(64).diagnose().cycles().is_empty());
    /// ```
    pub fn cycles(&self) -> &[Cycle] {
        &self.cycles
    }
}

/// Collects claims, and numbers the tasks.
#[derive(Default)]
struct Collector {
    claims: Vec<Claim>,
    tasks: HashMap<usize, TaskId>,
}

/// A claim: the task or thread, the call site, and since when.
#[derive(Clone, Copy)]
struct By<'t> {
    task: Option<&'t Task>,
    site: Site,
    since: Moment,
    id: Id,
    waits: bool,
}

impl Collector {
    /// Lists all holders and waiters, sorted by stripe and kind. A bucket is locked for one stripe at a time.
    fn take(queue: &Queue, stripes: usize) -> Vec<Claim> {
        let mut collector = Self::default();
        queue.monitor.registry.each(|id, holder| {
            let by = By {
                task: holder.task.as_ref(),
                site: holder.site,
                since: holder.since,
                id: Id::Record(id),
                waits: false,
            };
            let standing = if holder.granted { Standing::Granted } else { Standing::Holds };
            for &(stripe, mode) in &holder.stripes {
                collector.add(stripe, mode, standing, by);
            }
        });
        for stripe in 0..stripes {
            let locked = queue.lock(stripe);
            if let Some(head) = locked.known_head(stripe) {
                // SAFETY: the bucket is locked.
                unsafe { head.each(|node, fields| collector.add_waiter(node, fields)) };
            }
        }
        let mut claims = collector.claims;
        // Stable: the waiters of one stripe stay in the order of its queue.
        claims.sort_by_key(|claim| (claim.stripe, claim.standing == Standing::Waits));
        claims
    }

    fn add(&mut self, stripe: usize, mode: Mode, standing: Standing, by: By<'_>) {
        let task = by.task.map(|task| {
            let next = TaskId(self.tasks.len());
            *self.tasks.entry(task.address).or_insert(next)
        });
        self.claims.push(Claim {
            stripe,
            exclusive: matches!(mode, Mode::Exclusive | Mode::Upgrade),
            standing,
            task,
            at: by.site.0,
            age: by.since.elapsed(),
            blocks: by.task.is_some_and(|task| task.blocks),
            by_waiter: by.waits,
            id: by.id,
        });
    }

    /// Adds the stripes that a waiter holds, and the one that it waits for.
    fn add_waiter(&mut self, node: &Node, fields: &Fields) {
        let (State::Waiting(at) | State::Notified(at)) = node.state() else { return };
        let (waiter, address) = (&fields.note, std::ptr::from_ref(node) as usize);
        let by = By {
            task: waiter.task.as_ref(),
            site: waiter.site,
            since: waiter.since,
            id: Id::Waiter(address, waiter.since),
            waits: true,
        };
        // SAFETY: a plan lives as long as its node is linked.
        if let Some(plan) = fields.plan.map(|plan| unsafe { plan.as_ref() }) {
            for stripe in plan.stripes().iter().take_while(|&stripe| stripe < at) {
                self.add(stripe, plan.mode(stripe), Standing::Holds, by);
            }
        }
        self.add(at, fields.mode(), Standing::Waits, by);
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{task}")?,
            None => f.write_str("an unknown task")?,
        }
        let mode = if self.exclusive { "alone" } else { "shared" };
        let Self { stripe, age, at, .. } = self;
        match self.standing {
            Standing::Holds => write!(f, " has held stripe {stripe} ({mode}) for {age:.1?}, at {at}"),
            Standing::Granted => {
                write!(f, " was granted stripe {stripe} ({mode}) {age:.1?} ago and not polled since, at {at}")
            }
            Standing::Waits => write!(f, " has waited for stripe {stripe} ({mode}) for {age:.1?}, at {at}"),
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claims.iter().try_for_each(|claim| writeln!(f, "{claim}"))?;
        self.cycles.iter().try_for_each(|cycle| write!(f, "{cycle}"))
    }
}

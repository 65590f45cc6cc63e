//! Holders, waiters and cycles of waiters (feature `diagnose`).

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::instrument::{Holder, Kept, Moment, Site, Task, WaiterNote};
use super::queue::{Fields, Node, Queue, State};
use super::word::Mode;

mod cycles;

pub use cycles::{Blocked, Cycle};

/// A key of an exact lock, by 63 bits of its hash. [`key_id`](super::keyed::Keyed::key_id) returns that of a key.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::KeyedMutex::<str>::new();
/// assert_eq!(locks.key_id("alice"), locks.key_id("alice"));
/// assert_ne!(locks.key_id("alice"), locks.key_id("bob"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(super) u64);

/// Something that is held and waited for.
///
/// # Examples
///
/// ```
/// use stripe_lock::asynchronous::Resource;
///
/// let locks = stripe_lock::KeyedMutex::<str>::new();
/// let guard = locks.lock("alice");
/// let held = locks.diagnose().claims()[0].resource;
/// assert_eq!(held, Resource::Key(locks.key_id("alice")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Resource {
    /// A stripe of a striped set.
    Stripe(usize),
    /// A key of a set of exact locks.
    Key(KeyId),
    /// All keys of a set of exact locks, for `lock_all`.
    EveryKey,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stripe(stripe) => write!(f, "stripe {stripe}"),
            Self::Key(KeyId(key)) => write!(f, "key {key:#x}"),
            Self::EveryKey => f.write_str("every key"),
        }
    }
}

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

/// The relation of a task or thread to a stripe or key.
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

/// One stripe or key that a task or thread holds or waits for.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::{AsyncGuard, Resource};
///
/// let locks = AsyncStripedRwLock::<u64>::new(64);
/// let guard = locks.blocking_read(&1);
/// let claim = locks.diagnose().claims()[0];
/// assert!(!claim.exclusive && claim.resource == Resource::Stripe(AsyncGuard::stripe(&guard)));
/// assert_eq!(claim.at.file(), file!());
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The stripe or key.
    pub resource: Resource,
    /// Whether it is held or wanted exclusively. If not, other holders may share it.
    pub exclusive: bool,
    /// How it is claimed.
    pub standing: Standing,
    /// The task or thread. `None` if a `try_` method took the lock, because it does not know its task.
    pub task: Option<TaskId>,
    /// The call site of the acquisition.
    pub at: &'static Location<'static>,
    /// For how long it had been held, granted or waited for at the time of the diagnosis.
    pub age: Duration,
    /// The claim is of a thread in a blocking method.
    blocks: bool,
    /// It is held by a future that still waits for more, so no guard of it can have moved to another task.
    by_waiter: bool,
    /// What it excludes.
    edge: Edge,
    /// Identifies this claim across diagnoses.
    id: Id,
}

/// The queue of which a claim is a part, and its place there.
///
/// Of exact locks, who holds a key shares [`Resource::EveryKey`] with other holders of keys, and excludes who holds
/// that alone, by `lock_all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Edge {
    pub(super) queue: Resource,
    /// Whether it excludes all other claims to `queue`, or those only that are exclusive.
    pub(super) exclusive: bool,
    /// The waiters of a queue are served by ascending rank.
    pub(super) rank: u8,
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
        Self::find(|| Collector::stripes(queue, stripes), limited)
    }

    /// `list` lists all holders and waiters.
    pub(super) fn find(list: impl Fn() -> Vec<Claim>, limited: bool) -> Self {
        let mut claims = list();
        let mut cycles = cycles::find(&claims, limited);
        if !cycles.is_empty() {
            let still: std::collections::HashSet<_> =
                list().iter().map(|claim| (claim.id, claim.edge.queue)).collect();
            cycles.retain(|cycle| cycle.claims().all(|claim| still.contains(&(claim.id, claim.edge.queue))));
        }
        // A holder of a key is in two queues.
        claims.retain(|claim| claim.standing == Standing::Waits || claim.edge.queue == claim.resource);
        Self { claims, cycles }
    }

    /// All holders and waiters, by ascending stripes or keys: first the holders of a stripe, then its waiters, in the
    /// order of the queue. Who waits for a key behind a `lock_all` is listed with those that wait for every key.
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
pub(super) struct Collector {
    claims: Vec<Claim>,
    tasks: HashMap<usize, TaskId>,
}

/// The part of a claim that does not depend on its stripe or key.
#[derive(Clone, Copy)]
pub(super) struct By<'t> {
    standing: Standing,
    task: Option<&'t Task>,
    site: Site,
    since: Moment,
    id: Id,
    /// A future claims it, so no guard of it can have moved to another task.
    keeps: bool,
}

impl<'t> By<'t> {
    pub(super) fn holder<H>(id: u64, holder: &'t Holder<H>) -> Self {
        Self {
            standing: if holder.kept == Kept::Grant { Standing::Granted } else { Standing::Holds },
            task: holder.task.as_ref(),
            site: holder.site,
            since: holder.since,
            id: Id::Record(id),
            keeps: holder.kept == Kept::Waiter,
        }
    }

    pub(super) fn waiter(node: &Node, from: &'t WaiterNote) -> Self {
        Self {
            standing: Standing::Waits,
            task: from.task.as_ref(),
            site: from.site,
            since: from.since,
            id: Id::Waiter(std::ptr::from_ref(node) as usize, from.since),
            keeps: true,
        }
    }
}

impl Collector {
    /// Lists all holders and waiters of a striped set. A bucket is locked for one stripe at a time.
    fn stripes(queue: &Queue, stripes: usize) -> Vec<Claim> {
        let mut collector = Self::default();
        queue.monitor.registry.each(|id, holder| {
            for &(stripe, mode) in &holder.held {
                collector.add_stripe(stripe, mode, By::holder(id, holder));
            }
        });
        for stripe in 0..stripes {
            let locked = queue.lock(stripe);
            if let Some(head) = locked.known_head(stripe) {
                // SAFETY: the bucket is locked.
                unsafe { head.each(|node, fields| collector.add_waiter(node, fields)) };
            }
        }
        collector.sorted()
    }

    /// All claims, sorted by queue and kind.
    pub(super) fn sorted(self) -> Vec<Claim> {
        let mut claims = self.claims;
        // Stable: the waiters stay in the order of their queues.
        claims.sort_by_key(|claim| (claim.edge.queue, claim.standing == Standing::Waits, claim.edge.rank));
        claims
    }

    fn add_stripe(&mut self, stripe: usize, mode: Mode, by: By<'_>) {
        let queue = Resource::Stripe(stripe);
        let exclusive = matches!(mode, Mode::Exclusive | Mode::Upgrade);
        self.add(queue, exclusive, Edge { queue, exclusive, rank: 0 }, by);
    }

    pub(super) fn add(&mut self, resource: Resource, exclusive: bool, edge: Edge, by: By<'_>) {
        let task = by.task.map(|task| {
            let next = TaskId(self.tasks.len());
            *self.tasks.entry(task.address).or_insert(next)
        });
        self.claims.push(Claim {
            resource,
            exclusive,
            standing: by.standing,
            task,
            at: by.site.0,
            age: by.since.elapsed(),
            blocks: by.task.is_some_and(|task| task.blocks),
            by_waiter: by.keeps,
            edge,
            id: by.id,
        });
    }

    /// Adds the stripes that a waiter holds, and the one that it waits for.
    fn add_waiter(&mut self, node: &Node, fields: &Fields) {
        let (State::Waiting(at) | State::Notified(at)) = node.state() else { return };
        let by = By::waiter(node, &fields.note);
        // SAFETY: a plan lives as long as its node is linked.
        if let Some(plan) = fields.plan.map(|plan| unsafe { plan.as_ref() }) {
            for stripe in plan.stripes().iter().take_while(|&stripe| stripe < at) {
                self.add_stripe(stripe, plan.mode(stripe), By { standing: Standing::Holds, ..by });
            }
        }
        self.add_stripe(at, fields.mode(), by);
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{task}")?,
            None => f.write_str("an unknown task")?,
        }
        let mode = if self.exclusive { "alone" } else { "shared" };
        let Self { resource, age, at, .. } = self;
        match self.standing {
            Standing::Holds => write!(f, " has held {resource} ({mode}) for {age:.1?}, at {at}"),
            Standing::Granted => {
                write!(f, " was granted {resource} ({mode}) {age:.1?} ago and not polled since, at {at}")
            }
            Standing::Waits => write!(f, " has waited for {resource} ({mode}) for {age:.1?}, at {at}"),
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claims.iter().try_for_each(|claim| writeln!(f, "{claim}"))?;
        self.cycles.iter().try_for_each(|cycle| write!(f, "{cycle}"))
    }
}

//! Finding the cycles of waiters.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::{Claim, Standing, TaskId};

/// A waiter, and the claim that blocks it.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let diagnosis = locks.diagnose();
/// let blocked = diagnosis.cycles().iter().flat_map(|cycle| cycle.blocked());
/// assert!(blocked.into_iter().all(|blocked| blocked.waits.resource == blocked.by.resource));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Blocked {
    /// The claim that waits.
    pub waits: Claim,
    /// The claim in its way: a holder, or an earlier waiter of the same queue.
    pub by: Claim,
}

/// A cycle of tasks: each waits for the next, and the last for the first.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// assert!(locks.diagnose().cycles().iter().all(|cycle| cycle.is_certain()));
/// ```
#[derive(Clone, Debug)]
pub struct Cycle {
    blocked: Vec<Blocked>,
}

impl Cycle {
    /// Each task of the cycle, with the claim of the next task that blocks it.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// assert!(locks.diagnose().cycles().iter().all(|cycle| !cycle.blocked().is_empty()));
    /// ```
    pub fn blocked(&self) -> &[Blocked] {
        &self.blocked
    }

    /// Whether it is a deadlock for certain, unless a wait in it has a time limit. If not, it may be one.
    ///
    /// It is certain if each member of the cycle is a thread in a blocking method, because such a thread can't
    /// release its guards. A task can: its guard may be in another branch of a `join!`, which runs while this branch
    /// waits. There is one exception, which a diagnosis can't see: a thread that takes a guard, gives it to another
    /// thread and then blocks. Such a cycle may end by itself although it is called certain.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let cx = &mut Context::from_waker(Waker::noop());
    /// // Two branches of one task: the first one may go on, and release what the other one waits for.
    /// let (mut holder, mut waiter) = (pin!(locks.lock(&1)), pin!(locks.lock(&1)));
    /// let guard = holder.as_mut().poll(cx);
    /// assert!(waiter.as_mut().poll(cx).is_pending());
    /// let diagnosis = locks.diagnose();
    /// assert!(!diagnosis.cycles()[0].is_certain());
    /// ```
    pub fn is_certain(&self) -> bool {
        self.blocked.iter().all(|Blocked { by, .. }| match by.standing {
            Standing::Waits => true,
            Standing::Holds => by.by_waiter || by.blocks,
            Standing::Granted => false,
        }) && self.blocked.iter().all(|blocked| blocked.waits.blocks)
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.blocked.iter().flat_map(|blocked| [&blocked.waits, &blocked.by])
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.blocked.len(), self.is_certain()) {
            (1, true) => writeln!(f, "deadlock: one thread waits for itself:")?,
            (1, false) => {
                writeln!(f, "one task waits for itself, unless another branch of it releases the lock:")?;
            }
            (tasks, true) => writeln!(f, "deadlock: {tasks} threads wait in a cycle:")?,
            (tasks, false) => {
                writeln!(
                    f,
                    "{tasks} tasks wait in a cycle, unless another branch of one of them releases its lock:"
                )?;
            }
        }
        self.blocked.iter().try_for_each(|Blocked { waits, by }| writeln!(f, "  {waits}\n    where {by}"))
    }
}

/// The claims for one stripe or key.
struct Stripe {
    holders: Range<usize>,
    waiters: Range<usize>,
    /// The first waiter whose task is stuck: those behind it can't be served.
    reached: usize,
    /// How many holders are stuck, and how many of these are exclusive.
    stuck: [usize; 2],
}

/// All tasks, and which of them can continue.
struct Search<'c> {
    claims: &'c [Claim],
    /// Whether the holders of a stripe share a limited number of permits.
    limited: bool,
    stripes: Vec<Stripe>,
    /// The claims of each task.
    of_task: HashMap<TaskId, Vec<usize>>,
    /// The stripe of each claim.
    stripe_of: Vec<usize>,
    stuck: HashMap<TaskId, bool>,
}

/// Finds the cycles among claims that are sorted by queue and standing.
///
/// It removes the tasks that can continue, then those that waited only for removed tasks, until nothing changes. The
/// tasks that are left wait in a cycle, or for a member of one. Each claim is visited a bounded number of times.
pub(super) fn find(claims: &[Claim], limited: bool) -> Vec<Cycle> {
    let mut search = Search::new(claims, limited);
    search.run();
    let mut seen: HashMap<TaskId, usize> = HashMap::new();
    let mut cycles = Vec::new();
    let starts: Vec<TaskId> =
        claims.iter().filter_map(|claim| claim.task).filter(|task| search.is_stuck(Some(*task))).collect();
    for (round, start) in starts.into_iter().enumerate() {
        let (mut path, mut at) = (Vec::new(), start);
        // Every stuck task waits for another stuck task, so the chain comes back to where it was.
        while let std::collections::hash_map::Entry::Vacant(entry) = seen.entry(at) {
            entry.insert(round);
            let Some(blocked) = search.blocked(at) else { break };
            path.push(blocked);
            let Some(next) = blocked.by.task else { break };
            at = next;
        }
        if let Some(begin) = path.iter().position(|blocked| blocked.waits.task == Some(at)) {
            cycles.push(Cycle { blocked: path.split_off(begin) });
        }
    }
    cycles
}

impl<'c> Search<'c> {
    fn new(claims: &'c [Claim], limited: bool) -> Self {
        let mut search = Self {
            claims,
            limited,
            stripes: Vec::new(),
            of_task: HashMap::new(),
            stripe_of: vec![0; claims.len()],
            stuck: HashMap::new(),
        };
        for claim in claims {
            if let (Standing::Waits, Some(task)) = (claim.standing, claim.task) {
                search.stuck.insert(task, true);
            }
        }
        let mut at = 0;
        while at < claims.len() {
            let same =
                claims[at..].iter().take_while(|claim| claim.edge.queue == claims[at].edge.queue).count();
            let waits =
                claims[at..at + same].iter().take_while(|claim| claim.standing != Standing::Waits).count();
            let mut stuck = [0; 2];
            for (index, claim) in claims.iter().enumerate().skip(at).take(same) {
                search.stripe_of[index] = search.stripes.len();
                if let Some(task) = claim.task {
                    search.of_task.entry(task).or_default().push(index);
                }
                if index < at + waits && search.is_stuck(claim.task) {
                    stuck[0] += 1;
                    stuck[1] += usize::from(claim.edge.exclusive);
                }
            }
            let (holders, waiters) = (at..at + waits, at + waits..at + same);
            search.stripes.push(Stripe { holders, reached: waiters.start, waiters, stuck });
            at += same;
        }
        search
    }

    fn is_stuck(&self, task: Option<TaskId>) -> bool {
        task.is_some_and(|task| self.stuck.get(&task).copied().unwrap_or(false))
    }

    /// Whether enough holders continue for a waiter to be served, if all waiters before it continue.
    fn is_served(&self, wait: &Claim, stripe: &Stripe) -> bool {
        let holders = stripe.holders.len();
        if self.limited {
            return holders == 0 || stripe.stuck[0] < holders;
        }
        stripe.stuck[usize::from(!wait.edge.exclusive)] == 0
    }

    /// Marks all tasks that can continue.
    fn run(&mut self) {
        let mut changed: Vec<usize> = (0..self.stripes.len()).collect();
        while let Some(index) = changed.pop() {
            // The waiters that can be served, one after the other, up to the first that stays stuck.
            while self.stripes[index].reached < self.stripes[index].waiters.end {
                let stripe = &self.stripes[index];
                let wait = &self.claims[stripe.reached];
                let goes_on = !self.is_stuck(wait.task);
                if !goes_on && !self.is_served(wait, stripe) {
                    break;
                }
                self.stripes[index].reached += 1;
                if let (false, Some(task)) = (goes_on, wait.task) {
                    self.frees(task, &mut changed);
                }
            }
        }
    }

    /// A task continues, so the waiters for its stripes have to be looked at again.
    fn frees(&mut self, task: TaskId, changed: &mut Vec<usize>) {
        self.stuck.insert(task, false);
        for &index in self.of_task.get(&task).into_iter().flatten() {
            let claim = &self.claims[index];
            let stripe = &mut self.stripes[self.stripe_of[index]];
            if claim.standing != Standing::Waits {
                stripe.stuck[0] -= 1;
                stripe.stuck[1] -= usize::from(claim.edge.exclusive);
            }
            changed.push(self.stripe_of[index]);
        }
    }

    /// A wait of a stuck task, and the claim of a stuck task that blocks it.
    fn blocked(&self, task: TaskId) -> Option<Blocked> {
        let waits =
            self.of_task.get(&task)?.iter().filter(|&&index| self.claims[index].standing == Standing::Waits);
        waits.into_iter().find_map(|&index| {
            let (wait, stripe) = (&self.claims[index], &self.stripes[self.stripe_of[index]]);
            let conflicts = |by: &&Claim| self.limited || wait.edge.exclusive || by.edge.exclusive;
            let holders = self.claims[stripe.holders.clone()].iter().filter(conflicts);
            let ahead = self.claims.get(stripe.reached..index).unwrap_or_default();
            let by = holders.chain(ahead).find(|by| self.is_stuck(by.task))?;
            Some(Blocked { waits: *wait, by: *by })
        })
    }
}

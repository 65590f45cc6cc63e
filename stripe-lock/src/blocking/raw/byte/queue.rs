//! The queues of sleeping threads: a table of buckets, shared by all locks of the process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec::Vec;

use super::parker::{Parker, Told};
use super::slow::Wants;
use super::sync::Since;
use crate::shared::mutex::Mutex;
use crate::shared::spin::{Patience, Tuning};

/// How threads spin before they sleep.
const SPINNING: Tuning = Tuning { least: 8, reward: 32, probes: (32, 1024) };

/// The queues of some locks.
pub(super) struct Bucket {
    pub(super) queues: Mutex<Vec<Queue>>,
    pub(super) patience: Patience,
}

impl Bucket {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { queues: Mutex::new(Vec::new()), patience: Patience::new(SPINNING) }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { queues: Mutex::new(Vec::new()), patience: Patience::new(SPINNING) }
    }
}

/// The threads that sleep for one lock, the longest waiter first.
///
/// An empty queue is kept for the next lock of the bucket. So memory is allocated only if more locks of a bucket, or more
/// threads, wait at the same time than ever before.
pub(super) struct Queue {
    lock: usize,
    waiters: VecDeque<Waiter>,
}

/// A thread that sleeps, or that was told to compete.
pub(super) struct Waiter {
    pub(super) parker: Arc<Parker>,
    pub(super) wants: Wants,
    since: Since,
    /// How many competitions it has lost.
    pub(super) lost: u32,
}

impl Waiter {
    pub(super) fn new(parker: Arc<Parker>, wants: Wants) -> Self {
        Self { parker, wants, since: Since::now(), lost: 0 }
    }

    /// Whether it has competed for long enough to be handed the lock. If it is `awake`, it may have no processor yet.
    pub(super) fn is_due(&self, awake: bool) -> bool {
        self.since.is_due(self.lost, awake)
    }
}

/// The queue of the lock at this address.
pub(super) fn queue_of(queues: &mut Vec<Queue>, lock: usize) -> &mut Queue {
    let place = queues.iter().position(|queue| queue.lock == lock && !queue.is_empty());
    let place = place.or_else(|| queues.iter().position(Queue::is_empty)).unwrap_or_else(|| {
        queues.push(Queue { lock, waiters: VecDeque::new() });
        queues.len() - 1
    });
    queues[place].lock = lock;
    &mut queues[place]
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        self.waiters.push_back(waiter);
    }

    pub(super) fn first(&mut self) -> Option<&mut Waiter> {
        self.waiters.front_mut()
    }

    /// Tells the first waiter to compete. The caller has to wake its thread once the bucket is unlocked.
    pub(super) fn call_first(&self) -> Option<Arc<Parker>> {
        let first = &self.waiters.front()?.parker;
        first.tell(Told::Compete);
        Some(first.clone())
    }

    /// Grants the lock to the first waiter, and removes it. The caller has to wake its thread once the bucket is
    /// unlocked. The next waiter competes for as long as if it had just arrived. Each hand-over waits for a thread to
    /// wake up, so no two may follow each other directly.
    ///
    /// The waiter may release the lock as soon as it is told, so all that its release has to see is done by `before`.
    pub(super) fn grant_first(&mut self, before: impl FnOnce(&Self)) -> Option<Arc<Parker>> {
        let first = self.waiters.pop_front()?.parker;
        before(self);
        first.tell(Told::Granted);
        if let Some(next) = self.first() {
            next.since = Since::now();
        }
        Some(first)
    }

    /// Removes a waiter. Returns whether it was the first.
    pub(super) fn remove(&mut self, parker: &Arc<Parker>) -> bool {
        let place = self.waiters.iter().position(|waiter| Arc::ptr_eq(&waiter.parker, parker));
        if let Some(place) = place {
            self.waiters.remove(place);
        }
        place == Some(0)
    }
}

//! Waiting for a lock, and serving those that wait: the same for the mutex and the read-write lock.
//!
//! A thread that has spun in vain joins a queue and sleeps. A byte of the lock, `waiting`, tells this to the holders:
//!
//! | byte | queue | a release |
//! |---|---|---|
//! | `NOBODY` | empty | only releases |
//! | `ASLEEP` | its first waiter sleeps | tells the first waiter to compete, or hands it the lock if that is due |
//! | `AWAKE` and above | its first waiter was told to compete, and is awake | counts down to `AWAKE`, and hands over then if that is due |
//!
//! The byte changes under the lock of the queue's bucket, but for the count. A release reads it twice. If threads wait, the read
//! before the release finds them while the releaser still holds the lock, so it can hand the lock over. The read after the release
//! finds a thread that went to sleep in between. It needs no locked instruction: see [`barrier`].
//!
//! # No wake-up is lost
//!
//! A thread sleeps only while another thread is certain to serve the queue. There are two cases.
//! - `AWAKE`: the first waiter is awake. It will lock the bucket again, because it has the lock, goes back to sleep, or has
//!   timed out. Then it sets the byte for the remaining queue, or wakes the next waiter.
//! - `ASLEEP`: the thread that set it held the bucket's lock. Before it released that, it was either the only holder, and then
//!   its own release will read the byte. Or it passed the barrier and then found the lock held. Then the release of that
//!   holder reads the byte: if it had read the byte before it was set, its store would have been visible after the barrier.
//!
//! So one barrier for each change to `ASLEEP` is enough. A thread that joins a queue that isn't empty needs none: it finds
//! the byte set under the bucket's lock, which was not released before the barrier was passed.
//!
//! If the barrier fails, the first waiter sleeps for a limited time and then checks again.

use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec::Vec;

use crate::shared::mutex::MutexGuard;
use crate::shared::spin::spin_for;

use super::barrier;
use super::parker::{Parker, Told};
use super::queue::{Bucket, Queue, Waiter, queue_of};
use super::sync::{Byte, LOOKS, bucket_of};

pub(super) const NOBODY: u8 = 0;
pub(super) const ASLEEP: u8 = 1;
const AWAKE: u8 = 2;

/// The longest sleep of the first waiter if a release may not see it.
const UNSURE: Duration = Duration::from_millis(1);

/// How long the first waiter competes before it sleeps again: several times as long as a sleep and its end take.
const COMPETITION: Duration = Duration::from_micros(50);

/// How a thread wants to hold a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Alone,
    Shared,
}

/// The next step of a wait.
pub(super) enum Turn {
    /// The thread has the lock.
    Had,
    /// The thread has to sleep. If `sure` is false, a release may not see it.
    Sleep { sure: bool },
}

/// A lock that has the byte `waiting`.
pub(super) trait Waits: Sized {
    fn waiting(&self) -> &Byte;

    /// Takes the lock unless a holder excludes that. For the first waiter, or for a thread that finds no waiter.
    fn attempt(&self, wants: Wants) -> bool;

    /// Whether an attempt would succeed at this moment.
    fn is_free(&self, wants: Wants) -> bool;

    /// Whether threads share the lock.
    fn is_shared(&self) -> bool;

    /// The only holder lets a waiter that wants to share the lock hold it in its place.
    fn pass_to_sharer(&self);

    fn bucket(&self) -> &'static Bucket {
        bucket_of(self.address())
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether a thread that waits in no queue may attempt to take the lock. While others wait, it may take a free lock, and not
    /// share one that is held: threads that share it could keep it held for ever.
    #[inline]
    fn admits_newcomer(&self, wants: Wants) -> bool {
        if self.waiting().load(Relaxed) == NOBODY { self.is_free(wants) } else { self.is_free(Wants::Alone) }
    }

    /// Takes the lock, or returns `false` at `deadline`. Spins first, then sleeps.
    #[cold]
    fn lock_slow(&self, wants: Wants, deadline: Option<Instant>) -> bool {
        if self.bucket().patience.spin(
            || self.admits_newcomer(wants) && self.attempt(wants),
            || wants == Wants::Shared || !self.is_shared(),
        ) {
            return true;
        }
        let parker = Parker::take();
        let had = self.wait(wants, &parker, deadline);
        Parker::keep(parker);
        had
    }

    fn wait(&self, wants: Wants, parker: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        let mut turn = self.join(wants, parker);
        while let Turn::Sleep { sure } = turn {
            let until = if sure { deadline } else { Some(earlier(deadline, Instant::now() + UNSURE)) };
            let told = parker.sleep(until);
            if !told && until == deadline {
                return self.leave(parker, sure);
            }
            if parker.told() == Told::Granted {
                return true;
            }
            turn = if self.compete(wants, parker) {
                let queues = self.bucket().queues.lock();
                self.enter(wants, parker, queues)
            } else {
                self.sleep_again(wants, parker)
            };
        }
        true
    }

    /// For the first waiter, which was told to compete: tries to get the lock before it sleeps again. Each further sleep would cost a holder
    /// the system call that ends it.
    fn compete(&self, wants: Wants, parker: &Parker) -> bool {
        self.attempt(wants)
            || spin_for(COMPETITION, || {
                self.is_free(wants) && self.attempt(wants) || parker.told() == Told::Granted
            }) && parker.told() != Told::Granted
    }

    /// Takes the lock or joins the queue.
    fn join(&self, wants: Wants, parker: &Arc<Parker>) -> Turn {
        let mut queues = self.bucket().queues.lock();
        let queue = queue_of(&mut queues, self.address());
        let mut sure = true;
        if queue.is_empty() {
            sure = self.fall_asleep();
            if self.attempt(wants) {
                self.waiting().store(NOBODY, Relaxed);
                return Turn::Had;
            }
        }
        queue.push(Waiter::new(parker.clone(), wants));
        Turn::Sleep { sure }
    }

    /// Tells later releases that the first waiter sleeps. The caller holds the bucket's lock, and has to attempt to take the lock
    /// afterwards.
    fn fall_asleep(&self) -> bool {
        // An exchange, because the last release may just have counted down.
        self.waiting().swap(ASLEEP, AcqRel);
        barrier::everywhere()
    }

    /// For the first waiter, which has competed in vain.
    fn sleep_again(&self, wants: Wants, parker: &Arc<Parker>) -> Turn {
        let mut queues = self.bucket().queues.lock();
        if parker.told() == Told::Granted {
            return Turn::Had;
        }
        let sure = self.fall_asleep();
        if self.attempt(wants) {
            return self.enter(wants, parker, queues);
        }
        if let Some(first) = queue_of(&mut queues, self.address()).first() {
            first.lost += 1;
        }
        parker.forget();
        Turn::Sleep { sure }
    }

    /// For the first waiter, which has the lock.
    fn enter(&self, wants: Wants, parker: &Arc<Parker>, mut queues: MutexGuard<'_, Vec<Queue>>) -> Turn {
        let queue = queue_of(&mut queues, self.address());
        queue.remove(parker);
        if wants == Wants::Alone {
            self.mark_rest_of_queue(queue);
        } else {
            self.serve(queues, false, false);
        }
        Turn::Had
    }

    /// For the only holder, or on behalf of it: sets the byte for the rest of the queue. The release will read it.
    fn mark_rest_of_queue(&self, queue: &Queue) {
        self.waiting().store(if queue.is_empty() { NOBODY } else { ASLEEP }, Relaxed);
    }

    /// Gives up waiting. Returns whether the lock was handed over in the meantime.
    fn leave(&self, parker: &Arc<Parker>, sure: bool) -> bool {
        let mut queues = self.bucket().queues.lock();
        if parker.told() == Told::Granted {
            return true;
        }
        let queue = queue_of(&mut queues, self.address());
        let was_first = queue.remove(parker);
        let asleep = sure && self.waiting().load(Relaxed) == ASLEEP;
        match queue.first().map(|first| first.wants) {
            None => self.waiting().store(NOBODY, Relaxed),
            Some(wants) if was_first && (!asleep || wants == Wants::Shared) => {
                self.serve(queues, false, asleep);
            }
            Some(_) => {}
        }
        false
    }

    /// Whether a release has to serve the queue while it still holds the lock, when it has read this byte.
    #[inline]
    fn looks_at_queue(&self, waiting: u8) -> bool {
        match waiting {
            NOBODY => false,
            ASLEEP | AWAKE => true,
            // If the byte has changed, another release looks.
            more => {
                let _ = self.waiting().compare_exchange(more, more - 1, AcqRel, Relaxed);
                false
            }
        }
    }

    /// For the only holder: hands the lock to the first waiter if the waiter is due or `fair` is set, or wants to share it. If not,
    /// releases the lock by `release`, and tells the first waiter to compete unless it is awake.
    #[cold]
    fn release_alone(&self, fair: bool, release: impl FnOnce()) {
        let mut queues = self.bucket().queues.lock();
        let waiting = self.waiting().load(Relaxed);
        let queue = queue_of(&mut queues, self.address());
        let Some(first) = queue.first() else { return release() };
        let shared = first.wants == Wants::Shared;
        // A waiter that is awake may share the lock at any moment, so it must not be handed it as well.
        if (waiting == ASLEEP || !shared) && (fair || shared || first.is_due(waiting != ASLEEP)) {
            let granted = queue.grant_first(|rest| {
                self.mark_rest_of_queue(rest);
                if shared {
                    self.pass_to_sharer();
                }
            });
            if shared {
                self.serve(queues, false, true);
            } else {
                drop(queues);
            }
            granted.inspect(|parker| parker.wake());
            return;
        }
        if waiting == AWAKE {
            self.waiting().store(AWAKE + LOOKS, Relaxed);
        }
        release();
        if waiting == ASLEEP {
            self.serve(queues, false, true);
        }
    }

    /// Serves the first waiter unless it is awake. To be called after a release.
    #[cold]
    fn call(&self, fair: bool) {
        let mut queues = self.bucket().queues.lock();
        let asleep = self.waiting().load(Relaxed) == ASLEEP;
        let first = queue_of(&mut queues, self.address()).first();
        if asleep || fair && first.is_some_and(|first| first.wants == Wants::Alone) {
            self.serve(queues, fair, asleep);
        }
    }

    /// Hands the lock to the first waiters as far as they are due, or want to share it, and no holder excludes that. Tells the next one
    /// to compete, unless it is certain that a release will see it (`asleep`).
    fn serve(&self, mut queues: MutexGuard<'_, Vec<Queue>>, fair: bool, asleep: bool) {
        let queue = queue_of(&mut queues, self.address());
        let (mut handed, mut alone, mut held) = (None::<Arc<Parker>>, false, false);
        while let Some(first) = queue.first()
            && (fair && handed.is_none() || first.wants == Wants::Shared || first.is_due(false))
        {
            held = !self.attempt(first.wants);
            if held {
                break;
            }
            alone = first.wants == Wants::Alone;
            let granted = queue.grant_first(|rest| {
                if alone {
                    self.mark_rest_of_queue(rest);
                }
            });
            std::mem::replace(&mut handed, granted).inspect(|parker| parker.wake());
        }
        let mut called = None;
        if queue.is_empty() {
            if !alone {
                self.waiting().store(NOBODY, Relaxed);
            }
        } else if !(alone || asleep && (held || handed.is_some())) {
            self.waiting().store(AWAKE + LOOKS, Relaxed);
            called = queue.call_first();
        }
        drop(queues);
        handed.into_iter().chain(called).for_each(|parker| parker.wake());
    }
}

fn earlier(deadline: Option<Instant>, other: Instant) -> Instant {
    deadline.map_or(other, |deadline| deadline.min(other))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::WordRwLock;
    use super::super::api::RawRwLock;
    use super::*;

    /// A lock that this thread holds alone, and a thread that waits to share it and was told to compete: this one, too.
    fn beside_an_awake_reader(lock: &WordRwLock) -> Arc<Parker> {
        let parker = Parker::take();
        assert!(lock.attempt(Wants::Alone));
        let mut queues = lock.bucket().queues.lock();
        let queue = queue_of(&mut queues, lock.address());
        queue.push(Waiter::new(parker.clone(), Wants::Shared));
        queue.call_first();
        lock.waiting().store(AWAKE, Relaxed);
        parker
    }

    /// It may share the lock by itself at any moment, and would then hold it twice.
    #[test]
    fn a_reader_that_is_awake_is_not_handed_the_lock() {
        for fair in [false, true] {
            let lock = WordRwLock::INIT;
            let parker = beside_an_awake_reader(&lock);
            lock.release_alone(fair, || lock.end_writing(0));

            assert!(parker.told() == Told::Compete, "fair: {fair}");
            assert!(lock.compete(Wants::Shared, &parker), "the lock is free");
            lock.enter(Wants::Shared, &parker, lock.bucket().queues.lock());
            lock.end_reading(fair);
            assert!(!lock.is_locked(), "it held the lock once, fair: {fair}");
            assert_eq!(lock.waiting().load(Relaxed), NOBODY);
        }
    }
}

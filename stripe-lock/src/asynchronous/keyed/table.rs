//! What is held in a bucket and who waits, where its word can't say it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr::NonNull;
use std::task::Waker;

use super::super::instrument::Tally;
use super::super::panics::Wakes;
use super::super::queue::{Fields, Head, Node, State};
use super::super::sync::{BATCH, OVERTAKES};
#[cfg(feature = "stats")]
use super::stats::KeyedStats;
use super::tags::Tag;

/// A table that had room for so many keys, or fewer, keeps it.
const ROOM_KEPT: usize = 14;

/// The hash of a tag, for tables of tags whose top bits are alike.
#[derive(Default)]
pub(super) struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a tag is one u64");
    }

    fn write_u64(&mut self, tag: u64) {
        // Fibonacci hashing again: both halves of the product depend on every bit.
        let product = u128::from(tag) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

type Folded = BuildHasherDefault<Fold>;

/// The waiters for one key.
#[derive(Default)]
pub(super) struct Waiters {
    pub(super) head: Head,
    /// So many newcomers were faster than the first, since it was woken.
    pub(super) overtaken: u32,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) held: HashSet<Tag, Folded>,
    pub(super) waiters: HashMap<Tag, Waiters, Folded>,
    pub(super) closed: bool,
    /// Of queues that are gone.
    pub(super) tally: Tally,
    /// How often a key was entered beside another one.
    #[cfg(feature = "stats")]
    pub(super) met: u64,
}

// SAFETY: the nodes that the queues lead to are touched under the lock of the table, by whichever thread holds it.
unsafe impl Send for Table {}

// Code of the caller's, which may panic, runs while no table is locked.
impl std::panic::UnwindSafe for Table {}

impl Table {
    /// Whether the word can say all that it says.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiters.is_empty() && !self.closed
    }

    /// What was counted, added to `stats`.
    #[cfg(feature = "stats")]
    pub(super) fn add_to(&self, stats: &mut KeyedStats) {
        let mut tally = Tally::default();
        tally.absorb(&self.tally);
        for waiters in self.waiters.values() {
            tally.absorb(&waiters.head.tally);
            stats.waiting += u64::from(waiters.head.len());
        }
        let waits = tally.snapshot();
        stats.met += self.met;
        stats.contended += waits.contended;
        stats.cancelled += waits.cancelled;
        stats.waited = stats.waited.saturating_add(waits.waited);
    }

    /// Gives back memory that was needed for more keys.
    pub(super) fn give_back_room(&mut self) {
        let Self { held, waiters, .. } = self;
        if held.capacity() > ROOM_KEPT && held.len() < held.capacity() / 8 {
            held.shrink_to(2 * held.len());
        }
        if waiters.capacity() > ROOM_KEPT && waiters.len() < waiters.capacity() / 8 {
            waiters.shrink_to(2 * waiters.len());
        }
    }

    /// Lets a newcomer have the key if nobody holds it. The release of the last that may overtake the first waiter hands the
    /// key over, so there is none to refuse here.
    pub(super) fn admit(&mut self, tag: Tag) -> bool {
        let enters = !self.closed && self.held.insert(tag);
        #[cfg(feature = "stats")]
        if enters && self.held.len() > 1 {
            self.met += 1;
        }
        if enters && let Some(waiters) = self.waiters.get_mut(&tag) {
            waiters.overtaken += 1;
        }
        enters
    }

    /// Hands the key, which nobody holds, to the first waiter, or wakes that one to take it. Returns the waker to be called.
    pub(super) fn serve(&mut self, tag: Tag) -> Option<Waker> {
        let waiters = self.waiters.get_mut(&tag)?;
        let first = waiters.head.first()?;
        // SAFETY: a node in this queue, whose table is locked; its state is changed last.
        unsafe {
            let notified = matches!(first.as_ref().state(), State::Notified(_));
            let overtaken = notified && waiters.overtaken >= OVERTAKES;
            let waker = first.as_ref().with(Fields::take_waker);
            if waiters.head.hand_overs > 0 || overtaken {
                waiters.head.hand_overs = waiters.head.hand_overs.saturating_sub(1);
                self.withdraw(tag, first.as_ref(), true);
                self.held.insert(tag);
                first.as_ref().set_state(State::Granted);
            } else if !notified {
                waiters.overtaken = 0;
                first.as_ref().set_state(State::Notified(0));
            }
            waker
        }
    }

    /// Takes a node out of its queue.
    ///
    /// # Safety
    ///
    /// The node is in the queue of this key.
    pub(super) unsafe fn withdraw(&mut self, tag: Tag, node: &Node, served: bool) {
        let waiters = self.waiters.get_mut(&tag).expect("the node is in it");
        // SAFETY: the caller's promise, and the lock.
        if unsafe { waiters.head.quit(NonNull::from(node), served) } {
            waiters.overtaken = 0;
        }
        if waiters.head.len() == 0
            && let Some(gone) = self.waiters.remove(&tag)
        {
            self.tally.absorb(&gone.head.tally);
        }
    }

    /// Tells waiters that the set is closed, as many as there is room for wakers.
    pub(super) fn dismiss(&mut self, wakes: &mut Wakes) {
        for _ in 0..BATCH {
            let Some((&tag, waiters)) = self.waiters.iter().next() else { return };
            let node = waiters.head.first().expect("a queue that is empty is removed");
            // SAFETY: a node in this queue, whose table is locked; its state is changed last.
            unsafe {
                self.withdraw(tag, node.as_ref(), false);
                wakes.push(node.as_ref().with(Fields::take_waker));
                node.as_ref().set_state(State::Closed(0));
            }
        }
    }
}

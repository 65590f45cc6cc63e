//! The held keys and the waiters of a bucket that has more of them than fit its word.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ptr::NonNull;
use std::task::Waker;

use super::super::instrument::Tally;
use super::super::panics::Wakes;
use super::super::queue::{Fields, Head, Node, State};
use super::super::sync::{BATCH, OVERTAKES};
use super::super::word::Mode;
use super::monitor::Monitor;
#[cfg(feature = "stats")]
use super::stats::KeyedStats;
use super::tags::Tag;

/// A table with room for at most this many keys keeps its memory.
const ROOM_KEPT: usize = 14;

/// The marks of waiters are 1 to this number.
const LAST_MARK: u32 = 1 << 20;

/// The hasher of tags, for tables of tags whose top bits are equal.
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
    /// How many newcomers have overtaken the first waiter since it was woken.
    pub(super) overtaken: u32,
}

pub(super) struct Table {
    pub(super) held: HashSet<Tag, Folded>,
    pub(super) waiters: HashMap<Tag, Waiters, Folded>,
    pub(super) closed: bool,
    /// Whether every key is held, by one guard.
    every_is_held: bool,
    /// The number of waiters for every key, in the queue of [`Tag::EVERY`]. While there are any, newcomers that hold
    /// nothing do not enter.
    wait_for_every: u32,
    /// Waiters in this state came after the first waiter for every key.
    after: u32,
    /// The counters of queues that were removed.
    pub(super) tally: Tally,
    monitor: Monitor,
    /// How often a key was entered while another key was held.
    #[cfg(feature = "stats")]
    pub(super) met: u64,
}

// SAFETY: the nodes that the queues lead to are touched under the lock of the table, by whichever thread holds it.
unsafe impl Send for Table {}

// Code of the caller's, which may panic, runs while no table is locked.
impl std::panic::UnwindSafe for Table {}

impl Table {
    pub(super) fn new(monitor: Monitor) -> Self {
        Self {
            held: HashSet::default(),
            waiters: HashMap::default(),
            closed: false,
            every_is_held: false,
            wait_for_every: 0,
            after: 0,
            tally: Tally::default(),
            monitor,
            #[cfg(feature = "stats")]
            met: 0,
        }
    }

    /// As [`Bucket::each_waiter`](super::bucket::Bucket::each_waiter).
    #[cfg(feature = "diagnose")]
    pub(super) fn each_waiter(&self, mut see: impl FnMut(Tag, bool, bool, &Node, &mut Fields)) {
        for (&tag, waiters) in &self.waiters {
            let see = |node: &Node, fields: &mut Fields| {
                let after = self.wait_for_every > 0 && node.state() == State::Waiting(self.after as usize);
                see(tag, self.every_is_held || after, self.every_is_held, node, fields);
            };
            // SAFETY: the queues of this table, which is locked.
            unsafe { waiters.head.each(see) };
        }
    }

    /// Whether the word alone can represent the state of the bucket.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiters.is_empty() && !self.every_is_held && !self.closed
    }

    /// Adds the counters to `stats`.
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

    /// Frees memory that only more keys need.
    pub(super) fn give_back_room(&mut self) {
        let Self { held, waiters, .. } = self;
        if held.capacity() > ROOM_KEPT && held.len() < held.capacity() / 8 {
            held.shrink_to(2 * held.len());
        }
        if waiters.capacity() > ROOM_KEPT && waiters.len() < waiters.capacity() / 8 {
            waiters.shrink_to(2 * waiters.len());
        }
    }

    /// Whether every key is held by a guard, or has waiters.
    fn is_frozen(&self) -> bool {
        self.every_is_held || self.wait_for_every > 0
    }

    /// Whether a woken waiter may take the key.
    pub(super) fn is_free(&self, tag: Tag) -> bool {
        !self.every_is_held && !self.held.contains(&tag)
    }

    /// The number of waiters for the key.
    pub(super) fn len(&self, tag: Tag) -> u32 {
        self.waiters.get(&tag).map_or(0, |waiters| waiters.head.len())
    }

    /// Gives a newcomer the key if it is free. No newcomer has to be refused here: after the twelfth that overtook
    /// the first waiter, the release hands the key to that waiter. A newcomer that holds other keys (`beside`) may be
    /// the one for which a waiter for every key waits, so it does not wait for that waiter.
    pub(super) fn admit(&mut self, tag: Tag, beside: bool) -> bool {
        if self.closed {
            return false;
        }
        if tag == Tag::EVERY {
            let enters = self.held.is_empty() && !self.is_frozen();
            self.every_is_held |= enters;
            return enters;
        }
        let frozen = if beside { self.every_is_held } else { self.is_frozen() };
        let enters = !frozen && self.held.insert(tag);
        #[cfg(feature = "stats")]
        if enters && self.held.len() > 1 {
            self.met += 1;
        }
        if enters && let Some(waiters) = self.waiters.get_mut(&tag) {
            waiters.overtaken += 1;
        }
        enters
    }

    /// Lets a node join the queue of the key. Returns how many are in it now.
    ///
    /// # Safety
    ///
    /// The node is pinned, open and in no queue.
    pub(super) unsafe fn join(&mut self, tag: Tag, beside: bool, node: &Node) -> u32 {
        let frozen = self.is_frozen();
        if tag == Tag::EVERY {
            if self.wait_for_every == 0 {
                self.freeze();
            }
            self.wait_for_every += 1;
        }
        let (mode, at) = match (tag, frozen) {
            (Tag::EVERY, _) | (_, false) => (Mode::Exclusive, 0),
            // It joins before the waiters that came after a waiter for every key, because that one has to wait for
            // this node.
            _ if beside => (Mode::Upgrade, 0),
            _ => (Mode::Exclusive, self.after as usize),
        };
        let waiters = self.waiters.entry(tag).or_default();
        // SAFETY: the caller's promise, and the lock.
        unsafe { waiters.head.join(NonNull::from(node), at, mode, 0) };
        waiters.head.len()
    }

    /// Waiters that join from now on are served after the first waiter for every key.
    fn freeze(&mut self) {
        self.after = self.after % LAST_MARK + 1;
    }

    /// Serves the waiter whose turn it is, after a key was released. Returns the waker to call.
    pub(super) fn serve(&mut self, tag: Tag) -> Option<Waker> {
        match self.next_for_every() {
            Some(first) => self.hand_over_every(first),
            None => self.serve_key(tag),
        }
    }

    /// The waiter that gets every key, because no key is held.
    fn next_for_every(&self) -> Option<NonNull<Node>> {
        let free = self.wait_for_every > 0 && self.held.is_empty() && !self.every_is_held;
        if free { self.waiters.get(&Tag::EVERY)?.head.first() } else { None }
    }

    /// Returns the waker to be called.
    fn hand_over_every(&mut self, first: NonNull<Node>) -> Option<Waker> {
        self.every_is_held = true;
        // SAFETY: a node in this queue, whose table is locked; its state is changed last.
        unsafe {
            let waker = first.as_ref().with(Fields::take_waker);
            first.as_ref().with(|fields| self.monitor.granted(&mut fields.note, Tag::EVERY));
            self.withdraw(Tag::EVERY, first.as_ref(), true);
            first.as_ref().set_state(State::Granted);
            waker
        }
    }

    /// Hands the free key to the first waiter, or wakes that waiter to take it. Returns the waker to call.
    fn serve_key(&mut self, tag: Tag) -> Option<Waker> {
        let frozen = self.is_frozen();
        let waiters = self.waiters.get_mut(&tag).filter(|_| !self.every_is_held)?;
        let first = waiters.head.first()?;
        // SAFETY: a node in this queue, whose table is locked; its state is changed last.
        unsafe {
            let state = first.as_ref().state();
            if frozen && state == State::Waiting(self.after as usize) {
                return None;
            }
            let notified = matches!(state, State::Notified(_));
            let overtaken = notified && waiters.overtaken >= OVERTAKES;
            let waker = first.as_ref().with(Fields::take_waker);
            if waiters.head.hand_overs > 0 || overtaken {
                waiters.head.hand_overs = waiters.head.hand_overs.saturating_sub(1);
                first.as_ref().with(|fields| self.monitor.granted(&mut fields.note, tag));
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

    /// Releases every key. All waiters that joined meanwhile are handed their keys, and only then the next waiter can
    /// get every key. Returns the wakers to call.
    pub(super) fn release_every(&mut self) -> Vec<Waker> {
        self.every_is_held = false;
        if self.wait_for_every > 0 {
            self.freeze();
        }
        self.serve_all()
    }

    /// Hands each free key to its first waiter. If there is none, hands every key to the first waiter for that.
    fn serve_all(&mut self) -> Vec<Waker> {
        let free: Vec<_> =
            self.waiters.keys().copied().filter(|&tag| tag != Tag::EVERY && self.is_free(tag)).collect();
        let hand_over = |tag| {
            let head = &mut self.waiters.get_mut(&tag)?.head;
            head.hand_overs = head.hand_overs.max(1);
            self.serve_key(tag)
        };
        let mut wakers: Vec<_> = free.into_iter().filter_map(hand_over).collect();
        wakers.extend(self.next_for_every().and_then(|first| self.hand_over_every(first)));
        wakers
    }

    /// A waiter for the key gave up and has left its queue: serves the waiters whose turn it may be now. Returns the
    /// wakers to call.
    pub(super) fn pass_on(&mut self, tag: Tag) -> Vec<Waker> {
        match tag {
            Tag::EVERY if self.is_frozen() => vec![],
            Tag::EVERY => self.serve_all(),
            _ if self.is_free(tag) => self.serve(tag).into_iter().collect(),
            _ => vec![],
        }
    }

    /// Removes a node from its queue.
    ///
    /// # Safety
    ///
    /// The node is in the queue of this key.
    pub(super) unsafe fn withdraw(&mut self, tag: Tag, node: &Node, served: bool) {
        let waiters = self.waiters.get_mut(&tag).expect("the node is in it");
        self.wait_for_every -= u32::from(tag == Tag::EVERY);
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

    /// Tells waiters that the set is closed, at most as many as there is room for their wakers.
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

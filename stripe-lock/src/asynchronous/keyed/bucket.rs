//! A bucket: the keys that are held and waited for, among those whose tags begin alike.
//!
//! The *tag* of a key is its hash with one bit always set. The *word* of a bucket has the bucket's state:
//!
//! | word | meaning | enter | release |
//! |---|---|---|---|
//! | `FREE`, 0 | nothing is held | `FREE` to the tag, by one exchange | |
//! | a tag | this key is held, and has no waiter | | the tag to `FREE`, by one exchange |
//! | `IN_TABLE`, 1 | the table has the held keys and the waiters | under the lock of the table | under the lock of the table |
//!
//! A thread or task that finds the tag of another key in the word, or that has to wait, locks the table. It moves the tag from
//! the word to the table and leaves `IN_TABLE` in the word. From then on every entry and release takes that lock. The operation
//! that leaves the table empty sets the word to `FREE` again.
//!
//! In the table, a held key is in the set `held`, and a key has a queue while it has waiters:
//!
//! | held | first of the queue | meaning |
//! |---|---|---|
//! | yes | no queue | held, without waiters |
//! | yes | `Waiting` | held, with waiters |
//! | yes | `Notified` | the first waiter was woken, and a newcomer was faster |
//! | no | `Notified` | free: the first waiter was woken to take it, and up to twelve newcomers may be faster |
//!
//! The table also says whether one guard holds every key (`lock_all`), and has the waiters for that. Such a waiter is
//! served as soon as no key is held. Until then no key is given to newcomers, nor to waiters that came later. Waiters
//! that hold other keys are excepted, because they may have to finish first. When every key is released, each key is
//! handed to its first waiter.
//!
//! A key that is not held and has no waiters is not in the table. The orderings of the word:
//!
//! | change | ordering | pairs with |
//! |---|---|---|
//! | `FREE` to a tag | Acquire | the release before it, or the operation that left the table empty and made the word `FREE` |
//! | a tag to `FREE` | Release | the next exchange of the word: to a tag, or to `IN_TABLE` |
//! | `FREE` or a tag to `IN_TABLE` | Acquire | all releases by the word before it; later holders learn of them by the lock |
//! | `IN_TABLE` to `FREE` | Release | the next exchange of the word: its maker sees all that was done under the lock |

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::Waker;

use super::super::error::AcquireError;
use super::super::panics::{Panics, Wakes};
#[cfg(feature = "diagnose")]
use super::super::queue::Fields;
use super::super::queue::{Node, State};
use super::super::sync::{AtomicU64, Mutex, MutexGuard, SPINNING};
use super::super::waiter::{Fresh, Stale};
use super::monitor::Monitor;
#[cfg(feature = "stats")]
use super::stats::KeyedStats;
use super::table::Table;
use super::tags::{Tag, Tags};
use crate::shared::spin::{Looking, Patience};

const FREE: u64 = 0;
const IN_TABLE: u64 = 1;

/// How many waiters are handed the key without competing, once a woken waiter found it still held by the first
/// newcomer. The same as for stripes.
const HAND_OVERS: u32 = 64;

/// The result of a waiter's first attempt.
pub(super) enum Asked {
    Entered,
    /// It is in the queue: alone, or behind other waiters.
    Queued {
        alone: bool,
    },
    Refused(AcquireError),
}

/// What a queued waiter found when it was polled.
pub(super) enum Found {
    /// It has left the queue.
    Served,
    /// It was woken, and has the key now.
    Won,
    /// It was woken in vain, and may try again at once.
    Again,
    /// It will be woken. Wakers that it does not need any more are not dropped under the lock.
    Waits(Stale),
    /// It has to bring a waker first.
    NeedsWaker,
}

/// The keys with tags of which the first bits are alike. Private.
pub struct Bucket {
    word: AtomicU64,
    table: Mutex<Table>,
    pub(super) patience: Patience,
    pub(super) monitor: Monitor,
    /// How many keys were acquired.
    #[cfg(feature = "stats")]
    acquired: AtomicU64,
}

/// With more, a set would take twice the cache lines. The features `stats` and `diagnose` need more room.
#[cfg(not(any(loom, feature = "stats", feature = "diagnose")))]
const _: () = assert!(size_of::<Bucket>() <= 128);

impl Bucket {
    pub(super) fn new(monitor: Monitor) -> Self {
        Self {
            word: AtomicU64::new(FREE),
            table: Mutex::new(Table::new(monitor.clone())),
            patience: Patience::new(SPINNING),
            monitor,
            #[cfg(feature = "stats")]
            acquired: AtomicU64::new(0),
        }
    }

    /// Enters if nothing is held in this bucket.
    #[inline(always)]
    pub(super) fn enter_free(&self, tag: Tag) -> bool {
        self.word.compare_exchange(FREE, tag.0, Acquire, Relaxed).is_ok()
    }

    /// As [`enter_free`](Self::enter_free), or for every key if the tag is [`Tag::EVERY`].
    #[inline(always)]
    pub(super) fn enter_at_once<N: Tags>(&self, tag: Tag) -> bool {
        if N::EVERY { self.try_enter_every() } else { self.enter_free(tag) }
    }

    /// Enters if the key is not held.
    #[inline]
    pub(super) fn try_enter(&self, tag: Tag) -> bool {
        match self.word.compare_exchange(FREE, tag.0, Acquire, Relaxed) {
            Ok(_) => true,
            Err(now) => now != tag.0 && self.try_enter_table(tag),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_enter_table(&self, tag: Tag) -> bool {
        self.open(tag).is_none_or(|mut locked| locked.table.admit(tag, false))
    }

    /// Enters for every key, if none is held or waited for in this way.
    pub(super) fn try_enter_every(&self) -> bool {
        self.open(Tag::EVERY).is_some_and(|mut locked| locked.table.admit(Tag::EVERY, false))
    }

    /// Enters if the bucket becomes free while spinning is worth it.
    pub(super) fn enters_soon(&self, tag: Tag, looking: &mut Looking<'_>) -> bool {
        loop {
            match self.word.load(Relaxed) {
                FREE if self.enter_free(tag) => return true,
                now if now != tag.0 && now != FREE || looking.is_long() || !looking.pause() => return false,
                _ => {}
            }
        }
    }

    /// Releases a key that is held. A waker's panic is left in `panics`.
    #[inline(always)]
    pub(super) fn release(&self, tag: Tag, panics: &mut Panics) {
        if self.word.compare_exchange(tag.0, FREE, Release, Relaxed).is_err() {
            self.release_in_table(tag, panics);
        }
    }

    #[cold]
    #[inline(never)]
    fn release_in_table(&self, tag: Tag, panics: &mut Panics) {
        let mut locked = self.lock();
        if tag == Tag::EVERY {
            let wakers = locked.table.release_every();
            drop(locked);
            return wake(wakers, panics);
        }
        // The thread that moved the tag into the table held the lock before.
        locked.table.held.remove(&tag);
        let waker = locked.table.serve(tag);
        drop(locked);
        wake(waker, panics);
    }

    /// Counts an acquisition (feature `stats`).
    #[inline(always)]
    #[cfg_attr(not(feature = "stats"), allow(clippy::unused_self))]
    pub(super) fn count(&self) {
        #[cfg(feature = "stats")]
        self.acquired.fetch_add(1, Relaxed);
    }

    /// Adds the counters to `stats`.
    #[cfg(feature = "stats")]
    pub(super) fn add_to(&self, stats: &mut KeyedStats) {
        stats.acquired += self.acquired.load(Relaxed);
        self.table.lock().add_to(stats);
    }

    /// Calls `see` with every waiter: its key, whether it waits for a guard or a waiter of every key, and whether every key is
    /// held.
    #[cfg(feature = "diagnose")]
    pub(super) fn each_waiter(&self, see: impl FnMut(Tag, bool, bool, &Node, &mut Fields)) {
        self.table.lock().each_waiter(see);
    }

    /// How many wait for a key.
    pub(super) fn waiters(&self, tag: Tag) -> usize {
        match self.word.load(Relaxed) {
            IN_TABLE => self.table.lock().len(tag) as usize,
            _ => 0,
        }
    }

    /// Whether the key is held.
    pub(super) fn is_held(&self, tag: Tag) -> bool {
        match self.word.load(Relaxed) {
            IN_TABLE => !self.lock().table.is_free(tag),
            now => now == tag.0,
        }
    }

    /// Lets the next release of the key hand it over to the first waiter, if there is one.
    #[cold]
    pub(super) fn prefer_waiters(&self, tag: Tag) {
        if self.word.load(Relaxed) == IN_TABLE
            && let Some(waiters) = self.lock().table.waiters.get_mut(&tag)
        {
            waiters.head.hand_overs = waiters.head.hand_overs.max(1);
        }
    }

    /// Enters the key or joins its queue. Returns an error if neither is allowed. `beside`: the caller holds other
    /// keys.
    ///
    /// # Safety
    ///
    /// The node is pinned, open, in no queue, and the caller's.
    pub(super) unsafe fn enter_or_join(
        &self,
        tag: Tag,
        beside: bool,
        node: &Node,
        max_waiters: u32,
    ) -> Asked {
        let Some(mut locked) = self.open(tag) else { return Asked::Entered };
        let table = &mut *locked.table;
        if table.closed {
            return Asked::Refused(AcquireError::Closed);
        }
        if table.admit(tag, beside) {
            return Asked::Entered;
        }
        if table.len(tag) >= max_waiters {
            return Asked::Refused(AcquireError::Crowded);
        }
        // SAFETY: the caller's promise, and the lock.
        Asked::Queued { alone: unsafe { table.join(tag, beside, node) } == 1 }
    }

    /// Takes the key if the waiter was woken to do so. If it was not, makes sure that the right task will be woken. A
    /// waiter that `may_spin`, is alone and was woken in vain stays in competition.
    ///
    /// # Safety
    ///
    /// The node is pinned and open, and the caller's.
    pub(super) unsafe fn look(
        &self,
        tag: Tag,
        node: &Node,
        may_spin: bool,
        waker: &Waker,
        fresh: Option<Fresh>,
    ) -> Found {
        let mut locked = self.lock();
        let table = &mut *locked.table;
        if node.state().queued_at().is_none() {
            return Found::Served;
        }
        let alone = table.len(tag) == 1;
        if matches!(node.state(), State::Notified(_)) {
            if table.is_free(tag) {
                // SAFETY: the node is in this queue, whose table is locked.
                unsafe { table.withdraw(tag, node, true) };
                table.held.insert(tag);
                node.set_state(State::Granted);
                return Found::Won;
            }
            if may_spin && alone {
                return Found::Again;
            }
            // The next release hands the key over.
            node.set_state(State::Waiting(0));
            let waiters = table.waiters.get_mut(&tag).expect("the node is in it");
            let long_sections = waiters.overtaken == 1 && !alone;
            let hand_overs = if long_sections { HAND_OVERS } else { 1 };
            waiters.head.hand_overs = waiters.head.hand_overs.max(hand_overs);
        }
        // SAFETY: as above.
        unsafe {
            if node.with(|fields| fields.would_wake(waker)) {
                return Found::Waits(Stale::default());
            }
            fresh.map_or(Found::NeedsWaker, |fresh| Found::Waits(node.with(|fields| fresh.set(fields))))
        }
    }

    /// Removes a waiter that gives up from the queue, and passes its turn on. `false` if it has left the queue
    /// already.
    ///
    /// # Safety
    ///
    /// As for [`look`](Self::look).
    pub(super) unsafe fn give_up(&self, tag: Tag, node: &Node, panics: &mut Panics) -> bool {
        let mut locked = self.lock();
        if node.state().queued_at().is_none() {
            return false;
        }
        // SAFETY: the node is in this queue, whose table is locked.
        unsafe { locked.table.withdraw(tag, node, false) };
        node.set_state(State::Resume(0));
        let wakers = locked.table.pass_on(tag);
        drop(locked);
        wake(wakers, panics);
        true
    }

    /// Closes the bucket: no key can be entered from now on, and all waiters get an error.
    pub(super) fn close(&self, panics: &mut Panics) {
        let mut wakes = Wakes::default();
        loop {
            let mut locked = self.lock();
            self.move_in(&mut locked.table);
            locked.table.closed = true;
            locked.table.dismiss(&mut wakes);
            let done = locked.table.waiters.is_empty();
            drop(locked);
            wakes.send(panics);
            if done {
                return;
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.word.load(Relaxed) == IN_TABLE && self.lock().table.closed
    }

    fn lock(&self) -> Locked<'_> {
        Locked { word: &self.word, table: self.table.lock() }
    }

    /// Locks the table, and moves the tag of the word into it. `None` if the bucket was free: then `tag` has been
    /// entered.
    fn open(&self, tag: Tag) -> Option<Locked<'_>> {
        let mut locked = self.lock();
        if tag != Tag::EVERY && self.enter_free(tag) {
            return None;
        }
        self.move_in(&mut locked.table);
        Some(locked)
    }

    /// Moves the tag of the word into the locked table.
    fn move_in(&self, table: &mut Table) {
        let mut now = self.word.load(Relaxed);
        while now != IN_TABLE {
            match self.word.compare_exchange(now, IN_TABLE, Acquire, Relaxed) {
                Ok(FREE) => break,
                Ok(tag) => {
                    table.held.insert(Tag(tag));
                    break;
                }
                Err(other) => now = other,
            }
        }
    }
}

/// Calls wakers.
fn wake(wakers: impl IntoIterator<Item = Waker>, panics: &mut Panics) {
    for waker in wakers {
        panics.run(|| waker.wake());
    }
}

/// A locked table. The word is `FREE` again when the table is left empty.
struct Locked<'b> {
    word: &'b AtomicU64,
    table: MutexGuard<'b, Table>,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.table.give_back_room();
        // A word that is `IN_TABLE` does not change while the lock is held.
        if self.table.is_empty() && self.word.load(Relaxed) == IN_TABLE {
            self.word.store(FREE, Release);
        }
    }
}

//! The list of what one thread holds, and the lists of all threads.
//!
//! If a thread has only one guard, and that is of one stripe, the guard is noted beside the list, without its lock: see
//! [`lone`](super::lone). Every other guard locks the list twice, which is cheap: the lock is the library's own mutex,
//! lists have no reference count, and nothing is allocated while a thread has few guards of one stripe each.

use std::boxed::Box;
use std::cell::{Cell, UnsafeCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::lone::{Lone, OneStripe};
use crate::blocking::raw::{Access, ByteMutex, ForMutex, RawAcquire, RawLock};
use crate::shared::stripe_set::{Bits, StripeSet};

/// The place of a guard in a list: by set, then by the highest stripe that the guard holds, if any. That stripe decides
/// whether a wait is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) set: u64,
    pub(super) highest: Option<u32>,
    pub(super) id: u64,
}

/// Stripes, and the mode in which they are held or wanted.
#[derive(Debug)]
pub(super) struct Several {
    pub(super) stripes: StripeSet,
    pub(super) accesses: Accesses,
}

#[derive(Clone, Debug)]
pub(super) enum Accesses {
    All(Access),
    /// These stripes exclusively, the others shared.
    Writes(StripeSet),
}

impl Accesses {
    pub(super) fn to(&self, stripe: usize) -> Access {
        match self {
            Self::All(access) => *access,
            Self::Writes(writes) if writes.contains(stripe) => Access::Exclusive,
            Self::Writes(_) => Access::Shared,
        }
    }
}

impl Several {
    /// One stripe of a set of `of` stripes.
    pub(super) fn one(stripe: usize, of: usize, access: Access) -> Self {
        let mut stripes = StripeSet::empty(of);
        stripes.insert(stripe);
        Self { stripes, accesses: Accesses::All(access) }
    }
}

/// One guard. It holds the stripe that the key names, or several stripes.
///
/// Its fields are written one by one at their final place. Moving an entry as a whole right after it was written costs more
/// than the rest of the record, because a load that spans several stores waits for them.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// How many stripes the set has.
    of: u32,
    /// The stripes, if the set has at most 64: bit `i` stands for stripe `i`.
    word: u64,
    access: Access,
    /// The stripes, if there are several in a set of more than 64, or if they are held in two modes.
    several: Option<Several>,
    pub(super) at: &'static Location<'static>,
}

impl Entry {
    /// The mode in which this stripe is held, if it is.
    pub(super) fn access(&self, stripe: usize) -> Option<Access> {
        match &self.several {
            None if self.of <= u64::BITS => (self.word >> stripe & 1 == 1).then_some(self.access),
            None => (self.key.highest == Some(stripe as u32)).then_some(self.access),
            Some(several) => several.stripes.contains(stripe).then(|| several.accesses.to(stripe)),
        }
    }

    pub(super) fn to_several(&self) -> Several {
        match (&self.several, self.key.highest) {
            (Some(several), _) => {
                Several { stripes: several.stripes.clone(), accesses: several.accesses.clone() }
            }
            (None, _) if self.of <= u64::BITS => {
                Several { stripes: Bits(self.word).into(), accesses: Accesses::All(self.access) }
            }
            (None, Some(stripe)) => Several::one(stripe as usize, self.of as usize, self.access),
            (None, None) => unreachable!("an entry of one stripe names it"),
        }
    }

    /// Sets the mode in which the stripes are held.
    pub(super) fn set_access(&mut self, access: Access) {
        self.access = access;
        if let Some(several) = &mut self.several {
            several.accesses = Accesses::All(access);
        }
    }

    pub(super) fn set_several(&mut self, several: Several) {
        self.key.highest = several.stripes.last().map(|stripe| stripe as u32);
        self.several = Some(several);
    }
}

const WORD: usize = u64::BITS as usize;

/// The number of a guard that is noted as the only one of its thread.
const LONE: u64 = 0;

/// Up to this many guards are searched one by one.
const FEW: usize = 8;

/// The guards of a thread. The first few are in an array, and the others in a search tree, so that adding a guard
/// takes O(log n).
#[derive(Debug)]
pub(super) struct Entries {
    few: Vec<Entry>,
    many: BTreeMap<Key, Entry>,
    /// The keys of `many`.
    keys: BTreeMap<u64, Key>,
    next: u64,
}

impl Entries {
    const EMPTY: Self =
        Self { few: Vec::new(), many: BTreeMap::new(), keys: BTreeMap::new(), next: LONE + 1 };

    #[inline]
    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// A number for a guard. A guard that was removed from the list gets a new one when it is added again, because
    /// another guard may have the number [`LONE`] by then.
    pub(super) fn new_id(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    /// Adds a guard of one stripe.
    #[inline]
    fn add_one(&mut self, id: u64, guard: OneStripe) {
        let OneStripe { set, stripe, of, access, at } = guard;
        let word = if of <= WORD { 1 << stripe } else { 0 };
        self.add(Key { set, highest: Some(stripe as u32), id }, of, word, access, at);
    }

    /// Adds a guard of several stripes, all held in the same mode, of a set of at most 64. Returns its number.
    #[inline]
    pub(super) fn add_word(
        &mut self,
        set: u64,
        Bits(word): Bits,
        access: Access,
        at: &'static Location<'static>,
    ) -> u64 {
        let id = self.new_id();
        self.add(Key { set, highest: word.checked_ilog2(), id }, WORD, word, access, at);
        id
    }

    #[inline]
    fn add(&mut self, key: Key, of: usize, word: u64, access: Access, at: &'static Location<'static>) {
        let of = of as u32;
        if self.few.len() < FEW {
            self.few.push(Entry { key, of, word, access, several: None, at });
        } else {
            self.insert(Entry { key, of, word, access, several: None, at });
        }
    }

    /// As [`add_word`](Self::add_word), for any stripes in any modes.
    pub(super) fn add_several(&mut self, set: u64, several: Several, at: &'static Location<'static>) -> u64 {
        let id = self.new_id();
        let key = Key { set, highest: None, id };
        let mut entry = Entry { key, of: 0, word: 0, access: Access::Shared, several: None, at };
        entry.set_several(several);
        self.insert(entry);
        id
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        if self.few.len() < FEW {
            self.few.push(entry);
        } else {
            self.keys.insert(entry.key.id, entry.key);
            self.many.insert(entry.key, entry);
        }
    }

    /// Removes an entry.
    #[inline]
    pub(super) fn end(&mut self, id: u64) {
        if self.few.last().is_some_and(|entry| entry.key.id == id) {
            self.few.truncate(self.few.len() - 1);
        } else {
            drop(self.remove(id));
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        if let Some(place) = self.few.iter().rposition(|entry| entry.key.id == id) {
            return Some(self.few.swap_remove(place));
        }
        self.many.remove(&self.keys.remove(&id)?)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Entry> {
        if let Some(place) = self.few.iter().rposition(|entry| entry.key.id == id) {
            return Some(&mut self.few[place]);
        }
        self.many.get_mut(self.keys.get(&id)?)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.few.iter().find(|entry| entry.key.id == id).or_else(|| self.many.get(self.keys.get(&id)?))
    }

    /// The guards of a set that hold this stripe or a higher one.
    #[inline]
    pub(super) fn reaching(&self, set: u64, stripe: usize) -> impl Iterator<Item = &Entry> {
        let highest = Some(stripe as u32);
        let few = self.few.iter().filter(move |entry| entry.key.set == set && entry.key.highest >= highest);
        let (from, to) = (Key { set, highest, id: 0 }, Key { set: set + 1, highest: None, id: 0 });
        let many = (!self.many.is_empty()).then(|| self.many.range(from..to).map(|(_, entry)| entry));
        few.chain(many.into_iter().flatten())
    }
}

/// The guards of a thread. The list is shared, because a guard may be dropped on another thread than the one that
/// took it.
pub(super) struct List {
    lock: ForMutex<ByteMutex>,
    /// The number of entries. It can be read without the lock.
    len: AtomicUsize,
    /// A guard that is not in the list. It was noted while there was no other.
    lone: Lone,
    entries: UnsafeCell<Entries>,
}

// SAFETY: only `with` accesses the entries, under the lock, and they may move between threads.
unsafe impl Sync for List {}

impl List {
    /// Whether nothing is held. For the thread that owns the list the answer is reliable, because no other thread adds to it,
    /// except by a guard that moved there.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.lone.is_empty() && self.len.load(Relaxed) == 0
    }

    /// Adds a guard of one stripe. Returns its number.
    ///
    /// # Safety
    ///
    /// The list is that of the calling thread.
    #[inline(always)]
    pub(super) unsafe fn add_one(&self, guard: OneStripe) -> u64 {
        if self.is_empty() {
            // SAFETY: the caller promises that the list is its own.
            unsafe { self.lone.fill(guard) };
            return LONE;
        }
        self.add_one_more(guard)
    }

    /// As [`add_one`](Self::add_one), for a guard beside others. Out of line to keep the fast path small.
    #[inline(never)]
    fn add_one_more(&self, guard: OneStripe) -> u64 {
        self.with(None, |entries| {
            let id = entries.new_id();
            entries.add_one(id, guard);
            id
        })
    }

    /// Whether this is the list of the calling thread.
    #[inline]
    fn is_mine(&self) -> bool {
        MINE.try_with(|Mine(mine)| mine.get().is_some_and(|list| ptr::eq(list, self))).unwrap_or(false)
    }

    /// Removes the guard with this number.
    #[inline]
    pub(super) fn end(&self, id: u64) {
        if id != LONE || !self.lone.end(self.is_mine()) {
            self.end_in_list(id);
        }
    }

    /// Out of line: inlined, it makes the end of a thread's only guard three times as slow.
    #[inline(never)]
    fn end_in_list(&self, id: u64) {
        self.with(Some(id), |entries| entries.end(id));
    }

    /// Calls `f`, which must not panic, with the entries. A guard outside the list is moved into it first, if the caller is the list's
    /// thread, or a method of that guard, whose number is `id`. So the guard can't end at the same time.
    #[inline]
    pub(super) fn with<O>(&self, id: Option<u64>, f: impl FnOnce(&mut Entries) -> O) -> O {
        let state = self.lock.acquire();
        // SAFETY: the lock is held, and no `f` calls this method again, because no caller uses a list inside it.
        let entries = unsafe { &mut *self.entries.get() };
        if Lone::ANYBODY_MOVES || id == Some(LONE) || self.is_mine() {
            self.lone.move_to(|guard| {
                entries.add_one(LONE, guard);
                self.len.store(entries.len(), Relaxed);
            });
        }
        let output = f(entries);
        self.len.store(entries.len(), Relaxed);
        // SAFETY: the state is that of the acquisition above.
        unsafe { self.lock.release(state) }
        output
    }
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List").finish_non_exhaustive()
    }
}

/// The lists of threads that have ended. A list is never freed, because a guard may outlive its thread. It is reused once
/// it is empty.
#[derive(Default)]
struct Lists {
    empty: Vec<&'static List>,
    left: Vec<&'static List>,
    /// Every list, to look up the holder of a stripe.
    #[cfg(feature = "tracing")]
    all: Vec<&'static List>,
}

static LISTS: Mutex<Lists> = Mutex::new(Lists {
    empty: Vec::new(),
    left: Vec::new(),
    #[cfg(feature = "tracing")]
    all: Vec::new(),
});

fn lists() -> MutexGuard<'static, Lists> {
    LISTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lists {
    fn take(&mut self) -> &'static List {
        if let Some(list) = self.empty.pop() {
            return list;
        }
        if let Some(place) = self.left.iter().position(|list| list.is_empty()) {
            return self.left.swap_remove(place);
        }
        let list: &'static List = Box::leak(Box::new(List {
            lock: ForMutex::UNLOCKED,
            len: AtomicUsize::new(0),
            lone: Lone::new(),
            entries: UnsafeCell::new(Entries::EMPTY),
        }));
        #[cfg(feature = "tracing")]
        self.all.push(list);
        list
    }

    fn give_back(&mut self, list: &'static List) {
        if list.is_empty() {
            self.empty.push(list);
        } else {
            self.left.push(list);
        }
    }
}

/// The list of a thread, made when it is first needed.
struct Mine(Cell<Option<&'static List>>);

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some(list) = self.0.get() {
            lists().give_back(list);
        }
    }
}

thread_local! {
    static MINE: Mine = const { Mine(Cell::new(None)) };
}

/// This thread's list. `None` while the thread ends: then nothing is checked or recorded.
#[inline]
pub(super) fn mine() -> Option<&'static List> {
    MINE.try_with(|Mine(mine)| {
        mine.get().unwrap_or_else(|| {
            let list = lists().take();
            mine.set(Some(list));
            list
        })
    })
    .ok()
}

/// Searches the list of each thread.
#[cfg(feature = "tracing")]
pub(super) fn find_in_any<O>(find: impl Fn(&Entries) -> Option<O>) -> Option<O> {
    let all = lists().all.clone();
    all.iter().find_map(|list| list.with(None, |entries| find(entries)))
}

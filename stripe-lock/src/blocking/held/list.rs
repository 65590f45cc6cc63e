//! What one thread holds, and where such lists are kept.
//!
//! A list is locked twice for each guard, so it is cheap: the library's own mutex, no reference count, and no memory asked for
//! while a thread has few guards of one stripe each.

use std::boxed::Box;
use std::cell::{Cell, UnsafeCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use crate::blocking::raw::{Access, ByteMutex, ForMutex, RawAcquire, RawLock};
use crate::shared::stripe_set::{Bits, StripeSet};

/// The place of a guard in a list: by set, and there by the highest stripe, if it holds any. That stripe decides whether there
/// is anything to complain about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) set: u64,
    pub(super) highest: Option<u32>,
    pub(super) id: u64,
}

/// Stripes, and how they are held, or wanted.
#[derive(Debug)]
pub(super) struct Several {
    pub(super) stripes: StripeSet,
    pub(super) accesses: Accesses,
}

#[derive(Clone, Debug)]
pub(super) enum Accesses {
    All(Access),
    /// These exclusively, the others shared.
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
    /// One stripe, out of so many.
    pub(super) fn one(stripe: usize, of: usize, access: Access) -> Self {
        let mut stripes = StripeSet::empty(of);
        stripes.insert(stripe);
        Self { stripes, accesses: Accesses::All(access) }
    }
}

/// One guard: of the stripe that the key names, or of several.
///
/// Its fields are written one by one where they stay: moved as a whole right after it was written, an entry costs more than all
/// the rest of the record (a load that spans several stores waits for them).
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// How many stripes the set has.
    of: u32,
    /// The stripes, where there are at most 64 to choose from: bit `i` stands for stripe `i`.
    word: u64,
    access: Access,
    /// The stripes, where they are several of more than 64, or held in two ways.
    several: Option<Several>,
    pub(super) at: &'static Location<'static>,
}

impl Entry {
    /// How this stripe is held, if it is.
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

    /// From now on, the stripes are held in this way.
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

/// So many guards are looked through one by one.
const FEW: usize = 8;

/// The guards of a thread: the first of them side by side, and a search tree of the others, so that a guard costs the
/// logarithm of their number.
#[derive(Debug)]
pub(super) struct Entries {
    few: Vec<Entry>,
    many: BTreeMap<Key, Entry>,
    /// The keys of `many`.
    keys: BTreeMap<u64, Key>,
    next: u64,
}

impl Entries {
    const EMPTY: Self = Self { few: Vec::new(), many: BTreeMap::new(), keys: BTreeMap::new(), next: 0 };

    #[inline]
    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// Adds a guard of one stripe; returns what names it.
    #[inline]
    pub(super) fn add_one(
        &mut self,
        set: u64,
        stripe: usize,
        of: usize,
        access: Access,
        at: &'static Location<'static>,
    ) -> u64 {
        let word = if of <= WORD { 1 << stripe } else { 0 };
        self.add(set, Some(stripe), of, word, access, at)
    }

    /// As [`add_one`](Self::add_one), of several stripes in one way, out of at most 64.
    #[inline]
    pub(super) fn add_word(
        &mut self,
        set: u64,
        Bits(word): Bits,
        access: Access,
        at: &'static Location<'static>,
    ) -> u64 {
        self.add(set, word.checked_ilog2().map(|bit| bit as usize), WORD, word, access, at)
    }

    #[inline]
    fn add(
        &mut self,
        set: u64,
        highest: Option<usize>,
        of: usize,
        word: u64,
        access: Access,
        at: &'static Location<'static>,
    ) -> u64 {
        let (id, of) = (self.next, of as u32);
        self.next += 1;
        let key = Key { set, highest: highest.map(|stripe| stripe as u32), id };
        if self.few.len() < FEW {
            self.few.push(Entry { key, of, word, access, several: None, at });
        } else {
            self.insert(Entry { key, of, word, access, several: None, at });
        }
        id
    }

    /// As [`add_one`](Self::add_one), of any stripes in any ways.
    pub(super) fn add_several(&mut self, set: u64, several: Several, at: &'static Location<'static>) -> u64 {
        let id = self.next;
        self.next += 1;
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

    /// Drops an entry.
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

/// What a thread holds. Shared, because a guard may be dropped on another thread than the one that took it.
pub(super) struct List {
    lock: ForMutex<ByteMutex>,
    /// How many entries there are, for a look without the lock.
    len: AtomicUsize,
    entries: UnsafeCell<Entries>,
}

// SAFETY: the entries are reached through `with` alone, under the lock, and may go from thread to thread.
unsafe impl Sync for List {}

impl List {
    /// Whether nothing is held. The answer is certain for the thread whose list it is: no other adds to it, but for a guard that
    /// is elsewhere.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// Calls `f`, which must not panic, with the entries.
    #[inline]
    pub(super) fn with<O>(&self, f: impl FnOnce(&mut Entries) -> O) -> O {
        let state = self.lock.acquire();
        // SAFETY: the lock is held, and `f` can't come back here, since no caller has a list at hand inside it.
        let entries = unsafe { &mut *self.entries.get() };
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

/// The lists of threads that have ended. A list is never freed, since a guard may outlive its thread; it is used again once
/// it is empty.
#[derive(Default)]
struct Lists {
    empty: Vec<&'static List>,
    left: Vec<&'static List>,
    /// Every list, for who wants to know who holds a stripe.
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

/// The list of a thread, made when it is wanted first.
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

/// This thread's list. None while the thread ends: then nothing is checked, nor noted.
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

/// Asks the list of each thread.
#[cfg(feature = "tracing")]
pub(super) fn find_in_any<O>(find: impl Fn(&Entries) -> Option<O>) -> Option<O> {
    let all = lists().all.clone();
    all.iter().find_map(|list| list.with(|entries| find(entries)))
}

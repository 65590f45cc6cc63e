//! The list of what one thread holds, and the lists of all threads.
//!
//! The only guard of a thread is noted beside the list, without its lock: see [`lone`](super::lone). For all others the list is
//! locked twice.

use std::boxed::Box;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;

use super::entries::{Entries, Entry, LONE};
use super::lone::{Lone, Noted};
use crate::shared::atomic::modelled::AtomicUsize;
use crate::shared::mutex::Mutex;
use crate::shared::threads::per_thread;

/// What names a guard in a list. A ticket is never freed. It names another guard once its own has ended.
///
/// A guard has a reference to it, and no more: then a guard of one stripe is two words, which functions return in registers. Three
/// words are returned in memory. Reading them from there in another width than they were written in takes 15 ns.
pub(super) struct Ticket {
    pub(super) list: &'static List,
    /// [`LONE`], or a number that no other ticket of the list has.
    pub(super) id: u64,
}

impl Ticket {
    /// Whether this names the only guard of the calling thread.
    #[inline]
    fn is_mine(&self) -> bool {
        MINE.with(Cell::get).is_some_and(|mine| ptr::eq(mine, self))
    }

    /// Adds a guard of the calling thread, which this is the ticket of.
    #[inline(always)]
    pub(super) fn add(&'static self, guard: Noted) -> &'static Self {
        if self.list.is_empty() {
            self.list.lone.fill(guard);
            return self;
        }
        self.list.add_one_more(guard)
    }

    /// Removes the guard.
    #[inline]
    pub(super) fn end(&'static self) {
        if self.id != LONE || !self.list.lone.end(self.is_mine()) {
            self.end_in_list();
        }
    }

    /// Out of line to keep the fast path small.
    #[inline(never)]
    fn end_in_list(&'static self) {
        self.list.with_tickets(Some(self.id), |entries, tickets| {
            entries.end(self.id);
            tickets.give_back(self);
        });
    }

    /// Removes the guard, and returns it.
    pub(super) fn take_out(&'static self) -> Option<Entry> {
        self.list.with_tickets(Some(self.id), |entries, tickets| {
            tickets.give_back(self);
            entries.remove(self.id)
        })
    }

    /// As [`List::with`], for a method of the guard.
    #[inline]
    pub(super) fn with<O>(&self, f: impl FnOnce(&mut Entries) -> O) -> O {
        self.list.with(Some(self.id), f)
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Tickets that name no guard, and how many there are beside.
struct Tickets {
    free: Vec<&'static Ticket>,
    used: u64,
}

impl Tickets {
    fn take(&mut self, list: &'static List) -> &'static Ticket {
        self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            Box::leak(Box::new(Ticket { list, id: self.used }))
        })
    }

    fn give_back(&mut self, ticket: &'static Ticket) {
        if ticket.id != LONE {
            self.free.push(ticket);
        }
    }
}

/// The guards of a thread. The list is shared, because a guard may be dropped on another thread than the one that
/// took it.
pub(super) struct List {
    inner: Mutex<(Entries, Tickets)>,
    /// The number of entries. It can be read without the lock.
    len: AtomicUsize,
    /// A guard that is not in the list. It was noted while there was no other.
    lone: Lone,
}

impl List {
    /// The ticket for the only guard of the thread of a new list.
    fn leak() -> &'static Ticket {
        let list = Box::leak(Box::new(Self {
            inner: Mutex::new((Entries::EMPTY, Tickets { free: Vec::new(), used: LONE })),
            len: AtomicUsize::new(0),
            lone: Lone::new(),
        }));
        Box::leak(Box::new(Ticket { list, id: LONE }))
    }

    /// Whether nothing is held. For the thread that owns the list the answer is reliable, because no other thread adds to it,
    /// except by a guard that moved there.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.lone.is_empty() && self.len.load(Relaxed) == 0
    }

    /// Adds a guard of the calling thread, whose list this is, by `add`, to which its number is passed.
    #[inline]
    pub(super) fn add_by(&'static self, add: impl FnOnce(&mut Entries, u64)) -> &'static Ticket {
        self.with_tickets(None, |entries, tickets| {
            let ticket = tickets.take(self);
            add(entries, ticket.id);
            ticket
        })
    }

    /// Adds a guard beside others. Out of line to keep the fast path small.
    #[inline(never)]
    fn add_one_more(&'static self, guard: Noted) -> &'static Ticket {
        self.add_by(|entries, id| entries.add_noted(id, guard))
    }

    /// Whether this is the list of the calling thread.
    #[inline]
    fn is_mine(&self) -> bool {
        MINE.with(Cell::get).is_some_and(|mine| ptr::eq(mine.list, self))
    }

    /// Calls `f`, which must not use a list, with the entries. A guard outside the list is put into it first, if the caller is the
    /// list's thread, or a method of that guard, whose number is `id`.
    #[inline]
    pub(super) fn with<O>(&self, id: Option<u64>, f: impl FnOnce(&mut Entries) -> O) -> O {
        self.with_tickets(id, |entries, _| f(entries))
    }

    #[inline]
    fn with_tickets<O>(&self, id: Option<u64>, f: impl FnOnce(&mut Entries, &mut Tickets) -> O) -> O {
        let mut inner = self.inner.lock();
        let (entries, tickets) = &mut *inner;
        if id == Some(LONE) || self.is_mine() {
            self.take_in(entries);
        }
        let output = f(entries, tickets);
        self.len.store(entries.len(), Relaxed);
        output
    }

    /// Puts the guard outside the list into it, unless it ends meanwhile.
    fn take_in(&self, entries: &mut Entries) {
        if let Some((guard, version)) = self.lone.read() {
            entries.add_noted(LONE, guard);
            // The thread of the list must not find both places empty.
            self.len.store(entries.len(), Relaxed);
            if !self.lone.empty(version) {
                entries.end(LONE);
            }
        }
    }

    /// The place in the program at which a guard in this list took this stripe.
    #[cfg(any(feature = "tracing", loom))]
    fn holder_of(&self, set: u64, stripe: usize) -> Option<&'static std::panic::Location<'static>> {
        let of = |entries: &Entries| {
            let mut reaching = entries.reaching(set, stripe);
            reaching.find(|entry| entry.access(stripe).is_some()).map(|entry| entry.at)
        };
        let inner = self.inner.lock();
        of(&inner.0).or_else(|| {
            // If it changes meanwhile, it has not held the stripe for long.
            let (guard, _) = self.lone.read()?;
            let mut alone = Entries::EMPTY;
            alone.add_noted(LONE, guard);
            of(&alone)
        })
    }
}

/// The lists of threads that have ended. A list is never freed, because a guard may outlive its thread. It is reused once
/// it is empty.
struct Lists {
    empty: Vec<&'static Ticket>,
    left: Vec<&'static Ticket>,
    /// Every list, to look up the holder of a stripe.
    #[cfg(any(feature = "tracing", loom))]
    all: Vec<&'static Ticket>,
}

#[cfg(not(loom))]
static LISTS: Mutex<Lists> = Mutex::new(Lists::NONE);
#[cfg(loom)]
loom::lazy_static! {
    static ref LISTS: Mutex<Lists> = Mutex::new(Lists::NONE);
}

impl Lists {
    const NONE: Self = Self {
        empty: Vec::new(),
        left: Vec::new(),
        #[cfg(any(feature = "tracing", loom))]
        all: Vec::new(),
    };

    fn take(&mut self) -> &'static Ticket {
        if let Some(list) = self.empty.pop() {
            return list;
        }
        if let Some(place) = self.left.iter().position(|ticket| ticket.list.is_empty()) {
            return self.left.swap_remove(place);
        }
        let list = List::leak();
        #[cfg(any(feature = "tracing", loom))]
        self.all.push(list);
        list
    }

    fn give_back(&mut self, list: &'static Ticket) {
        if list.list.is_empty() {
            self.empty.push(list);
        } else {
            self.left.push(list);
        }
    }
}

per_thread! {
    /// The ticket for the only guard of this thread, which leads to the thread's list. It is set when it is first needed. It has no
    /// destructor, because a use of it would then have to look whether that has run.
    static MINE: Cell<Option<&'static Ticket>> = const { Cell::new(None) };
}

per_thread! {
    static END: End = const { End };
}

/// Gives the list of this thread back when the thread ends.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        give_mine_back();
    }
}

/// Gives the list of this thread back.
pub(super) fn give_mine_back() {
    if let Ok(Some(list)) = MINE.try_with(Cell::take) {
        LISTS.lock().give_back(list);
    }
}

/// This thread's list. `None` while the thread ends: then nothing is checked or recorded.
#[inline]
pub(super) fn mine() -> Option<&'static Ticket> {
    MINE.with(Cell::get).or_else(new_list)
}

#[cold]
fn new_list() -> Option<&'static Ticket> {
    END.try_with(|_| ()).ok()?;
    let list = LISTS.lock().take();
    MINE.with(|mine| mine.set(Some(list)));
    Some(list)
}

/// The place in the program at which a holder of this stripe took it.
#[cfg(any(feature = "tracing", loom))]
pub(super) fn holder_of(set: u64, stripe: usize) -> Option<&'static std::panic::Location<'static>> {
    let all = LISTS.lock().all.clone();
    all.iter().find_map(|ticket| ticket.list.holder_of(set, stripe))
}

//! The list of what one thread holds, and the lists of all threads.
//!
//! The first guards of a thread are noted in [places](super::place) beside the list, without its lock. For all others the list is
//! locked twice, and until it is empty again, all new guards are in the list.

use std::boxed::Box;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;

use super::entries::{Entries, Entry};
use super::place::{Noted, Place};
use crate::shared::atomic::modelled::AtomicUsize;
use crate::shared::mutex::Mutex;
use crate::shared::threads::per_thread;

/// What names a guard in a list. A ticket is never freed. It names another guard once its own has ended.
///
/// A guard has a reference to it, and no more: then a guard of one stripe is two words, which functions return in registers. Three
/// words are returned in memory. Reading them from there in another width than they were written in takes 15 ns.
pub(super) struct Ticket {
    pub(super) list: &'static List,
    /// No other ticket of the list has it. Below [`PLACES`], it is the number of the ticket's place.
    pub(super) id: u64,
}

/// The number of places beside a list. A thread that nests guards rarely holds more of them.
const PLACES: usize = 4;

/// What leads a thread to its list.
pub(super) struct Mine {
    pub(super) list: &'static List,
    /// Those of the places.
    tickets: [Ticket; PLACES],
}

impl Mine {
    /// Adds a guard of the calling thread.
    #[inline(always)]
    pub(super) fn add(&'static self, guard: Noted) -> &'static Ticket {
        if let Some(free) = self.list.places.iter().position(Place::is_empty)
            // A guard that has moved from this place to the list still has its ticket.
            && self.list.len.load(Relaxed) == 0
        {
            self.list.places[free].fill(guard);
            return &self.tickets[free];
        }
        self.list.add_one_more(guard)
    }
}

impl Ticket {
    /// Removes the guard.
    #[inline]
    pub(super) fn end(&'static self) {
        let place = self.list.places.get(self.id as usize);
        if !place.is_some_and(|place| place.end(self.list.is_mine())) {
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
        if ticket.id >= PLACES as u64 {
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
    /// Guards that are not in the list. They were noted while the list was empty.
    places: [Place; PLACES],
}

impl List {
    /// A new list.
    fn leak() -> &'static Mine {
        let list = Box::leak(Box::new(Self {
            inner: Mutex::new((Entries::EMPTY, Tickets { free: Vec::new(), used: PLACES as u64 })),
            len: AtomicUsize::new(0),
            places: std::array::from_fn(|_| Place::new()),
        }));
        let ticket = |id| Ticket { list, id: id as u64 };
        Box::leak(Box::new(Mine { list, tickets: std::array::from_fn(ticket) }))
    }

    /// Whether nothing is held. For the thread that owns the list the answer is reliable, because no other thread adds to it,
    /// except by a guard that moved there.
    fn is_empty(&self) -> bool {
        self.places.iter().all(Place::is_empty) && self.len.load(Relaxed) == 0
    }

    /// Whether this thread, whose list this is, may hold this stripe of the set or a higher one. If not, it does not.
    #[inline]
    pub(super) fn may_reach(&self, set: u64, stripe: usize) -> bool {
        // Places first: what moves to the list meanwhile is counted before it leaves its place.
        self.places.iter().any(|place| place.reaches(set, stripe)) || self.len.load(Relaxed) != 0
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

    /// Calls `f`, which must not use a list, with the entries. The guards in places are put into the list first, if the caller is the
    /// list's thread; otherwise only the guard with the number `id`, of which the caller is a method.
    #[inline]
    pub(super) fn with<O>(&self, id: Option<u64>, f: impl FnOnce(&mut Entries) -> O) -> O {
        self.with_tickets(id, |entries, _| f(entries))
    }

    #[inline]
    fn with_tickets<O>(&self, id: Option<u64>, f: impl FnOnce(&mut Entries, &mut Tickets) -> O) -> O {
        let mut inner = self.inner.lock();
        let (entries, tickets) = &mut *inner;
        let is_mine = self.is_mine();
        for (place, number) in self.places.iter().zip(0..) {
            if is_mine || id == Some(number) {
                self.take_in(entries, place, number);
            }
        }
        let output = f(entries, tickets);
        self.len.store(entries.len(), Relaxed);
        output
    }

    /// Puts the guard in a place into the list, unless it ends meanwhile.
    fn take_in(&self, entries: &mut Entries, place: &Place, id: u64) {
        if let Some((guard, version)) = place.read() {
            entries.add_noted(id, guard);
            // The thread of the list must not find both the place and the list empty.
            self.len.store(entries.len(), Relaxed);
            if !place.empty(version) {
                entries.end(id);
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
            let mut noted = Entries::EMPTY;
            // A guard that changes meanwhile has not held the stripe for long.
            self.places.iter().filter_map(Place::read).for_each(|(guard, _)| noted.add_noted(0, guard));
            of(&noted)
        })
    }
}

/// The lists of threads that have ended. A list is never freed, because a guard may outlive its thread. It is reused once
/// it is empty.
struct Lists {
    empty: Vec<&'static Mine>,
    left: Vec<&'static Mine>,
    /// Every list, to look up the holder of a stripe.
    #[cfg(any(feature = "tracing", loom))]
    all: Vec<&'static List>,
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

    fn take(&mut self) -> &'static Mine {
        if let Some(mine) = self.empty.pop() {
            return mine;
        }
        if let Some(place) = self.left.iter().position(|mine| mine.list.is_empty()) {
            return self.left.swap_remove(place);
        }
        let mine = List::leak();
        #[cfg(any(feature = "tracing", loom))]
        self.all.push(mine.list);
        mine
    }

    fn give_back(&mut self, mine: &'static Mine) {
        if mine.list.is_empty() {
            self.empty.push(mine);
        } else {
            self.left.push(mine);
        }
    }
}

per_thread! {
    /// It is set when it is first needed. It has no destructor, because a use of it would then have to look whether that has run.
    static MINE: Cell<Option<&'static Mine>> = const { Cell::new(None) };
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
    if let Ok(Some(mine)) = MINE.try_with(Cell::take) {
        LISTS.lock().give_back(mine);
    }
}

/// This thread's list. `None` while the thread ends: then nothing is checked or recorded.
#[inline]
pub(super) fn mine() -> Option<&'static Mine> {
    MINE.with(Cell::get).or_else(new_list)
}

#[cold]
fn new_list() -> Option<&'static Mine> {
    END.try_with(|_| ()).ok()?;
    let new = LISTS.lock().take();
    MINE.with(|mine| mine.set(Some(new)));
    Some(new)
}

/// The place in the program at which a holder of this stripe took it.
#[cfg(any(feature = "tracing", loom))]
pub(super) fn holder_of(set: u64, stripe: usize) -> Option<&'static std::panic::Location<'static>> {
    let all = LISTS.lock().all.clone();
    all.iter().find_map(|list| list.holder_of(set, stripe))
}

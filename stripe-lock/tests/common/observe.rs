//! The events of the spin locks on this thread, and panics that can be planted in them.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An event of the raw lock at an address. The stripes of a set are at ascending addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Take(usize),
    TakeShared(usize),
    Release(usize),
}

/// How many more attempts to let pass, and what to call then.
type AtTake = (u32, Box<dyn FnOnce()>);

thread_local! {
    static EVENTS: RefCell<Option<Vec<Event>>> = const { RefCell::new(None) };
    static TAKES_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    static RELEASES_LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    static AT_TAKE: RefCell<Option<AtTake>> = const { RefCell::new(None) };
}

static SERIAL: AtomicU64 = AtomicU64::new(1);

/// A number for each acquisition, never 0.
pub(super) fn serial() -> u64 {
    SERIAL.fetch_add(1, Relaxed)
}

pub(super) fn note(event: Event) {
    EVENTS.with_borrow_mut(|events| events.iter_mut().for_each(|events| events.push(event)));
}

/// The events of the spin locks while `body` runs, on this thread.
pub fn observed(body: impl FnOnce()) -> Vec<Event> {
    EVENTS.set(Some(Vec::new()));
    body();
    EVENTS.take().expect("it was set above")
}

/// Which addresses were taken, in the order of events.
pub fn taken(events: &[Event]) -> Vec<usize> {
    let take = |event: &Event| match *event {
        Event::Take(at) | Event::TakeShared(at) => Some(at),
        Event::Release(_) => None,
    };
    events.iter().filter_map(take).collect()
}

/// Which addresses were released, in the order of events.
pub fn released(events: &[Event]) -> Vec<usize> {
    let release = |event: &Event| if let Event::Release(at) = *event { Some(at) } else { None };
    events.iter().filter_map(release).collect()
}

/// Makes an acquisition of this thread panic before it takes the lock, after `more` others.
pub fn panic_after_takes(more: u32) {
    TAKES_LEFT.set(Some(more));
}

/// Makes a release of this thread panic after it has released the lock, after `more` others.
pub fn panic_after_releases(more: u32) {
    RELEASES_LEFT.set(Some(more));
}

/// Calls `f` when this thread is about to take a lock, or to try to, after `more` other attempts.
pub fn at_take(more: u32, f: impl FnOnce() + 'static) {
    AT_TAKE.set(Some((more, Box::new(f))));
}

pub(super) fn about_to_take() {
    match AT_TAKE.take() {
        Some((0, f)) => f(),
        Some((more, f)) => AT_TAKE.set(Some((more - 1, f))),
        None => {}
    }
    count_down(&TAKES_LEFT, "planted in an acquisition");
}

pub(super) fn has_released() {
    count_down(&RELEASES_LEFT, "planted in a release");
}

fn count_down(left: &'static std::thread::LocalKey<Cell<Option<u32>>>, message: &str) {
    match left.take() {
        Some(0) => panic!("{message}"),
        Some(more) => left.set(Some(more - 1)),
        None => {}
    }
}

//! Wakers that panic when they are cloned, woken or dropped, and wakers that run a given function.
#![allow(dead_code, reason = "every suite includes this module and uses a part of it")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicIsize, AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};

/// Where a waker panics.
pub(crate) const CLONE: u8 = 1;
pub(crate) const WAKE: u8 = 2;
pub(crate) const DROP: u8 = 4;

/// The state of a waker that panics on demand.
#[derive(Debug, Default)]
pub(crate) struct Bomb {
    armed: AtomicU8,
    wakes: AtomicUsize,
    alive: AtomicIsize,
    name: usize,
}

impl Bomb {
    /// A bomb that is not armed, and its waker. The panic message contains the name.
    pub(crate) fn new(name: usize) -> (&'static Self, Waker) {
        let bomb: &'static Self = Box::leak(Box::new(Self { name, ..Self::default() }));
        // SAFETY: the vtable expects a `&'static Bomb`, which may go to any thread.
        (bomb, unsafe { Waker::from_raw(bomb.raw()) })
    }

    fn raw(&'static self) -> RawWaker {
        self.alive.fetch_add(1, SeqCst);
        RawWaker::new(std::ptr::from_ref(self).cast(), &VTABLE)
    }

    /// Makes its wakers panic in these places.
    pub(crate) fn arm(&self, places: u8) {
        self.armed.store(places, SeqCst);
    }

    /// How often it was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(SeqCst)
    }

    /// How many wakers there are.
    pub(crate) fn alive(&self) -> isize {
        self.alive.load(SeqCst)
    }

    fn goes_off(&self, place: u8, what: &str) {
        assert!(self.armed.load(SeqCst) & place == 0, "bomb {} in {what}", self.name);
    }
}

static VTABLE: RawWakerVTable = {
    fn bomb(data: *const ()) -> &'static Bomb {
        // SAFETY: every waker with this vtable was made from a `&'static Bomb`.
        unsafe { &*data.cast() }
    }
    fn clone(data: *const ()) -> RawWaker {
        bomb(data).goes_off(CLONE, "clone");
        bomb(data).raw()
    }
    fn wake(data: *const ()) {
        bomb(data).alive.fetch_sub(1, SeqCst);
        wake_by_ref(data);
    }
    fn wake_by_ref(data: *const ()) {
        bomb(data).wakes.fetch_add(1, SeqCst);
        bomb(data).goes_off(WAKE, "wake");
    }
    fn drop(data: *const ()) {
        bomb(data).alive.fetch_sub(1, SeqCst);
        bomb(data).goes_off(DROP, "drop");
    }
    RawWakerVTable::new(clone, wake, wake_by_ref, drop)
};

type Action = Box<dyn FnOnce() + Send>;

/// Runs an action when it is woken for the first time.
#[derive(Default)]
pub(crate) struct Hook(Mutex<Option<Action>>);

impl Hook {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let hook = Arc::new(Self::default());
        (hook.clone(), hook.into())
    }

    /// Sets the action.
    pub(crate) fn then(&self, action: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(action));
    }

    /// Whether the action has run.
    pub(crate) fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

impl Wake for Hook {
    fn wake(self: Arc<Self>) {
        let action = self.0.lock().unwrap().take();
        if let Some(action) = action {
            action();
        }
    }
}

/// The message that `code` panics with, if it does.
pub(crate) fn panic_of(code: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(code)).err()?;
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    Some(text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default())
}

//! The only guard of a thread, noted without a lock.
//!
//! | state | what is here | what changes it |
//! |---|---|---|
//! | `EMPTY` | nothing | the thread of the list notes its only guard: `FULL` |
//! | `FULL` | a guard | the guard ends: `EMPTY`; it has to be in the list: `MOVING` |
//! | `MOVING` | a guard that is being moved to the list | it is in the list: `EMPTY` |

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::blocking::raw::Access;

const EMPTY: u8 = 0;
const FULL: u8 = 1;
const MOVING: u8 = 2;

/// A guard of one stripe.
#[derive(Clone, Copy)]
pub(super) struct OneStripe {
    pub(super) set: u64,
    pub(super) stripe: usize,
    /// How many stripes the set has.
    pub(super) of: usize,
    pub(super) access: Access,
    pub(super) at: &'static Location<'static>,
}

/// A place for one guard.
pub(super) struct Lone {
    state: AtomicU8,
    /// Written in the state `EMPTY` by the thread of the list, and read in the state `MOVING` by the holder of the
    /// list's lock.
    guard: UnsafeCell<MaybeUninit<OneStripe>>,
}

// SAFETY: the states keep the accesses apart, and each change of state publishes the access before it.
unsafe impl Sync for Lone {}

impl Lone {
    pub(super) const fn new() -> Self {
        Self { state: AtomicU8::new(EMPTY), guard: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Whether no guard is here or on its way to the list. For the thread of the list, the result stays true, because
    /// no other thread puts a guard here.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.state.load(Acquire) == EMPTY
    }

    /// Notes a guard.
    ///
    /// # Safety
    ///
    /// This is of the list of the calling thread, and [empty](Self::is_empty).
    #[inline(always)]
    pub(super) unsafe fn fill(&self, guard: OneStripe) {
        let place = self.guard.get().cast::<OneStripe>();
        // Field by field: a load that spans several stores waits for them.
        // SAFETY: no other thread writes here, and none reads before the state changes.
        unsafe {
            (&raw mut (*place).set).write(guard.set);
            (&raw mut (*place).stripe).write(guard.stripe);
            (&raw mut (*place).of).write(guard.of);
            (&raw mut (*place).access).write(guard.access);
            (&raw mut (*place).at).write(guard.at);
        }
        self.state.store(FULL, Release);
    }

    /// Whether a thread may move a guard to the list that is neither the thread of the list nor in a method of the guard.
    pub(super) const ANYBODY_MOVES: bool = cfg!(feature = "tracing");

    /// Ends the guard that was noted here. Returns whether it still was here, not in the list. `own` says that the
    /// caller is the thread of the list.
    #[inline]
    pub(super) fn end(&self, own: bool) -> bool {
        if own && !Self::ANYBODY_MOVES {
            // No other thread moves the guard while it ends.
            let is_here = self.state.load(Relaxed) == FULL;
            if is_here {
                self.state.store(EMPTY, Release);
            }
            return is_here;
        }
        self.state.compare_exchange(FULL, EMPTY, Release, Relaxed).is_ok()
    }

    /// Passes the guard that is here, if one is, to `to_list`. The caller has locked the list.
    #[inline]
    pub(super) fn move_to(&self, to_list: impl FnOnce(OneStripe)) {
        if self.state.load(Relaxed) == FULL
            && self.state.compare_exchange(FULL, MOVING, Acquire, Relaxed).is_ok()
        {
            // SAFETY: the state was `FULL`, so a guard was written, and no other is written before the state is
            // `EMPTY`.
            to_list(unsafe { (*self.guard.get()).assume_init() });
            self.state.store(EMPTY, Release);
        }
    }
}

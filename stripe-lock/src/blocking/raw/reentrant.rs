//! A raw mutex that its thread may take again, made of any other.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{
    GetThreadId, GuardNoSend, Guards, RawAcquire, RawAcquireFair, RawAcquireTimed, RawLock, RawMutex,
    RawMutexFair, RawMutexTimed, Shared,
};
use crate::blocking::sealed::Sealed;

/// A reentrant mutex: taken in mode [`Shared`], since its thread may hold it several times.
///
/// | owner | count | state |
/// |---|---|---|
/// | 0 | 0 | none |
/// | the number of the thread that holds the mutex | how often it does | that of its first acquisition |
///
/// Only the thread that holds the mutex writes any of them. Any thread reads the owner, which equals its own number only if it
/// has written that itself: so relaxed accesses do.
pub struct ForReentrant<R: RawMutex, G> {
    mutex: R,
    owner: AtomicUsize,
    count: Cell<usize>,
    state: UnsafeCell<MaybeUninit<R::Guard>>,
    threads: G,
}

// SAFETY: count and state are used by the thread that holds the mutex alone, one after the other; a state that is there when
// the lock is moved to another thread is that of a forgotten guard, and is never used.
unsafe impl<R: RawMutex + Send, G: Send> Send for ForReentrant<R, G> {}

// SAFETY: as for `Send`.
unsafe impl<R: RawMutex + Sync, G: Sync> Sync for ForReentrant<R, G> {}

impl<R: RawMutex, G> Sealed for ForReentrant<R, G> {}

impl<R: RawMutex, G: GetThreadId> RawLock for ForReentrant<R, G> {
    const UNLOCKED: Self = Self {
        mutex: R::INIT,
        owner: AtomicUsize::new(0),
        count: Cell::new(0),
        state: UnsafeCell::new(MaybeUninit::uninit()),
        threads: G::INIT,
    };
    const REENTRANT: bool = true;

    fn is_locked(&self) -> bool {
        self.mutex.is_locked()
    }
}

// SAFETY: all holders at one time are the same thread, and `T` goes from thread to thread between them.
unsafe impl<R: RawMutex, G, T: Send> Guards<T> for ForReentrant<R, G> {}

impl<R: RawMutex, G: GetThreadId> ForReentrant<R, G> {
    /// Counts one more acquisition of this thread, the first of which needs the mutex.
    #[inline]
    fn enter(&self, take: impl FnOnce() -> Option<R::Guard>) -> Option<GuardNoSend> {
        let thread = self.threads.nonzero_thread_id().get();
        if self.owner.load(Relaxed) == thread {
            let count = self.count.get().checked_add(1);
            self.count.set(count.expect("a thread holds a stripe at most as often as a `usize` can count"));
        } else {
            self.begin(thread, take()?);
        }
        Some(GuardNoSend::new())
    }

    /// Notes that this thread has the mutex, by this acquisition.
    #[inline]
    fn begin(&self, thread: usize, state: R::Guard) {
        // SAFETY: this thread has the mutex, so no other uses the state.
        unsafe { (*self.state.get()).write(state) };
        self.owner.store(thread, Relaxed);
        self.count.set(1);
    }

    /// Counts one acquisition less; the state of the mutex if it was the last, and the mutex has to be released.
    ///
    /// # Safety
    ///
    /// This thread holds the mutex.
    #[inline]
    unsafe fn leave(&self) -> Option<R::Guard> {
        let count = self.count.get() - 1;
        self.count.set(count);
        (count == 0).then(|| {
            self.owner.store(0, Relaxed);
            // SAFETY: it was written by the acquisition that is counted last, and is not used again.
            unsafe { (*self.state.get()).assume_init_read() }
        })
    }
}

// SAFETY: the mutex admits one thread at a time, and the state, not being `Send`, stays on that thread.
unsafe impl<R: RawMutex, G: GetThreadId> RawAcquire<Shared> for ForReentrant<R, G> {
    type State = GuardNoSend;

    #[inline]
    fn acquire(&self) -> GuardNoSend {
        self.enter(|| Some(self.mutex.lock())).expect("waiting ends with the mutex")
    }

    #[inline]
    fn try_acquire(&self) -> Option<GuardNoSend> {
        self.enter(|| self.mutex.try_lock())
    }

    #[inline]
    unsafe fn release(&self, _: GuardNoSend) {
        // SAFETY: the state proves that this thread holds the lock once more than it has released it.
        if let Some(state) = unsafe { self.leave() } {
            // SAFETY: it is that of the acquisition of the mutex.
            unsafe { self.mutex.unlock(state) }
        }
    }
}

// SAFETY: as for `RawAcquire`.
unsafe impl<R: RawMutexTimed, G: GetThreadId> RawAcquireTimed<Shared> for ForReentrant<R, G> {
    type Instant = R::Instant;
    type Duration = R::Duration;

    #[inline]
    fn try_acquire_until(&self, deadline: R::Instant) -> Option<GuardNoSend> {
        self.enter(|| self.mutex.try_lock_until(deadline))
    }

    #[inline]
    fn try_acquire_for(&self, timeout: R::Duration) -> Option<GuardNoSend> {
        self.enter(|| self.mutex.try_lock_for(timeout))
    }
}

/// Notes the mutex as held again when it is dropped, which also happens if handing it over unwinds.
struct Bumped<'a, R: RawMutex, G: GetThreadId> {
    lock: &'a ForReentrant<R, G>,
    thread: usize,
    state: Option<R::Guard>,
}

impl<R: RawMutex, G: GetThreadId> Drop for Bumped<'_, R, G> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            self.lock.begin(self.thread, state);
        }
    }
}

// SAFETY: as for `RawAcquire`.
unsafe impl<R: RawMutexFair, G: GetThreadId> RawAcquireFair<Shared> for ForReentrant<R, G> {
    #[inline]
    unsafe fn release_fair(&self, _: GuardNoSend) {
        // SAFETY: the state proves that this thread holds the lock once more than it has released it.
        if let Some(state) = unsafe { self.leave() } {
            // SAFETY: it is that of the acquisition of the mutex.
            unsafe { self.mutex.unlock_fair(state) }
        }
    }

    /// Does nothing while this thread holds the mutex more than once.
    #[inline]
    unsafe fn bump(&self, _: &mut GuardNoSend) {
        if self.count.get() > 1 {
            return;
        }
        let thread = self.owner.load(Relaxed);
        // SAFETY: the state proves that this thread holds the lock.
        let state = unsafe { self.leave() };
        let mut bumped = Bumped { lock: self, thread, state };
        if let Some(state) = &mut bumped.state {
            // SAFETY: it is that of the acquisition of the mutex, which is held when this returns or unwinds.
            unsafe { self.mutex.bump(state) }
        }
    }
}

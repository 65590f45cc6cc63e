//! A reentrant raw mutex, made of any raw mutex.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{
    GetThreadId, GuardNoSend, Guards, RawAcquire, RawAcquireFair, RawAcquireTimed, RawLock, RawMutex,
    RawMutexFair, RawMutexTimed, Shared,
};
use crate::blocking::sealed::Sealed;

/// A reentrant mutex. It is taken in mode [`Shared`], because its thread may hold it several times.
///
/// | owner | count | state |
/// |---|---|---|
/// | 0 | 0 | none |
/// | the number of the holding thread | how often it holds the mutex | that of its first acquisition |
///
/// Only the thread that holds the mutex writes these fields. Any thread reads the owner. It reads its own number only if it
/// wrote that itself, so relaxed accesses suffice.
pub struct ForReentrant<R: RawMutex, G> {
    mutex: R,
    owner: AtomicUsize,
    count: Cell<usize>,
    state: UnsafeCell<MaybeUninit<R::Guard>>,
    threads: G,
}

// SAFETY: only the thread that holds the mutex uses the count and the state. If a state exists when the lock is moved to
// another thread, its guard was forgotten, and it is never used.
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

// SAFETY: all holders at one time are on the same thread, and `T` moves between threads only from one holder to the
// next.
unsafe impl<R: RawMutex, G, T: Send> Guards<T> for ForReentrant<R, G> {}

impl<R: RawMutex, G: GetThreadId> ForReentrant<R, G> {
    /// Counts one more acquisition of this thread. The first one takes the mutex.
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

    /// Records that this thread holds the mutex, and the state of the acquisition.
    #[inline]
    fn begin(&self, thread: usize, state: R::Guard) {
        // SAFETY: this thread holds the mutex, so no other thread uses the state.
        unsafe { (*self.state.get()).write(state) };
        self.owner.store(thread, Relaxed);
        self.count.set(1);
    }

    /// Counts one acquisition less. If it was the last, returns the state of the mutex, and the caller has to release
    /// the mutex.
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
            // SAFETY: the first acquisition wrote it, and it is not used again.
            unsafe { (*self.state.get()).assume_init_read() }
        })
    }
}

// SAFETY: the mutex admits one thread at a time, and the state stays on that thread, because it is not `Send`.
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

/// Records that the mutex is held again when this is dropped, which also happens if the hand-over unwinds.
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

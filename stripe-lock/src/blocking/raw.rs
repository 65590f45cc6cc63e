//! The raw lock of a stripe, and the ways and modes in which it is acquired.
//!
//! A raw lock implements [`RawMutex`] or [`RawRwLock`], and those of their extensions that it has. With the feature `lock_api`,
//! all raw locks of `lock_api` 0.5 implement them. With the feature `lock_api_04`, those of 0.4 do inside [`LockApi04`].
//! [`ByteMutex`] and [`WordRwLock`] are the library's own and need no other crate.
//!
//! Internally, each is a [`RawAcquire<M>`](RawAcquire) for the modes that it has. So guards, acquiring several stripes, timeouts
//! and fair release are written once for all raw locks. These internal traits are sealed.
//!
//! ```compile_fail,E0277
//! struct Mine;
//! impl stripe_lock::raw::Mode for Mine {
//!     const ACCESS: stripe_lock::raw::Access = stripe_lock::raw::Access::Shared;
//! }
//! ```

use crate::blocking::sealed::Sealed;

#[cfg(feature = "std")]
mod byte;
mod defaults;
#[cfg(feature = "lock_api_04")]
mod lock_api_04;
#[cfg(all(feature = "std", loom))]
mod model;
mod reentrant;
#[cfg(feature = "std")]
mod thread_id;
mod traits;

#[cfg(feature = "std")]
pub use byte::{ByteMutex, WordRwLock};
pub use defaults::{DefaultRawMutex, DefaultRawRwLock, DefaultThreadId};
#[cfg(feature = "lock_api_04")]
pub use lock_api_04::{LockApi04, State04};
#[cfg(all(feature = "std", loom))]
pub use model::ModelRwLock;
pub use reentrant::ForReentrant;
#[cfg(feature = "std")]
pub use thread_id::ThreadAddress;
pub use traits::{
    GetThreadId, GuardNoSend, GuardSend, RawMutex, RawMutexFair, RawMutexTimed, RawRwLock,
    RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed, RawRwLockUpgrade, RawRwLockUpgradeDowngrade,
    RawRwLockUpgradeFair, RawRwLockUpgradeTimed,
};

/// The mode that excludes every other holder and gives `&mut T`.
#[derive(Debug)]
pub enum Exclusive {}

/// The mode that admits other shared holders and gives `&T`.
#[derive(Debug)]
pub enum Shared {}

/// The mode that admits shared holders, but no second upgradable one. It can become exclusive without a release.
#[derive(Debug)]
pub enum Upgradable {}

/// A [`Mode`] as a value. It says what a holder of a stripe may do, and which other holders it excludes.
///
/// # Examples
///
/// ```
/// use stripe_lock::raw::{Access, Exclusive, Mode};
///
/// assert_eq!(Exclusive::ACCESS, Access::Exclusive);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The access of mode [`Shared`].
    Shared,
    /// The access of mode [`Upgradable`].
    Upgradable,
    /// The access of mode [`Exclusive`].
    Exclusive,
}

/// A mode of holding a stripe. Sealed: the three modes of this module are the only ones.
pub trait Mode: Sealed {
    /// The mode as a value.
    const ACCESS: Access;

    /// Whether a holder in this mode excludes all others.
    const EXCLUSIVE: bool = matches!(Self::ACCESS, Access::Exclusive);
}

macro_rules! modes {
    ($($mode:ident)*) => {
        $(
            impl Sealed for $mode {}

            impl Mode for $mode {
                const ACCESS: Access = Access::$mode;
            }
        )*
    };
}

modes!(Exclusive Shared Upgradable);

/// A raw lock that can be constructed. Sealed.
pub trait RawLock: Sealed {
    /// An unlocked lock.
    const UNLOCKED: Self;

    /// Whether a thread that holds the lock may take it again.
    const REENTRANT: bool = false;

    /// Whether the lock is held at this moment.
    fn is_locked(&self) -> bool;
}

/// A raw lock that several threads may use to share data of the type `T`. Sealed.
///
/// # Safety
///
/// A holder in any mode for which this lock implements [`RawAcquire`] may be on another thread than the one that made
/// the data, and if two holders may coexist, both may use `&T`. Implement it only for those `T` for which that is sound.
pub unsafe trait Guards<T>: Sealed {}

/// A raw lock that can be taken in mode `M`. Sealed.
///
/// # Safety
///
/// A successful acquisition synchronises with earlier releases. Until its state is passed to
/// [`release`](Self::release), there is no holder that mode `M` excludes.
pub unsafe trait RawAcquire<M: Mode>: RawLock {
    /// The state that an acquisition has to keep until its release.
    type State;

    /// Takes the lock. Blocks until it is acquired.
    fn acquire(&self) -> Self::State;

    /// Takes the lock if it is free.
    fn try_acquire(&self) -> Option<Self::State>;

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// `state` comes from an acquisition of this lock.
    unsafe fn release(&self, state: Self::State);
}

/// A raw lock with timeouts.
///
/// # Safety
///
/// As for [`RawAcquire`].
pub(crate) unsafe trait RawAcquireTimed<M: Mode>: RawAcquire<M> {
    /// A point in time.
    type Instant;

    /// A length of time.
    type Duration;

    /// Takes the lock, or returns `None` at `deadline`.
    fn try_acquire_until(&self, deadline: Self::Instant) -> Option<Self::State>;

    /// Takes the lock, or returns `None` after `timeout`.
    fn try_acquire_for(&self, timeout: Self::Duration) -> Option<Self::State>;
}

/// A raw lock that can be handed to the longest waiter. Sealed.
///
/// # Safety
///
/// As for [`RawAcquire`].
pub unsafe trait RawAcquireFair<M: Mode>: RawAcquire<M> {
    /// Releases the lock and hands it to the longest waiter, if there is one.
    ///
    /// # Safety
    ///
    /// As for [`RawAcquire::release`].
    unsafe fn release_fair(&self, state: Self::State);

    /// Hands the lock to the longest waiter and takes it again. Does nothing if there is no waiter.
    ///
    /// # Safety
    ///
    /// As for [`RawAcquire::release`], and no reference to the data of the lock is used after this call.
    unsafe fn bump(&self, state: &mut Self::State);
}

/// How to take a lock: [`Wait`], [`Try`], [`For`] or [`Until`].
pub(crate) trait Way<L: RawAcquire<M>, M: Mode> {
    /// Whether this way may wait.
    #[cfg(feature = "tracing")]
    const WAITS: bool = true;

    /// Takes the lock. Returns the state of the acquisition, or `None` if it failed. `stripe` is the index of the
    /// lock's stripe.
    fn take(&self, raw: &L, stripe: usize) -> Option<L::State>;
}

/// Blocks until the lock is acquired.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait;

/// Does not wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try;

/// Waits for at most this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct For<D>(pub(crate) D);

/// Waits until this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until<I>(pub(crate) I);

impl<L: RawAcquire<M>, M: Mode> Way<L, M> for Wait {
    #[inline]
    fn take(&self, raw: &L, _stripe: usize) -> Option<L::State> {
        Some(raw.acquire())
    }
}

impl<L: RawAcquire<M>, M: Mode> Way<L, M> for Try {
    #[cfg(feature = "tracing")]
    const WAITS: bool = false;

    #[inline]
    fn take(&self, raw: &L, _stripe: usize) -> Option<L::State> {
        raw.try_acquire()
    }
}

impl<L: RawAcquireTimed<M, Duration = D>, M: Mode, D: Copy> Way<L, M> for For<D> {
    #[inline]
    fn take(&self, raw: &L, _stripe: usize) -> Option<L::State> {
        raw.try_acquire_for(self.0)
    }
}

impl<L: RawAcquireTimed<M, Instant = I>, M: Mode, I: Copy> Way<L, M> for Until<I> {
    #[inline]
    fn take(&self, raw: &L, _stripe: usize) -> Option<L::State> {
        raw.try_acquire_until(self.0)
    }
}

/// A mutex, taken in mode [`Exclusive`].
#[derive(Debug)]
#[repr(transparent)]
pub struct ForMutex<R>(R);

/// A read-write lock, taken in mode [`Shared`], [`Exclusive`] or [`Upgradable`].
#[derive(Debug)]
#[repr(transparent)]
pub struct ForRwLock<R>(pub(crate) R);

impl<R> Sealed for ForMutex<R> {}
impl<R> Sealed for ForRwLock<R> {}

impl<R: RawMutex> RawLock for ForMutex<R> {
    const UNLOCKED: Self = Self(R::INIT);

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

impl<R: RawRwLock> RawLock for ForRwLock<R> {
    const UNLOCKED: Self = Self(R::INIT);

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: a mutex hands `T` from thread to thread, one at a time.
unsafe impl<R, T: Send> Guards<T> for ForMutex<R> {}

// SAFETY: a read-write lock hands `T` from thread to thread and lets readers share it, which `Sync` admits.
unsafe impl<R, T: Send + Sync> Guards<T> for ForRwLock<R> {}

/// Implements the acquire traits for one mode by the methods of one raw lock.
macro_rules! adapt {
    (
        $name:ident <$raw:ident: $plain:path>, $mode:ty, $state:ident, $lock:ident, $try_lock:ident, $unlock:ident;
        $timed:path, $until:ident, $for:ident; $fair:path, $unlock_fair:ident, $bump:ident
    ) => {
        // SAFETY: the raw lock's own trait promises exclusion and ordering for these methods.
        unsafe impl<$raw: $plain> RawAcquire<$mode> for $name<$raw> {
            type State = $raw::$state;

            #[inline]
            fn acquire(&self) -> Self::State {
                self.0.$lock()
            }

            #[inline]
            fn try_acquire(&self) -> Option<Self::State> {
                self.0.$try_lock()
            }

            #[inline]
            unsafe fn release(&self, state: Self::State) {
                // SAFETY: the caller passes on the state of an acquisition of this lock.
                unsafe { self.0.$unlock(state) }
            }
        }

        // SAFETY: the raw lock's own trait promises exclusion and ordering for these methods.
        unsafe impl<$raw: $timed> RawAcquireTimed<$mode> for $name<$raw> {
            type Instant = $raw::Instant;
            type Duration = $raw::Duration;

            #[inline]
            fn try_acquire_until(&self, deadline: Self::Instant) -> Option<Self::State> {
                self.0.$until(deadline)
            }

            #[inline]
            fn try_acquire_for(&self, timeout: Self::Duration) -> Option<Self::State> {
                self.0.$for(timeout)
            }
        }

        // SAFETY: the raw lock's own trait promises exclusion and ordering for this method.
        unsafe impl<$raw: $fair> RawAcquireFair<$mode> for $name<$raw> {
            #[inline]
            unsafe fn release_fair(&self, state: Self::State) {
                // SAFETY: the caller passes on the state of an acquisition of this lock.
                unsafe { self.0.$unlock_fair(state) }
            }

            #[inline]
            unsafe fn bump(&self, state: &mut Self::State) {
                // SAFETY: the caller passes on the state of an acquisition of this lock.
                unsafe { self.0.$bump(state) }
            }
        }
    };
}

adapt!(ForMutex<R: RawMutex>, Exclusive, Guard, lock, try_lock, unlock;
    RawMutexTimed, try_lock_until, try_lock_for; RawMutexFair, unlock_fair, bump);
adapt!(ForRwLock<R: RawRwLock>, Exclusive, ExclusiveGuard, lock_exclusive, try_lock_exclusive, unlock_exclusive;
    RawRwLockTimed, try_lock_exclusive_until, try_lock_exclusive_for; RawRwLockFair, unlock_exclusive_fair, bump_exclusive);
adapt!(ForRwLock<R: RawRwLock>, Shared, SharedGuard, lock_shared, try_lock_shared, unlock_shared;
    RawRwLockTimed, try_lock_shared_until, try_lock_shared_for; RawRwLockFair, unlock_shared_fair, bump_shared);
adapt!(ForRwLock<R: RawRwLockUpgrade>, Upgradable, UpgradableGuard, lock_upgradable, try_lock_upgradable,
    unlock_upgradable; RawRwLockUpgradeTimed, try_lock_upgradable_until, try_lock_upgradable_for;
    RawRwLockUpgradeFair, unlock_upgradable_fair, bump_upgradable);

/// Calls `f`, which releases a lock and takes it again. A panic in `f` aborts the process, because there is a guard whose
/// lock may not be held.
#[cfg(any(feature = "lock_api_04", all(feature = "std", not(feature = "lock_api"))))]
fn no_unwinding(f: impl FnOnce()) {
    struct End;

    impl Drop for End {
        fn drop(&mut self) {
            // A panic while another unwinds aborts.
            panic!("a raw lock panicked while it was handed over");
        }
    }

    let end = End;
    f();
    core::mem::forget(end);
}

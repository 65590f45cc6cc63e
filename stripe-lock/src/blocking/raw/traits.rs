//! The traits that a raw lock of a stripe has to implement.
//!
//! The traits have the methods of those of `lock_api` 0.5. With the feature `lock_api`, every type that implements those
//! also implements these. With `lock_api_04`, [`LockApi04`](super::LockApi04) adapts the locks of 0.4. A lock of your own
//! implements these traits directly.

use core::marker::PhantomData;
use core::num::NonZeroUsize;

/// The state of an acquisition that has nothing to keep and may be released by any thread.
#[derive(Debug)]
pub struct GuardSend(());

/// The state of an acquisition that has nothing to keep and must be released by the thread that acquired the lock.
#[derive(Debug)]
pub struct GuardNoSend(PhantomData<*mut ()>);

// SAFETY: nothing can be done with a reference to it.
unsafe impl Sync for GuardNoSend {}

impl GuardSend {
    /// The state of an acquisition.
    #[inline]
    #[allow(clippy::new_without_default, reason = "it stands for an acquisition, which has no default")]
    pub const fn new() -> Self {
        Self(())
    }
}

impl GuardNoSend {
    /// The state of an acquisition.
    #[inline]
    #[allow(clippy::new_without_default, reason = "it stands for an acquisition, which has no default")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// Declares the traits, and implements each for all types that implement the trait of the same name in `lock_api`
/// 0.5.
macro_rules! raw_traits {
    ($(
        $(#[$doc:meta])*
        $name:ident: [$($super:ident)*]
        consts { $($(#[$const_doc:meta])* $const:ident;)* }
        types { $($(#[$type_doc:meta])* $type:ident;)* }
        safe { $($(#[$safe_doc:meta])* fn $safe:ident($($safe_arg:ident: $safe_type:ty)?) -> $safe_ret:ty;)* }
        unsafe { $($(#[$unsafe_doc:meta])* fn $unsafe:ident($arg:ident: $arg_type:ty) -> $ret:ty;)* }
    )*) => { $(
        $(#[$doc])*
        pub unsafe trait $name: $($super +)* {
            $($(#[$const_doc])* const $const: Self;)*
            $($(#[$type_doc])* type $type;)*
            $($(#[$safe_doc])* fn $safe(&self $(, $safe_arg: $safe_type)?) -> $safe_ret;)*
            $(
                $(#[$unsafe_doc])*
                ///
                /// # Safety
                ///
                /// The state comes from an acquisition of this lock, in the mode that the method ends.
                unsafe fn $unsafe(&self, $arg: $arg_type) -> $ret;
            )*
        }

        // SAFETY: the trait of `lock_api` requires the same.
        #[cfg(feature = "lock_api")]
        #[diagnostic::do_not_recommend]
        unsafe impl<R: lock_api::$name> $name for R {
            $(
                #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
                const $const: Self = <R as lock_api::$name>::$const;
            )*
            $(type $type = <R as lock_api::$name>::$type;)*
            $(
                #[inline]
                fn $safe(&self $(, $safe_arg: $safe_type)?) -> $safe_ret {
                    lock_api::$name::$safe(self $(, $safe_arg)?)
                }
            )*
            $(
                #[inline]
                unsafe fn $unsafe(&self, $arg: $arg_type) -> $ret {
                    // SAFETY: the caller promises what `lock_api` requires.
                    unsafe { lock_api::$name::$unsafe(self, $arg) }
                }
            )*
        }
    )* };
}

raw_traits! {
    /// A mutex without data.
    ///
    /// # Safety
    ///
    /// Between an acquisition and its release there is no other acquisition. An acquisition synchronises with the releases
    /// before it. A method that unwinds has not acquired the lock.
    ///
    /// # Examples
    ///
    /// A spin lock that needs no other crate:
    ///
    /// ```
    /// # #[cfg(not(feature = "lock_api"))] {
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use stripe_lock::raw::{GuardSend, RawMutex};
    /// use stripe_lock::{DefaultHasher, StripedMutex};
    ///
    /// struct Spin(AtomicBool);
    ///
    /// // SAFETY: the thread that changes `false` to `true` holds the lock until it stores `false`, and the change acquires that store.
    /// unsafe impl RawMutex for Spin {
    ///     const INIT: Self = Self(AtomicBool::new(false));
    ///     type Guard = GuardSend;
    ///     fn lock(&self) -> GuardSend {
    ///         loop {
    ///             if let Some(state) = self.try_lock() {
    ///                 return state;
    ///             }
    ///             std::hint::spin_loop();
    ///         }
    ///     }
    ///     fn try_lock(&self) -> Option<GuardSend> {
    ///         (!self.0.swap(true, Ordering::Acquire)).then(GuardSend::new)
    ///     }
    ///     fn is_locked(&self) -> bool {
    ///         self.0.load(Ordering::Relaxed)
    ///     }
    ///     unsafe fn unlock(&self, _: GuardSend) {
    ///         self.0.store(false, Ordering::Release);
    ///     }
    /// }
    ///
    /// let locks = StripedMutex::<str, (), Spin, _>::with_hasher(64, DefaultHasher::default());
    /// let _guard = locks.lock("alice");
    /// # }
    /// ```
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not a raw mutex",
        label = "`{Self}` is used as a raw mutex",
        note = "the parameters of a striped mutex are the key, the data, the raw mutex and the hasher: to name a hasher, \
                write `StripedMutex<K, T, raw::DefaultRawMutex, S>`; of a reentrant one, `StripedReentrantMutex<K, T, \
                DefaultRawMutex, DefaultThreadId, S>`",
        note = "with the features `lock_api` and `lock_api_04`, the raw mutexes of `lock_api` 0.5 and 0.4 can be used"
    )]
    RawMutex: []
    consts {
        /// An unlocked lock.
        INIT;
    }
    types {
        /// The state that an acquisition keeps until its release.
        Guard;
    }
    safe {
        /// Takes the lock. Blocks until it is acquired.
        fn lock() -> Self::Guard;
        /// Takes the lock if it is free.
        fn try_lock() -> Option<Self::Guard>;
        /// Whether the lock is held at this moment.
        fn is_locked() -> bool;
    }
    unsafe {
        /// Releases the lock.
        fn unlock(state: Self::Guard) -> ();
    }

    /// A raw mutex that can be handed to the longest waiter.
    ///
    /// # Safety
    ///
    /// As for [`RawMutex`]. [`bump`](Self::bump) unwinds only with the lock held.
    RawMutexFair: [RawMutex]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Releases the lock and hands it to the longest waiter, if there is one.
        fn unlock_fair(state: Self::Guard) -> ();
        /// Hands the lock to the longest waiter and takes it again. Does nothing if there is no waiter.
        fn bump(state: &mut Self::Guard) -> ();
    }

    /// A raw mutex with timeouts.
    ///
    /// # Safety
    ///
    /// As for [`RawMutex`].
    RawMutexTimed: [RawMutex]
    consts {}
    types {
        /// A length of time.
        Duration;
        /// A point in time.
        Instant;
    }
    safe {
        /// Takes the lock, or returns `None` after `timeout`.
        fn try_lock_for(timeout: Self::Duration) -> Option<Self::Guard>;
        /// Takes the lock, or returns `None` at `deadline`.
        fn try_lock_until(deadline: Self::Instant) -> Option<Self::Guard>;
    }
    unsafe {}

    /// A read-write lock without data.
    ///
    /// # Safety
    ///
    /// Between an exclusive acquisition and its release there is no other acquisition, and between a shared one and its release
    /// there is no exclusive one. An acquisition synchronises with the earlier releases of acquisitions that it excludes. A
    /// method that unwinds has not acquired the lock.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not a raw read-write lock",
        label = "`{Self}` is used as a raw read-write lock",
        note = "the parameters of a striped read-write lock are the key, the data, the raw lock and the hasher: to name a \
                hasher, write `StripedRwLock<K, T, raw::DefaultRawRwLock, S>`",
        note = "the features `lock_api` and `lock_api_04` make the raw read-write locks of that crate's versions 0.5 and 0.4 \
                raw read-write locks"
    )]
    RawRwLock: []
    consts {
        /// An unlocked lock.
        INIT;
    }
    types {
        /// The state that a shared acquisition keeps until its release.
        SharedGuard;
        /// The state that an exclusive acquisition keeps until its release.
        ExclusiveGuard;
    }
    safe {
        /// Takes the lock for reading. Blocks until it is acquired.
        fn lock_shared() -> Self::SharedGuard;
        /// Takes the lock for reading if no writer holds it.
        fn try_lock_shared() -> Option<Self::SharedGuard>;
        /// Takes the lock for writing. Blocks until it is acquired.
        fn lock_exclusive() -> Self::ExclusiveGuard;
        /// Takes the lock for writing if it is free.
        fn try_lock_exclusive() -> Option<Self::ExclusiveGuard>;
        /// Whether the lock is held in any mode at this moment.
        fn is_locked() -> bool;
    }
    unsafe {
        /// Ends reading.
        fn unlock_shared(state: Self::SharedGuard) -> ();
        /// Ends writing.
        fn unlock_exclusive(state: Self::ExclusiveGuard) -> ();
    }

    /// A raw read-write lock that can be handed to the longest waiter.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLock`]. The methods that take the lock again unwind only with the lock held.
    RawRwLockFair: [RawRwLock]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Ends reading, and hands the lock to the longest waiter, if there is one.
        fn unlock_shared_fair(state: Self::SharedGuard) -> ();
        /// Ends writing, and hands the lock to the longest waiter, if there is one.
        fn unlock_exclusive_fair(state: Self::ExclusiveGuard) -> ();
        /// Ends reading, hands the lock to the longest waiter, and reads again. Does nothing if there is no waiter.
        fn bump_shared(state: &mut Self::SharedGuard) -> ();
        /// Ends writing, hands the lock to the longest waiter, and writes again. Does nothing if there is no waiter.
        fn bump_exclusive(state: &mut Self::ExclusiveGuard) -> ();
    }

    /// A raw read-write lock whose writer can become a reader without a release.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLock`].
    RawRwLockDowngrade: [RawRwLock]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Makes the writer a reader.
        fn downgrade(state: Self::ExclusiveGuard) -> Self::SharedGuard;
    }

    /// A raw read-write lock with timeouts.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLock`].
    RawRwLockTimed: [RawRwLock]
    consts {}
    types {
        /// A length of time.
        Duration;
        /// A point in time.
        Instant;
    }
    safe {
        /// Takes the lock for reading, or returns `None` after `timeout`.
        fn try_lock_shared_for(timeout: Self::Duration) -> Option<Self::SharedGuard>;
        /// Takes the lock for reading, or returns `None` at `deadline`.
        fn try_lock_shared_until(deadline: Self::Instant) -> Option<Self::SharedGuard>;
        /// Takes the lock for writing, or returns `None` after `timeout`.
        fn try_lock_exclusive_for(timeout: Self::Duration) -> Option<Self::ExclusiveGuard>;
        /// Takes the lock for writing, or returns `None` at `deadline`.
        fn try_lock_exclusive_until(deadline: Self::Instant) -> Option<Self::ExclusiveGuard>;
    }
    unsafe {}

    /// A raw read-write lock with upgradable readers, which can become the writer without a release.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLock`]. Between an upgradable acquisition and its release there is no other upgradable one and no
    /// exclusive one.
    RawRwLockUpgrade: [RawRwLock]
    consts {}
    types {
        /// The state that an upgradable acquisition keeps until its release.
        UpgradableGuard;
    }
    safe {
        /// Takes the lock for reading with the right to upgrade. Blocks until it is acquired.
        fn lock_upgradable() -> Self::UpgradableGuard;
        /// Takes the lock for reading with the right to upgrade if neither a writer nor another upgradable reader holds it.
        fn try_lock_upgradable() -> Option<Self::UpgradableGuard>;
    }
    unsafe {
        /// Ends reading with the right to upgrade.
        fn unlock_upgradable(state: Self::UpgradableGuard) -> ();
        /// Makes the reader the writer. Blocks until the other readers have left.
        fn upgrade(state: Self::UpgradableGuard) -> Self::ExclusiveGuard;
        /// Makes the reader the writer if there is no other reader.
        ///
        /// # Errors
        ///
        /// The unchanged state, if there are other readers.
        fn try_upgrade(state: Self::UpgradableGuard) -> Result<Self::ExclusiveGuard, Self::UpgradableGuard>;
    }

    /// A raw read-write lock whose upgradable reader can hand it to the longest waiter.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLockUpgrade`] and [`RawRwLockFair`].
    RawRwLockUpgradeFair: [RawRwLockUpgrade RawRwLockFair]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Ends reading with the right to upgrade, and hands the lock to the longest waiter, if there is one.
        fn unlock_upgradable_fair(state: Self::UpgradableGuard) -> ();
        /// Ends reading with the right to upgrade, hands the lock to the longest waiter, and takes it again. Does nothing if
        /// there is no waiter.
        fn bump_upgradable(state: &mut Self::UpgradableGuard) -> ();
    }

    /// A raw read-write lock whose upgradable reader can give up that right without a release.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLockUpgrade`].
    RawRwLockUpgradeDowngrade: [RawRwLockUpgrade RawRwLockDowngrade]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Makes the upgradable reader an ordinary one.
        fn downgrade_upgradable(state: Self::UpgradableGuard) -> Self::SharedGuard;
    }

    /// A raw read-write lock with timeouts for upgradable readers.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLockUpgrade`].
    RawRwLockUpgradeTimed: [RawRwLockUpgrade RawRwLockTimed]
    consts {}
    types {}
    safe {
        /// Takes the lock for reading with the right to upgrade, or returns `None` after `timeout`.
        fn try_lock_upgradable_for(timeout: Self::Duration) -> Option<Self::UpgradableGuard>;
        /// Takes the lock for reading with the right to upgrade, or returns `None` at `deadline`.
        fn try_lock_upgradable_until(deadline: Self::Instant) -> Option<Self::UpgradableGuard>;
    }
    unsafe {}

    /// Identifies threads, for reentrant mutexes.
    ///
    /// # Safety
    ///
    /// Two threads that exist at the same time have different numbers, and the number of a thread never changes.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` does not identify threads",
        label = "`{Self}` is used as the identity of threads",
        note = "the parameters of a striped reentrant mutex are the key, the data, the raw mutex, the identity of threads and \
                the hasher: to name a hasher, write `StripedReentrantMutex<K, T, raw::DefaultRawMutex, raw::DefaultThreadId, S>`"
    )]
    GetThreadId: []
    consts {
        /// A new value.
        INIT;
    }
    types {}
    safe {
        /// The number of the calling thread.
        fn nonzero_thread_id() -> NonZeroUsize;
    }
    unsafe {}
}

//! What a lock has to offer to stand under a stripe.
//!
//! The traits have the shape of those of `lock_api` 0.5. With the feature `lock_api`, whatever implements those implements
//! these, and nothing else has to be done; with `lock_api_04`, [`LockApi04`](super::LockApi04) adapts the locks of 0.4.
//! Without either, a lock of your own implements these.

use core::marker::PhantomData;
use core::num::NonZeroUsize;

/// What an acquisition keeps until its release where that is nothing, and any thread may release.
#[derive(Debug)]
pub struct GuardSend(());

/// What an acquisition keeps until its release where that is nothing, and only the thread that acquired may release.
#[derive(Debug)]
pub struct GuardNoSend(PhantomData<*mut ()>);

// SAFETY: nothing can be done with a reference to it.
unsafe impl Sync for GuardNoSend {}

impl GuardSend {
    /// The state of an acquisition.
    #[inline]
    #[allow(
        clippy::new_without_default,
        reason = "it stands for an acquisition, which nothing makes by default"
    )]
    pub const fn new() -> Self {
        Self(())
    }
}

impl GuardNoSend {
    /// The state of an acquisition.
    #[inline]
    #[allow(
        clippy::new_without_default,
        reason = "it stands for an acquisition, which nothing makes by default"
    )]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// Declares the traits, and implements each for what implements its namesake in `lock_api` 0.5.
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
                /// The state comes from an acquisition of this very lock, in the mode that the method ends.
                unsafe fn $unsafe(&self, $arg: $arg_type) -> $ret;
            )*
        }

        // SAFETY: the trait of `lock_api` asks for the same.
        #[cfg(feature = "lock_api")]
        #[diagnostic::do_not_recommend]
        unsafe impl<R: lock_api::$name> $name for R {
            $(
                #[allow(clippy::declare_interior_mutable_const, reason = "the trait wants it")]
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
                    // SAFETY: the caller promises what `lock_api` wants.
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
    /// Between an acquisition and its release there is no other. An acquisition synchronises with the releases before it. A
    /// method that unwinds leaves its caller with no acquisition of which it knows nothing.
    ///
    /// # Examples
    ///
    /// A spin lock, with no crate beside this one:
    ///
    /// ```
    /// # #[cfg(not(feature = "lock_api"))] {
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use stripe_lock::raw::{GuardSend, RawMutex};
    /// use stripe_lock::{DefaultHasher, StripedMutex};
    ///
    /// struct Spin(AtomicBool);
    ///
    /// // SAFETY: who changes `false` to `true` holds it until it stores `false`, and acquires what that store released.
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
        label = "`{Self}` stands where the raw mutex belongs",
        note = "the parameters of a striped mutex are the key, the data, the raw mutex and the hasher: to name a hasher, \
                write `StripedMutex<K, T, raw::DefaultRawMutex, S>`; of a reentrant one, `StripedReentrantMutex<K, T, \
                DefaultRawMutex, DefaultThreadId, S>`",
        note = "the features `lock_api` and `lock_api_04` make the raw mutexes of that crate's versions 0.5 and 0.4 raw mutexes"
    )]
    RawMutex: []
    consts {
        /// An unlocked one.
        INIT;
    }
    types {
        /// What an acquisition keeps until its release.
        Guard;
    }
    safe {
        /// Takes the lock, waiting as long as it needs.
        fn lock() -> Self::Guard;
        /// Takes the lock if that needs no waiting.
        fn try_lock() -> Option<Self::Guard>;
        /// Whether anybody holds the lock, at this moment.
        fn is_locked() -> bool;
    }
    unsafe {
        /// Gives the lock back.
        fn unlock(state: Self::Guard) -> ();
    }

    /// A raw mutex that can be handed over to whoever has waited longest.
    ///
    /// # Safety
    ///
    /// As for [`RawMutex`]. [`bump`](Self::bump) unwinds only with the lock held.
    RawMutexFair: [RawMutex]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Gives the lock to whoever has waited longest, if anybody waits.
        fn unlock_fair(state: Self::Guard) -> ();
        /// Gives the lock to whoever has waited longest and takes it again, or does nothing if nobody waits.
        fn bump(state: &mut Self::Guard) -> ();
    }

    /// A raw mutex that can be waited for until a time.
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
        /// Takes the lock unless `timeout` passes first.
        fn try_lock_for(timeout: Self::Duration) -> Option<Self::Guard>;
        /// Takes the lock unless `deadline` passes first.
        fn try_lock_until(deadline: Self::Instant) -> Option<Self::Guard>;
    }
    unsafe {}

    /// A read-write lock without data.
    ///
    /// # Safety
    ///
    /// Between an exclusive acquisition and its release there is no other, and between a shared one and its release there is no
    /// exclusive one. An acquisition synchronises with the releases before it that it excludes. A method that unwinds leaves
    /// its caller with no acquisition of which it knows nothing.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not a raw read-write lock",
        label = "`{Self}` stands where the raw read-write lock belongs",
        note = "the parameters of a striped read-write lock are the key, the data, the raw lock and the hasher: to name a \
                hasher, write `StripedRwLock<K, T, raw::DefaultRawRwLock, S>`",
        note = "the features `lock_api` and `lock_api_04` make the raw read-write locks of that crate's versions 0.5 and 0.4 \
                raw read-write locks"
    )]
    RawRwLock: []
    consts {
        /// An unlocked one.
        INIT;
    }
    types {
        /// What a shared acquisition keeps until its release.
        SharedGuard;
        /// What an exclusive acquisition keeps until its release.
        ExclusiveGuard;
    }
    safe {
        /// Takes the lock for reading, waiting as long as it needs.
        fn lock_shared() -> Self::SharedGuard;
        /// Takes the lock for reading if that needs no waiting.
        fn try_lock_shared() -> Option<Self::SharedGuard>;
        /// Takes the lock for writing, waiting as long as it needs.
        fn lock_exclusive() -> Self::ExclusiveGuard;
        /// Takes the lock for writing if that needs no waiting.
        fn try_lock_exclusive() -> Option<Self::ExclusiveGuard>;
        /// Whether anybody holds the lock, in any mode, at this moment.
        fn is_locked() -> bool;
    }
    unsafe {
        /// Ends reading.
        fn unlock_shared(state: Self::SharedGuard) -> ();
        /// Ends writing.
        fn unlock_exclusive(state: Self::ExclusiveGuard) -> ();
    }

    /// A raw read-write lock that can be handed over to whoever has waited longest.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLock`]. The methods that take the lock again unwind only with the lock held.
    RawRwLockFair: [RawRwLock]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Ends reading, and gives the lock to whoever has waited longest, if anybody waits.
        fn unlock_shared_fair(state: Self::SharedGuard) -> ();
        /// Ends writing, and gives the lock to whoever has waited longest, if anybody waits.
        fn unlock_exclusive_fair(state: Self::ExclusiveGuard) -> ();
        /// Ends reading, gives the lock to whoever has waited longest, and reads again; or does nothing if nobody waits.
        fn bump_shared(state: &mut Self::SharedGuard) -> ();
        /// Ends writing, gives the lock to whoever has waited longest, and writes again; or does nothing if nobody waits.
        fn bump_exclusive(state: &mut Self::ExclusiveGuard) -> ();
    }

    /// A raw read-write lock whose writer can become a reader without letting go.
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

    /// A raw read-write lock that can be waited for until a time.
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
        /// Takes the lock for reading unless `timeout` passes first.
        fn try_lock_shared_for(timeout: Self::Duration) -> Option<Self::SharedGuard>;
        /// Takes the lock for reading unless `deadline` passes first.
        fn try_lock_shared_until(deadline: Self::Instant) -> Option<Self::SharedGuard>;
        /// Takes the lock for writing unless `timeout` passes first.
        fn try_lock_exclusive_for(timeout: Self::Duration) -> Option<Self::ExclusiveGuard>;
        /// Takes the lock for writing unless `deadline` passes first.
        fn try_lock_exclusive_until(deadline: Self::Instant) -> Option<Self::ExclusiveGuard>;
    }
    unsafe {}

    /// A raw read-write lock one of whose readers can become the writer without letting go.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLock`]; between an upgradable acquisition and its release there is no other and no exclusive one.
    RawRwLockUpgrade: [RawRwLock]
    consts {}
    types {
        /// What an upgradable acquisition keeps until its release.
        UpgradableGuard;
    }
    safe {
        /// Takes the lock for reading with the right to upgrade, waiting as long as it needs.
        fn lock_upgradable() -> Self::UpgradableGuard;
        /// Takes the lock for reading with the right to upgrade if that needs no waiting.
        fn try_lock_upgradable() -> Option<Self::UpgradableGuard>;
    }
    unsafe {
        /// Ends reading with the right to upgrade.
        fn unlock_upgradable(state: Self::UpgradableGuard) -> ();
        /// Makes the reader the writer, waiting for the other readers to leave.
        fn upgrade(state: Self::UpgradableGuard) -> Self::ExclusiveGuard;
        /// Makes the reader the writer if there is no other reader.
        ///
        /// # Errors
        ///
        /// The state as it was, if there are other readers.
        fn try_upgrade(state: Self::UpgradableGuard) -> Result<Self::ExclusiveGuard, Self::UpgradableGuard>;
    }

    /// A raw read-write lock whose upgradable reader can be handed over from.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLockUpgrade`] and [`RawRwLockFair`].
    RawRwLockUpgradeFair: [RawRwLockUpgrade RawRwLockFair]
    consts {}
    types {}
    safe {}
    unsafe {
        /// Ends reading with the right to upgrade, and gives the lock to whoever has waited longest, if anybody waits.
        fn unlock_upgradable_fair(state: Self::UpgradableGuard) -> ();
        /// Ends reading with the right to upgrade, gives the lock to whoever has waited longest, and takes it again; or does
        /// nothing if nobody waits.
        fn bump_upgradable(state: &mut Self::UpgradableGuard) -> ();
    }

    /// A raw read-write lock whose upgradable reader can give up that right without letting go.
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

    /// A raw read-write lock that can be waited for until a time in order to read it with the right to upgrade.
    ///
    /// # Safety
    ///
    /// As for [`RawRwLockUpgrade`].
    RawRwLockUpgradeTimed: [RawRwLockUpgrade RawRwLockTimed]
    consts {}
    types {}
    safe {
        /// Takes the lock for reading with the right to upgrade unless `timeout` passes first.
        fn try_lock_upgradable_for(timeout: Self::Duration) -> Option<Self::UpgradableGuard>;
        /// Takes the lock for reading with the right to upgrade unless `deadline` passes first.
        fn try_lock_upgradable_until(deadline: Self::Instant) -> Option<Self::UpgradableGuard>;
    }
    unsafe {}

    /// Tells threads apart, for reentrant mutexes.
    ///
    /// # Safety
    ///
    /// Two threads that exist at the same time have different numbers, and a thread's never changes.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` does not tell threads apart",
        label = "`{Self}` stands where the identity of threads belongs",
        note = "the parameters of a striped reentrant mutex are the key, the data, the raw mutex, the identity of threads and \
                the hasher: to name a hasher, write `StripedReentrantMutex<K, T, raw::DefaultRawMutex, raw::DefaultThreadId, S>`"
    )]
    GetThreadId: []
    consts {
        /// A new one.
        INIT;
    }
    types {}
    safe {
        /// The number of the thread that calls.
        fn nonzero_thread_id() -> NonZeroUsize;
    }
    unsafe {}
}

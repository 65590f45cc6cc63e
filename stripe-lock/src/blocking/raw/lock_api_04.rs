//! The raw locks of `lock_api` 0.4.

use core::marker::PhantomData;

use lock_api_04 as from;

use super::no_unwinding;

/// Adapts a raw lock of `lock_api` 0.4 to this crate (feature `lock_api_04`).
///
/// # Examples
///
/// ```
/// use stripe_lock::raw::LockApi04;
/// use stripe_lock::{DefaultHasher, StripedMutex};
///
/// type Raw = LockApi04<parking_lot_012::RawMutex>;
///
/// let locks = StripedMutex::<str, u32, Raw, _>::with_hasher(64, DefaultHasher::default());
/// *locks.lock("alice") += 1;
/// assert_eq!(*locks.lock("alice"), 1);
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct LockApi04<R>(R);

/// The state of an acquisition. It is empty; its type says whether it may move to another thread.
#[derive(Debug)]
pub struct State04<M>(PhantomData<M>);

impl<M> State04<M> {
    #[inline]
    fn new() -> Self {
        Self(PhantomData)
    }
}

/// A method that blocks until it has the lock.
macro_rules! wait {
    ($method:ident, $state:ident) => {
        #[inline]
        fn $method(&self) -> Self::$state {
            self.0.$method();
            State04::new()
        }
    };
}

/// A method that may fail to get the lock.
macro_rules! attempt {
    ($method:ident, $state:ident) => {
        #[inline]
        fn $method(&self) -> Option<Self::$state> {
            self.0.$method().then(State04::new)
        }
    };
    ($method:ident until $limit:ident, $state:ident) => {
        #[inline]
        fn $method(&self, limit: Self::$limit) -> Option<Self::$state> {
            self.0.$method(limit).then(State04::new)
        }
    };
}

/// A method that ends an acquisition, or changes its mode.
macro_rules! end {
    ($method:ident, $state:ident $(=> $other:ident)?) => {
        #[inline]
        unsafe fn $method(&self, _: Self::$state) $(-> Self::$other)? {
            // SAFETY: the state proves that the lock is held in the mode that this ends.
            unsafe { self.0.$method() }
            $(<Self::$other>::new())?
        }
    };
}

/// A method that hands the lock to a waiter and takes it again.
macro_rules! bump {
    ($method:ident, $state:ident) => {
        #[inline]
        unsafe fn $method(&self, _: &mut Self::$state) {
            // SAFETY: the state proves that the lock is held in this mode.
            no_unwinding(|| unsafe { self.0.$method() })
        }
    };
}

// SAFETY: version 0.4 requires the same. It has no type for the state of an acquisition or for its mode.
unsafe impl<R: from::RawMutex> super::RawMutex for LockApi04<R> {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self(R::INIT);
    type Guard = State04<R::GuardMarker>;

    wait!(lock, Guard);
    attempt!(try_lock, Guard);
    end!(unlock, Guard);

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawMutexFair> super::RawMutexFair for LockApi04<R> {
    end!(unlock_fair, Guard);
    bump!(bump, Guard);
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawMutexTimed> super::RawMutexTimed for LockApi04<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    attempt!(try_lock_for until Duration, Guard);
    attempt!(try_lock_until until Instant, Guard);
}

// SAFETY: version 0.4 requires the same. It has no type for the state of an acquisition or for its mode.
unsafe impl<R: from::RawRwLock> super::RawRwLock for LockApi04<R> {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self(R::INIT);
    type SharedGuard = State04<R::GuardMarker>;
    type ExclusiveGuard = State04<R::GuardMarker>;

    wait!(lock_shared, SharedGuard);
    attempt!(try_lock_shared, SharedGuard);
    end!(unlock_shared, SharedGuard);
    wait!(lock_exclusive, ExclusiveGuard);
    attempt!(try_lock_exclusive, ExclusiveGuard);
    end!(unlock_exclusive, ExclusiveGuard);

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawRwLockFair> super::RawRwLockFair for LockApi04<R> {
    end!(unlock_shared_fair, SharedGuard);
    end!(unlock_exclusive_fair, ExclusiveGuard);
    bump!(bump_shared, SharedGuard);
    bump!(bump_exclusive, ExclusiveGuard);
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawRwLockDowngrade> super::RawRwLockDowngrade for LockApi04<R> {
    end!(downgrade, ExclusiveGuard => SharedGuard);
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawRwLockTimed> super::RawRwLockTimed for LockApi04<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    attempt!(try_lock_shared_for until Duration, SharedGuard);
    attempt!(try_lock_shared_until until Instant, SharedGuard);
    attempt!(try_lock_exclusive_for until Duration, ExclusiveGuard);
    attempt!(try_lock_exclusive_until until Instant, ExclusiveGuard);
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawRwLockUpgrade> super::RawRwLockUpgrade for LockApi04<R> {
    type UpgradableGuard = State04<R::GuardMarker>;

    wait!(lock_upgradable, UpgradableGuard);
    attempt!(try_lock_upgradable, UpgradableGuard);
    end!(unlock_upgradable, UpgradableGuard);
    end!(upgrade, UpgradableGuard => ExclusiveGuard);

    #[inline]
    unsafe fn try_upgrade(
        &self,
        state: Self::UpgradableGuard,
    ) -> Result<Self::ExclusiveGuard, Self::UpgradableGuard> {
        // SAFETY: the state proves that the lock is held in this mode.
        if unsafe { self.0.try_upgrade() } { Ok(State04::new()) } else { Err(state) }
    }
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawRwLockUpgradeFair> super::RawRwLockUpgradeFair for LockApi04<R> {
    end!(unlock_upgradable_fair, UpgradableGuard);
    bump!(bump_upgradable, UpgradableGuard);
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawRwLockUpgradeDowngrade> super::RawRwLockUpgradeDowngrade for LockApi04<R> {
    end!(downgrade_upgradable, UpgradableGuard => SharedGuard);
}

// SAFETY: as for the trait above.
unsafe impl<R: from::RawRwLockUpgradeTimed> super::RawRwLockUpgradeTimed for LockApi04<R> {
    attempt!(try_lock_upgradable_for until Duration, UpgradableGuard);
    attempt!(try_lock_upgradable_until until Instant, UpgradableGuard);
}

//! Changing the mode of a read-write guard without releasing the stripe.

use core::ops::Deref;

use super::Guard;
use crate::blocking::raw::{
    Access, Exclusive, ForRwLock, RawRwLockDowngrade, RawRwLockUpgrade, RawRwLockUpgradeDowngrade, Shared,
    Upgradable,
};
use crate::blocking::stripe::Stripe;

impl<P, R, T> Guard<P, ForRwLock<R>, T, Upgradable>
where
    P: Deref<Target = Stripe<ForRwLock<R>, T>>,
    R: RawRwLockUpgrade,
{
    /// Makes an upgradable guard exclusive without releasing the stripe. Waits for the readers to leave.
    ///
    /// It can deadlock with a reader that waits for a higher stripe which this thread holds. Upgrade before you take
    /// higher stripes, or use [`try_upgrade`](Self::try_upgrade).
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread also reads this stripe by another guard, or holds a higher
    /// one.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::RwLockUpgradableReadGuard;
    /// use stripe_lock::StripedRwLock;
    ///
    /// let cache = StripedRwLock::<u64, Option<&str>>::new(64);
    /// let guard = cache.upgradable_read(&1);
    /// if guard.is_none() {
    ///     *RwLockUpgradableReadGuard::upgrade(guard) = Some("computed once");
    /// }
    /// assert_eq!(*cache.read(&1), Some("computed once"));
    /// ```
    #[inline]
    #[track_caller]
    pub fn upgrade(guard: Self) -> Guard<P, ForRwLock<R>, T, Exclusive> {
        guard.held.check_again(Access::Exclusive);
        let (stripe, state, held) = guard.into_parts();
        // SAFETY: `state` is that of an upgradable acquisition of this raw lock.
        let state = unsafe { stripe.raw().0.upgrade(state) };
        Guard::from_parts(stripe, state, held.held_as(Access::Exclusive))
    }

    /// Makes an upgradable guard exclusive if there are no other readers.
    ///
    /// # Errors
    ///
    /// The unchanged guard, if there are readers.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::RwLockUpgradableReadGuard;
    /// use stripe_lock::StripedRwLock;
    ///
    /// let locks = StripedRwLock::<u64, u32>::new(1);
    /// let reader = locks.try_read(&1);
    /// let guard = locks.try_upgradable_read(&1).unwrap();
    /// let guard = RwLockUpgradableReadGuard::try_upgrade(guard).unwrap_err();
    /// drop(reader);
    /// assert!(RwLockUpgradableReadGuard::try_upgrade(guard).is_ok());
    /// ```
    #[inline]
    pub fn try_upgrade(guard: Self) -> Result<Guard<P, ForRwLock<R>, T, Exclusive>, Self> {
        let (stripe, state, held) = guard.into_parts();
        // SAFETY: `state` is that of an upgradable acquisition of this raw lock.
        match unsafe { stripe.raw().0.try_upgrade(state) } {
            Ok(state) => Ok(Guard::from_parts(stripe, state, held.held_as(Access::Exclusive))),
            Err(state) => Err(Self::from_parts(stripe, state, held)),
        }
    }

    /// Gives up the right to upgrade and stays a reader, without releasing the stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::RwLockUpgradableReadGuard;
    /// use stripe_lock::StripedRwLock;
    ///
    /// let locks = StripedRwLock::<u64, u32>::new(1);
    /// let reader = RwLockUpgradableReadGuard::downgrade_upgradable(locks.upgradable_read(&1));
    /// assert!(locks.try_upgradable_read(&2).is_some());
    /// assert_eq!(*reader, 0);
    /// ```
    #[inline]
    pub fn downgrade_upgradable(guard: Self) -> Guard<P, ForRwLock<R>, T, Shared>
    where
        R: RawRwLockUpgradeDowngrade,
    {
        let (stripe, state, held) = guard.into_parts();
        // SAFETY: `state` is that of an upgradable acquisition of this raw lock.
        let state = unsafe { stripe.raw().0.downgrade_upgradable(state) };
        Guard::from_parts(stripe, state, held.held_as(Access::Shared))
    }
}

impl<P, R, T> Guard<P, ForRwLock<R>, T, Exclusive>
where
    P: Deref<Target = Stripe<ForRwLock<R>, T>>,
    R: RawRwLockDowngrade,
{
    /// Turns a writer into a reader without releasing the stripe. Other readers may enter.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::RwLockWriteGuard;
    /// use stripe_lock::StripedRwLock;
    ///
    /// let locks = StripedRwLock::<u64, u32>::new(1);
    /// let mut writer = locks.write(&1);
    /// *writer = 7;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!(*locks.try_read(&2).unwrap(), *reader);
    /// ```
    #[inline]
    pub fn downgrade(guard: Self) -> Guard<P, ForRwLock<R>, T, Shared> {
        let (stripe, state, held) = guard.into_parts();
        // SAFETY: `state` is that of an exclusive acquisition of this raw lock.
        let state = unsafe { stripe.raw().0.downgrade(state) };
        Guard::from_parts(stripe, state, held.held_as(Access::Shared))
    }
}

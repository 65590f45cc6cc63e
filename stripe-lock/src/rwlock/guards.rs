//! The guards of the striped read-write lock.

use crate::DefaultHasher;
use crate::guard::{ArcStripe, Guard};
use crate::holding::{Mixed, Uniform};
use crate::lock::StripedLock;
use crate::multi::MultiGuard;
use crate::raw::{DefaultRawRwLock, Exclusive, ForRwLock, Shared, Upgradable};
use crate::stripe::Stripe;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for reading.
///
/// # Examples
///
/// ```
/// use stripe_lock::{RwLockReadGuard, StripedRwLock};
///
/// let counts = StripedRwLock::<u64, u32>::new(4);
/// let guard: RwLockReadGuard<'_, u32> = counts.read(&1);
/// assert_eq!(*guard, 0);
/// ```
///
/// It gives nothing to change:
///
/// ```compile_fail,E0594
/// let counts = stripe_lock::StripedRwLock::<u64, u32>::new(4);
/// let mut guard = counts.read(&1);
/// *guard += 1;
/// ```
pub type RwLockReadGuard<'a, T, R = DefaultRawRwLock> =
    Guard<&'a Stripe<ForRwLock<R>, T>, ForRwLock<R>, T, Shared>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for writing.
///
/// # Examples
///
/// ```
/// use stripe_lock::{RwLockWriteGuard, StripedRwLock};
///
/// let counts = StripedRwLock::<u64, u32>::new(4);
/// let mut guard: RwLockWriteGuard<'_, u32> = counts.write(&1);
/// *guard += 1;
/// ```
pub type RwLockWriteGuard<'a, T, R = DefaultRawRwLock> =
    Guard<&'a Stripe<ForRwLock<R>, T>, ForRwLock<R>, T, Exclusive>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for reading, with the right to upgrade.
///
/// # Examples
///
/// ```
/// use stripe_lock::{RwLockUpgradableReadGuard, StripedRwLock};
///
/// let counts = StripedRwLock::<u64, u32>::new(4);
/// let guard: RwLockUpgradableReadGuard<'_, u32> = counts.upgradable_read(&1);
/// *RwLockUpgradableReadGuard::upgrade(guard) += 1;
/// ```
pub type RwLockUpgradableReadGuard<'a, T, R = DefaultRawRwLock> =
    Guard<&'a Stripe<ForRwLock<R>, T>, ForRwLock<R>, T, Upgradable>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for reading and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::{ArcRwLockReadGuard, StripedRwLock};
///
/// let counts = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let guard: ArcRwLockReadGuard<u64, u32> = counts.read_arc(&1);
/// assert_eq!(*guard, 0);
/// ```
pub type ArcRwLockReadGuard<K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForRwLock<R>, S>, ForRwLock<R>, T, Shared>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for writing and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::{ArcRwLockWriteGuard, StripedRwLock};
///
/// let counts = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let mut guard: ArcRwLockWriteGuard<u64, u32> = counts.write_arc(&1);
/// *guard += 1;
/// ```
pub type ArcRwLockWriteGuard<K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForRwLock<R>, S>, ForRwLock<R>, T, Exclusive>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for reading, with the right to upgrade, and keeps the
/// whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::{ArcRwLockUpgradableReadGuard, StripedRwLock};
///
/// let counts = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let guard: ArcRwLockUpgradableReadGuard<u64, u32> = counts.upgradable_read_arc(&1);
/// *ArcRwLockUpgradableReadGuard::upgrade(guard) += 1;
/// ```
pub type ArcRwLockUpgradableReadGuard<K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForRwLock<R>, S>, ForRwLock<R>, T, Upgradable>;

/// Holds several stripes of a [`StripedRwLock`](crate::StripedRwLock) for reading.
///
/// # Examples
///
/// ```
/// use stripe_lock::{ReadMultiGuard, StripedRwLock};
///
/// let counts = StripedRwLock::<u64, u32>::new(4);
/// let guard: ReadMultiGuard<'_, u64, u32> = counts.read_many(&[1, 2]);
/// assert_eq!(guard.get(&2), Some(&0));
/// ```
pub type ReadMultiGuard<'a, K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<&'a StripedLock<K, T, ForRwLock<R>, S>, Uniform<ForRwLock<R>, Shared>>;

/// Holds several stripes of a [`StripedRwLock`](crate::StripedRwLock) for writing.
///
/// # Examples
///
/// ```
/// use stripe_lock::{StripedRwLock, WriteMultiGuard};
///
/// let counts = StripedRwLock::<u64, u32>::new(4);
/// let mut guard: WriteMultiGuard<'_, u64, u32> = counts.write_many(&[1, 2]);
/// *guard.get_mut(&2).unwrap() += 1;
/// ```
pub type WriteMultiGuard<'a, K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<&'a StripedLock<K, T, ForRwLock<R>, S>, Uniform<ForRwLock<R>, Exclusive>>;

/// Holds several stripes of a [`StripedRwLock`](crate::StripedRwLock), some for reading, some for writing: see
/// [`batch`](crate::StripedRwLock::batch).
///
/// # Examples
///
/// ```
/// use stripe_lock::{BatchGuard, StripedRwLock};
///
/// let counts = StripedRwLock::<u64, u32>::new(4);
/// let guard: BatchGuard<'_, u64, u32> = counts.batch().read(&1).write(&2).lock();
/// assert!(guard.holds(&1));
/// ```
pub type BatchGuard<'a, K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<&'a StripedLock<K, T, ForRwLock<R>, S>, Mixed<ForRwLock<R>>>;

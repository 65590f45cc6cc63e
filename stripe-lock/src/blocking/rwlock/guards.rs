//! The guards of the striped read-write lock.

use alloc::sync::Arc;

use crate::blocking::guard::{ArcStripe, Guard, MappedGuard};
use crate::blocking::holding::{Mixed, Uniform};
use crate::blocking::multi::MultiGuard;
use crate::blocking::raw::{DefaultRawRwLock, Exclusive, ForRwLock, Shared, Upgradable};
use crate::blocking::rwlock::StripedRwLock;
use crate::blocking::stripe::Stripe;
use crate::shared::hash::DefaultHasher;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for reading.
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::RwLockReadGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = StripedRwLock::<u64, u32>::new(4);
/// let guard: RwLockReadGuard<'_, u32> = per_stripe.read(&1);
/// assert_eq!(*guard, 0);
/// ```
///
/// It gives no `&mut T`:
///
/// ```compile_fail,E0594
/// let per_stripe = stripe_lock::StripedRwLock::<u64, u32>::new(4);
/// let mut guard = per_stripe.read(&1);
/// *guard += 1;
/// ```
pub type RwLockReadGuard<'a, T, R = DefaultRawRwLock> =
    Guard<&'a Stripe<ForRwLock<R>, T>, ForRwLock<R>, T, Shared>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for writing.
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::RwLockWriteGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = StripedRwLock::<u64, u32>::new(4);
/// let mut guard: RwLockWriteGuard<'_, u32> = per_stripe.write(&1);
/// *guard += 1;
/// ```
pub type RwLockWriteGuard<'a, T, R = DefaultRawRwLock> =
    Guard<&'a Stripe<ForRwLock<R>, T>, ForRwLock<R>, T, Exclusive>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for reading, with the right to upgrade.
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::RwLockUpgradableReadGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = StripedRwLock::<u64, u32>::new(4);
/// let guard: RwLockUpgradableReadGuard<'_, u32> = per_stripe.upgradable_read(&1);
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
/// use stripe_lock::blocking::ArcRwLockReadGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let guard: ArcRwLockReadGuard<u64, u32> = per_stripe.read_arc(&1);
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
/// use stripe_lock::blocking::ArcRwLockWriteGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let mut guard: ArcRwLockWriteGuard<u64, u32> = per_stripe.write_arc(&1);
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
/// use stripe_lock::blocking::ArcRwLockUpgradableReadGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let guard: ArcRwLockUpgradableReadGuard<u64, u32> = per_stripe.upgradable_read_arc(&1);
/// *ArcRwLockUpgradableReadGuard::upgrade(guard) += 1;
/// ```
pub type ArcRwLockUpgradableReadGuard<K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForRwLock<R>, S>, ForRwLock<R>, T, Upgradable>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for reading, and gives access to a part of its data:
/// see [`Guard::map`].
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::{MappedRwLockReadGuard, RwLockReadGuard};
/// use stripe_lock::StripedRwLock;
///
/// let pairs = StripedRwLock::<u64, (u32, u32)>::new(4);
/// let first: MappedRwLockReadGuard<'_, (u32, u32), u32> =
///     RwLockReadGuard::map(pairs.read(&1), |pair| &pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type MappedRwLockReadGuard<'a, T, U, R = DefaultRawRwLock> =
    MappedGuard<&'a Stripe<ForRwLock<R>, T>, ForRwLock<R>, T, U, Shared>;

/// As [`MappedRwLockReadGuard`], and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::{ArcMappedRwLockReadGuard, ArcRwLockReadGuard};
/// use stripe_lock::StripedRwLock;
///
/// let pairs = Arc::new(StripedRwLock::<u64, (u32, u32)>::new(4));
/// let first: ArcMappedRwLockReadGuard<u64, (u32, u32), u32> =
///     ArcRwLockReadGuard::map(pairs.read_arc(&1), |pair| &pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type ArcMappedRwLockReadGuard<K, T, U, R = DefaultRawRwLock, S = DefaultHasher> =
    MappedGuard<ArcStripe<K, T, ForRwLock<R>, S>, ForRwLock<R>, T, U, Shared>;

/// Holds one stripe of a [`StripedRwLock`](crate::StripedRwLock) for writing, and gives access to a part of its data:
/// see [`Guard::map`].
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::{MappedRwLockWriteGuard, RwLockWriteGuard};
/// use stripe_lock::StripedRwLock;
///
/// let pairs = StripedRwLock::<u64, (u32, u32)>::new(4);
/// let first: MappedRwLockWriteGuard<'_, (u32, u32), u32> =
///     RwLockWriteGuard::map(pairs.write(&1), |pair| &mut pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type MappedRwLockWriteGuard<'a, T, U, R = DefaultRawRwLock> =
    MappedGuard<&'a Stripe<ForRwLock<R>, T>, ForRwLock<R>, T, U, Exclusive>;

/// As [`MappedRwLockWriteGuard`], and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::{ArcMappedRwLockWriteGuard, ArcRwLockWriteGuard};
/// use stripe_lock::StripedRwLock;
///
/// let pairs = Arc::new(StripedRwLock::<u64, (u32, u32)>::new(4));
/// let first: ArcMappedRwLockWriteGuard<u64, (u32, u32), u32> =
///     ArcRwLockWriteGuard::map(pairs.write_arc(&1), |pair| &mut pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type ArcMappedRwLockWriteGuard<K, T, U, R = DefaultRawRwLock, S = DefaultHasher> =
    MappedGuard<ArcStripe<K, T, ForRwLock<R>, S>, ForRwLock<R>, T, U, Exclusive>;

/// Holds several stripes of a [`StripedRwLock`](crate::StripedRwLock) for reading.
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::ReadMultiGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = StripedRwLock::<u64, u32>::new(4);
/// let guard: ReadMultiGuard<'_, u64, u32> = per_stripe.read_many(&[1, 2]);
/// assert_eq!(guard.get(&2), Some(&0));
/// ```
pub type ReadMultiGuard<'a, K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<&'a StripedRwLock<K, T, R, S>, Uniform<ForRwLock<R>, Shared>>;

/// As [`ReadMultiGuard`], and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::ArcReadMultiGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let guard: ArcReadMultiGuard<u64, u32> = per_stripe.read_many_arc(&[1, 2]);
/// assert!(guard.holds(&2));
/// ```
pub type ArcReadMultiGuard<K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<Arc<StripedRwLock<K, T, R, S>>, Uniform<ForRwLock<R>, Shared>>;

/// Holds several stripes of a [`StripedRwLock`](crate::StripedRwLock) for writing.
///
/// # Examples
///
/// ```
/// use stripe_lock::StripedRwLock;
/// use stripe_lock::blocking::WriteMultiGuard;
///
/// let per_stripe = StripedRwLock::<u64, u32>::new(4);
/// let mut guard: WriteMultiGuard<'_, u64, u32> = per_stripe.write_many(&[1, 2]);
/// *guard.get_mut(&2).unwrap() += 1;
/// ```
pub type WriteMultiGuard<'a, K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<&'a StripedRwLock<K, T, R, S>, Uniform<ForRwLock<R>, Exclusive>>;

/// As [`WriteMultiGuard`], and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::ArcWriteMultiGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let guard: ArcWriteMultiGuard<u64, u32> = per_stripe.write_many_arc(&[1, 2]);
/// assert!(guard.holds(&2));
/// ```
pub type ArcWriteMultiGuard<K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<Arc<StripedRwLock<K, T, R, S>>, Uniform<ForRwLock<R>, Exclusive>>;

/// Holds several stripes of a [`StripedRwLock`](crate::StripedRwLock), some for reading, some for writing: see
/// [`batch`](crate::StripedRwLock::batch).
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::BatchGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = StripedRwLock::<u64, u32>::new(4);
/// let guard: BatchGuard<'_, u64, u32> = per_stripe.batch().read(&1).write(&2).lock();
/// assert!(guard.holds(&1));
/// ```
pub type BatchGuard<'a, K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<&'a StripedRwLock<K, T, R, S>, Mixed<ForRwLock<R>>>;

/// As [`BatchGuard`], and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::ArcBatchGuard;
/// use stripe_lock::StripedRwLock;
///
/// let per_stripe = Arc::new(StripedRwLock::<u64, u32>::new(4));
/// let guard: ArcBatchGuard<u64, u32> = per_stripe.batch_arc().read(&1).write(&2).lock();
/// assert!(guard.holds(&2));
/// ```
pub type ArcBatchGuard<K, T, R = DefaultRawRwLock, S = DefaultHasher> =
    MultiGuard<Arc<StripedRwLock<K, T, R, S>>, Mixed<ForRwLock<R>>>;

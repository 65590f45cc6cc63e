#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod batch;
mod capacity;
mod extend;
mod faces;
#[cfg(feature = "async")]
pub mod future;
mod guard;
#[cfg(all(
    any(doc, doctest),
    feature = "async",
    feature = "parking_lot",
    feature = "ahash",
    feature = "fnv"
))]
pub mod guide;
mod hash;
mod held;
mod holding;
mod lock;
mod multi;
mod mutex;
mod pair;
pub mod raw;
mod reentrant;
mod rwlock;
mod sealed;
#[cfg(feature = "stats")]
mod stats;
mod stripe;
mod stripe_set;
mod striped;
mod waits;

pub use batch::Batch;
#[cfg(feature = "std")]
pub use capacity::expected_parallelism;
pub use capacity::{Workload, recommended_stripes};
pub use extend::{ExtendError, Extended};
#[cfg(feature = "async")]
#[doc(inline)]
pub use future::keyed::{
    ArcKeyedMutexGuard, ArcKeyedMutexMultiGuard, AsyncKeyedMutex, KeyedMutex, KeyedMutexGuard,
    KeyedMutexMultiGuard,
};
#[cfg(feature = "async")]
#[doc(inline)]
pub use future::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};
pub use guard::{ArcStripe, Guard, MappedGuard};
pub use hash::DefaultHasher;
#[cfg(feature = "fnv")]
pub use hash::Fnv1a;
#[cfg(feature = "std")]
pub use hash::SipHash;
pub use holding::{Holding, HoldingFair, Mixed, Uniform};
pub use lock::{Handle, StripedLock};
pub use multi::{MultiGuard, MultiIter, MultiIterMut};
pub use mutex::{
    ArcMappedMutexGuard, ArcMutexGuard, ArcMutexMultiGuard, MappedMutexGuard, MutexGuard, MutexMultiGuard,
    StripedMutex,
};
pub use pair::Pair;
#[doc(inline)]
pub use raw::{DefaultRawMutex, DefaultRawRwLock, DefaultThreadId};
pub use reentrant::{
    ArcMappedReentrantMutexGuard, ArcReentrantMultiGuard, ArcReentrantMutexGuard, MappedReentrantMutexGuard,
    ReentrantMultiGuard, ReentrantMutexGuard, StripedReentrantMutex,
};
pub use rwlock::{
    ArcBatchGuard, ArcMappedRwLockReadGuard, ArcMappedRwLockWriteGuard, ArcReadMultiGuard,
    ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard, ArcRwLockWriteGuard, ArcWriteMultiGuard, BatchGuard,
    MappedRwLockReadGuard, MappedRwLockWriteGuard, ReadMultiGuard, RwLockReadGuard,
    RwLockUpgradableReadGuard, RwLockWriteGuard, StripedRwLock, WriteMultiGuard,
};
#[cfg(feature = "stats")]
pub use stats::{Stats, StripeStats};
pub use stripe::Stripe;
pub use stripe_set::{Iter, StripeSet};
pub use striped::{DEFAULT_STRIPES, MAX_STRIPES, Striped};

pub use lock_api;

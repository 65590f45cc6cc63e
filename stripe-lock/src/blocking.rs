//! The blocking striped locks, with any raw lock.
//!
//! Start from [`StripedMutex`], [`StripedRwLock`] or [`StripedReentrantMutex`]. This module has their guards and the
//! parts that the three share. A guard of one stripe is a [`Guard`], and a guard of several stripes is a
//! [`MultiGuard`]. Aliases name the combinations.

mod batch;
mod faces;
mod growing;
mod growth;
mod guard;
mod held;
mod holding;
mod lock;
mod multi;
mod mutex;
mod pins;
pub mod raw;
mod reentrant;
mod rwlock;
mod sealed;
mod session;
mod split;
#[cfg(feature = "stats")]
mod stats;
mod stripe;
mod take;
mod watch;

#[cfg(all(loom, feature = "std"))]
#[doc(hidden)]
pub use held::model;

pub use batch::Batch;
pub use guard::{ArcStripe, Guard, MappedGuard};
pub use holding::{Holding, HoldingFair, Mixed, Uniform};
pub use lock::{Handle, StripedLock};
pub use multi::{MultiGuard, MultiIter, MultiIterMut};
pub use mutex::{
    ArcMappedMutexGuard, ArcMutexGuard, ArcMutexMultiGuard, MappedMutexGuard, MutexGuard, MutexMultiGuard,
    StripedMutex,
};
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
pub use session::Session;
pub use split::Split;
#[cfg(feature = "stats")]
pub use stats::{Stats, StripeStats};
pub use stripe::Stripe;

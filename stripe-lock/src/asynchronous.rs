//! The async striped locks, on any runtime or without one.
//!
//! Start from [`AsyncStripedMutex`], [`AsyncStripedRwLock`] or [`AsyncStripedSemaphore`]. This module has their
//! guards, futures and shared parts. A waiter is linked into a queue from within its pinned future, so waiting
//! allocates nothing for the waiter itself.
//!
//! | what | memory |
//! |---|---|
//! | a stripe of a mutex, without its data | 1 byte |
//! | a stripe of a read-write lock or semaphore, without its data | 4 bytes |
//! | a bucket; a set has four for each processor, and at least one for every 256 stripes | 128 bytes |
//! | a stripe with waiters, in addition | 43 to 85 bytes |
//!
//! The memory of the last row is in total at most 32 bytes times the number of stripes of the set. It is kept after the
//! waits and used again.
//!
//! # How it works
//!
//! A newcomer *enters* a stripe by one exchange on its word. If the stripe is held, it spins for a while (longer if
//! spinning has succeeded recently). Then it joins the *queue* of the stripe under the lock of a *bucket*, which
//! neighbouring stripes share. A holder *releases* by one addition. If the word says that there are waiters, the
//! release serves the queue under that lock. It hands the stripe to the first waiters, by one exchange and before any
//! newcomer can enter; or it wakes the first waiter to compete for the stripe. A task that is woken claims what it
//! was granted, competes, or goes back to sleep.
//!
//! Handing over is fair, but leaves the stripe idle until the new holder's task runs. So a waiter that wants one
//! stripe exclusively is first only woken, and up to twelve newcomers may overtake it. If it then finds the stripe
//! taken, or if twelve have overtaken it, the next release hands the stripe over. Readers, waiters for permits and
//! waiters for several stripes are handed the stripe at once.
//!
//! A waiter for several stripes has one node, which is in one queue at a time. A release that hands it a stripe also
//! takes the next stripes for it, at most 32 and only while they are free, and enqueues it at the first that is not
//! free. Its task is woken when it has all its stripes, or when the 32 are taken and more are left. Queues are joined
//! in ascending order of stripes, and buckets are locked in ascending order too. So neither can deadlock.
//!
//! Joining, being served, claiming and giving up take the same time, whatever the number of waiters. While a bucket
//! is locked, at most 8 waiters are served, and at most 32 stripes are taken for each.
//!
//! [`AsyncStripedMutex`]: crate::AsyncStripedMutex
//! [`AsyncStripedRwLock`]: crate::AsyncStripedRwLock
//! [`AsyncStripedSemaphore`]: crate::AsyncStripedSemaphore

mod acquire;
mod batch;
mod block;
#[cfg(feature = "diagnose")]
mod diagnosis;
mod error;
mod extend;
mod guard;
mod instrument;
pub mod keyed;
mod kind;
mod mapped;
mod methods;
mod multi;
mod mutex;
mod panics;
mod plan;
mod queue;
mod release;
mod rwlock;
mod sealed;
mod semaphore;
mod session;
mod set;
#[cfg(feature = "stats")]
mod stats;
mod sync;
mod unlocked;
mod upgrade;
mod waiter;
mod word;

pub use acquire::{Acquire, AcquireMany, Checked, Enqueued, within};
pub use batch::AsyncBatch;
#[cfg(feature = "diagnose")]
pub use diagnosis::{Blocked, Claim, Cycle, Diagnosis, KeyId, Resource, Standing, TaskId};
pub use error::AcquireError;
pub use guard::AsyncGuard;
pub use kind::{
    Access, Guards, Kind, MutexKind, Permits, Read, RwLockKind, SemaphoreKind, Upgradable, Write,
};
pub use mapped::AsyncMappedGuard;
pub use methods::Timeout;
pub use multi::{AsyncMultiGuard, AsyncMultiIter, AsyncMultiIterMut};
pub use mutex::{
    AsyncMutexGuard, AsyncMutexMultiGuard, AsyncStripedMutex, OwnedAsyncMutexGuard, OwnedAsyncMutexMultiGuard,
};
pub use plan::{MixedPlan, UniformPlan};
pub use rwlock::{
    AsyncBatchGuard, AsyncReadGuard, AsyncReadMultiGuard, AsyncStripedRwLock, AsyncUpgradableGuard,
    AsyncWriteGuard, AsyncWriteMultiGuard, OwnedAsyncReadGuard, OwnedAsyncUpgradableGuard,
    OwnedAsyncWriteGuard,
};
pub use semaphore::{
    AsyncMultiPermit, AsyncPermit, AsyncPermits, AsyncStripedSemaphore, OwnedAsyncPermit, OwnedAsyncPermits,
};
pub use session::AsyncSession;
pub use set::AsyncStriped;
#[cfg(feature = "stats")]
pub use stats::{AsyncStats, StripeWaits};
pub use upgrade::Upgrade;

/// The size limit of a guard. The features `diagnose` and `tracing` need more room.
#[cfg(not(any(feature = "diagnose", feature = "tracing")))]
const _: () = {
    assert!(size_of::<Option<AsyncGuard<&AsyncStripedMutex<u64>, Write>>>() <= 16);
    assert!(size_of::<AsyncGuard<&AsyncStripedSemaphore<u64>, Read>>() <= 16);
    assert!(size_of::<AsyncGuard<&AsyncStripedSemaphore<u64>, Permits>>() <= 16);
};

/// The size limit of a future. The features that record waits need more room.
#[cfg(not(any(loom, feature = "stats", feature = "diagnose", feature = "tracing")))]
const _: () = {
    use std::sync::Arc;

    assert!(size_of::<Acquire<&AsyncStripedMutex<u64>, Write>>() <= 80);
    assert!(size_of::<Acquire<Arc<AsyncStripedMutex<u64>>, Write>>() <= 80);
    assert!(size_of::<Acquire<&AsyncStripedRwLock<u64>, Read>>() <= 80);
    assert!(size_of::<Acquire<&AsyncStripedSemaphore<u64>, Permits>>() <= 80);
    assert!(size_of::<AcquireMany<&AsyncStripedMutex<u64>, UniformPlan<Write>>>() <= 192);
    assert!(size_of::<AcquireMany<&AsyncStripedSemaphore<u64>, UniformPlan<Read>>>() <= 192);
    assert!(size_of::<AcquireMany<&AsyncStripedRwLock<u64>, MixedPlan>>() <= 192);
};

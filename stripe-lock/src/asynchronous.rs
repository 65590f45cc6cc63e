//! The async striped locks, on any runtime or none.
//!
//! [`AsyncStripedMutex`], [`AsyncStripedRwLock`] and [`AsyncStripedSemaphore`] are what to start from; here are the parts they
//! share. Waiting takes no memory but the future's own: a stripe is one byte (a mutex) or four (the others), and a waiter
//! is linked into a queue from within its pinned future. Beside that, a set takes 128 bytes for each of its buckets (four
//! for each processor, and at least one for 256 stripes), and 43 to 85 bytes for each stripe that is waited for at the same
//! time, but at most 32 for each stripe it has. What waits took is kept, and used again.
//!
//! # How it works
//!
//! A newcomer *enters* a stripe by one exchange on its word. If the stripe is held, it looks again for a while (for longer
//! where that has been of use), and then joins the *queue* of the stripe under the lock of a *bucket*, which neighbouring
//! stripes share. A holder *releases* by one addition. If the word says that somebody waits, the release serves the queue
//! under that lock. It hands the stripe to the first waiters, by one exchange and before any newcomer can enter; or it wakes
//! the first waiter to compete for it. A task that is woken claims what it was granted, competes, or goes back to sleep.
//!
//! Which waiters are handed the stripe, and which are only woken? Handing over is fair, but leaves the stripe idle until the
//! new holder's task runs. So a waiter that wants one stripe exclusively is first woken, and may be overtaken by twelve
//! newcomers. If it then finds the stripe taken, or if the count is full, the next release hands it over. Readers, permits
//! and waiters for several stripes are handed theirs at once.
//!
//! A waiter for several stripes has one node, which is in one queue at a time. A release that hands it a stripe also takes the
//! following ones for it, up to 32 as far as they are free, and enqueues it at the first that is not. Its task is woken when it
//! has everything, or when there is more to take. Queues are only ever joined in ascending order of stripes, and buckets are
//! locked in ascending order too. That is why neither can deadlock.
//!
//! Every step takes the same time, however many wait: to join, to be served, to claim, to give up. No bucket is locked for
//! more than 8 waiters and 32 stripes each.
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
mod set;
mod spin;
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
pub use diagnosis::{Blocked, Claim, Cycle, Diagnosis, Standing, TaskId};
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
pub use set::AsyncStriped;
#[cfg(feature = "stats")]
pub use stats::{AsyncStats, StripeWaits};
pub use upgrade::Upgrade;

/// What a guard may take. The features `diagnose` and `tracing` need more room.
#[cfg(not(any(feature = "diagnose", feature = "tracing")))]
const _: () = {
    assert!(size_of::<Option<AsyncGuard<&AsyncStripedMutex<u64>, Write>>>() <= 16);
    assert!(size_of::<AsyncGuard<&AsyncStripedSemaphore<u64>, Read>>() <= 16);
    assert!(size_of::<AsyncGuard<&AsyncStripedSemaphore<u64>, Permits>>() <= 16);
};

/// What a future may take. The features that keep a record of waits need more room.
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

//! The async striped locks, on any runtime or none.
//!
//! [`AsyncStripedMutex`], [`AsyncStripedRwLock`] and [`AsyncStripedSemaphore`] are what to start from; here are the parts they
//! share. Waiting takes no memory but the future's own: a stripe is one byte (a mutex) or four (the others), and who
//! has to wait is linked into a line from within its pinned future.
//!
//! # How it works
//!
//! The parts: a queue of buckets beside the stripes, a waiter in every future, and three moves.
//! A newcomer *enters* by one exchange on the word or, after a few more looks, *joins* the line under the lock of the
//! stripe's bucket. A holder leaves by one subtraction and, where the line wants looking after, *settles* it under that
//! lock: those first in line who are to be handed the stripe get it in one exchange, before any newcomer can, or
//! the first in line is woken to compete for it. A waiter that *looks again* claims what it was given, competes, or goes
//! back to sleep.
//!
//! Who is handed the stripe, and who is only woken? Handing over is fair but leaves the stripe idle until the new
//! holder's task gets to run, so one who asks for a single stripe exclusively is first woken, and may be overtaken by
//! twelve newcomers; if it then finds the stripe taken, or if the count is full, the next
//! release hands it over. Readers, permits and all who wait for several stripes are handed theirs at once.
//!
//! A waiter for several stripes has one node, which waits at one stripe at a time. Whoever hands it that stripe also
//! *walks* it on: takes the following stripes for it as far as they are free, and puts it in line at the first
//! that is not. Its task is woken once, when it has everything. Lines are only ever joined in ascending order of stripes, and
//! buckets are locked in ascending order too (neighbouring stripes share one, and the lobby, where the fully served
//! multiple waiters sit, comes last), which is why neither can deadlock.
//!
//! # Futures that are not polled
//!
//! A future that was given its stripe and is not polled any more, as one put aside by `select!`, would block a second
//! future of its task for ever. So a future that is about to wait takes over what another one of the same task was given
//! and has not claimed. Two limits remain: a set of futures that wakes each by a waker of its own (`FuturesUnordered`)
//! does not show that they belong together; and one that was given *several* stripes still holds those that the second
//! does not ask for, until it is polled or dropped.
//!
//! [`AsyncStripedMutex`]: crate::AsyncStripedMutex
//! [`AsyncStripedRwLock`]: crate::AsyncStripedRwLock
//! [`AsyncStripedSemaphore`]: crate::AsyncStripedSemaphore

mod acquire;
mod batch;
#[cfg(not(stripe_lock_loom))]
mod block;
#[cfg(feature = "diagnose")]
mod diagnosis;
mod guard;
mod kind;
mod line;
mod lot;
mod mutex;
mod place;
mod plan;
mod record;
mod rwlock;
mod semaphore;
mod set;
mod sibling;
#[cfg(feature = "stats")]
mod stats;
mod sync;
mod tally;
mod timeout;
mod trace;
mod turn;
mod waiter;
mod word;

pub use acquire::{Acquire, AcquireMany, Handle};
pub use batch::AsyncBatch;
#[cfg(feature = "diagnose")]
pub use diagnosis::{Blocked, Claim, Diagnosis, Standing, TaskId};
pub use guard::{AsyncGuard, AsyncMultiGuard};
pub use kind::{ForMutex, ForRwLock, ForSemaphore, Guards, Kind};
pub use lot::Lot;
pub use mutex::{
    AsyncMutexGuard, AsyncMutexMultiGuard, AsyncStripedMutex, OwnedAsyncMutexGuard, OwnedAsyncMutexMultiGuard,
};
pub use plan::{Access, Mixed, Plan, Read, Uniform, Write};
pub use rwlock::{
    AsyncBatchGuard, AsyncReadGuard, AsyncReadMultiGuard, AsyncStripedRwLock, AsyncWriteGuard,
    AsyncWriteMultiGuard, OwnedAsyncReadGuard, OwnedAsyncWriteGuard,
};
pub use semaphore::{AsyncMultiPermit, AsyncPermit, AsyncStripedSemaphore, OwnedAsyncPermit};
pub use set::AsyncStriped;
#[cfg(feature = "stats")]
pub use stats::{AsyncStats, WaitStats};
pub use timeout::{Elapsed, within};

//! Locks by key, across processes and machines, over an engine that you already run.
//!
//! ```no_run
//! # #[cfg(feature = "postgres")] mod example {
//! use std::time::Duration;
//! use stripe_lock_dist::{DistributedMutex, Postgres};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let locks = DistributedMutex::<str>::builder("orders")
//!     .stripes(4096)
//!     .ttl(Duration::from_secs(10))
//!     .connect(Postgres::new("postgresql://app@localhost/app")?)
//!     .await?;
//!
//! let guard = locks.lock("user/7").await?;
//! println!("fence {}", guard.fence()); // higher than that of any earlier holder
//! guard.release().await?; // an error if it was lost before
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! A lock across processes is only as good as its lease. A process that is stopped or cut off loses its locks after the
//! TTL, and [learns of the loss](DistributedGuard::lost) before another process can have them. A write that it has sent
//! may still arrive later. [Fences](DistributedGuard::fence) let the receiver refuse such a write.
//!
//! # Parts
//!
//! | you want | see |
//! |---|---|
//! | to lock | [`DistributedMutex`], in threads [`Blocking`] |
//! | to know whether you still hold it | [`DistributedGuard`] |
//! | keys of your own type | [`Key`] |
//! | the guarantees after a crash and behind a pooler | [`Postgres`](Postgres#what-is-guaranteed) |
//! | etcd as the engine | the feature `etcd`, and its type `Etcd` |
//! | another engine | [`engine`] |
//!
//! # Inside
//!
//! A key's [hash](Key) says which of the namespace's stripes is its own. A task first takes the local stripe, of an
//! [`AsyncStripedMutex`](stripe_lock::AsyncStripedMutex). So a process has at most one ticket for a stripe, and its
//! tasks wait for each other without the engine. Then the task takes a ticket in the engine. On release, the next local
//! waiter gets the ticket for a bounded time, or the engine gets it back. A thread of the crate renews the lease, and gives
//! back what was dropped.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The README's code is tested with the documentation.
#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../README.md")]
mod readme {}

mod blocking;
mod clock;
pub mod engine;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod guard;
mod hub;
mod key;
mod lease;
mod mutex;
#[cfg(feature = "postgres")]
mod postgres;
mod runtime;
mod worker;

pub use blocking::Blocking;
pub use error::Error;
#[cfg(feature = "etcd")]
pub use etcd::Etcd;
pub use guard::DistributedGuard;
pub use key::Key;
pub use mutex::{Builder, DistributedMutex, MAX_STRIPES};
#[cfg(feature = "postgres")]
pub use postgres::Postgres;

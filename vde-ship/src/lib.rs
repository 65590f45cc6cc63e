//! Ships a [`vde_store`]'s changes to an object store, shortly after they have become durable: to files, Amazon S3,
//! Google Cloud Storage or Azure. If the disk is lost, the store is restored from there, as it is now or as it was at any
//! point kept; and a replica elsewhere follows it.
//!
//! ```
//! use vde_ship::{Bucket, Point, Shipper, restore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let url = format!("file://{}/shipped", dir.path().display());
//! let bucket = Bucket::open(&url)?; // "s3://bucket/orders" with the feature `aws`
//! let store = vde_store::Vde::open(dir.path().join("orders.vde"))?;
//! let shipper = Shipper::new(&store, bucket.clone()).await?;
//! let version = store.put("order/1", "paid")?; // on this disk
//! shipper.wait(version).await?; // and in the bucket
//!
//! // Elsewhere, after the disk is lost:
//! restore(&bucket, dir.path().join("restored.vde"), Point::Newest).await?;
//! # shipper.close().await?;
//! # Ok(()) }
//! ```
//!
//! | you want | take |
//! |---|---|
//! | to ship a store that this process writes | [`Shipper`], [`ShipOptions`] |
//! | a write to return only when it is in two places | [`Shipper::wait`], [`Durability::Shipped`](vde_store::Durability::Shipped) |
//! | to know what would be lost | [`Shipper::lag`] |
//! | the store back, as it was at some point | [`restore()`] |
//! | a replica to read from, or to take over | [`Follower`] |
//! | to ship a store once | [`ship_once`] |
//! | to ship a store beside the process that writes it: its checkpoints | [`CheckpointShipper`], the command `vde-ship` |
//! | to check what was shipped | [`verify()`] |
//!
//! # Guarantees
//!
//! - What is reported as shipped is restored, whatever happens to the store, the shipper and the calls of the object
//!   store, as long as the object store keeps what it has acknowledged and lists it at once.
//! - A restored store and a follower have exactly the writes up to some version. Batches are whole.
//! - Of two shippers, the one that starts later wins. The other one's next upload fails with [`Error::Fenced`].
//! - Writers never wait for the shipper, unless they ask for it, and an outage of the object store takes bounded memory and no disk space.
//!
//! # What is lost
//!
//! If the disk is lost, the writes that were not shipped yet are lost: usually those of the last second
//! ([`ShipOptions::interval`]).
//!
//! # Features
//!
//! `cli` (default): the command `vde-ship`; turn the default features off if you need only the library. `triples`: the
//! command `triples-ship`, a server of a triple store that is shipped, or of a replica. `aws`, `gcp`,
//! `azure`: URLs of these services; they need a C compiler to build. `testing`: planted bugs, for tests.
//!
//! # When not to use it
//!
//! To keep several writers of one store: only one process writes a store. For a copy of a store that is made once a day
//! on another disk, [`Vde::backup`](vde_store::Vde::backup) is enough.
//!
#![doc = include_str!("../DESIGN.md")]
#![forbid(unsafe_code)]

mod bucket;
mod content;
mod error;
mod follow;
mod format;
mod log;
mod pending;
mod restore;
mod shipper;
mod verify;

pub use bucket::Bucket;
pub use error::{Error, Result};
pub use follow::Follower;
pub use restore::{Point, Restored, restore, restore_with};
#[cfg(feature = "testing")]
pub use shipper::Bug;
pub use shipper::{CheckpointShipper, Lag, ShipOptions, Shipper, ship_once};
pub use verify::{Verified, verify};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

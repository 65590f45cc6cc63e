//! A crash-safe disk engine in one container file: keys to byte values, whose
//! writers wait for each other only where their keys share a stripe, and never for each other's syncs.
//!
//! ```
//! use vde_store::Vde;
//!
//! let dir = tempfile::tempdir().unwrap();
//! let store = Vde::open(dir.path().join("store.vde"))?;
//! store.put("user/1", "Ada")?; // on the disk when it returns
//! store.put("user/2", "Grace")?;
//! for entry in store.list("user/") {
//!     println!("{}", entry?.key().escape_ascii());
//! }
//! # Ok::<(), vde_store::Error>(())
//! ```
//!
//! # Which type do I want?
//!
//! - [`Vde`]: a handle whose methods block the calling thread. [`AsyncVde`] has its methods under the same names,
//!   those that wait as `async fn`, over the same engine; [`Vde::to_async`] and [`AsyncVde::blocking`] lead from one to the
//!   other. A store with options is opened by [`VdeOptions::open`], which blocks, and then made async.
//! - [`VdeOptions`] where the defaults do not fit; [`Vde::with_durability`] for writes that need not wait for the disk.
//! - [`Batch`] for writes that must happen together, [`Vde::update`] and [`Vde::compare_and_swap`] for writes that
//!   depend on what is there, [`ReadView`] for reads that must agree with each other.
//! - [`Vde::watch`] to follow every change that becomes durable.
//!
//! # What it promises
//!
//! - An acknowledged write is durable, unless it was asked for as [`Durability::Buffered`].
//! - A reader takes no stripe and waits for no sync, and it never sees a write that a crash could still take back, unless
//!   that was asked for as buffered.
//! - After a crash, what is there is a prefix of what was written, with every acknowledged write in it; batches are
//!   there whole or not at all.
//!
//! # How it ends
//!
//! [`Vde::close`] brings what is buffered to the disk, unlocks the file, and tells whether that worked. So does dropping the
//! last handle, but it tells nobody, and it blocks: async code awaits [`AsyncVde::close`]. Views, readers and pinned
//! values keep the file locked until they are gone too. Whatever ends
//! the process sooner, a kill or a power cut, may take back what was buffered and not yet synced.
//!
//! A child process that starts another program (`std::process::Command`) does not disturb the store. One that was forked
//! and runs on as a copy must not use it: it has none of the store's threads.
//!
//! # When something is damaged
//!
//! Every byte is covered by a checksum, and an [`Error::Corrupt`] names the structure and the byte. Opening refuses a damaged
//! log; [`VdeOptions::salvage`] opens what it leaves, for reading, and [`Vde::backup`] of that is a whole store again.
//!
//! # Features
//!
//! `cli` (default): the command `vde`; turn the default features off where only the library is wanted. `testing`: the
//! simulated disk of the crash tests.
//!
//! # When not to use it
//!
//! For joins, secondary indexes or transactions that span reads and writes, take a database. For data that several
//! processes write, take a server: one process at a time writes a container. Others can
//! [read](VdeOptions::read_only) its newest checkpoint meanwhile.

#![deny(unsafe_code)]

mod admin;
mod asynchronous;
mod backup;
mod batch;
mod blob;
mod catalog;
mod checkpoint;
mod collect;
mod compress;
mod cursor;
mod device;
mod engine;
mod entries;
mod entry;
mod error;
mod format;
#[cfg(feature = "testing")]
mod fuzzing;
mod layers;
mod ledger;
mod log;
mod maintain;
mod memtable;
mod opening;
mod options;
mod pages;
mod planted;
mod reads;
mod recovery;
mod salvage;
mod segments;
mod store;
mod stripes;
mod sync_point;
#[cfg(feature = "testing")]
pub mod testing;
mod tree;
mod turns;
mod updating;
mod value;
mod verify;
mod view;
mod watch;
mod writes;

pub use admin::{Health, Snapshot, Stats};
pub use asynchronous::{AsyncBatch, AsyncVde};
pub use batch::{Batch, Condition};
pub use device::{Device, FileDevice, Mapping, MemoryDevice};
pub use entries::Entries;
pub use entry::Entry;
pub use error::{Error, Result};
pub use format::MAX_KEY_LEN;
pub use log::watchers::{Change, ChangeKind, Watch};
pub use options::{Compression, Durability, Lock, VdeOptions};
pub use recovery::Recovery;
pub use store::Vde;
pub use stripes::{StripeHash, StripeHasher};
pub use value::{Metadata, UserMetadata, Value, ValueReader};
pub use verify::{Progress, Report};
pub use view::ReadView;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

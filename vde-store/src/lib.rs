//! A crash-safe disk engine that stores keys and byte values in one container file. Writers of different keys run in
//! parallel, and one sync serves all waiting writers.
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
//! | you want | take |
//! |---|---|
//! | methods that block the calling thread | [`Vde`] |
//! | the same methods as `async fn`, over the same engine | [`AsyncVde`]; [`Vde::to_async`] and [`AsyncVde::blocking`] convert |
//! | settings other than the defaults | [`VdeOptions`] |
//! | writes that do not wait for the disk | [`Vde::with_durability`] |
//! | writes that happen together | [`Batch`] |
//! | writes that depend on the old value | [`Vde::update`], [`Vde::compare_and_swap`] |
//! | reads that agree with each other | [`ReadView`] |
//! | to follow every change that becomes durable | [`Vde::watch`] |
//!
//! [`VdeOptions::open`] blocks; convert the store afterwards.
//!
//! # Guarantees
//!
//! - An acknowledged write is durable, unless it was written with [`Durability::Buffered`]. With
//!   [`Durability::Shipped`], it is in another place, too.
//! - A reader takes no stripe and waits for no sync. It never sees a write that a crash could still undo, unless the
//!   write was buffered.
//! - After a crash, the store has a prefix of the writes, with every acknowledged write in it. A batch is whole or
//!   absent.
//!
//! # Closing
//!
//! [`Vde::close`] syncs what is buffered, unlocks the file, and returns whether that worked. Dropping the last handle
//! does the same without reporting errors, and it blocks: async code awaits [`AsyncVde::close`]. Views, readers and
//! pinned values also keep the file locked until they are dropped. A kill or a power cut before the store is closed
//! may lose buffered writes that are not synced yet.
//!
//! A child process that starts another program (`std::process::Command`) does not disturb the store. A forked copy of
//! the process must not use the store: the copy has none of the store's threads.
//!
//! # When something is damaged
//!
//! Every byte is covered by a checksum, and an [`Error::Corrupt`] names the structure and the byte. Opening a store
//! with a damaged log fails. [`VdeOptions::salvage`] opens it for reading, and shows what is undamaged;
//! [`Vde::backup`] copies that into a new store.
//!
//! # Features
//!
//! `cli` (default): the command `vde`; turn the default features off if you need only the library. `testing`: the
//! simulated disk of the crash tests.
//!
//! # When not to use it
//!
//! For joins, secondary indexes or transactions that span reads and writes, use a database. For data that several
//! processes write, use a server: one process at a time writes a container. Other processes can
//! [read](VdeOptions::read_only) its newest checkpoint meanwhile.

#![deny(unsafe_code)]

mod container;
mod engine;
mod faces;
#[cfg(feature = "testing")]
mod fuzzing;
#[cfg(feature = "testing")]
pub mod testing;

pub use container::device::{Device, FileDevice, Lock, Mapping, MemoryDevice};
pub use container::error::{Error, Result};
pub use container::format::MAX_KEY_LEN;
pub use container::log::watchers::{Change, ChangeKind, LoggedPut, Watch};
pub use engine::entries::Entries;
pub use engine::entry::Entry;
pub use engine::operation::Condition;
pub use engine::options::{Compression, Durability, VdeOptions};
pub use engine::records::{PutRecord, Records};
pub use engine::recovery::Recovery;
pub use engine::shipping::{ShipLag, Shipping};
pub use engine::stripes::{StripeHash, StripeHasher};
pub use engine::value::{Metadata, UserMetadata, Value, ValueReader};
pub use engine::view::ReadView;
pub use engine::watching::Step;
pub use faces::admin::{Health, Snapshot, Stats};
pub use faces::asynchronous::{AsyncBatch, AsyncVde};
pub use faces::batch::Batch;
pub use faces::copying::CopyBatch;
pub use faces::store::Vde;
pub use faces::verify::{Progress, Report};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! Locks by key, for threads and tasks: equal keys exclude each other, and there is no map of locks to maintain.
//!
//! ```
//! use std::collections::HashMap;
//! use stripe_lock::StripedMutex;
//!
//! // 64 locks. Each has the data of all keys that share it, so the data is a map.
//! let balances: StripedMutex<str, HashMap<String, i64>> = StripedMutex::new(64);
//! balances.lock("alice").insert("alice".into(), 100);
//!
//! // Keys that are locked together are locked in one global order, so this cannot deadlock.
//! let mut both = balances.lock_many(["alice", "bob"]);
//! *both.get_mut("alice").unwrap().entry("alice".into()).or_default() -= 30;
//! *both.get_mut("bob").unwrap().entry("bob".into()).or_default() += 30;
//! ```
//!
//! **`T` belongs to the stripe, not to the key.** A set has a fixed number of stripes, and the hash of a key selects
//! its stripe. `StripedMutex<K, T>` has one `T` for each stripe.
//!
//! <div class="warning">
//!
//! Two keys may share a stripe: **never take a second guard of a set while you hold one.** Lock the keys together
//! ([`lock_many`](StripedMutex::lock_many)), or add the later key to the guard
//! ([`extend`](blocking::MultiGuard::extend)).
//!
//! </div>
//!
//! # Which type do I want?
//!
//! | you have | use | what reports a second guard |
//! |---|---|---|
//! | threads, data in the lock | [`StripedMutex`] | debug builds panic instead of hanging, and name both places |
//! | threads, long sections, nearly all of them reads | [`StripedRwLock`] | the same |
//! | code that locks a key which it already holds | [`StripedReentrantMutex`] | nothing: a thread may lock a stripe again |
//! | keys that must not wait for each other, data elsewhere | [`KeyedMutex`] | debug builds panic if a thread waits for a key that it holds |
//! | the same, and a lock is held over an `.await` | [`AsyncKeyedMutex`] | nothing |
//! | tasks that hold a lock over an `.await`; tasks and threads on the same keys | [`AsyncStripedMutex`], [`AsyncStripedRwLock`] | the feature `diagnose` reports it |
//! | at most n holders at a time for each key | [`AsyncStripedSemaphore`] | the feature `diagnose` reports it |
//! | something else for each stripe | [`Striped`] | it locks nothing |
//!
//! Code that never holds a lock over an `.await` is faster with the blocking types, in async programs too.
//!
//! # Methods, blocking and async
//!
//! | to lock | blocking | async |
//! |---|---|---|
//! | one key | [`lock`](StripedMutex::lock) | [`lock(..).await`](AsyncStripedMutex::lock), from a thread [`blocking_lock`](AsyncStripedMutex::blocking_lock) |
//! | one key, if it is free | [`try_lock`](StripedMutex::try_lock) | [`try_lock`](AsyncStripedMutex::try_lock) |
//! | one key, within a time | [`try_lock_for`](StripedMutex::try_lock_for) | [`lock_timeout`](AsyncStripedMutex::lock_timeout) |
//! | one key, with a guard that owns the set | [`lock_arc`](StripedMutex::lock_arc) | [`lock_owned`](AsyncStripedMutex::lock_owned) |
//! | several keys | [`lock_many`](StripedMutex::lock_many) | [`lock_many(..).await`](AsyncStripedMutex::lock_many) |
//! | all stripes | [`lock_all`](StripedMutex::lock_all) | [`lock_all().await`](AsyncStripedMutex::lock_all) |
//!
//! Read-write locks have `read`, `write` and `upgradable_read` in the same forms. Their
//! [`batch`](StripedRwLock::batch) locks some keys for reading and others for writing.
//!
//! # Not for
//!
//! - A few keys that are known beforehand: give each a lock of its own.
//! - A single hot key: no number of stripes makes it faster.
//! - Sections that do one operation on a concurrent map: the map has stripes inside.
//! - Several processes or machines: use the crate `stripe-lock-dist`.
//!
//! # Guide
//!
//! - [choosing stripes](guide::choosing_stripes): stripes or exact keys, how many stripes, data inside or outside
//! - [choosing a hasher](guide::choosing_a_hasher): what an attacker can do with the wrong one
//! - [lock order](guide::lock_order): why several keys cannot deadlock, and what to do if a key is known late
//! - [async pitfalls](guide::async_pitfalls): guards over an await, tasks that wait for themselves, cancelling
//! - [seeing what waits](guide::seeing_what_waits): counters, events, diagnosis
//! - [model checking](guide::model_checking): how to test a program that uses these locks with loom
//! - [coming from other libraries](guide::coming_from): Guava, dashmap, lockable, tokio, .NET

#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

// The README's code is tested with the documentation.
#[cfg(all(doctest, feature = "async", feature = "parking_lot", feature = "ahash", feature = "fnv"))]
#[doc = include_str!("../README.md")]
mod readme {}

#[cfg(feature = "async")]
pub mod asynchronous;
pub mod blocking;
#[cfg(all(
    any(doc, doctest),
    feature = "async",
    feature = "parking_lot",
    feature = "ahash",
    feature = "fnv"
))]
pub mod guide;
mod shared;

#[cfg(feature = "async")]
#[doc(inline)]
pub use asynchronous::keyed::{AsyncKeyedMutex, KeyedMutex};
#[cfg(feature = "async")]
#[doc(inline)]
pub use asynchronous::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};
#[doc(inline)]
pub use blocking::{StripedMutex, StripedReentrantMutex, StripedRwLock, raw};
#[cfg(feature = "std")]
pub use shared::capacity::expected_parallelism;
pub use shared::capacity::{Workload, recommended_stripes};
pub use shared::extend::{ExtendError, Extended};
pub use shared::hash::DefaultHasher;
#[cfg(feature = "fnv")]
pub use shared::hash::Fnv1a;
#[cfg(feature = "std")]
pub use shared::hash::SipHash;
pub use shared::pair::Pair;
pub use shared::stripe_set::{Iter, StripeSet};
pub use shared::striped::{DEFAULT_STRIPES, MAX_STRIPES, Striped};

#[cfg(feature = "lock_api")]
pub use lock_api;

//! Exact locks: unequal keys never wait for each other.
//!
//! Start from [`KeyedMutex`] and [`AsyncKeyedMutex`]; this module has the parts that they share. A set has no entry for a free key,
//! so it needs no clean-up, and takes memory only for the keys that are held at the same time.
//!
//! # How it works
//!
//! The set is an array of *buckets*, and the hash of a key selects its bucket. A bucket has a word of 64 bits. If no
//! key of the bucket is held, locking a key is one atomic exchange of the word, from 0 to 63 bits of the key's hash,
//! and releasing it is one exchange back. Equal keys have equal hashes, so they exclude each other. Two unequal keys
//! have the same 63 bits with a chance of 1 in 2^63, and then they exclude each other too.
//!
//! If two held keys share a bucket, or if there is a waiter, the bucket has a *table* under a lock: the keys that are
//! held, and a queue for each key with waiters. A waiter is linked into the queue from within a pinned future. A task
//! polls the future, or a thread, which parks between two polls. When the table is empty, the word is used again.
//!
//! A waiter for several keys takes them one after the other, in ascending order of their hashes, and waits in one
//! queue at a time. So waiters for several keys can't deadlock with each other.
//!
//! `lock_all` takes one bucket after the other, and waits in each until no key in it is held. Meanwhile newcomers in
//! that bucket wait, except those that hold a key already, because `lock_all` may be waiting for that key.
//!
//! Locking, being served, releasing and giving up take a constant number of steps, however many keys are held and
//! waited for. No code of the caller runs under the lock of a table: neither hashes nor wakers.
//!
//! [`KeyedMutex`]: crate::KeyedMutex
//! [`AsyncKeyedMutex`]: crate::AsyncKeyedMutex

mod bucket;
#[cfg(feature = "diagnose")]
mod diagnosis;
mod every;
mod extend;
mod guard;
mod monitor;
mod record;
mod set;
#[cfg(feature = "stats")]
mod stats;
mod table;
mod tags;
mod tasks;
mod threads;
mod wait;

pub use every::{
    ArcKeyedMutexAllGuard, AsyncKeyedMutexAllGuard, KeyedMutexAllGuard, OwnedAsyncKeyedMutexAllGuard,
};
pub use guard::KeyedGuard;
pub use set::{Face, Keyed, Tasks, Threads};
#[cfg(feature = "stats")]
pub use stats::KeyedStats;
pub use tags::{Every, Many, One};
pub use tasks::{
    AsyncKeyedMutex, AsyncKeyedMutexGuard, AsyncKeyedMutexMultiGuard, OwnedAsyncKeyedMutexGuard,
    OwnedAsyncKeyedMutexMultiGuard,
};
pub use threads::{
    ArcKeyedMutexGuard, ArcKeyedMutexMultiGuard, KeyedMutex, KeyedMutexGuard, KeyedMutexMultiGuard,
};
pub use wait::AcquireKeys;

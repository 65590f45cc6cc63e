//! The async locks, from the futures down to the words of the stripes: the code itself, not a model of it.
//!
//! Under loom, limits are lower, so that three threads reach every state of a word and of a node. Two newcomers may
//! overtake instead of twelve, one waiter is served while a bucket is locked, and a release takes one more stripe for a
//! waiter.
#![cfg(loom)]

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod hand_over;
mod limits;
mod multi;
mod panics;
mod parker;
mod permits;
mod shared;
mod single;
mod upgrading;

use std::pin::Pin;
use std::task::Poll;

use common::{Data, Identity, all, poll_once, queued, wait};
use loom::future::block_on;
use loom::sync::Arc;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, Striped};

const EXHAUSTIVE: Option<usize> = None;

/// Keys of the first `N` of `stripes` stripes.
fn keys<const N: usize>(stripes: usize) -> [u64; N] {
    let set = Striped::<u64, (), Identity>::from_fn(stripes, Identity::default(), |_| ());
    std::array::from_fn(|stripe| (0..64).find(|key| set.stripe_of(key) == stripe).unwrap())
}

/// The keys of the two stripes of a set of two.
fn two_keys() -> [u64; 2] {
    keys(2)
}

type Mutexes = AsyncStripedMutex<u64, Data, Identity>;

type RwLocks = AsyncStripedRwLock<u64, Data, Identity>;
type Semaphores = AsyncStripedSemaphore<u64, Identity>;

fn mutexes(stripes: usize) -> Arc<Mutexes> {
    Arc::new(Mutexes::with_hasher(stripes, Identity::default()))
}

/// For owned guards, which need the standard library's `Arc`.
fn shared_mutexes(stripes: usize) -> std::sync::Arc<Mutexes> {
    std::sync::Arc::new(Mutexes::with_hasher(stripes, Identity::default()))
}

/// As [`shared_mutexes`].
fn shared_rwlocks(stripes: usize) -> std::sync::Arc<RwLocks> {
    std::sync::Arc::new(RwLocks::with_hasher(stripes, Identity::default()))
}

/// The output of a future that must be ready.
fn ready<F: Future>(mut future: Pin<Box<F>>) -> F::Output {
    match poll_once(future.as_mut()) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it should be ready"),
    }
}

/// Locks the stripe of key 0, and adds 1.
fn single(locks: &Mutexes) {
    block_on(locks.lock(&0)).add();
}

fn sum(locks: Arc<Mutexes>) -> usize {
    total(&locks)
}

/// The sum of all stripes.
fn total(locks: &Mutexes) -> usize {
    let guard = locks.try_lock_all().expect("nothing stays held");
    guard.iter().map(|(_, data)| data.get()).sum()
}

//! The async locks, from the futures down to the words of the stripes: the code itself, not a model of it.
//!
//! Under loom two newcomers may overtake instead of twelve, so that three threads reach every state of a word.
#![cfg(stripe_lock_loom)]

mod multi;
mod shared;
mod single;

use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use stripe_lock::{AsyncStripedMutex, Striped};

const EXHAUSTIVE: Option<usize> = None;

/// A hasher that lets a model name its stripes.
#[derive(Clone, Default)]
struct Identity(u64);

impl BuildHasher for Identity {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// The keys of the two stripes of a set of two.
fn two_keys() -> [u64; 2] {
    let set = Striped::<u64, (), Identity>::from_fn(2, Identity::default(), |_| ());
    [0, 1].map(|stripe| (0..64).find(|key| set.stripe_of(key) == stripe).unwrap())
}

/// A counter that loom watches: two at a time in it is a failure.
#[derive(Default)]
struct Data(UnsafeCell<usize>);

// SAFETY: loom reports every access that the lock does not order.
unsafe impl Sync for Data {}

impl Data {
    fn add(&self) {
        // SAFETY: loom checks it.
        self.0.with_mut(|count| unsafe { *count += 1 });
    }

    fn get(&self) -> usize {
        // SAFETY: loom checks it.
        self.0.with(|count| unsafe { *count })
    }
}

type Mutexes = AsyncStripedMutex<u64, Data, Identity>;

fn mutexes(stripes: usize) -> Arc<Mutexes> {
    Arc::new(Mutexes::with_hasher(stripes, Identity::default()))
}

/// Runs one closure in each of several threads, the last one in this.
fn all<L: Send + Sync + 'static>(locks: &Arc<L>, parts: Vec<fn(&L)>) {
    let mut parts = parts.into_iter();
    let here = parts.next().unwrap();
    let threads: Vec<_> = parts
        .map(|part| {
            let locks = locks.clone();
            thread::spawn(move || part(&locks))
        })
        .collect();
    here(locks);
    for thread in threads {
        thread.join().unwrap();
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Asks for the stripe of key 0, gets it, adds one.
fn single(locks: &Mutexes) {
    block_on(locks.lock(&0)).add();
}

fn sum(locks: Arc<Mutexes>) -> usize {
    let guard = locks.try_lock_all().expect("nothing stays held");
    guard.iter().map(|(_, data)| data.get()).sum()
}

//! The async locks, from the futures down to the words of the stripes: the code itself, not a model of it.
//!
//! Under loom two newcomers may overtake instead of twelve, one waiter is served for one lock of a bucket and a release takes
//! one more stripe for a waiter, so that three threads reach every state of a word and of a node.
#![cfg(stripe_lock_loom)]

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

use std::hash::{BuildHasher, Hasher};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, Striped};

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

/// Keys of the first `N` stripes of a set of so many.
fn keys<const N: usize>(stripes: usize) -> [u64; N] {
    let set = Striped::<u64, (), Identity>::from_fn(stripes, Identity::default(), |_| ());
    std::array::from_fn(|stripe| (0..64).find(|key| set.stripe_of(key) == stripe).unwrap())
}

/// The keys of the two stripes of a set of two.
fn two_keys() -> [u64; 2] {
    keys(2)
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

type RwLocks = AsyncStripedRwLock<u64, Data, Identity>;
type Semaphores = AsyncStripedSemaphore<u64, Identity>;

fn mutexes(stripes: usize) -> Arc<Mutexes> {
    Arc::new(Mutexes::with_hasher(stripes, Identity::default()))
}

/// For owned guards, which want the standard library's `Arc`.
fn shared_mutexes(stripes: usize) -> std::sync::Arc<Mutexes> {
    std::sync::Arc::new(Mutexes::with_hasher(stripes, Identity::default()))
}

/// The same.
fn shared_rwlocks(stripes: usize) -> std::sync::Arc<RwLocks> {
    std::sync::Arc::new(RwLocks::with_hasher(stripes, Identity::default()))
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

/// Unparks the thread that waits.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, which is polled when it was woken, and only then. (loom's `block_on` also polls it for no
/// reason, and counts what holds its waker, which takes many more executions.)
fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = std::sync::Arc::new(Unpark(thread::current())).into();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// The future, once it has joined a queue: for another thread to await.
fn queued<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(poll_once(future.as_mut()).is_pending());
    future
}

/// What a future is that must be ready by now.
fn ready<F: Future>(mut future: Pin<Box<F>>) -> F::Output {
    match poll_once(future.as_mut()) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it should be ready"),
    }
}

/// Asks for the stripe of key 0, gets it, adds one.
fn single(locks: &Mutexes) {
    block_on(locks.lock(&0)).add();
}

fn sum(locks: Arc<Mutexes>) -> usize {
    total(&locks)
}

/// What was added to all stripes.
fn total(locks: &Mutexes) -> usize {
    let guard = locks.try_lock_all().expect("nothing stays held");
    guard.iter().map(|(_, data)| data.get()).sum()
}

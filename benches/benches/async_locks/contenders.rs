//! Async mutexes by key: ours, those of other crates striped by hand with the same hasher, and the limit by hand.

use std::{
    hint::black_box,
    sync::atomic::{
        AtomicU8,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread,
};

use crossbeam_utils::CachePadded;
use stripe_lock::{AsyncStripedMutex, DefaultHasher, Striped};

use crate::now;

pub(crate) const STRIPES: usize = 64;
pub(crate) const OURS: &str = "stripe-lock";

/// Stripes of somebody else's lock, as one would write them: each on its own cache line, by our hasher.
pub(crate) type ByHand<L> = Striped<u64, CachePadded<L>, DefaultHasher>;

/// An async mutex by key.
pub(crate) trait Contender: Send + Sync + 'static {
    const NAME: &'static str;
    fn new() -> Self;
    fn with<F: Future<Output: Send> + Send>(
        &self,
        key: u64,
        section: F,
    ) -> impl Future<Output = F::Output> + Send;
    /// The stripe that a key belongs to.
    fn stripe(&self, key: u64) -> usize;
    /// Locks and unlocks, polling the lock's own future once.
    fn once(&self, key: u64);
    /// Holds the locks of all keys, taken in ascending order of stripes.
    fn with_many(&self, keys: &[u64]) -> impl Future<Output = ()> + Send;
}

pub(crate) fn by_hand<L: Default>() -> ByHand<L> {
    Striped::from_fn(STRIPES, DefaultHasher::default(), |_| CachePadded::default())
}

/// The stripes of some keys, ascending, as one would collect them for locks without a set of their own.
fn in_order<L>(locks: &ByHand<L>, keys: &[u64]) -> Vec<usize> {
    let mut stripes: Vec<_> = keys.iter().map(|key| locks.stripe_of(key)).collect();
    stripes.sort_unstable();
    stripes.dedup();
    stripes
}

impl Contender for AsyncStripedMutex<u64> {
    const NAME: &'static str = OURS;
    fn new() -> Self {
        Self::new(STRIPES)
    }
    fn stripe(&self, key: u64) -> usize {
        self.stripe_of(&key)
    }
    #[inline]
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let _guard = self.lock(&key).await;
        section.await
    }
    #[inline]
    fn once(&self, key: u64) {
        drop(now(self.lock(&key)));
    }
    #[inline]
    async fn with_many(&self, keys: &[u64]) {
        black_box(&self.lock_many(keys).await);
    }
}

/// A mutex with guards by reference.
macro_rules! guarded {
    ($lock:ty, $name:literal) => {
        impl Contender for ByHand<$lock> {
            const NAME: &'static str = $name;
            fn new() -> Self {
                by_hand()
            }
            fn stripe(&self, key: u64) -> usize {
                self.stripe_of(&key)
            }
            #[inline]
            async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
                let _guard = self.get(&key).lock().await;
                section.await
            }
            #[inline]
            fn once(&self, key: u64) {
                drop(now(self.get(&key).lock()));
            }
            #[inline]
            async fn with_many(&self, keys: &[u64]) {
                let stripes = in_order(self, keys);
                let mut guards = Vec::with_capacity(stripes.len());
                for stripe in stripes {
                    guards.push(self.stripe(stripe).lock().await);
                }
                black_box(&guards);
            }
        }
    };
}

guarded!(tokio::sync::Mutex<()>, "tokio");
guarded!(async_lock::Mutex<()>, "async-lock");
guarded!(futures_util::lock::Mutex<()>, "futures");

impl Contender for ByHand<saa::Lock> {
    const NAME: &'static str = "saa";
    fn new() -> Self {
        by_hand()
    }
    fn stripe(&self, key: u64) -> usize {
        self.stripe_of(&key)
    }
    #[inline]
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let lock = self.get(&key);
        lock.lock_async().await;
        let output = section.await;
        lock.release_lock();
        output
    }
    #[inline]
    fn once(&self, key: u64) {
        let lock = self.get(&key);
        now(lock.lock_async());
        lock.release_lock();
    }
    #[inline]
    async fn with_many(&self, keys: &[u64]) {
        let stripes = in_order(self, keys);
        for &stripe in &stripes {
            self.stripe(stripe).lock_async().await;
        }
        for &stripe in stripes.iter().rev() {
            self.stripe(stripe).release_lock();
        }
    }
}

/// The hand-written limit: a hash, an exchange to lock, an exchange to unlock; for several keys, over the bits of a word.
pub(crate) type Pairs = ByHand<AtomicU8>;

/// It is no limit of how to wait, so who has to wait yields.
#[inline]
fn take(lock: &AtomicU8) {
    while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
        thread::yield_now();
    }
}

#[inline]
fn leave(lock: &AtomicU8) {
    let _ = lock.compare_exchange(1, 0, Release, Relaxed);
}

impl Contender for Pairs {
    const NAME: &'static str = "by hand";
    fn new() -> Self {
        by_hand()
    }
    fn stripe(&self, key: u64) -> usize {
        self.stripe_of(&key)
    }
    #[inline]
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let lock = self.get(&key);
        take(lock);
        let output = section.await;
        leave(lock);
        output
    }
    #[inline]
    fn once(&self, key: u64) {
        let lock = self.get(&key);
        take(lock);
        leave(lock);
    }
    #[inline]
    async fn with_many(&self, keys: &[u64]) {
        let wanted = keys.iter().fold(0_u64, |bits, key| bits | 1 << self.stripe_of(key));
        let each = |run: fn(&AtomicU8)| {
            let mut left = wanted;
            while left != 0 {
                run(self.stripe(left.trailing_zeros() as usize));
                left &= left - 1;
            }
        };
        each(take);
        black_box(());
        each(leave);
    }
}

/// `lockable`'s pool, which has a lock for every key that is in use.
pub(crate) struct Lockable(lockable::LockPool<u64>);

impl Contender for Lockable {
    const NAME: &'static str = "lockable";
    fn new() -> Self {
        Self(lockable::LockPool::new())
    }
    fn stripe(&self, key: u64) -> usize {
        key as usize
    }
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let _guard = self.0.async_lock(key).await;
        section.await
    }
    fn once(&self, key: u64) {
        drop(now(self.0.async_lock(key)));
    }
    async fn with_many(&self, keys: &[u64]) {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let mut guards = Vec::new();
        for key in keys {
            guards.push(self.0.async_lock(key).await);
        }
    }
}

/// `striped-lock`, which has no lock of several keys.
pub(crate) struct StripedLock(striped_lock::tokio::StripedLock<u64, DefaultHasher>);

impl Contender for StripedLock {
    const NAME: &'static str = "striped-lock";
    fn new() -> Self {
        let stripes = STRIPES.try_into().expect("more than none");
        Self(striped_lock::tokio::StripedLock::with_hasher(DefaultHasher::default(), stripes))
    }
    fn stripe(&self, _key: u64) -> usize {
        unreachable!("it does not tell");
    }
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let _guard = self.0.lock(key).await;
        section.await
    }
    fn once(&self, key: u64) {
        drop(now(self.0.lock(key)));
    }
    async fn with_many(&self, _keys: &[u64]) {
        unreachable!("it has none");
    }
}

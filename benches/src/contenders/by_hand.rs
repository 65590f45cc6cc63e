//! Locks as one would write them without a crate: the limits that ours is compared with, and the usual first attempts.

use std::{
    hash::{BuildHasher, Hash},
    iter,
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread,
};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use stripe_lock::raw::{ByteMutex, GuardNoSend, RawMutex};

use super::traits::{KeyLock, KeyRwLock, MultiLock};

/// No lock at all.
pub struct Unlocked;

impl<K: ?Sized> KeyLock<K> for Unlocked {
    #[inline]
    fn with<R>(&self, _key: &K, section: impl FnOnce() -> R) -> R {
        section()
    }
}

/// 2^64 divided by the golden ratio, made odd: Knuth's multiplier for hashing by multiplication.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The stripe of a key: the top bits of its mixed hash, as every striped lock here takes it.
fn stripe_of(hasher: &impl BuildHasher, key: &(impl Hash + ?Sized), stripes: usize) -> usize {
    debug_assert!(stripes.is_power_of_two() && stripes > 1);
    (hasher.hash_one(key).wrapping_mul(SPREAD) >> (64 - stripes.trailing_zeros())) as usize
}

/// A hash, a compare-and-swap to lock and one to unlock, each stripe on its own cache line: what most locks do. It
/// only spins, so it is not meant for use.
pub struct CasPair<S> {
    stripes: Box<[CachePadded<AtomicBool>]>,
    hasher: S,
}

impl<S: BuildHasher> CasPair<S> {
    /// A pair over `stripes` stripes, a power of two above one.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self { stripes: iter::repeat_with(CachePadded::default).take(stripes).collect(), hasher }
    }

    #[inline]
    fn lock(&self, stripe: usize) {
        while self.stripes[stripe].compare_exchange_weak(false, true, Acquire, Relaxed).is_err() {
            thread::yield_now();
        }
    }

    #[inline]
    fn unlock(&self, stripe: usize) {
        let unlocked = self.stripes[stripe].compare_exchange(true, false, Release, Relaxed);
        debug_assert_eq!(unlocked, Ok(true), "only the holder unlocks");
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyLock<K> for CasPair<S> {
    #[inline]
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let stripe = stripe_of(&self.hasher, key, self.stripes.len());
        self.lock(stripe);
        let result = section();
        self.unlock(stripe);
        result
    }

    fn apart(&self, one: &K, other: &K) -> bool {
        let stripes = self.stripes.len();
        stripe_of(&self.hasher, one, stripes) != stripe_of(&self.hasher, other, stripes)
    }
}

/// The minimal cost of a lock by key: a hash, an exchange to lock and a store to unlock. Its waiters spin and cannot
/// sleep.
pub struct SwapStore<S>(CasPair<S>);

impl<S: BuildHasher> SwapStore<S> {
    /// Over `stripes` stripes, a power of two above one.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self(CasPair::new(stripes, hasher))
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyLock<K> for SwapStore<S> {
    #[inline]
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let stripe = &self.0.stripes[stripe_of(&self.0.hasher, key, self.0.stripes.len())];
        while stripe.swap(true, Acquire) {
            thread::yield_now();
        }
        let result = section();
        stripe.store(false, Release);
        result
    }
}

/// Locking several keys without a guard: set a bit for each stripe, then lock the bits from the lowest up, each
/// by a compare-and-swap. For exactly 64 stripes.
pub struct Bitmap<S>(CasPair<S>);

impl<S: BuildHasher> Bitmap<S> {
    /// A bitmap over 64 stripes.
    pub fn new(hasher: S) -> Self {
        Self(CasPair::new(64, hasher))
    }
}

impl<K: Hash, S: BuildHasher + Send + Sync> MultiLock<K> for Bitmap<S> {
    #[inline]
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let wanted = keys.iter().fold(0_u64, |bits, key| bits | 1 << stripe_of(&self.0.hasher, key, 64));
        for_each_bit(wanted, |stripe| self.0.lock(stripe));
        let result = section();
        for_each_bit(wanted, |stripe| self.0.unlock(stripe));
        result
    }
}

/// The same loop over the library's raw mutex.
pub struct ByteBitmap<S> {
    stripes: Box<[CachePadded<ByteMutex>]>,
    hasher: S,
}

impl<S: BuildHasher> ByteBitmap<S> {
    /// A bitmap over 64 stripes.
    pub fn new(hasher: S) -> Self {
        Self { stripes: (0..64).map(|_| CachePadded::new(ByteMutex::INIT)).collect(), hasher }
    }
}

impl<K: Hash, S: BuildHasher + Send + Sync> MultiLock<K> for ByteBitmap<S> {
    #[inline]
    #[allow(unsafe_code, reason = "a raw mutex is released by hand")]
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let wanted = keys.iter().fold(0_u64, |bits, key| bits | 1 << stripe_of(&self.hasher, key, 64));
        for_each_bit(wanted, |stripe| {
            self.stripes[stripe].lock();
        });
        let result = section();
        // SAFETY: this thread has locked the same stripes above.
        for_each_bit(wanted, |stripe| unsafe { self.stripes[stripe].unlock(GuardNoSend::new()) });
        result
    }
}

#[inline]
fn for_each_bit(mut bits: u64, mut f: impl FnMut(usize)) {
    while bits != 0 {
        f(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// How several keys are usually locked by hand: collect the stripes, sort, deduplicate, collect the guards.
pub struct SortDedup<S> {
    stripes: Box<[CachePadded<Mutex<()>>]>,
    hasher: S,
}

impl<S: BuildHasher> SortDedup<S> {
    /// Over `stripes` stripes, a power of two above one.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self { stripes: iter::repeat_with(CachePadded::default).take(stripes).collect(), hasher }
    }
}

impl<K: Hash, S: BuildHasher + Send + Sync> MultiLock<K> for SortDedup<S> {
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let mut wanted: Vec<_> =
            keys.iter().map(|key| stripe_of(&self.hasher, key, self.stripes.len())).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let _guards: Vec<_> = wanted.iter().map(|&stripe| self.stripes[stripe].lock()).collect();
        section()
    }
}

/// One lock for all keys, of `std` or of `parking_lot`.
pub struct GlobalMutex<M>(pub M);

impl<K: ?Sized> KeyLock<K> for GlobalMutex<std::sync::Mutex<()>> {
    #[inline]
    fn with<R>(&self, _key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock().expect("sections do not panic");
        section()
    }

    fn apart(&self, _one: &K, _other: &K) -> bool {
        false
    }
}

impl<K: ?Sized> KeyLock<K> for GlobalMutex<Mutex<()>> {
    #[inline]
    fn with<R>(&self, _key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock();
        section()
    }

    fn apart(&self, _one: &K, _other: &K) -> bool {
        false
    }
}

/// One read-write lock for all keys.
#[derive(Default)]
pub struct GlobalRwLock(parking_lot::RwLock<()>);

impl<K: ?Sized> KeyRwLock<K> for GlobalRwLock {
    #[inline]
    fn read<R>(&self, _key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.read();
        section()
    }

    #[inline]
    fn write<R>(&self, _key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.write();
        section()
    }
}

//! Up to 16 keys of stripes, 12 exact keys or 64 stripes need no heap memory. The allocator of this program counts.
//!
//! The record of debug builds keeps its memory once it has grown, so this holds in every profile.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use common::{LONG, keys};
use stripe_lock::blocking::{Batch, Guard};
use stripe_lock::{StripedMutex, StripedReentrantMutex, StripedRwLock};

struct Counting;

thread_local! {
    /// The count of this thread, so that tests on other threads don't matter.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller promises the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller promises the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many allocations the third run of `body` makes.
fn allocations<O>(mut body: impl FnMut() -> O) -> usize {
    for _ in 0..2 {
        drop(black_box(body()));
    }
    let before = ALLOCATIONS.get();
    drop(black_box(body()));
    ALLOCATIONS.get() - before
}

macro_rules! assert_none {
    ($($body:expr),* $(,)?) => {
        $(assert_eq!(allocations(|| $body), 0, "{}", stringify!($body));)*
    };
}

#[test]
fn the_count_sees_allocations() {
    assert_eq!(allocations(|| Box::new(7)), 1);
    assert_eq!(allocations(|| vec![0_u8; 100].into_iter().map(u64::from).collect::<Vec<_>>()), 2);
    let locks = StripedMutex::<u64>::new(1024);
    let seventeen = keys(17, |key| locks.stripe_of(key));
    assert!(allocations(|| locks.lock_many(&seventeen)) > 0, "one more than is promised");
}

#[test]
fn one_key() {
    let (locks, rw) = (Arc::new(StripedMutex::<str, u64>::new(1024)), StripedRwLock::<str, u64>::new(1024));
    let reentrant = StripedReentrantMutex::<str, Cell<u64>>::new(1024);
    let in_time = Instant::now() + LONG;
    assert_none!(
        locks.lock("key"),
        locks.try_lock("key"),
        locks.try_lock_for("key", LONG),
        locks.try_lock_until("key", in_time),
        locks.lock_arc("key"),
        locks.with("key", |n| *n += 1),
        Guard::unlock_fair(locks.lock("key")),
        (locks.lock("key"), locks.try_lock("key").is_none()),
        rw.read("key"),
        rw.write("key"),
        Guard::downgrade(Guard::upgrade(rw.upgradable_read("key"))),
        (reentrant.lock("key"), reentrant.lock("key")),
    );
}

#[test]
fn sixteen_keys_of_many_stripes() {
    let (locks, rw) = (StripedMutex::<u64, u64>::new(1024), StripedRwLock::<u64, u64>::new(1024));
    let mut sixteen = keys(16, |key| locks.stripe_of(key));
    sixteen.reverse();
    let mut rw_sixteen = keys(16, |key| rw.stripe_of(key));
    rw_sixteen.reverse();
    let in_time = Instant::now() + LONG;
    assert_eq!(locks.lock_many(&sixteen).len(), 16);
    assert_none!(
        locks.lock_many(&sixteen),
        locks.try_lock_many(&sixteen),
        locks.try_lock_many_until(&sixteen, in_time),
        locks.lock_many(&sixteen).unlock_fair(),
        (locks.lock(&sixteen[7]), locks.try_lock_many(&sixteen).is_none()),
        rw.read_many(&rw_sixteen),
        rw.write_many(&rw_sixteen),
        rw_sixteen.iter().fold(rw.batch(), Batch::write).lock(),
        rw_sixteen.iter().fold(rw.batch(), Batch::read).try_lock(),
        rw.batch().read(&rw_sixteen[3]).write(&rw_sixteen[9]).try_lock_until(in_time),
    );
    assert_eq!(allocations(|| locks.lock_many(&sixteen).iter_mut().for_each(|(_, n)| *n += 1)), 0);
    let grow = || {
        let mut guard = locks.lock_many(&sixteen[8..]);
        sixteen[..8].iter().for_each(|key| guard.extend(key).unwrap());
        guard
    };
    assert_eq!(grow().len(), 16);
    assert_none!(grow());
}

#[test]
fn any_number_of_keys_of_64_stripes() {
    let (locks, rw) = (StripedMutex::<u64, u64>::new(64), StripedRwLock::<u64, u64>::new(64));
    let reentrant = StripedReentrantMutex::<u64, Cell<u64>>::new(64);
    let thousand: Vec<u64> = (0..1000).collect();
    assert_eq!(locks.lock_many(&thousand).len(), 64);
    assert_none!(
        locks.lock_many(&thousand),
        locks.try_lock_many(&thousand),
        locks.lock_all(),
        locks.lock_all().unlock_fair(),
        rw.read_many(&thousand),
        rw.write_all(),
        thousand
            .iter()
            .fold(rw.batch(), |batch, key| if key % 2 == 0 { batch.read(key) } else { batch.write(key) })
            .lock(),
        (reentrant.lock_all(), reentrant.lock_many(&thousand)),
    );
}

/// The feature `diagnose` stores the holders.
#[cfg(all(feature = "async", not(feature = "diagnose")))]
#[test]
fn exact_keys() {
    use stripe_lock::asynchronous::keyed::KeyedGuard;
    use stripe_lock::{AsyncKeyedMutex, DefaultHasher, KeyedMutex, SipHash};

    let (locks, few) =
        (Arc::new(KeyedMutex::<u64>::new()), KeyedMutex::<u64, _>::with_hasher(1, SipHash::new()));
    let tasks = AsyncKeyedMutex::<u64, _>::with_hasher(1024, DefaultHasher::default());
    let (twelve, thirteen): (Vec<u64>, Vec<u64>) = ((0..12).collect(), (0..13).collect());
    let in_time = Instant::now() + LONG;
    assert_none!(
        locks.lock(&1),
        locks.try_lock(&1),
        locks.try_lock_for(&1, LONG),
        locks.try_lock_until(&1, in_time),
        locks.lock_arc(&1),
        (locks.lock(&1), locks.try_lock(&1).is_none()),
        KeyedGuard::unlock_fair(locks.lock(&1)),
        locks.lock_many(&twelve),
        tasks.blocking_lock(&1),
        tasks.try_lock_many(&twelve),
        // If keys share a bucket, the bucket has grown, and keeps its memory for a few keys.
        (few.lock(&1), few.lock(&2), few.lock(&3)),
    );
    assert!(allocations(|| locks.lock_many(&thirteen)) > 0, "one more than is promised");
}

//! Feature `stats`: the counters are exact, and only contended acquisitions count as contended.
#![cfg(feature = "stats")]

use std::thread;
use std::time::{Duration, Instant};

use crate::common::spin_rwlock::SpinRwLock;
use crate::common::{SHORT, elsewhere, keys, watched};
use stripe_lock::blocking::Guard;
use stripe_lock::{DefaultHasher, StripedMutex, StripedReentrantMutex, StripedRwLock};

#[test]
fn every_acquisition_counts_once_and_no_failure_does() {
    let locks = StripedMutex::<u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let counted = || locks.stats().stripes().iter().map(|stripe| stripe.acquisitions).collect::<Vec<_>>();
    drop(locks.lock(&keys[3]));
    drop(locks.try_lock(&keys[3]));
    Guard::unlock_fair(locks.lock(&keys[3]));
    assert_eq!(counted(), [0, 0, 0, 3, 0, 0, 0, 0]);
    let mut guard = locks.lock_many(&keys[4..6]);
    guard.extend(&keys[6]).unwrap();
    guard.try_extend(&keys[6]).unwrap();
    assert_eq!(counted(), [0, 0, 0, 3, 1, 1, 1, 0]);
    elsewhere(|| {
        assert!(locks.try_lock(&keys[5]).is_none() && locks.try_lock_for(&keys[5], SHORT).is_none());
        assert!(locks.try_lock_many(&keys[4..]).is_none());
    });
    assert_eq!(counted(), [0, 0, 0, 3, 1, 1, 1, 0]);
    drop(guard);
    drop(locks.lock_all());
    let stats = locks.stats();
    assert_eq!(counted(), [1, 1, 1, 4, 2, 2, 2, 1]);
    assert_eq!((stats.acquisitions(), stats.contended(), stats.waited()), (14, 0, Duration::ZERO));
}

/// Runs `body` on 8 threads, 1,000 times on each.
fn from_many_threads(body: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for thread in 0..8 {
            let body = &body;
            scope.spawn(move || (0..1_000).for_each(|i| body(i * 8 + thread)));
        }
    });
}

#[test]
fn counts_are_exact_under_threads() {
    watched(|| {
        let locks = StripedMutex::<u64>::new(4);
        from_many_threads(|key| drop(locks.lock(&key)));
        assert_eq!(locks.stats().acquisitions(), 8_000);

        // Readers count while other readers do: no count may be lost.
        let rw =
            StripedRwLock::<u64, (), SpinRwLock, DefaultHasher>::with_hasher(4, DefaultHasher::default());
        from_many_threads(|key| match key % 3 {
            0 => drop(rw.write(&key)),
            1 => drop(rw.read(&key)),
            _ => drop(rw.upgradable_read(&key)),
        });
        assert_eq!(rw.stats().acquisitions(), 8_000);
        from_many_threads(|key| drop(rw.batch().read(&key).write(&(key + 1)).lock()));
        let sharing = (0..8_000).filter(|key| rw.stripe_of(key) == rw.stripe_of(&(key + 1))).count() as u64;
        assert_eq!(rw.stats().acquisitions(), 8_000 + 16_000 - sharing);

        let reentrant = StripedReentrantMutex::<u64>::new(4);
        from_many_threads(|key| drop((reentrant.lock(&key), reentrant.lock(&key))));
        assert_eq!(reentrant.stats().acquisitions(), 16_000);
    });
}

#[test]
fn waiting_is_counted_where_it_happens() {
    watched(|| {
        let locks = StripedMutex::<u64>::new(4);
        let keys = keys(4, |key| locks.stripe_of(key));
        // Whether the other thread arrives in time to wait depends on the scheduler, so this repeats until it does.
        while locks.stats().contended() == 0 {
            thread::scope(|scope| {
                let guard = locks.lock(&keys[2]);
                scope.spawn(|| drop(locks.lock(&keys[2])));
                thread::sleep(SHORT);
                drop(guard);
            });
        }
        let stats = locks.stats();
        assert_eq!(stats.contended(), 1);
        assert_eq!((stats.stripes()[2].contended, stats.stripes()[2].waited), (1, stats.waited()));
        assert!(!stats.waited().is_zero());
        assert_eq!(stats.hottest(1)[0], (2, stats.stripes()[2]));
        let before = Instant::now();
        drop(locks.lock(&keys[2]));
        assert!(locks.stats().waited() == stats.waited(), "no wait, after {:?}", before.elapsed());
    });
}

#[test]
fn the_hottest_stripes_and_the_skew() {
    let locks = StripedMutex::<u64>::new(4);
    let keys = keys(4, |key| locks.stripe_of(key));
    assert!((locks.stats().skew() - 1.0).abs() < f64::EPSILON, "nothing is perfectly even");
    for (key, times) in keys.iter().zip([1, 5, 0, 2]) {
        (0..times).for_each(|_| drop(locks.lock(key)));
    }
    let stats = locks.stats();
    assert!(stats.hottest(9).iter().map(|(stripe, _)| *stripe).eq([1, 3, 0, 2]));
    assert_eq!(stats.hottest(2).len(), 2);
    assert!((stats.skew() - 2.5).abs() < f64::EPSILON, "5 over a mean of 2");
}

#[test]
fn shown_as_a_table() {
    let locks = StripedMutex::<u64>::new(16);
    let keys = keys(16, |key| locks.stripe_of(key));
    (0..3).for_each(|_| drop(locks.lock(&keys[11])));
    drop(locks.lock(&keys[4]));
    let table = locks.stats().to_string();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(table.lines().next(), Some("16 stripes, 4 acquisitions, 0 contended, 0ns waited, skew 12.00"));
    assert_eq!(lines[1], ["stripe", "acquired", "contended", "waited"]);
    assert_eq!(lines[2], ["11", "3", "0", "0.0ns"]);
    assert_eq!(lines[3], ["4", "1", "0", "0.0ns"]);
    assert_eq!(lines.len(), 2 + 8, "the hottest eight");
}

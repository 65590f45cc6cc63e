//! Feature `stats` of the async sets: waits are counted, and waits for the same key are distinguished from waits for
//! another key.
#![cfg(feature = "stats")]

use std::future::ready;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use stripe_lock::asynchronous::AsyncStats;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, Workload};

/// A waker of a task of its own.
struct Stranger;

impl Wake for Stranger {
    fn wake(self: Arc<Self>) {}
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for `wanted` while `held` is held, and gives up.
fn meet(locks: &AsyncStripedMutex<u64>, held: u64, wanted: u64) {
    let _guard = locks.try_lock(&held).unwrap();
    assert!(poll(pin!(locks.lock(&wanted))).is_pending());
}

#[test]
fn acquisitions_of_free_stripes_are_not_contended() {
    let locks = AsyncStripedMutex::<u64>::new(64);
    (0..100).for_each(|key| drop(locks.blocking_lock(&key)));
    drop(locks.blocking_lock_all());
    let held = locks.try_lock(&1).unwrap();
    assert!(locks.try_lock(&1).is_none(), "a try joins no queue");
    drop(held);
    let stats = locks.stats();
    assert_eq!((stats.contended(), stats.waited()), (0, Duration::ZERO));
    assert_eq!(stats.acquired(), 100 + 64 + 1);
    assert_eq!((stats.false_contention(), stats.same_key(), stats.recommended_stripes()), (None, None, None));
}

#[test]
fn every_wait_counts_once_for_its_stripe() {
    let locks = AsyncStripedMutex::<u64>::new(64);
    let key = (0..1 << 20).find(|key| locks.stripe_of(key) == 63).unwrap();
    let held = locks.try_lock(&key).unwrap();
    let mut waiting = pin!(locks.lock(&key));
    for _ in 0..3 {
        assert!(poll(waiting.as_mut()).is_pending());
    }
    assert_eq!(
        (locks.stats().contended(), locks.stats().waited()),
        (1, Duration::ZERO),
        "the wait is not over"
    );
    std::thread::sleep(Duration::from_millis(2));
    drop(held);
    assert!(poll(waiting.as_mut()).is_ready());
    let stats = locks.stats();
    assert_eq!(stats.contended(), 1);
    assert!(stats.waited() >= Duration::from_millis(2));
    let [(stripe, counts)] = stats.stripes().collect::<Vec<_>>()[..] else { panic!("one stripe: {stats}") };
    assert_eq!(stripe, 63);
    assert_eq!((counts.acquired, counts.contended, counts.waiting), (2, 1, 0));
    assert_eq!((counts.cancelled, counts.waited), (0, stats.waited()));
}

#[test]
fn a_multi_counts_for_each_queue_that_it_joined() {
    let locks = AsyncStripedMutex::<u64>::new(4);
    let mut held: Vec<_> = (0..100).filter_map(|key| locks.try_lock(&key)).collect();
    assert_eq!(held.len(), 4);
    held.sort_by_key(stripe_lock::asynchronous::AsyncGuard::stripe);
    let mut all = pin!(locks.lock_all());
    assert!(poll(all.as_mut()).is_pending());
    drop(held);
    assert!(poll(all.as_mut()).is_ready());
    let stats = locks.stats();
    assert_eq!(stats.contended(), 4);
    assert_eq!(stats.false_contention(), None, "an acquisition of several stripes has no single key");
}

#[test]
fn the_same_key_is_true_contention() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    (0..500).for_each(|key| meet(&locks, key, key));
    let stats = locks.stats();
    assert_eq!((stats.contended(), stats.false_contention(), stats.same_key()), (500, Some(0.0), Some(1.0)));
    assert_eq!(stats.recommended_stripes(), Some(1), "more stripes would be of no use");
}

/// The hasher has a random seed, so the bounds are at least six standard deviations.
#[test]
fn other_keys_are_false_contention() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    (0..4_000).for_each(|key| meet(&locks, key, key + 1_000_000));
    let stats = locks.stats();
    let (_, counts) = stats.stripes().next().unwrap();
    assert!(counts.same_key > 0, "fingerprints meet by chance");
    assert_eq!(counts.same_key + counts.other_key, 4_000);
    assert_eq!((counts.acquired, counts.cancelled), (4_000, 4_000));
    assert!(stats.false_contention().unwrap() > 0.97, "{stats}");
    assert!(stats.same_key().unwrap() < 0.03, "{stats}");
    assert_eq!(
        stats.recommended_stripes(),
        Some(8),
        "every acquisition waited, so eight times as many stripes"
    );
    for _ in 0..60_000 {
        drop(locks.try_lock(&1));
    }
    assert_eq!(locks.stats().recommended_stripes(), Some(1));
}

#[test]
fn a_mixture_is_told_apart() {
    let locks = AsyncStripedMutex::<u64>::new(16);
    // Keys that share stripe 3. A quarter of the waits is for the same key.
    let keys: Vec<u64> = (0..).filter(|key| locks.stripe_of(key) == 3).take(4_001).collect();
    for (n, pair) in keys.windows(2).enumerate() {
        meet(&locks, pair[0], if n % 4 == 0 { pair[0] } else { pair[1] });
    }
    let stats = locks.stats();
    let part = stats.false_contention().unwrap();
    assert!((part - 0.75).abs() < 0.05, "{part}");
    // `same_key` has to reproduce the observed share.
    let same_key = stats.same_key().unwrap();
    let load = Workload { busy: 1.0, keys: 1.0, same_key };
    let (here, floor) = (load.chance_to_block(16, 2), load.chance_to_block(usize::MAX, 2));
    assert!((1.0 - floor / here - part).abs() < 1e-9, "{floor} of {here}");
}

#[test]
fn holders_without_a_key_are_not_told_apart() {
    let locks = AsyncStripedRwLock::<u64>::new(1);
    let reader = locks.try_read(&1).unwrap();
    assert!(poll(pin!(locks.write(&2))).is_pending());
    drop(reader);
    let both = locks.try_write_many(&[1, 2]).unwrap();
    assert!(poll(pin!(locks.write(&1))).is_pending());
    drop(both);
    assert_eq!((locks.stats().contended(), locks.stats().false_contention()), (2, None));
    let writer = locks.try_write(&1).unwrap();
    assert!(poll(pin!(locks.read(&1))).is_pending());
    drop(writer);
    assert_eq!((locks.stats().contended(), locks.stats().false_contention()), (3, Some(0.0)));

    let limits = AsyncStripedSemaphore::<u64>::new(1, 1);
    let permit = limits.try_acquire(&1);
    assert!(poll(pin!(limits.acquire(&1))).is_pending());
    drop(permit);
    assert_eq!((limits.stats().contended(), limits.stats().false_contention()), (1, None));
}

/// The fingerprint in the word is that of the holder, in whichever way it acquired the stripe.
#[test]
fn a_stripe_that_is_handed_over_changes_its_fingerprint() {
    let locks = AsyncStripedMutex::<u64>::new(1).strict_fifo();
    let told = || {
        let counts = locks.stats().stripes().next().map(|(_, counts)| counts).unwrap_or_default();
        (counts.same_key, counts.other_key)
    };
    let (one, other) = distinct(&locks, told);
    let before = told();
    let held = locks.try_lock(&one).unwrap();
    let mut next = pin!(locks.lock(&other));
    assert!(poll(next.as_mut()).is_pending());
    drop(held);
    let stranger = Waker::from(Arc::new(Stranger));
    let mut last = Box::pin(locks.lock(&other));
    assert!(last.as_mut().poll(&mut Context::from_waker(&stranger)).is_pending(), "it was handed over");
    assert!(poll(next.as_mut()).is_ready());
    assert_eq!(told(), (before.0 + 1, before.1 + 1));
}

/// Two keys of different fingerprints.
fn distinct(locks: &AsyncStripedMutex<u64>, told: impl Fn() -> (u64, u64)) -> (u64, u64) {
    let other = (2..1 << 20).find(|&other| {
        let before = told().1;
        meet(locks, 1, other);
        told().1 > before
    });
    (1, other.unwrap())
}

#[tokio::test]
async fn shown_as_a_table() {
    let locks = AsyncStripedMutex::<u64>::new(16);
    let guard = locks.lock(&1).await;
    assert!(locks.lock_timeout(&1, ready(())).await.is_err());
    drop(guard);
    let stats: AsyncStats = locks.stats();
    let table = stats.to_string();
    let lines: Vec<_> = table.lines().collect();
    assert!(
        lines[0].starts_with("16 stripes, 1 acquired, 1 contended, ")
            && lines[0].ends_with(", 0 % of the contention false"),
        "{table}"
    );
    let hottest: Vec<_> = lines[2].split_whitespace().collect();
    assert_eq!(hottest[..4], [&*locks.stripe_of(&1).to_string(), "1", "1", "1"]);
    assert_eq!(lines.len(), 2 + stats.stripes().len().min(8));
    assert!(AsyncStripedMutex::<u64>::new(1).stats().to_string().contains("false contention unknown"));
}

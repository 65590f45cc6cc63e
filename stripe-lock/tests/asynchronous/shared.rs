//! The async read-write lock, its batches, and the semaphore.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::bell::Bell;
use stripe_lock::{AsyncStripedRwLock, AsyncStripedSemaphore};

/// A future with a task of its own.
struct Task<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F: Future> Task<F> {
    /// The future after its first poll, which is pending.
    fn waiting(future: F) -> Self {
        let (bell, waker) = Bell::new();
        let mut task = Self { future: Box::pin(future), bell, waker };
        assert!(task.poll().is_pending());
        task
    }

    fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    fn woken(&self) -> usize {
        self.bell.rings()
    }

    fn done(&mut self) -> F::Output {
        assert!(self.woken() > 0, "it was not woken");
        let Poll::Ready(output) = self.poll() else { panic!("woken for nothing") };
        output
    }
}

#[test]
fn readers_share_and_writers_do_not() {
    let locks = AsyncStripedRwLock::<u64, u32>::new(4);
    let (one, two) = (locks.try_read(&1).unwrap(), locks.try_read(&1).unwrap());
    assert_eq!((*one, *two), (0, 0));
    assert!(locks.try_write(&1).is_none());
    let mut writer = Task::waiting(locks.write(&1));
    drop(one);
    assert_eq!(writer.woken(), 0);
    drop(two);
    let mut written = writer.done();
    *written += 1;
    assert!(locks.try_read(&1).is_none() && locks.try_write(&1).is_none());
    drop(written);
    assert_eq!(*locks.try_read(&1).unwrap(), 1);
}

#[test]
fn waiters_queue_in_the_order_of_their_first_polls() {
    let locks = AsyncStripedRwLock::<u64>::new(1).strict_fifo();
    let held = locks.try_write(&1);
    let (created_first, created_last) = (locks.write(&1), locks.write(&1));
    let mut first = Task::waiting(created_last);
    let mut last = Task::waiting(created_first);
    drop(held);
    let guard = first.done();
    assert_eq!(last.woken(), 0);
    drop(guard);
    drop(last.done());
}

#[test]
fn a_waiting_writer_is_not_passed_by_readers() {
    let locks = AsyncStripedRwLock::<u64>::new(1);
    let reader = locks.try_read(&1).unwrap();
    let mut writer = Task::waiting(locks.write(&1));
    assert!(locks.try_read(&1).is_none());
    let mut late = Task::waiting(locks.read(&1));
    drop(reader);
    let written = writer.done();
    assert_eq!(late.woken(), 0);
    drop(written);
    let _read = late.done();
}

#[test]
fn readers_next_to_each_other_go_in_together() {
    let locks = AsyncStripedRwLock::<u64>::new(1);
    let writer = locks.try_write(&1).unwrap();
    // More readers than one lock of a bucket wakes.
    let mut readers: Vec<_> = (0..20).map(|_| Task::waiting(locks.read(&1))).collect();
    let mut last = Task::waiting(locks.write(&1));
    let mut behind = Task::waiting(locks.read(&1));
    drop(writer);
    let guards: Vec<_> = readers.iter_mut().map(Task::done).collect();
    assert_eq!((last.woken(), behind.woken()), (0, 0));
    drop(guards);
    drop(last.done());
    drop(behind.done());
    assert!(locks.try_write_all().is_some());
}

#[test]
fn readers_go_on_when_the_writer_before_them_gives_up() {
    let locks = AsyncStripedRwLock::<u64>::new(1);
    let reader = locks.try_read(&1).unwrap();
    let writer = Task::waiting(locks.write(&1));
    let mut behind = Task::waiting(locks.read(&1));
    drop(writer);
    let _both = (reader, behind.done());
    assert!(locks.try_read(&1).is_some(), "there is no waiter any more");
}

#[test]
fn at_most_twelve_readers_overtake_a_woken_writer() {
    let locks = AsyncStripedRwLock::<u64>::new(1);
    let first = locks.try_write(&1);
    let mut writer = Task::waiting(locks.write(&1));
    drop(first);
    let overtakers: Vec<_> = (0..100).map_while(|_| locks.try_read(&1)).collect();
    assert_eq!(overtakers.len(), 12);
    drop(overtakers);
    assert!(locks.try_read(&1).is_none(), "it was handed over");
    drop(writer.done());
}

#[test]
fn a_batch_that_reads_and_writes_a_stripe_holds_it_for_writing() {
    let locks = AsyncStripedRwLock::<u64, u32>::new(1);
    let mut guard = locks.batch().read(&1).write(&2).try_lock().unwrap();
    *guard.get_mut(&1).unwrap() += 1;
    assert_eq!(guard.len(), 1);
    assert!(locks.try_read(&1).is_none());
}

#[test]
fn batches_share_the_stripes_that_both_read() {
    let locks = AsyncStripedRwLock::<u64, u32>::new(64);
    let keys: Vec<u64> =
        (0..3).map(|stripe| (0..1 << 20).find(|k| locks.stripe_of(k) == stripe).unwrap()).collect();
    let first = locks.batch().read(&keys[0]).write(&keys[1]).try_lock().unwrap();
    let second = locks.batch().read(&keys[0]).write(&keys[2]).try_lock().unwrap();
    let mut third = Task::waiting(locks.batch().read(&keys[1]).read(&keys[2]).lock());
    assert!(first.get(&keys[0]).is_some() && second.get(&keys[0]).is_some());
    drop(first);
    assert_eq!(third.woken(), 0);
    drop(second);
    assert_eq!(third.done().len(), 2);
    assert!(locks.try_write_all().is_some());
}

#[test]
fn permits_go_to_the_longest_waiter() {
    let limits = AsyncStripedSemaphore::<u64>::new(1, 2);
    let (one, two) = (limits.try_acquire(&1).unwrap(), limits.try_acquire(&1).unwrap());
    let mut line: Vec<_> = (0..3).map(|_| Task::waiting(limits.acquire(&1))).collect();
    drop(one);
    assert!(limits.try_acquire(&1).is_none(), "it was handed over");
    let first = line[0].done();
    assert_eq!((line[1].woken(), line[2].woken()), (0, 0));
    drop((first, two));
    drop((line[1].done(), line[2].done()));
    assert_eq!(limits.available(&1), 2);
}

#[test]
fn a_permit_for_each_of_many() {
    let limits = AsyncStripedSemaphore::<u64>::new(8, 1);
    let keys: Vec<u64> =
        (0..8).map(|stripe| (0..1 << 20).find(|k| limits.stripe_of(k) == stripe).unwrap()).collect();
    let taken = limits.try_acquire(&keys[7]).unwrap();
    let all = Task::waiting(limits.acquire_keys(&keys));
    assert!(keys.iter().all(|key| limits.available(key) == 0));
    drop(all);
    drop(taken);
    assert!(keys.iter().all(|key| limits.available(key) == 1));
}

#[test]
#[should_panic(expected = "from 1 to 16777215 permits, got 0")]
fn a_semaphore_without_permits_is_refused() {
    let _ = AsyncStripedSemaphore::<u64>::new(1, 0);
}

/// For every representation of a stripe set (a word, a few stripes, a map), a batch locks for writing what was named
/// for writing, and the rest for reading.
#[test]
fn a_batch_keeps_its_modes_in_sets_of_every_form() {
    for (stripes, count) in [(64, 40), (1024, 16), (1024, 17), (1024, 300)] {
        let locks = AsyncStripedRwLock::<u64, u32>::new(stripes);
        let (mut reads, mut writes) = (vec![], vec![]);
        let batch = (0..count).rev().fold(locks.batch(), |batch, key| {
            let write = key % 3 == 0;
            if write { &mut writes } else { &mut reads }.push(locks.stripe_of(&key));
            if write { batch.write(&key) } else { batch.read(&key) }
        });
        writes.sort_unstable();
        writes.dedup();
        reads.retain(|stripe| !writes.contains(stripe));
        let mut guard = batch.try_lock().unwrap();
        assert!(guard.iter_mut().map(|(stripe, _)| stripe).eq(writes.iter().copied()), "{stripes} {count}");
        assert!(reads.iter().all(|stripe| guard.stripes().contains(*stripe)));
        for key in 0..count {
            let stripe = locks.stripe_of(&key);
            assert_eq!(locks.try_read(&key).is_some(), !writes.contains(&stripe));
        }
        drop(guard);
        assert!(locks.try_write_all().is_some());
    }
}

#[test]
fn a_future_that_is_dropped_unpolled_does_nothing() {
    let locks = AsyncStripedRwLock::<u64>::new(4);
    drop((locks.write(&1), locks.read_many(&[1, 2]), locks.write_all()));
    assert!(locks.try_write_all().is_some());
    let _unpolled = pin!(locks.write(&1));
    assert!(locks.try_write_all().is_some());
}

//! The async striped mutex: exclusion, order, cancellation, sizes.

use std::panic::catch_unwind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::bell::Bell;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, MAX_STRIPES};

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Keys of `count` distinct stripes, in ascending order of stripes.
fn keys<T>(locks: &AsyncStripedMutex<u64, T>, count: usize) -> Vec<u64> {
    let key_of = |stripe| (0..1 << 20).find(|key| locks.stripe_of(key) == stripe).unwrap();
    (0..count).map(key_of).collect()
}

#[test]
fn a_second_lock_waits_for_the_first() {
    let locks = AsyncStripedMutex::<u64, u32>::new(4);
    let (bell, waker) = Bell::new();
    let mut first = locks.try_lock(&1).unwrap();
    let mut second = pin!(locks.lock(&1));
    assert!(poll(second.as_mut(), &waker).is_pending());
    assert!(locks.try_lock(&1).is_none());
    *first += 1;
    assert_eq!(bell.rings(), 0);
    drop(first);
    assert_eq!(bell.rings(), 1);
    let Poll::Ready(guard) = poll(second.as_mut(), &waker) else {
        panic!("woken, and no other task wants the stripe")
    };
    assert_eq!(*guard, 1);
    drop(guard);
    assert!(locks.try_lock(&1).is_some());
}

#[test]
fn a_set_has_as_many_stripes_as_requested_or_more() {
    for (requested, got) in [(1, 1), (3, 4), (64, 64), (100, 128)] {
        let sizes = [
            AsyncStripedMutex::<u64>::new(requested).stripes(),
            AsyncStripedRwLock::<u64>::new(requested).stripes(),
            AsyncStripedSemaphore::<u64>::new(requested, 1).stripes(),
        ];
        assert_eq!(sizes, [got; 3]);
    }
    for requested in [0, MAX_STRIPES + 1] {
        assert!(catch_unwind(|| drop(AsyncStripedMutex::<u64>::new(requested))).is_err());
        assert!(catch_unwind(|| drop(AsyncStripedRwLock::<u64>::new(requested))).is_err());
        assert!(catch_unwind(|| drop(AsyncStripedSemaphore::<u64>::new(requested, 1))).is_err());
    }
}

#[test]
fn other_stripes_are_free_meanwhile() {
    let locks = AsyncStripedMutex::<u64>::new(4);
    let keys = keys(&locks, 4);
    let _held = locks.try_lock(&keys[0]).unwrap();
    assert!(locks.try_lock_many(&keys[1..]).is_some());
    assert!(locks.try_lock_many(&keys).is_none());
    assert!(locks.try_lock_many(&keys[1..]).is_some(), "a failed try keeps nothing");
}

#[test]
fn strict_fifo_is_first_in_first_out() {
    let locks = AsyncStripedMutex::<u64>::new(1).strict_fifo();
    let mut held = locks.try_lock(&1);
    let mut line: Vec<_> = (0..5).map(|_| (Box::pin(locks.lock(&1)), Bell::new().1)).collect();
    for (waiting, waker) in &mut line {
        assert!(poll(waiting.as_mut(), waker).is_pending());
    }
    for next in 0..line.len() {
        drop(held.take());
        assert!(locks.try_lock(&1).is_none(), "a newcomer overtook");
        for (place, (waiting, waker)) in line.iter_mut().enumerate().skip(next + 1) {
            assert!(poll(waiting.as_mut(), waker).is_pending(), "{place} went before {next}");
        }
        let (waiting, waker) = &mut line[next];
        let Poll::Ready(guard) = poll(waiting.as_mut(), waker) else { panic!("{next} was not served") };
        held = Some(guard);
    }
}

#[test]
fn at_most_twelve_newcomers_overtake() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    let (bell, waker) = Bell::new();
    let held = locks.try_lock(&1).unwrap();
    let mut waiting = pin!(locks.lock(&1));
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    drop(held);
    let overtakers = (0..100).take_while(|_| locks.try_lock(&1).is_some()).count();
    assert_eq!(overtakers, 12);
    assert_eq!(bell.rings(), 1);
    assert!(poll(waiting.as_mut(), &waker).is_ready());
}

#[test]
fn woken_in_vain_once_then_handed_over() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    let (bell, waker) = Bell::new();
    let mut waiting = pin!(locks.lock(&1));
    let held = locks.try_lock(&1).unwrap();
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    drop(held);
    let overtaker = locks.try_lock(&1).unwrap();
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    drop(overtaker);
    assert!(locks.try_lock(&1).is_none(), "it was handed over");
    assert_eq!(bell.rings(), 2);
    assert!(poll(waiting.as_mut(), &waker).is_ready());
}

#[test]
fn a_new_waiter_does_not_end_the_overtaking() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    let (one, two) = (Bell::new().1, Bell::new().1);
    let (mut first, mut second) = (pin!(locks.lock(&1)), pin!(locks.lock(&1)));
    let held = locks.try_lock(&1).unwrap();
    assert!(poll(first.as_mut(), &one).is_pending());
    drop(held);
    let overtaker = locks.try_lock(&1).unwrap();
    assert!(poll(second.as_mut(), &two).is_pending());
    drop(overtaker);
    assert_eq!((0..100).take_while(|_| locks.try_lock(&1).is_some()).count(), 11);
}

/// If one newcomer still holds the stripe when a task gets to run, sections are long: then the queue is served for a
/// while without competition. Several newcomers mean that sections are short.
#[test]
fn sections_that_outlast_a_wake_are_handed_over_for_a_while() {
    for (newcomers, for_a_while) in [(1, true), (2, false)] {
        let locks = AsyncStripedMutex::<u64>::new(1);
        let (_bell, waker) = Bell::new();
        let held = locks.try_lock(&1).unwrap();
        let mut line: Vec<_> = (0..3).map(|_| Box::pin(locks.lock(&1))).collect();
        let others: Vec<_> = line.iter().map(|_| Bell::new()).collect();
        for (waiting, (_, waker)) in line.iter_mut().zip(&others) {
            assert!(poll(waiting.as_mut(), waker).is_pending());
        }
        drop(held);
        (1..newcomers).for_each(|_| drop(locks.try_lock(&1).unwrap()));
        let overtaker = locks.try_lock(&1).unwrap();
        assert!(poll(line[0].as_mut(), &waker).is_pending());
        drop(overtaker);
        let Poll::Ready(first) = poll(line[0].as_mut(), &waker) else { panic!("it was handed over") };
        drop(first);
        assert_eq!(others[1].0.rings(), 1);
        assert_eq!(locks.try_lock(&1).is_none(), for_a_while, "after {newcomers}");
    }
}

/// A stripe that was granted to one task is not taken by another one, and wakers are not kept after the wait.
#[test]
fn another_task_takes_no_grant_and_no_waker_is_kept() {
    let locks = AsyncStripedMutex::<u64>::new(2);
    let keys = keys(&locks, 2);
    let ((bell, waker), (other_bell, other)) = (Bell::new(), Bell::new());
    let counts = || (Arc::strong_count(&bell), Arc::strong_count(&other_bell));
    let before = counts();
    let held = locks.try_lock_all();
    let mut both = Box::pin(locks.lock_all());
    let mut single = Box::pin(locks.lock(&keys[1]));
    assert!(poll(both.as_mut(), &waker).is_pending());
    drop(held);
    assert!(poll(single.as_mut(), &other).is_pending(), "both stripes were given to another task");
    assert!(poll(both.as_mut(), &waker).is_ready());
    assert!(poll(single.as_mut(), &other).is_ready());
    let held = locks.try_lock_all();
    let mut given_up = Box::pin(locks.lock_all());
    assert!(poll(given_up.as_mut(), &waker).is_pending());
    drop((given_up, held));
    assert_eq!(counts(), before);
}

#[test]
fn a_waiter_that_gives_up_passes_its_turn_on() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    let ((_one, one), (two, second)) = (Bell::new(), Bell::new());
    // The future is dropped while it waits, after it was woken, and after it was handed the stripe.
    for case in 0..3 {
        let held = locks.try_lock(&1).unwrap();
        let mut first = Box::pin(locks.lock(&1));
        let mut next = Box::pin(locks.lock(&1));
        assert!(poll(first.as_mut(), &one).is_pending());
        assert!(poll(next.as_mut(), &second).is_pending());
        let before = two.rings();
        match case {
            0 => {
                drop(first);
                drop(held);
            }
            1 => {
                drop(held);
                drop(first);
            }
            _ => {
                drop(held);
                let overtaker = locks.try_lock(&1).unwrap();
                assert!(poll(first.as_mut(), &one).is_pending());
                drop(overtaker);
                drop(first);
            }
        }
        assert_eq!(two.rings(), before + 1, "case {case}");
        assert!(poll(next.as_mut(), &second).is_ready());
    }
    assert!(locks.try_lock(&1).is_some());
}

#[test]
fn a_multi_is_woken_once() {
    let locks = AsyncStripedMutex::<u64>::new(8);
    let keys = keys(&locks, 8);
    let (bell, waker) = Bell::new();
    let mut held: Vec<_> = keys.iter().map(|key| locks.try_lock(key)).collect();
    let mut all = pin!(locks.lock_many(&keys));
    assert!(poll(all.as_mut(), &waker).is_pending());
    for guard in &mut held {
        assert_eq!(bell.rings(), 0);
        drop(guard.take());
    }
    assert_eq!(bell.rings(), 1);
    let Poll::Ready(guard) = poll(all.as_mut(), &waker) else { panic!("it was given all") };
    assert_eq!(guard.len(), 8);
    assert!(keys.iter().all(|key| locks.try_lock(key).is_none()));
    drop(guard);
    assert!(locks.try_lock_all().is_some());
}

#[test]
fn a_multi_that_gives_up_holds_nothing() {
    let locks = AsyncStripedMutex::<u64>::new(8);
    let keys = keys(&locks, 8);
    let (_bell, waker) = Bell::new();
    // The future is dropped with none, with some and with all of its stripes.
    for released in 0..=keys.len() {
        let mut held: Vec<_> = keys.iter().map(|key| locks.try_lock(key)).collect();
        let mut all = Box::pin(locks.lock_all());
        assert!(poll(all.as_mut(), &waker).is_pending());
        held.iter_mut().take(released).for_each(|guard| drop(guard.take()));
        drop(all);
        drop(held);
        assert!(locks.try_lock_all().is_some(), "after {released}");
    }
}

#[test]
fn threads_and_tasks_wait_in_one_queue() {
    let locks = Arc::new(AsyncStripedMutex::<u64, u64>::new(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let locks = locks.clone();
            runtime.spawn(async move {
                for key in 0..500 {
                    *locks.lock(&key).await += 1;
                }
            })
        })
        .collect();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let locks = locks.clone();
            std::thread::spawn(move || (0..500).for_each(|key| *locks.blocking_lock(&key) += 1))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(locks.blocking_lock_all().iter().map(|(_, n)| n).sum::<u64>(), 3000);
}

#[test]
fn send_and_sync() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let locks = Arc::new(AsyncStripedMutex::<u64, std::cell::Cell<u8>>::new(4));
    send(&locks);
    sync(&locks);
    send(&locks.lock(&1));
    send(&locks.lock_many(&[1]));
    send(&locks.try_lock(&1));
    send(&locks.try_lock_all());
    let locks = AsyncStripedMutex::<u64, u8>::new(4);
    sync(&locks.try_lock(&1));
}

//! The locks inside a process, over an engine in memory.

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use stripe_lock_dist::{DistributedMutex, Error};
use support::memory::Memory;
use support::{LONG, begin, process};

#[tokio::test]
async fn one_process_excludes_another_and_every_fence_is_higher() {
    let engine = Memory::default();
    let (one, other) = (process(engine.clone()).await, process(engine).await);
    let mut last = 0;
    for round in 0..20 {
        let (first, second) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let guard = first.lock("k").await.unwrap();
        assert!(guard.fence() > last && guard.is_held());
        last = guard.fence();
        assert!(second.try_lock("k").await.unwrap().is_none());
        let elapsed = second.lock_timeout("k", Duration::from_millis(1)).await;
        assert!(matches!(elapsed, Err(Error::Elapsed)));
        guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_dropped_is_given_back() {
    let engine = Memory::default();
    let locks = process(engine.clone()).await;
    drop(locks.lock("k").await.unwrap());
    engine.until((0, 0)).await;
    drop(locks.lock_many(["a", "b", "c"]).await.unwrap());
    engine.until((0, 0)).await;
    locks.lock("k").await.unwrap().release().await.unwrap();
    locks.close().await;
    // Nothing is given back twice.
    assert_eq!((engine.takes(), engine.returns()), (3, 3));
}

#[tokio::test]
async fn a_lock_that_arrives_at_a_dropped_future_is_given_back() {
    let engine = Memory::default();
    let locks = process(engine.clone()).await;
    for _ in 0..10 {
        let mut lock = Box::pin(locks.lock("k"));
        let first = poll_fn(|cx| Poll::Ready(lock.as_mut().poll(cx))).await;
        if first.is_pending() {
            engine.until((1, 0)).await;
        }
        // By now the grant has most likely arrived. The future is not polled again.
        tokio::time::sleep(Duration::from_millis(5)).await;
        drop((lock, first));
        engine.until((0, 0)).await;
    }
}

/// A runtime with several threads runs the calls of its tasks, and drops them when it is shut down.
#[tokio::test]
async fn a_runtime_that_is_shut_down_leaves_nothing_held_and_nothing_queued() {
    let engine = Memory::default();
    let (one, other) = (process(engine.clone()).await, process(engine.clone()).await);
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for _ in 0..10 {
        let held = one.lock("k").await.unwrap();
        let (waiting, waiter) = (runtime(), other.clone());
        waiting.spawn(async move { drop(waiter.lock("k").await) });
        engine.until((1, 1)).await;
        waiting.shutdown_background();
        engine.until((1, 0)).await;

        let releasing = runtime();
        releasing.spawn(async move { drop(held.release()) });
        releasing.shutdown_background();
        engine.until((0, 0)).await;
    }
}

#[tokio::test]
async fn the_tasks_of_a_process_hand_a_lock_over_without_the_engine() {
    let engine = Memory::default();
    let locks = DistributedMutex::<str>::builder("test").stripes(64).ttl(LONG).hand_over_for(LONG);
    let locks = locks.connect(engine.clone()).await.unwrap();
    let mut guard = locks.lock("k").await.unwrap();
    for _ in 0..100 {
        let mut next = Box::pin(locks.lock("k"));
        begin(&mut next).await;
        let fence = guard.fence();
        guard.release().await.unwrap();
        guard = next.await.unwrap();
        assert_eq!(guard.fence(), fence + 1);
    }
    assert_eq!(engine.takes(), 1);
}

#[tokio::test]
async fn a_process_hands_over_no_more_often_than_it_has_fences() {
    let engine = Memory::default();
    let locks = DistributedMutex::<str>::builder("test").stripes(64).ttl(LONG).hand_over_for(LONG);
    let locks = locks.connect(engine.clone()).await.unwrap();
    let mut guard = locks.lock("k").await.unwrap();
    let mut last = guard.fence();
    for _ in 0..2 * stripe_lock_dist::engine::TURNS - 1 {
        let mut next = Box::pin(locks.lock("k"));
        begin(&mut next).await;
        drop(guard);
        guard = next.await.unwrap();
        assert!(guard.fence() > last);
        last = guard.fence();
    }
    // Each poll of a queued ticket is a call too, so there may be more.
    assert!(engine.takes() >= 2);
}

#[tokio::test]
async fn a_process_that_may_not_hand_over_queues_behind_the_others() {
    let engine = Memory::default();
    let locks = DistributedMutex::<str>::builder("test").stripes(64).ttl(LONG).hand_over_for(Duration::ZERO);
    let locks = locks.connect(engine.clone()).await.unwrap();
    let other = process(engine.clone()).await;
    let guard = locks.lock("k").await.unwrap();
    let mut theirs = Box::pin(other.lock("k"));
    begin(&mut theirs).await;
    engine.until((1, 1)).await;
    let mut ours = Box::pin(locks.lock("k"));
    begin(&mut ours).await;
    drop(guard);
    let theirs = theirs.await.unwrap();
    begin(&mut ours).await;
    drop(theirs);
    drop(ours.await.unwrap());
}

#[tokio::test]
async fn waiters_that_give_up_leave_nothing_held() {
    let engine = Memory::default();
    let locks = DistributedMutex::<str>::builder("test").stripes(64).ttl(LONG).hand_over_for(LONG);
    let locks = locks.connect(engine.clone()).await.unwrap();
    let other = process(engine.clone()).await;
    // In the local queue when the lock was handed over.
    let guard = locks.lock("k").await.unwrap();
    let mut next = Box::pin(locks.lock("k"));
    begin(&mut next).await;
    drop(guard);
    drop(next);
    engine.until((0, 0)).await;
    // In the local queue, before it is handed over.
    let guard = locks.lock("k").await.unwrap();
    let mut next = Box::pin(locks.lock("k"));
    begin(&mut next).await;
    drop(next);
    drop(guard);
    engine.until((0, 0)).await;
    // In the queue of the engine.
    let guard = other.lock("k").await.unwrap();
    let mut next = Box::pin(locks.lock("k"));
    begin(&mut next).await;
    engine.until((1, 1)).await;
    drop(next);
    engine.until((1, 0)).await;
    drop(guard);
    engine.until((0, 0)).await;
}

#[tokio::test]
async fn several_keys_in_any_order_from_any_process_do_not_deadlock() {
    let engine = Memory::default();
    let keys = ["a", "b", "c", "d"];
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let locks = process(engine.clone()).await;
        for task in 0..4 {
            let locks = locks.clone();
            tasks.push(tokio::spawn(async move {
                for round in 0..50 {
                    let one = keys[(task + round) % 4];
                    let guard = match round % 3 {
                        0 => locks.lock(one).await,
                        1 => locks.lock_many([one, keys[task]]).await,
                        _ => locks.lock_many([keys[task], one, keys[round % 4]]).await,
                    };
                    tokio::task::yield_now().await;
                    drop(guard.unwrap());
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    engine.until((0, 0)).await;
}

#[tokio::test]
async fn keys_of_one_stripe_are_one_lock_and_no_keys_are_an_error() {
    let locks = DistributedMutex::<str>::builder("test").stripes(1).connect(Memory::default()).await.unwrap();
    assert_eq!(locks.stripe_of("a"), 0);
    let guard = locks.lock_many(["a", "b", "a"]).await.unwrap();
    assert!(locks.try_lock("c").await.unwrap().is_none());
    drop(guard);
    let none: [&str; 0] = [];
    assert!(matches!(locks.lock_many(none).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_is_lost_and_the_process_joins_again() {
    let engine = Memory::default();
    let locks = DistributedMutex::<str>::builder("test").ttl(Duration::from_millis(200));
    let locks = locks.connect(engine.clone()).await.unwrap();
    let guard = locks.lock("k").await.unwrap();
    engine.unreachable(true);
    guard.lost().await;
    assert!(!guard.is_held());
    assert!(matches!(locks.try_lock("other").await, Err(Error::Unreachable(_))));
    let mut waiting = pin!(locks.lock("k"));
    let fence = guard.fence();
    assert!(matches!(guard.release().await, Err(Error::Lost)));
    begin(&mut waiting).await;
    engine.unreachable(false);
    assert!(waiting.await.unwrap().fence() > fence);
}

#[tokio::test]
async fn an_engine_that_lost_the_leases_says_so_with_the_next_call() {
    let engine = Memory::default();
    let locks = process(engine.clone()).await;
    let guard = locks.lock("k").await.unwrap();
    engine.crash();
    let again = locks.lock("other").await.unwrap();
    guard.lost().await;
    assert!(!guard.is_held() && again.is_held());
    // A grant that was handed over is lost too.
    drop(guard);
    assert!(locks.lock("k").await.unwrap().is_held());
}

#[tokio::test]
async fn a_connection_that_fails_at_first_is_an_error() {
    let engine = Memory::default();
    engine.unreachable(true);
    let builder = DistributedMutex::<str>::builder("test");
    assert!(matches!(builder.connect(engine).await, Err(Error::Unreachable(_))));
    for builder in [
        DistributedMutex::<str>::builder("test").stripes(0),
        DistributedMutex::<str>::builder("test").stripes(65_537),
        DistributedMutex::<str>::builder("test").ttl(Duration::from_millis(99)),
        DistributedMutex::<str>::builder("test").ttl(Duration::from_secs(86_401)),
    ] {
        assert!(matches!(builder.connect(Memory::default()).await, Err(Error::Refused(_))));
    }
}

#[test]
fn threads_have_the_same_methods() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let locks = runtime.block_on(process(Memory::default()));
    let blocking = locks.blocking();
    let guard = blocking.lock("k").unwrap();
    assert!(blocking.try_lock("k").unwrap().is_none());
    assert!(matches!(blocking.lock_timeout("k", Duration::from_millis(1)), Err(Error::Elapsed)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| blocking.lock("k").unwrap().fence());
        let fence = guard.fence();
        blocking.release(guard).unwrap();
        assert!(waiting.join().unwrap() > fence);
    });
    drop(blocking.lock_many(["a", "b"]).unwrap());
    runtime.block_on(locks.close());
}

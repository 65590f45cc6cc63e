//! The locks over a server that each test starts. The same tests run over each engine.
#![cfg(all(any(feature = "postgres", feature = "etcd"), target_os = "linux"))]

mod support;

use std::time::Duration;

use stripe_lock_dist::{DistributedMutex, Error};
use support::begin;
use support::rounds::keys;
use support::service::{Service, connect, process};

macro_rules! over {
    ($engine:ident, $service:ty) => {
        mod $engine {
            #[tokio::test]
            async fn the_locks_work_over_a_server() {
                super::the_locks_work_over_a_server::<$service>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn processes_are_served_in_the_order_in_which_they_came() {
                super::processes_are_served_in_the_order_in_which_they_came::<$service>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_holder_that_is_cut_off_loses_the_lock_before_another_has_it() {
                super::a_holder_that_is_cut_off_loses_the_lock_before_another_has_it::<$service>().await;
            }

            #[tokio::test]
            async fn waiters_that_give_up_leave_nothing_behind() {
                super::waiters_that_give_up_leave_nothing_behind::<$service>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_call_that_is_dropped_on_its_way_leaves_nothing_behind() {
                super::a_call_that_is_dropped_on_its_way_leaves_nothing_behind::<$service>().await;
            }
        }
    };
}

#[cfg(feature = "postgres")]
over!(postgres, crate::support::postgres::Server);
#[cfg(feature = "postgres")]
over!(pooler, crate::support::pooler::Pooled);
#[cfg(feature = "etcd")]
over!(etcd, crate::support::etcd::Etcd);

async fn the_locks_work_over_a_server<S: Service>() {
    let Some(server) = S::start() else { return };
    let (one, other) = (process(&server).await, process(&server).await);

    let keys = keys(&one);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let [k, free, ref four @ ..] = keys[..6] else { panic!("there are 8 keys") };

    // Two processes exclude each other, and fences rise.
    let guard = one.lock(k).await.unwrap();
    assert!(other.try_lock(k).await.unwrap().is_none());
    assert!(matches!(other.lock_timeout(k, Duration::from_millis(5)).await, Err(Error::Elapsed)));
    let fence = guard.fence();
    guard.release().await.unwrap();
    let guard = other.lock(k).await.unwrap();
    assert!(guard.fence() > fence && guard.is_held());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let guard = one.try_lock(k).await.unwrap().unwrap();
    assert!(guard.fence() > fence);
    drop(guard);

    // All of several keys, or none.
    let some = one.lock_many([four[0], four[2]]).await.unwrap();
    let mut all = Box::pin(other.lock_many(four.iter().copied()));
    begin(&mut all).await;
    drop(one.lock(free).await.unwrap());
    let fence = some.fence();
    drop(some);
    let all = all.await.unwrap();
    assert!(all.fence() > fence);
    for key in four.iter().copied() {
        assert!(one.try_lock(key).await.unwrap().is_none());
    }
    all.release().await.unwrap();
    for key in four.iter().copied() {
        one.lock(key).await.unwrap().release().await.unwrap();
    }

    // A namespace has one number of stripes, and other namespaces have nothing to do with it.
    let builder = DistributedMutex::builder("test").stripes(128);
    let different = connect(builder, &server.address()).await;
    assert!(matches!(different, Err(Error::Refused(why)) if why.contains("64 stripes")));
    let elsewhere = connect(DistributedMutex::builder("test/2"), &server.address()).await.unwrap();
    let guard = elsewhere.lock(k).await.unwrap();
    drop(one.lock(k).await.unwrap());

    // A closed set leaves nothing behind.
    drop(guard);
    for locks in [one, other, elsewhere] {
        locks.close().await;
    }
    assert_eq!((server.clients().await, server.tickets().await), (0, 0));
}

async fn processes_are_served_in_the_order_in_which_they_came<S: Service>() {
    let Some(server) = S::start() else { return };
    let holder = process(&server).await;
    let guard = holder.lock("k").await.unwrap();
    let (report, mut order) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..6 {
        let (locks, report) = (process(&server).await, report.clone());
        tokio::spawn(async move {
            let guard = locks.lock("k").await.unwrap();
            report.send(number).unwrap();
            drop(guard);
        });
        server.until(number + 2).await;
    }
    drop(guard);
    for number in 0..6 {
        assert_eq!(order.recv().await, Some(number));
    }
}

async fn a_holder_that_is_cut_off_loses_the_lock_before_another_has_it<S: Service>() {
    let Some(server) = S::start() else { return };
    let (address, network) = server.through_proxy().await;
    let builder = || DistributedMutex::builder("test").stripes(64).ttl(Duration::from_secs(2));
    let cut_off = connect(builder(), &address).await.unwrap();
    let other = connect(builder(), &server.address()).await.unwrap();
    let guard = cut_off.lock("k").await.unwrap();
    network.cut(true);
    let next = other.lock("k").await.unwrap();
    assert!(!guard.is_held());
    assert!(next.fence() > guard.fence());
    guard.lost().await;
    // Calls that were sent meanwhile arrive now, and take nothing from the new holder.
    network.cut(false);
    let last = next.fence();
    drop(next);
    drop(guard);
    assert!(cut_off.lock("k").await.unwrap().fence() > last);
}

async fn waiters_that_give_up_leave_nothing_behind<S: Service>() {
    let Some(server) = S::start() else { return };
    let (holder, one, other) = (process(&server).await, process(&server).await, process(&server).await);
    let guard = holder.lock("k").await.unwrap();
    let mut first = Box::pin(one.lock("k"));
    begin(&mut first).await;
    server.until(2).await;
    let mut second = Box::pin(other.lock("k"));
    begin(&mut second).await;
    server.until(3).await;
    // The one that gives up was between the holder and the other waiter.
    drop(first);
    server.until(2).await;
    guard.release().await.unwrap();
    second.await.unwrap().release().await.unwrap();
    server.until(0).await;
}

/// The runtime has several threads, so the task itself makes the call.
async fn a_call_that_is_dropped_on_its_way_leaves_nothing_behind<S: Service>() {
    let Some(server) = S::start() else { return };
    let (address, network) = server.through_proxy().await;
    let builder = DistributedMutex::builder("test").stripes(64).ttl(Duration::from_mins(1));
    let locks = connect(builder, &address).await.unwrap();
    for round in 0..3 {
        locks.lock("k").await.unwrap().release().await.unwrap();
        network.cut(true);
        let mut lock = Box::pin(locks.lock("k"));
        begin(&mut lock).await;
        // The call is on its way, or not even that.
        tokio::time::sleep(Duration::from_millis(20 * round)).await;
        drop(lock);
        network.cut(false);
        server.until(0).await;
    }
    let guard = locks.lock("k").await.unwrap();
    server.until(1).await;
    drop(guard.release());
    server.until(0).await;
}

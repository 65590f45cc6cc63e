//! The locks over a PostgreSQL server that each test starts.
#![cfg(all(feature = "postgres", target_os = "linux"))]

mod support;

use std::time::Duration;

use stripe_lock_dist::{DistributedMutex, Error, Postgres};
use support::proxy::Proxy;
use support::rounds::keys;
use support::server::Server;
use support::{begin, process};

#[tokio::test]
async fn the_locks_work_over_a_server() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (process(server.engine()).await, process(server.engine()).await);

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
    let different = DistributedMutex::<str>::builder("test").stripes(128).connect(server.engine()).await;
    assert!(matches!(different, Err(Error::Refused(why)) if why.contains("64 stripes")));
    let elsewhere = DistributedMutex::<str>::builder("elsewhere").connect(server.engine()).await.unwrap();
    let guard = elsewhere.lock(k).await.unwrap();
    drop(one.lock(k).await.unwrap());

    // A closed set leaves nothing behind.
    drop(guard);
    for locks in [one, other, elsewhere] {
        locks.close().await;
    }
    let (client, connection) =
        tokio_postgres::connect(&server.address(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let left =
        "SELECT (SELECT count(*) FROM stripe_lock_1.client) + (SELECT count(*) FROM stripe_lock_1.waiter)
                + (SELECT count(*) FROM stripe_lock_1.stripe WHERE client IS NOT NULL OR queued <> 0)";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_served_in_the_order_in_which_they_came() {
    let Some(server) = Server::start() else { return };
    let holder = process(server.engine()).await;
    let guard = holder.lock("k").await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&server.address(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let (report, mut order) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..6_i64 {
        let (locks, report) = (process(server.engine()).await, report.clone());
        tokio::spawn(async move {
            let guard = locks.lock("k").await.unwrap();
            report.send(number).unwrap();
            drop(guard);
        });
        let queued = "SELECT count(*) FROM stripe_lock_1.waiter";
        while client.query_one(queued, &[]).await.unwrap().get::<_, i64>(0) <= number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    drop(guard);
    for number in 0..6 {
        assert_eq!(order.recv().await, Some(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_that_is_cut_off_loses_the_lock_before_another_has_it() {
    let Some(server) = Server::start() else { return };
    let network = Proxy::to(server.socket()).await;
    let builder = || DistributedMutex::<str>::builder("test").stripes(64).ttl(Duration::from_secs(2));
    let cut_off = builder().connect(Postgres::new(&network.address()).unwrap()).await.unwrap();
    let other = builder().connect(server.engine()).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_ended_cost_no_lock_and_no_place_in_the_queue() {
    let Some(server) = Server::start() else { return };
    let (holder, other) = (process(server.engine()).await, process(server.engine()).await);
    let (client, connection) =
        tokio_postgres::connect(&server.address(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'stripe-lock-dist%'";
    for _ in 0..5 {
        let guard = holder.lock("k").await.unwrap();
        let waiting = other.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.unwrap() });
        let queued = "SELECT count(*) FROM stripe_lock_1.waiter";
        while client.query_one(queued, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client.query_one(end, &[]).await.unwrap();
        assert!(guard.is_held());
        guard.release().await.unwrap();
        client.query_one(end, &[]).await.unwrap();
        waiting.await.unwrap().release().await.unwrap();
    }
}

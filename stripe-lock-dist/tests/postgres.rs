//! What is special about PostgreSQL as an engine.
#![cfg(all(feature = "postgres", target_os = "linux"))]

mod support;

use std::time::Duration;

use stripe_lock_dist::DistributedMutex;
use support::postgres::Server;
use support::service::{Service, process};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_ended_cost_no_lock_and_no_place_in_the_queue() {
    let Some(server) = Server::start() else { return };
    let (holder, other) = (process(&server).await, process(&server).await);
    let client = server.client().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'stripe-lock-dist%'";
    for _ in 0..5 {
        let guard = holder.lock("k").await.unwrap();
        let waiting = other.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.unwrap() });
        server.until(2).await;
        client.query_one(end, &[]).await.unwrap();
        assert!(guard.is_held());
        guard.release().await.unwrap();
        client.query_one(end, &[]).await.unwrap();
        waiting.await.unwrap().release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_or_killed_grants_nothing_twice() {
    let Some(mut server) = Server::start() else { return };
    let join = async |server: &Server, name, ttl| {
        let builder = DistributedMutex::<str>::builder(name).stripes(64).ttl(Duration::from_secs(ttl));
        support::service::connect(builder, &server.address()).await.unwrap()
    };
    // The lease survives an orderly restart, so the holder keeps its lock, and the waiter keeps waiting.
    let (locks, other) = (join(&server, "orderly", 3600).await, join(&server, "orderly", 3600).await);
    let guard = locks.lock("k").await.unwrap();
    let waiting = other.clone();
    let waiting = tokio::spawn(async move { waiting.lock("k").await.unwrap() });
    server.restart("INT");
    assert!(guard.is_held());
    let fence = guard.fence();
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap();
    assert!(guard.fence() > fence);
    guard.release().await.unwrap();

    // A crash empties the tables. The holder loses the lock before another process has it.
    let (locks, other) = (join(&server, "killed", 2).await, join(&server, "killed", 2).await);
    let mut last = 0;
    for _ in 0..2 {
        let guard = locks.lock("k").await.unwrap();
        assert!(guard.fence() > last);
        last = guard.fence();
        server.restart("KILL");
        let next = other.lock("k").await.unwrap();
        assert!(!guard.is_held());
        assert!(next.fence() > last);
        last = next.fence();
        guard.lost().await;
    }
}

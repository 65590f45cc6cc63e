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

/// A call to take a ticket arrives after the ticket was given back. The next renewal gives back what it took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_late_call_takes_is_given_back() {
    let Some(server) = Server::start() else { return };
    let (address, network) = server.through_proxy().await;
    loop {
        let builder = DistributedMutex::builder("test").stripes(64).ttl(Duration::from_secs(6));
        let locks = support::service::connect(builder, &address).await.unwrap();
        let keys = support::rounds::keys(&locks);
        let (kept, late) = (keys[0].as_str(), keys[1].as_str());
        let kept = locks.lock(kept).await.unwrap();
        // From now on the statements are prepared, unless the server was slow to send a message.
        for _ in 0..20 {
            locks.lock(late).await.unwrap().release().await.unwrap();
        }
        let fences = "SELECT max(tail) FROM stripe_lock_1.stripe WHERE stripe = 1";
        network.hold_open();
        let lock = locks.lock(late);
        let (guard, ()) = tokio::join!(lock, network.sever());
        // The connection failed, and the call was repeated on another one.
        guard.unwrap().release().await.unwrap();
        assert_eq!(server.tickets().await, 1);
        let before = server.number(fences).await;
        network.cut(false);
        let of_locks =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'stripe-lock-dist%'";
        while server.number(fences).await == before && server.number(of_locks).await > 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // What was late may have been another statement, or the lease may have expired on a slow machine.
        if server.number(fences).await == before || !kept.is_held() {
            continue;
        }
        server.until(1).await;
        if kept.is_held() {
            break;
        }
    }
}

/// With `synchronous_commit = off`, a crash loses what was committed last. Fences rise all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_rise_over_crashes_that_lose_commits() {
    let Some(mut server) = Server::start() else { return };
    let client = server.client().await;
    for setting in ["synchronous_commit = off", "wal_writer_delay = '10s'"] {
        client.batch_execute(&format!("ALTER SYSTEM SET {setting}")).await.unwrap();
    }
    client.batch_execute("CREATE TABLE commits (n bigint)").await.unwrap();
    let builder = DistributedMutex::builder("test").stripes(64).ttl(Duration::from_millis(500));
    let locks = support::service::connect(builder, &server.address()).await.unwrap();
    server.restart("INT");
    let (mut last, mut forgotten) = (0, false);
    // The writer of the log may be early, and then nothing is lost.
    for round in 1_i64.. {
        let fence = locks.lock("k").await.unwrap().fence();
        assert!(fence > last);
        last = fence;
        if forgotten {
            break;
        }
        server.client().await.execute("INSERT INTO commits VALUES ($1)", &[&round]).await.unwrap();
        server.restart("KILL");
        let kept = "SELECT count(*) FROM commits WHERE n = ";
        forgotten = server.number(&format!("{kept}{round}")).await == 0;
    }
}

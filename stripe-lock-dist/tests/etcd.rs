//! What is special about etcd as an engine.
#![cfg(all(feature = "etcd", target_os = "linux"))]

mod support;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use stripe_lock_dist::engine::{Answer, Client, Engine, Joined, Space, Taken, Wake};
use stripe_lock_dist::{DistributedMutex, Error};
use support::begin;
use support::etcd::Etcd;
use support::service::{Service, connect, process};

#[tokio::test]
async fn a_call_takes_at_most_sixty_stripes() {
    let Some(server) = Etcd::start() else { return };
    let locks = DistributedMutex::builder("test").stripes(256);
    let locks = connect(locks, &server.address()).await.unwrap();
    let key_of =
        |stripe| (0..u32::MAX).map(|n| n.to_string()).find(|key| locks.stripe_of(key.as_str()) == stripe);
    let keys: Vec<_> = (0..=60).map(|stripe| key_of(stripe).unwrap()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let too_many = locks.lock_many(keys.iter().copied()).await;
    assert!(matches!(too_many, Err(Error::TooManyStripes { stripes: 61, most: 60 })));
    let other = connect(DistributedMutex::builder("test").stripes(256), &server.address()).await.unwrap();
    let guard = locks.lock_many(keys[1..].iter().copied()).await.unwrap();
    assert_eq!(server.tickets().await, 60);
    let mut waiting = Box::pin(other.lock_many(keys[..60].iter().copied()));
    begin(&mut waiting).await;
    server.until(120).await;
    guard.release().await.unwrap();
    waiting.await.unwrap().release().await.unwrap();
    assert_eq!(server.tickets().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_keeps_leases_and_queues() {
    let Some(mut server) = Etcd::start() else { return };
    let (holder, other) = (process(&server).await, process(&server).await);
    let mut last = 0;
    for signal in ["INT", "KILL"] {
        let guard = holder.lock("k").await.unwrap();
        assert!(guard.fence() > last);
        last = guard.fence();
        let waiting = other.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.unwrap() });
        server.until(2).await;
        server.restart(signal);
        assert!(guard.is_held() && !waiting.is_finished());
        guard.release().await.unwrap();
        let next = waiting.await.unwrap();
        assert!(next.fence() > last && next.is_held());
        last = next.fence();
        next.release().await.unwrap();
    }
}

/// With a TTL of an hour, the calls wait for the election, and no lease ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_costs_no_lock_and_no_place_in_the_queue() {
    let Some(mut cluster) = Etcd::cluster(3) else { return };
    let (holder, other) = (process(&cluster).await, process(&cluster).await);
    for _ in 0..2 {
        let guard = holder.lock("k").await.unwrap();
        let waiting = other.clone();
        let waiting = tokio::spawn(async move { waiting.lock("k").await.unwrap() });
        cluster.until(2).await;
        let member = cluster.kill_leader().await;
        assert!(guard.is_held() && !waiting.is_finished());
        let fence = guard.fence();
        guard.release().await.unwrap();
        let next = waiting.await.unwrap();
        assert!(next.fence() > fence);
        next.release().await.unwrap();
        cluster.start_again(member);
        cluster.wait_until_ready();
    }
}

/// The lease of a holder ends because somebody revokes it. The holder learns of it by the next call or renewal.
#[tokio::test]
async fn a_lease_that_was_revoked_is_lost() {
    let Some(server) = Etcd::start() else { return };
    let builder = || DistributedMutex::builder("test").stripes(64).ttl(Duration::from_secs(3));
    let locks = connect(builder(), &server.address()).await.unwrap();
    let guard = locks.lock("k").await.unwrap();
    let mut client = etcd_client::Client::connect([server.address()], None).await.unwrap();
    let lease = client.leases().await.unwrap().leases()[0].id();
    client.lease_revoke(lease).await.unwrap();
    guard.lost().await;
    assert!(!guard.is_held());
    let fence = guard.fence();
    assert!(matches!(guard.release().await, Err(Error::Lost)));
    assert!(locks.lock("k").await.unwrap().fence() > fence);
}

/// Passes on an engine, and keeps its client for calls of the test.
struct Direct(stripe_lock_dist::Etcd, Arc<OnceLock<Arc<dyn Client>>>);

struct Shared(Arc<dyn Client>);

impl Engine for Direct {
    fn join<'a>(&'a self, space: &'a Space, wake: Wake) -> Answer<'a, Joined> {
        Box::pin(async move {
            let Joined { seed, client } = self.0.join(space, wake).await?;
            let client = self.1.get_or_init(|| Arc::from(client)).clone();
            Ok(Joined { seed, client: Box::new(Shared(client)) })
        })
    }
}

impl Client for Shared {
    fn renew(&self) -> Answer<'_, bool> {
        self.0.renew()
    }

    fn take<'a>(&'a self, ticket: i64, stripes: &'a [i32], wait: bool) -> Answer<'a, Taken> {
        self.0.take(ticket, stripes, wait)
    }

    fn give_back<'a>(&'a self, ticket: i64, stripes: &'a [i32]) -> Answer<'a, bool> {
        self.0.give_back(ticket, stripes)
    }

    fn leave(&self) -> Answer<'_, ()> {
        self.0.leave()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_repeated_or_late_take_nothing_twice() {
    let Some(server) = Etcd::start() else { return };
    let (address, network) = server.through_proxy().await;
    let shared = Arc::new(OnceLock::new());
    let builder = DistributedMutex::<str>::builder("test").ttl(Duration::from_secs(5));
    let engine = Direct(stripe_lock_dist::Etcd::new([address]), shared.clone());
    let locks = builder.connect(engine).await.unwrap();
    let client = shared.get().unwrap();

    // A ticket that is known is not queued again, and a grant is the same grant.
    let granted = client.take(1, &[5, 6], true).await.unwrap();
    assert!(matches!(granted, Taken::Granted(_)));
    assert_eq!(client.take(1, &[5, 6], true).await.unwrap(), granted);
    assert!(matches!(client.take(2, &[6], true).await.unwrap(), Taken::Queued(_)));
    assert_eq!(client.take(3, &[6, 7], false).await.unwrap(), Taken::Busy);
    assert_eq!(server.tickets().await, 3);
    assert!(client.give_back(1, &[5, 6]).await.unwrap());
    assert!(matches!(client.take(2, &[6], true).await.unwrap(), Taken::Granted(_)));
    assert!(client.give_back(2, &[6]).await.unwrap() && !client.give_back(2, &[6]).await.unwrap());

    // No answer came, so the call may arrive after the ticket was given back. Then it puts nothing.
    network.cut(true);
    assert!(matches!(client.take(4, &[5], true).await, Err(Error::Unreachable(_))));
    network.cut(false);
    while client.give_back(4, &[5]).await.is_err() {}
    assert_eq!(client.take(4, &[5], true).await.unwrap(), Taken::Busy);
    assert_eq!(server.tickets().await, 0);

    // The answer about giving back was lost, and the call is repeated: it was held until then.
    assert!(matches!(client.take(5, &[5], true).await.unwrap(), Taken::Granted(_)));
    network.cut(true);
    assert!(client.give_back(5, &[5]).await.is_err());
    // What the call does when it arrives. The network may deliver it, or not.
    let mut direct = etcd_client::Client::connect([server.address()], None).await.unwrap();
    let all = Some(etcd_client::DeleteOptions::new().with_prefix());
    direct.delete("stripe_lock_1/test/queue/5/", all).await.unwrap();
    network.cut(false);
    let held = loop {
        if let Ok(held) = client.give_back(5, &[5]).await {
            break held;
        }
    };
    assert!(held);
    locks.close().await;
    assert_eq!(server.clients().await, 0);
}

//! Parts that several tests use.
#![allow(dead_code, reason = "each test uses a part of it")]

#[cfg(all(feature = "etcd", target_os = "linux"))]
pub(crate) mod etcd;
pub(crate) mod history;
pub(crate) mod memory;
pub(crate) mod planted;
#[cfg(all(feature = "postgres", target_os = "linux"))]
pub(crate) mod pooler;
#[cfg(all(feature = "postgres", target_os = "linux"))]
pub(crate) mod postgres;
#[cfg(all(any(feature = "postgres", feature = "etcd"), target_os = "linux"))]
pub(crate) mod proxy;
pub(crate) mod rounds;
#[cfg(all(any(feature = "postgres", feature = "etcd"), target_os = "linux"))]
pub(crate) mod service;

use std::time::Duration;

use stripe_lock_dist::DistributedMutex;
use stripe_lock_dist::engine::Engine;

/// A lease that outlives every test.
pub(crate) const LONG: Duration = Duration::from_hours(1);

/// A process of its own, as far as an engine can tell.
pub(crate) async fn process(engine: impl Engine) -> DistributedMutex<str> {
    DistributedMutex::builder("test").stripes(64).ttl(LONG).connect(engine).await.expect("it connects")
}

/// Polls `future` once, so that it begins to wait.
pub(crate) async fn begin<F: Future + Unpin>(future: &mut F) {
    std::future::poll_fn(|cx| {
        assert!(std::pin::Pin::new(&mut *future).poll(cx).is_pending(), "it had to wait");
        std::task::Poll::Ready(())
    })
    .await;
}

//! What the tests need of a server, whichever engine it is.

use std::process::Command;

use stripe_lock_dist::{Builder, DistributedMutex, Error};

use super::proxy::Proxy;

/// A server of the test's own. It is killed when this is dropped, or when the thread that started it ends.
pub(crate) trait Service: Sized {
    /// Starts a server. Without an installed one, it prints that the test is skipped.
    fn start() -> Option<Self>;

    /// Where [`connect`] finds it.
    fn address(&self) -> String;

    /// Where [`connect`] finds it through a proxy.
    async fn through_proxy(&self) -> (String, Proxy);

    /// Stops the server by a signal (`KILL`: a crash; `INT`: orderly) and starts it again.
    fn restart(&mut self, signal: &str);

    /// How many queues have a ticket: for each ticket the number of its stripes.
    async fn tickets(&self) -> usize;

    /// How many clients have a lease.
    async fn clients(&self) -> usize;

    /// Waits until there are this many tickets.
    async fn until(&self, tickets: usize) {
        while self.tickets().await != tickets {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

/// Connects to the server at an address of a [`Service`].
pub(crate) async fn connect(builder: Builder<str>, address: &str) -> Result<DistributedMutex<str>, Error> {
    #[cfg(feature = "etcd")]
    if address.starts_with("http") {
        return builder.connect(stripe_lock_dist::Etcd::new(address.split(','))).await;
    }
    #[cfg(feature = "postgres")]
    return builder.connect(stripe_lock_dist::Postgres::new(address)?).await;
    #[cfg(not(feature = "postgres"))]
    Err(Error::Refused(format!("no engine for {address}")))
}

/// A process of its own, as far as the server can tell, with a lease that outlives every test.
pub(crate) async fn process(server: &impl Service) -> DistributedMutex<str> {
    let builder = DistributedMutex::builder("test").stripes(64).ttl(super::LONG);
    connect(builder, &server.address()).await.expect("it connects")
}

/// Sends a signal to a process.
pub(crate) fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(process.to_string()).status().unwrap();
    assert!(sent.success());
}

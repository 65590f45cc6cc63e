//! Accepting and closing connections.

use super::access_log::Client;
use super::connections::{Connections, Stream};
use super::options::ServerOptions;
use super::{Shared, router};
use crate::error::{Error, Result};
use crate::faces::store::TripleStore;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a stopping server waits for running requests.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// How long a stopping server then waits until the work of cancelled requests has ended.
const CANCELLED_GRACE_PERIOD: Duration = Duration::from_secs(2);

/// How long to wait if no connection can be accepted because the process has no free file descriptor or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// A server that listens at an address.
///
/// # Examples
///
/// See the [module](crate::server).
#[derive(Debug)]
#[must_use = "a server answers no requests until it is run"]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// The store of a server, which can be replaced while the server runs.
///
/// # Examples
///
/// See [`Server::served`].
#[derive(Clone, Debug)]
pub struct Served(Arc<Shared>);

impl Served {
    /// Replaces the store. Requests that have begun keep the one before.
    ///
    /// # Examples
    ///
    /// See [`Server::served`].
    pub fn replace(&self, store: TripleStore) {
        self.0.store.store(Arc::new(store));
    }
}

impl Server {
    /// Listens at an address. Connections wait until the server [runs](Self::run). Port 0 means any free port.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for an address that other machines can reach if there is neither a
    /// [token](ServerOptions::token) nor [read-only](ServerOptions::read_only), for a timeout of zero, and for an
    /// invalid [CORS](ServerOptions::cors) origin. [`Error::Io`] if the address can't be used.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::TripleStore;
    /// use triple_store::server::{Server, ServerOptions};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let everywhere = "0.0.0.0:0".parse()?;
    /// assert!(Server::bind(TripleStore::in_memory(), everywhere, ServerOptions::new()).await.is_err());
    /// let options = ServerOptions::new().read_only(true);
    /// let server = Server::bind(TripleStore::in_memory(), everywhere, options).await?;
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub async fn bind(store: TripleStore, address: SocketAddr, mut options: ServerOptions) -> Result<Self> {
        if let Some(fault) = options.fault() {
            return Err(Error::Unsupported(fault));
        }
        options.access.is_local = address.ip().is_loopback();
        if !options.access.is_local && !options.access.is_guarded() {
            return Err(Error::Unsupported(format!(
                "listening on {address} without a token, because other machines could write: give a token, or serve \
                 read-only"
            )));
        }
        let io = |source| Error::Io { name: address.to_string(), source };
        let listener = TcpListener::bind(address).await.map_err(io)?;
        let address = listener.local_addr().map_err(io)?;
        Ok(Self { listener, address, shared: Shared::new(store, options).map_err(io)? })
    }

    /// The address at which it listens.
    ///
    /// # Examples
    ///
    /// See [`bind`](Self::bind).
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A handle by which the store can be replaced while the server runs.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::TripleStore;
    /// use triple_store::server::{Server, ServerOptions};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let options = ServerOptions::new().read_only(true);
    /// let server = Server::bind(TripleStore::in_memory(), "127.0.0.1:0".parse()?, options).await?;
    /// server.served().replace(TripleStore::in_memory());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn served(&self) -> Served {
        Served(Arc::clone(&self.shared))
    }

    /// Serves until `stop` completes. Then it accepts no more connections, closes idle ones, and waits 10 seconds for
    /// running requests. It cancels those that are left. Every write that was answered is on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] or [`Error::Failed`] if the store can't be flushed at the end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections and cancels the work of their requests.
    ///
    /// # Examples
    ///
    /// See the [module](crate::server).
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Self { listener, shared, .. } = self;
        let places = Connections::new(shared.options.connections.max(1));
        let service = TowerToHyperService::new(router(Arc::clone(&shared)));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let (stream, client) = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&listener) => accepted,
            };
            // A connection above the limit is closed.
            let Some(place) = places.enter() else { continue };
            let (service, here) = (service.clone(), Arc::clone(&place.connection));
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Client(client));
                request.extensions_mut().insert(Arc::clone(&here));
                service.call(request)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(shared.options.client_timeout)
                .serve_connection(TokioIo::new(Stream::new(stream, shared.options.client_timeout)), service);
            let connection = graceful.watch(connection);
            let open = Arc::clone(&shared);
            connections.spawn(async move {
                open.metrics.connections.inc();
                // Errors of a connection are not reported, because its client causes them.
                tokio::select! {
                    _ = connection => {}
                    () = place.connection.closed() => {}
                }
                open.metrics.connections.dec();
                drop(place);
            });
        }
        drop(listener);
        // Closing a connection drops its request, which cancels the work.
        let _ = timeout(GRACE_PERIOD, graceful.shutdown()).await;
        connections.shutdown().await;
        let all = u32::try_from(shared.options.concurrency).unwrap_or(u32::MAX);
        let _ = timeout(CANCELLED_GRACE_PERIOD, shared.slots.acquire_many(all)).await;
        shared.store().flush()
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has disconnected already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(PAUSE).await,
        }
    }
}

//! The store over HTTP: SPARQL 1.1 Protocol, Graph Store HTTP Protocol, and a page for queries.
//!
//! | route | methods | what |
//! |---|---|---|
//! | `/` | GET | a page for queries, or [your own page](ServerOptions::page) |
//! | `/query` | GET, POST | SPARQL queries; without a query a description of the service; with `?explain` the plan, as JSON |
//! | `/update` | POST | SPARQL updates |
//! | `/sparql` | GET, POST | either |
//! | `/store` | GET, HEAD, PUT, POST, PATCH, DELETE | the graph that `?graph=IRI` or `?default` names; `?all` is all of them |
//! | `/store/...` | the same | the graph whose IRI is this address |
//! | `/prefixes` | GET | prefixes of the store and well-known ones, as Turtle |
//! | `/health` | GET | 200 while the store accepts writes, and [the report](ServerOptions::health) of the program that serves it |
//! | `/metrics` | GET | counters, for Prometheus |
//!
//! Answers are in the syntax that `Accept` asks for. Several documents can be sent to `/store` in one request, as
//! `multipart/form-data`: all of them are stored, or none. A patch of a graph is an update
//! (`application/sparql-update`) that changes no other graph. Requests and answers may be compressed by gzip. An
//! error response has one line of text.
//!
//! # Access
//!
//! Every client that can reach the server may read. Writing requires the [token](ServerOptions::token) if there is one.
//! A server that other machines can reach must have a token, or be [read-only](ServerOptions::read_only). There is no
//! TLS: put a proxy in front of it if the network is not trusted.
//!
//! # Limits
//!
//! Every request has limits of [size](ServerOptions::body_limit) and [time](ServerOptions::timeout). Clients that are
//! [too slow](ServerOptions::client_timeout) are disconnected. There are limits for the
//! [number](ServerOptions::concurrency) of running requests and for their [memory](ServerOptions::query_memory)
//! together. A request counts as running once its body is received. If a client disconnects, its query is cancelled.
//! Large results are sent while they are computed, and take memory for a few chunks only.
//!
//! # Examples
//!
//! ```
//! use triple_store::TripleStore;
//! use triple_store::server::{Server, ServerOptions};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let store = TripleStore::in_memory();
//! let server = Server::bind(store, "127.0.0.1:0".parse()?, ServerOptions::new()).await?;
//! println!("http://{}/", server.local_addr());
//! let stop = async { /* await a signal here */ };
//! server.run(stop).await?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod access;
mod access_log;
#[cfg(feature = "cli")]
pub mod command;
mod connections;
mod failure;
mod form;
mod graph_store;
mod guard;
mod incoming;
mod listen;
mod metrics;
mod negotiate;
mod options;
mod page;
mod protocol;
mod reports;
mod sparql;
mod work;

pub use listen::{Served, Server};
pub use options::ServerOptions;

use crate::faces::store::TripleStore;
use crate::sparql::UpdateOptions;
use crate::sparql::memory::Memory;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::routing::{get, post};
use connections::Working;
use failure::Failure;
use metrics::Metrics;
use sparql::Endpoint;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use work::{Slot, Threads};

/// The state that all requests share.
#[derive(Debug)]
struct Shared {
    store: ArcSwap<TripleStore>,
    options: ServerOptions,
    slots: Arc<Semaphore>,
    threads: Threads,
    memory: Arc<Memory>,
    metrics: Metrics,
}

impl Shared {
    fn new(store: TripleStore, options: ServerOptions) -> io::Result<Arc<Self>> {
        let slots = Arc::new(Semaphore::new(options.concurrency));
        let threads = Threads::new(options.concurrency)?;
        let memory = Arc::new(Memory::new(options.query_memory));
        let metrics = Metrics::new(&options.reports);
        let store = ArcSwap::from_pointee(store);
        Ok(Arc::new(Self { store, options, slots, threads, memory, metrics }))
    }

    fn store(&self) -> TripleStore {
        TripleStore::clone(&self.store.load())
    }

    /// The deadline of a request that begins now.
    fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout.min(work::NEVER)
    }

    /// A slot for the work of a request.
    fn slot(&self, parts: &Parts, deadline: Instant) -> Result<Slot, Failure> {
        let working = parts.extensions.get().map(Working::new);
        Slot::take(&self.slots, &self.threads, deadline, working)
    }

    /// The memory limit of one query or update. It is less than the total, so that others can run too.
    fn memory_of_one(&self) -> usize {
        self.options.query_memory / 2
    }

    /// The limits of every update.
    fn update_options(&self, slot: &Slot) -> UpdateOptions {
        let options = UpdateOptions::new()
            .cancellation(slot.cancellation())
            .most_changes(self.options.most_changes)
            .memory(self.memory_of_one())
            .shared_memory(&self.memory);
        match &self.options.remote {
            Some(remote) => options.remote(Arc::clone(remote)),
            None => options,
        }
    }
}

/// All routes.
fn router(shared: Arc<Shared>) -> Router {
    let endpoint = |endpoint| {
        move |State(shared): State<Arc<Shared>>, request: Request| async move {
            sparql::handle(&shared, endpoint, request).await
        }
    };
    let graphs = get(graph_store::handle)
        .put(graph_store::handle)
        .post(graph_store::handle)
        .patch(graph_store::handle)
        .delete(graph_store::handle);
    let mut router = Router::new()
        .route("/query", get(endpoint(Endpoint::Query)).post(endpoint(Endpoint::Query)))
        .route("/update", post(endpoint(Endpoint::Update)))
        .route("/sparql", get(endpoint(Endpoint::Either)).post(endpoint(Endpoint::Either)))
        .route("/store", graphs.clone())
        .route("/store/{*path}", graphs)
        .route("/health", get(health))
        .route("/metrics", get(metrics::show))
        .merge(page::router(shared.options.page.as_deref()));
    let own = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    router = router
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::check))
        .layer(own(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(own(header::VARY, "accept, accept-encoding"));
    if let Some(origin) = &shared.options.access.origin {
        router = router.layer(cors(origin));
    }
    let mut router = router
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), metrics::measure));
    if shared.options.access_log.is_some() {
        router = router.layer(middleware::from_fn_with_state(Arc::clone(&shared), access_log::note));
    }
    router.with_state(shared)
}

/// The headers that tell browsers that pages of an origin may use the server.
fn cors(origin: &str) -> CorsLayer {
    let origin = if origin == "*" {
        AllowOrigin::from(Any)
    } else {
        HeaderValue::from_str(origin).map_or_else(|_| AllowOrigin::list([]), AllowOrigin::exact)
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods(Any)
        .allow_headers([header::ACCEPT, header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::LOCATION])
        .max_age(Duration::from_hours(1))
}

/// `GET /health`.
async fn health(State(shared): State<Arc<Shared>>) -> Result<String, Failure> {
    shared.store().engine.commits.check().map_err(|error| Failure::unhealthy(&error))?;
    let report = shared.options.reports.health().map_err(|wrong| Failure::unhealthy(&wrong))?;
    Ok(format!("ok\n{report}"))
}

/// The address of a request, without its parameters, as the client wrote it.
fn request_iri(parts: &Parts) -> String {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    format!("http://{}{}", host.unwrap_or("localhost"), parts.uri.path())
}

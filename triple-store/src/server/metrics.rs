//! Counters for Prometheus.

use super::Shared;
use super::reports::{Read, Reports};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// The format that Prometheus asks for and that every version of it reads.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

/// The counters, and the registry with their names.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    quads: Gauge,
    terms: Gauge,
    running: Gauge,
    pub(super) connections: Gauge,
    /// The gauges of the program that serves the store, and how they are read.
    others: Vec<(Gauge<f64, AtomicU64>, Read)>,
}

impl Metrics {
    pub(super) fn new(reports: &Reports) -> Self {
        let mut registry = Registry::with_prefix("triples");
        let requests = Family::default();
        // From 0.25 ms to one minute.
        let histogram = || Histogram::new(exponential_buckets(0.000_25, 4.0, 10));
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        let [quads, terms, running, connections]: [Gauge; 4] = Default::default();
        registry.register("requests", "Requests that were answered", requests.clone());
        let help = "Time from the head of a request to the head of its response";
        registry.register_with_unit("request_duration", help, Unit::Seconds, durations.clone());
        registry.register("quads", "Quads in the store", quads.clone());
        registry.register("terms", "Terms in the dictionary", terms.clone());
        registry.register("running", "Requests that are running", running.clone());
        registry.register("connections", "Open connections", connections.clone());
        let others = reports.gauges.iter().map(|(name, help, read)| {
            let gauge = Gauge::default();
            registry.register(name.clone(), help.clone(), gauge.clone());
            (gauge, read.clone())
        });
        let others = others.collect();
        Self { registry, requests, durations, quads, terms, running, connections, others }
    }
}

/// Counts a request and its answer.
pub(super) async fn measure(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    // A client can send any method, and each would create a counter.
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let metrics = &shared.metrics;
    metrics.durations.get_or_create(&Route { route: route.clone() }).observe(started.elapsed().as_secs_f64());
    metrics.requests.get_or_create(&Answer { route, method, status }).inc();
    response
}

/// `GET /metrics`.
pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let (metrics, store) = (&shared.metrics, shared.store());
    metrics.quads.set(store.len().cast_signed());
    metrics.terms.set(store.engine.dictionary.len().cast_signed());
    for (gauge, read) in &metrics.others {
        gauge.set(read.now());
    }
    let running = shared.options.concurrency - shared.slots.available_permits();
    metrics.running.set(running.cast_signed() as i64);
    let mut exposition = String::new();
    text::encode(&mut exposition, &metrics.registry).expect("writing to a string does not fail");
    ([(header::CONTENT_TYPE, OPEN_METRICS)], exposition).into_response()
}

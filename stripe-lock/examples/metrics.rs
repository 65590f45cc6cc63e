//! Monitors a set of locks: long waits become events in the spans of the waiting threads, and counters become metrics
//! for Prometheus.
//!
//! `cargo run --release -p stripe-lock --features stats,tracing --example metrics`

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use stripe_lock::StripedMutex;

/// Reads the counters of a set whenever Prometheus asks.
#[derive(Debug)]
struct Locks(Arc<StripedMutex<String>>);

impl Collector for Locks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let mut add = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        add("acquisitions", "Stripes taken", None, &ConstCounter::new(stats.acquisitions()))?;
        add("contended", "Stripes that were not free at once", None, &ConstCounter::new(stats.contended()))?;
        add("waited", "Time waited", Some(&Unit::Seconds), &ConstCounter::new(stats.waited().as_secs_f64()))?;
        add("skew", "Busiest stripe over the mean", None, &ConstGauge::new(stats.skew()))?;

        // There is a label for each stripe that had a waiter. So there are at most as many labels as stripes.
        let mut family = encoder.encode_descriptor(
            "stripe_waited",
            "Time waited, by stripe",
            Some(&Unit::Seconds),
            ConstCounter::new(0.0).metric_type(),
        )?;
        for (index, stripe) in stats.stripes().iter().enumerate().filter(|(_, stripe)| stripe.contended > 0) {
            let labels = [("stripe", index.to_string())];
            ConstCounter::new(stripe.waited.as_secs_f64()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What `GET /metrics` answers.
fn scrape(registry: &Registry) -> String {
    let mut answer = String::new();
    text::encode(&mut answer, registry).expect("a string takes everything");
    answer
}

fn main() {
    tracing_subscriber::fmt().with_ansi(false).init();

    let accounts = StripedMutex::<String>::new(64).warn_after(Duration::from_millis(30));
    let accounts = Arc::new(accounts);
    let mut registry = Registry::with_prefix("account_locks");
    registry.register_collector(Box::new(Locks(accounts.clone())));

    thread::scope(|scope| {
        let nightly = accounts.lock("alice");
        for request in 0..8 {
            let accounts = &accounts;
            scope.spawn(move || {
                let user = if request % 4 == 0 { "alice".to_owned() } else { format!("user {request}") };
                let _span = tracing::info_span!("request", number = request, user).entered();
                drop(accounts.lock(&user)); // two of these wait for the nightly job, and each sends an event
            });
        }
        thread::sleep(Duration::from_millis(100));
        drop(nightly);
    });

    let metrics = scrape(&registry);
    print!("{metrics}");
    assert!(metrics.contains("account_locks_acquisitions_total 9"), "one by the job, eight by the requests");
}

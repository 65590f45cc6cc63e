//! The async locks against those of other crates, striped by hand with the same hasher, in interleaved rounds.
//!
//! `cargo bench -p benches --bench async_locks [-- SUITE...]`, with suites `one`, `many`, `two`, `hot`, `read` and `dense`.
//! Every table gives the median of the rounds and, for each contender, the median of its ratios to ours.

mod alone;
mod contenders;
mod tasks;
mod threads;

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use benches::harness::{Case, Comparison, Plan};

const BRIEF: Plan = Plan { rounds: 15, sample: Duration::from_millis(8) };

/// For what depends on where the system puts the threads: it takes milliseconds to set that right.
const LONG: Plan = Plan { rounds: 15, sample: Duration::from_millis(60) };

/// Polls a future that does not wait.
#[inline]
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nobody else holds anything"),
    }
}

/// Keys without order: multiples of an odd constant.
fn keys() -> Vec<u64> {
    (1..=4096_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

fn time(run: impl FnOnce()) -> Duration {
    let since = Instant::now();
    run();
    since.elapsed()
}

/// Measures, and prints a table in which every contender is compared with `base`.
fn compare(title: &str, base: &str, mut cases: Vec<Case<'_>>, plan: Plan) {
    let result = Comparison::measure(&mut cases, plan, |_| ());
    println!("\n{title}");
    for samples in result.samples() {
        let ratio = samples.times_slower_than(result.of(base));
        println!(
            "  {:24} {:9.1} ns   {:6.2} x {base}  [{:.2}..{:.2}]",
            samples.label,
            samples.time().median * 1e9,
            ratio.median,
            ratio.low,
            ratio.high
        );
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let suites: [(&str, fn()); 6] = [
        ("one", alone::one),
        ("many", alone::many),
        ("two", threads::two),
        ("hot", tasks::hot),
        ("read", threads::read),
        ("dense", threads::dense),
    ];
    for (name, suite) in suites {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            suite();
        }
    }
}

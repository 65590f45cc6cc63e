//! What `put` and `health` cost while the store is verified.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use benches::{contenders::stores::Failure, spread::quantile};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use vde_store::{Durability, Vde};

use crate::{Options, print};

const VALUE: usize = 1024;
const TIME: Duration = Duration::from_secs(2);

/// Calls `work` until `is_over`, with pauses between. Returns the times in us, sorted.
fn times(pause: Option<Duration>, is_over: impl Fn() -> bool, mut work: impl FnMut()) -> Vec<f64> {
    let mut times = Vec::new();
    while !is_over() {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64() * 1e6);
        if let Some(pause) = pause {
            thread::sleep(pause);
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

/// One thread puts durable values of 1 KiB and another one asks for the health every ms. Returns the times of both.
fn sample(store: &Vde, is_over: impl Fn() -> bool + Sync) -> [Vec<f64>; 2] {
    thread::scope(|scope| {
        let putting = scope.spawn(|| {
            let mut rng = SmallRng::seed_from_u64(1);
            let put =
                || _ = store.put(rng.random::<[u8; 16]>(), [7; VALUE]).expect("the store takes every put");
            times(None, &is_over, put)
        });
        let asking = scope.spawn(|| {
            let ask = || _ = store.health().expect("the store tells its health");
            times(Some(Duration::from_millis(1)), &is_over, ask)
        });
        [putting, asking].map(|thread| thread.join().expect("the threads do not panic"))
    })
}

pub(crate) fn measure(options: &Options) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(&options.measure.dir)?;
    let store = Vde::create(dir.path().join("store.vde"))?;
    let buffered = store.with_durability(Durability::Buffered);
    let mut rng = SmallRng::seed_from_u64(2);
    let mut value = [0; VALUE];
    for key in 0..1_200_000 / options.divide {
        rng.fill_bytes(&mut value);
        buffered.put(key.to_be_bytes(), value)?;
    }
    store.checkpoint()?;
    let start = Instant::now();
    let alone = sample(&store, || start.elapsed() >= TIME);
    let (done, start) = (AtomicBool::new(false), Instant::now());
    let beside = thread::scope(|scope| {
        let verifying = scope.spawn(|| {
            let reports = std::iter::from_fn(|| (start.elapsed() < TIME).then(|| store.verify(|_| {})));
            let are_clean =
                reports.map(|report| Ok(report?.is_clean())).collect::<vde_store::Result<Vec<_>>>();
            done.store(true, Relaxed);
            are_clean
        });
        let times = sample(&store, || done.load(Relaxed));
        verifying.join().expect("verification does not panic").map(|are_clean| (are_clean, times))
    });
    let took = start.elapsed().as_secs_f64();
    let (are_clean, beside) = beside?;
    if are_clean.contains(&false) {
        return Err("the store is damaged".into());
    }
    let bytes = store.stats()?.container_bytes >> 20;
    let row = |what: &str, times: &[f64]| {
        let at = |at| format!("{:.0}", quantile(times, at));
        [what.to_owned(), times.len().to_string(), at(0.5), at(0.99), at(1.0)]
    };
    print(
        &format!(
            "a store of {bytes} MiB while it is verified again and again, {:.2} s each time; us",
            took / are_clean.len() as f64
        ),
        ["", "calls", "p50", "p99", "longest"],
        [
            row("durable put of 1 KiB", &alone[0]),
            row("... beside verify", &beside[0]),
            row("health", &alone[1]),
            row("... beside verify", &beside[1]),
        ],
    );
    Ok(())
}

//! Lookups, ranges, scans and queries over a loaded store, alone and beside writers.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use oxrdf::NamedNode;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize};

use super::{
    Bench, Part, compare, print,
    process::{Request, StoreProcess, readable},
    table,
    writes::Subjects,
};
use crate::{
    contenders::{
        quads::{Pattern, QuadStore, ReadableQuads},
        stores::Failure,
    },
    harness::Case,
    spread::{Spread, quantile},
};

pub(super) const SHOP: &str = "http://shop.example/";

pub(super) fn reads(bench: &Bench) -> Result<(), Failure> {
    let (file, triples) = bench.shop()?;
    let mut stores = bench.holding(&file)?;
    let asks = |part| bench.options.only.contains(&part);
    if asks(Part::Reads) {
        patterns(bench, &mut stores, triples);
    }
    if asks(Part::Beside) {
        beside_writers(bench, &mut stores)?;
    }
    Ok(())
}

fn node(name: &str) -> NamedNode {
    NamedNode::new_unchecked(format!("{SHOP}{name}"))
}

/// The label of a product drawn at random.
fn lookup(rng: &mut SmallRng, products: usize) -> Pattern {
    Pattern {
        subject: Some(node(&format!("Product/{}", rng.random_range(0..products)))),
        predicate: Some(NamedNode::new_unchecked("http://www.w3.org/2000/01/rdf-schema#label")),
        object: None,
    }
}

/// The products of a producer drawn at random, 40 on average.
fn range(rng: &mut SmallRng, products: usize) -> Pattern {
    let producer = node(&format!("Producer/{}", rng.random_range(0..products.div_ceil(40))));
    Pattern { subject: None, predicate: Some(node("vocabulary#producer")), object: Some(producer.into()) }
}

/// Patterns whose quads are counted.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Reading {
    Lookups { products: usize },
    Ranges { products: usize },
    Scan,
}

/// Reads patterns that are drawn at random.
pub(super) struct Reader {
    rng: SmallRng,
}

impl Default for Reader {
    fn default() -> Self {
        Self { rng: SmallRng::seed_from_u64(1) }
    }
}

impl Reader {
    /// The time that `times` reads take.
    pub(super) fn read(
        &mut self,
        store: &dyn ReadableQuads,
        reading: Reading,
        times: u64,
    ) -> Result<Duration, Failure> {
        let start = Instant::now();
        for _ in 0..times {
            let pattern = reading.pattern(&mut self.rng);
            assert!(store.matches(&pattern)? > 0, "what is asked for is there");
        }
        Ok(start.elapsed())
    }

    /// The seconds of each read in `time`, beside threads that insert.
    pub(super) fn read_beside(
        &mut self,
        store: &dyn QuadStore,
        subjects: &Subjects,
        reading: Reading,
        writers: usize,
        time: Duration,
    ) -> Result<Vec<f64>, Failure> {
        let readable = readable(store)?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..writers {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        store.insert(subjects.next()).expect("the store takes every quad");
                    }
                });
            }
            let mut times = Vec::new();
            let mut read_all = || {
                let start = Instant::now();
                while start.elapsed() < time {
                    times.push(self.read(readable, reading, 1)?.as_secs_f64());
                }
                Ok(())
            };
            let done: Result<(), Failure> = read_all();
            stop.store(true, Relaxed);
            done.map(|()| times)
        })
    }
}

impl Reading {
    fn pattern(self, rng: &mut SmallRng) -> Pattern {
        match self {
            Self::Lookups { products } => lookup(rng, products),
            Self::Ranges { products } => range(rng, products),
            Self::Scan => Pattern::default(),
        }
    }
}

fn patterns(bench: &Bench, stores: &mut [StoreProcess], triples: u64) {
    let products = bench.options.products;
    for (title, unit, reading) in [
        ("(s, p, ?)", "lookups/s", Reading::Lookups { products }),
        ("(?, p, o), 40 rows", "ranges/s", Reading::Ranges { products }),
    ] {
        let cases = stores.iter_mut().map(|store| store.case(move |times| Request::Read(reading, times)));
        compare(title, unit, bench.plan, cases.collect());
    }
    let scans = stores.iter_mut().map(|store| {
        let name = store.name;
        let scan = move || store.request(&Request::Read(Reading::Scan, 1)).expect("the store can be read");
        Case::fixed(name, triples, scan)
    });
    compare("full scan", "triples/s", bench.plan, scans.collect());
}

/// One reader, alone and while four writers insert durably.
fn beside_writers(bench: &Bench, stores: &mut [StoreProcess]) -> Result<(), Failure> {
    let mut table = table(["store", "alone/s", "beside 4 writers/s", "slower by", "p99 us", "beside us"]);
    let reading = Reading::Lookups { products: bench.options.products };
    for store in stores {
        let mut rates = [Vec::new(), Vec::new()];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..bench.plan.rounds {
            for writers in [0, 4] {
                let request = Request::ReadBeside { reading, writers, time: 2 * bench.plan.sample };
                let mut took: Vec<f64> = store.request(&request)?;
                rates[writers / 4].push(took.len() as f64 / took.iter().sum::<f64>());
                times[writers / 4].append(&mut took);
            }
        }
        let ratio = Spread::of(rates[0].iter().zip(&rates[1]).map(|(alone, beside)| alone / beside));
        let p99 = times.each_mut().map(|times| {
            times.sort_unstable_by(f64::total_cmp);
            quantile(times, 0.99) * 1e6
        });
        table.add_row([
            store.name.to_owned(),
            format!("{:.0}", Spread::of(rates[0].iter().copied()).median),
            format!("{:.0}", Spread::of(rates[1].iter().copied()).median),
            format!("{:.2}", ratio.median),
            format!("{:.1}", p99[0]),
            format!("{:.1}", p99[1]),
        ]);
    }
    print("a reader of (s, p, ?) beside 4 durable writers", table);
    Ok(())
}

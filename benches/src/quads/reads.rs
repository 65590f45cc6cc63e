//! Lookups, ranges, scans and queries over a loaded store, alone and beside writers.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

use oxrdf::NamedNode;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::{Bench, Fresh, Part, compare, print, table, writes::Subjects};
use crate::{
    contenders::{
        quads::{Pattern, ReadableQuads},
        stores::{Durability, Failure},
    },
    harness::Case,
    spread::{Spread, quantile},
};

pub(super) const SHOP: &str = "http://shop.example/";

pub(super) fn reads(bench: &Bench) -> Result<(), Failure> {
    let (file, triples) = bench.shop()?;
    let stores = bench.holding(&file)?;
    let asks = |part| bench.options.only.contains(&part);
    if asks(Part::Reads) {
        patterns(bench, &stores, triples);
    }
    if asks(Part::Beside) {
        beside_writers(bench, &stores)?;
    }
    Ok(())
}

impl Bench {
    /// Every store that can be read, with the file loaded.
    pub(super) fn holding(&self, file: &Path) -> Result<Vec<Fresh>, Failure> {
        let mut stores = Vec::new();
        for engine in &self.engines {
            let fresh = self.open(*engine, Durability::Synced)?;
            if let Some(store) = fresh.store.as_readable() {
                store.load(file)?;
                store.checkpoint()?;
                stores.push(fresh);
            }
        }
        Ok(stores)
    }
}

impl Fresh {
    pub(super) fn readable(&self) -> &dyn ReadableQuads {
        self.store.as_readable().expect("only stores that can be read are kept")
    }
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

fn reading(fresh: &Fresh, pattern: fn(&mut SmallRng, usize) -> Pattern, products: usize) -> Case<'_> {
    let mut rng = SmallRng::seed_from_u64(1);
    Case::new(fresh.name, move |operations| {
        let start = Instant::now();
        for _ in 0..operations {
            let found = fresh.readable().matches(&pattern(&mut rng, products));
            assert!(found.expect("the store can be read") > 0, "what is asked for is there");
        }
        start.elapsed()
    })
}

fn patterns(bench: &Bench, stores: &[Fresh], triples: u64) {
    let products = bench.options.products;
    let cases = |pattern| stores.iter().map(|fresh| reading(fresh, pattern, products)).collect();
    compare("(s, p, ?)", "lookups/s", bench.plan, cases(lookup));
    compare("(?, p, o), 40 rows", "ranges/s", bench.plan, cases(range));
    let scans = stores.iter().map(|fresh| {
        Case::fixed(fresh.name, triples, move || {
            let start = Instant::now();
            let found = fresh.readable().matches(&Pattern::default()).expect("the store can be read");
            assert_eq!(found, fresh.readable().len() as u64);
            start.elapsed()
        })
    });
    compare("full scan", "triples/s", bench.plan, scans.collect());
}

/// One reader, alone and while four writers insert durably.
fn beside_writers(bench: &Bench, stores: &[Fresh]) -> Result<(), Failure> {
    let mut table = table(["store", "alone/s", "beside 4 writers/s", "slower by", "p99 us", "beside us"]);
    for fresh in stores {
        let subjects = Subjects::default();
        let mut rates = [Vec::new(), Vec::new()];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..bench.plan.rounds {
            for writers in [0, 4] {
                let (rate, mut took) = read_beside(bench, fresh, &subjects, writers)?;
                rates[writers / 4].push(rate);
                times[writers / 4].append(&mut took);
            }
        }
        let ratio = Spread::of(rates[0].iter().zip(&rates[1]).map(|(alone, beside)| alone / beside));
        let p99 = times.each_mut().map(|times| {
            times.sort_unstable_by(f64::total_cmp);
            quantile(times, 0.99) * 1e6
        });
        table.add_row([
            fresh.name.to_owned(),
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

/// Lookups a second, and what each took.
fn read_beside(
    bench: &Bench,
    fresh: &Fresh,
    subjects: &Subjects,
    writers: usize,
) -> Result<(f64, Vec<f64>), Failure> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    fresh.store.insert(subjects.next()).expect("the store takes every quad");
                }
            });
        }
        let (mut rng, mut times) = (SmallRng::seed_from_u64(7), Vec::new());
        let start = Instant::now();
        while start.elapsed() < 2 * bench.plan.sample {
            let pattern = lookup(&mut rng, bench.options.products);
            let began = Instant::now();
            fresh.readable().matches(&pattern)?;
            times.push(began.elapsed().as_secs_f64());
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Relaxed);
        Ok((rate, times))
    })
}

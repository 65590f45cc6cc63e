//! `triples bench`: measures the store on this machine, with generated data.

use crate::commands::{io_error, seconds, write_line};
use oxrdf::{GraphName, Literal, NamedNode, Quad};
use serde_json::json;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use triple_store::{Durability, QueryResults, RdfFormat, Result, TripleStore, TripleStoreOptions};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file to create for the store, on the disk to be measured. It must not exist, and is removed at the end.
    store: PathBuf,
    /// How many triples to load first, approximately.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    triples: u64,
    /// How many threads insert at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// How many seconds to measure each kind of work.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Keep up to this many KiB of the quads that were read last in memory.
    #[arg(long, value_name = "KIB", default_value_t = 256 << 10)]
    cache: usize,
}

/// The number of triples that describe one product.
const OF_PRODUCT: u64 = 8;
/// The number of products of one producer, and of features of one product.
const OF_PRODUCER: u64 = 20;
const FEATURES: u64 = 500;

/// The file, removed when this is dropped.
struct Temporary<'a>(&'a Path);

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // It may not exist.
        let _ = fs::remove_file(self.0);
    }
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<()> {
    let path = &*arguments.store;
    if path.exists() {
        return Err(io_error(path, io::ErrorKind::AlreadyExists.into()));
    }
    let time = seconds(arguments.seconds)?;
    let _temporary = Temporary(path);
    let options = TripleStoreOptions::new().cache(arguments.cache.saturating_mul(1 << 10));
    let open = |durability| options.clone().durability(durability).open(path);
    let products = arguments.triples.div_ceil(OF_PRODUCT);

    let store = open(Durability::Sync)?;
    let text: String = (0..products).map(product).collect();
    let started = Instant::now();
    let loaded = store.load(text.as_bytes(), RdfFormat::NTriples, "generated triples")?;
    say("triples loaded", loaded.quads, started.elapsed(), json)?;
    drop(text);

    inserts(&store, "inserts, each synced", arguments.threads, time, json)?;
    drop(store);
    let store = open(Durability::Buffered)?;
    inserts(&store, "inserts, logged only", arguments.threads, time, json)?;
    store.checkpoint()?;
    reads(&store, products, time, json)
}

fn inserts(store: &TripleStore, what: &str, threads: u16, time: Duration, json: bool) -> Result<()> {
    for threads in if threads == 1 { vec![1] } else { vec![1, threads] } {
        let insert = |thread: u64, i: u64| {
            let subject = NamedNode::new_unchecked(format!("{BASE}{what}/{threads}/{thread}/{i}"));
            let quad = Quad::new(subject, node("number"), Literal::from(i), GraphName::DefaultGraph);
            store.insert(&quad).map(u64::from)
        };
        measure(&format!("{what}, threads: {threads}"), threads, time, json, insert)?;
    }
    Ok(())
}

fn reads(store: &TripleStore, products: u64, time: Duration, json: bool) -> Result<()> {
    let (offers, producer) = (node("feature"), node("producer"));
    measure("lookups (s, p, ?)", 1, time, json, |_, i| {
        let subject = node(format_args!("product/{}", mixed(i) % products));
        let mut found =
            store.quads_for_pattern(Some(subject.as_ref().into()), Some(offers.as_ref()), None, None);
        found.try_for_each(|quad| quad.map(drop)).map(|()| 1)
    })?;
    measure("ranges (?, p, o) of 20", 1, time, json, |_, i| {
        let object = node(format_args!("producer/{}", mixed(i) % products.div_ceil(OF_PRODUCER)));
        let mut found =
            store.quads_for_pattern(None, Some(producer.as_ref()), Some(object.as_ref().into()), None);
        found.try_for_each(|quad| quad.map(drop)).map(|()| 1)
    })?;
    measure("quads scanned", 1, time, json, |_, _| {
        store.snapshot().iter().try_fold(0, |count, quad| quad.map(|_| count + 1))
    })?;
    measure("queries that join three patterns", 1, time, json, |_, i| {
        let query = format!(
            "PREFIX : <{BASE}> SELECT ?label ?price {{
               ?product :producer <{BASE}producer/{}> ; :label ?label ; :price ?price FILTER(?price > 500) }}",
            mixed(i) % products.div_ceil(OF_PRODUCER)
        );
        let QueryResults::Solutions(mut rows) = store.query(&query)? else {
            unreachable!("a SELECT has rows")
        };
        rows.try_for_each(|row| row.map(drop))?;
        Ok(1)
    })
}

/// Repeats `work` in `threads` threads, and prints the operations per second. `work` gets the number of its thread and
/// of the repetition, and returns the number of operations that it did.
fn measure(
    what: &str,
    threads: u16,
    time: Duration,
    json: bool,
    work: impl Fn(u64, u64) -> Result<u64> + Sync,
) -> Result<()> {
    let started = Instant::now();
    let turns = |thread: u16| {
        let mut count = 0;
        for turn in 0.. {
            if started.elapsed() >= time {
                break;
            }
            count += work(thread.into(), turn)?;
        }
        Ok(count)
    };
    let count: Result<u64> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || turns(thread))).collect();
        workers.into_iter().map(|worker| worker.join().expect("the work does not panic")).sum()
    });
    say(what, count?, started.elapsed(), json)
}

fn say(what: &str, count: u64, time: Duration, json: bool) -> Result<()> {
    let rate = count as f64 / time.as_secs_f64();
    write_line(&if json {
        json!({ "what": what, "per_second": rate }).to_string()
    } else {
        format!("{what:38} {rate:>12.0}/s")
    })
}

const BASE: &str = "http://example.com/";

fn node(name: impl std::fmt::Display) -> NamedNode {
    NamedNode::new_unchecked(format!("{BASE}{name}"))
}

/// A pseudo-random number, so that lookups are not in the order of the data.
fn mixed(i: u64) -> u64 {
    i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// A product of a shop, as N-Triples.
fn product(n: u64) -> String {
    const XSD: &str = "http://www.w3.org/2001/XMLSchema#";
    let mut text = String::new();
    let mut triple = |predicate: &str, object: std::fmt::Arguments<'_>| {
        writeln!(text, "<{BASE}product/{n}> <{BASE}{predicate}> {object} .")
            .expect("writing to a string does not fail");
    };
    triple("type", format_args!("<{BASE}Product>"));
    triple("label", format_args!("\"product number {n} of this shop\"@en"));
    triple("producer", format_args!("<{BASE}producer/{}>", n / OF_PRODUCER));
    triple("price", format_args!("\"{}.{:02}\"^^<{XSD}decimal>", mixed(n) % 1000, n % 100));
    triple("since", format_args!("\"20{:02}-{:02}-{:02}\"^^<{XSD}date>", n % 25, n % 12 + 1, n % 28 + 1));
    for i in 0..OF_PRODUCT - 5 {
        triple("feature", format_args!("<{BASE}feature/{}>", mixed(n * OF_PRODUCT + i) % FEATURES));
    }
    text
}

//! Inserts, one by one and by the thousand.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use oxrdf::{GraphName, Literal, NamedNode, Quad};
use serde::{Deserialize, Serialize};
use triple_store::{Error, TripleStoreOptions};

use super::{Bench, OURS, compare, process::Request};
use crate::{
    contenders::{
        quads::{OurQuads, QuadStore},
        stores::{Durability, Failure},
    },
    harness::Case,
    workloads::closed_loop,
};

/// Fresh subjects, one quad each.
#[derive(Default)]
pub(super) struct Subjects(AtomicU64);

impl Subjects {
    pub(super) fn next(&self) -> Quad {
        Self::quad(self.0.fetch_add(1, Relaxed))
    }

    fn quad(number: u64) -> Quad {
        let node = |kind: &str, n: u64| NamedNode::new_unchecked(format!("http://shop.example/{kind}/{n}"));
        let price = Literal::from((number % 1000).cast_signed());
        Quad::new(node("Visitor", number), node("vocabulary", 1), price, GraphName::DefaultGraph)
    }

    fn thousand(&self) -> Vec<Quad> {
        let first = self.0.fetch_add(1000, Relaxed);
        (first..first + 1000).map(Self::quad).collect()
    }
}

pub(super) fn inserts(bench: &Bench, durability: Durability) -> Result<(), Failure> {
    let kind = match durability {
        Durability::Synced => "durable",
        Durability::Buffered => "logged, unsynced",
    };
    for threads in [1, 4, 16] {
        compare_writes(
            bench,
            &format!("{kind} inserts, {threads} threads"),
            "inserts/s",
            durability,
            Writing::Inserts { threads },
        )?;
    }
    Ok(())
}

pub(super) fn extends(bench: &Bench) -> Result<(), Failure> {
    for threads in [1, 16] {
        let title = format!("durable transactions of 1,000, {threads} threads");
        compare_writes(bench, &title, "transactions/s", Durability::Synced, Writing::Additions { threads })?;
    }
    Ok(())
}

fn compare_writes(
    bench: &Bench,
    title: &str,
    unit: &str,
    durability: Durability,
    writing: Writing,
) -> Result<(), Failure> {
    let mut stores = bench.on_disk(durability)?;
    let cases = stores.iter_mut().map(|store| store.case(move |times| Request::Write(writing, times)));
    compare(title, unit, bench.plan, cases.collect());
    Ok(())
}

/// Writes by some threads.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Writing {
    /// Of one quad each.
    Inserts { threads: usize },
    /// Of 1,000 quads each.
    Additions { threads: usize },
}

impl Writing {
    /// The time that this number of writes takes, by all threads together.
    pub(super) fn run(self, store: &dyn QuadStore, subjects: &Subjects, writes: u64) -> Duration {
        let (Self::Inserts { threads } | Self::Additions { threads }) = self;
        let write = |(): &mut ()| match self {
            Self::Inserts { .. } => store.insert(subjects.next()),
            Self::Additions { .. } => store.add(subjects.thousand()),
        };
        closed_loop(threads, writes, |_| (), |none| write(none).expect("the store takes every quad"))
    }
}

/// Inserts into a store of this process.
fn inserting<'a>(name: &'static str, store: &'a dyn QuadStore, threads: usize) -> Case<'a> {
    let subjects = Subjects::default();
    Case::new(name, move |inserts| Writing::Inserts { threads }.run(store, &subjects, inserts))
}

/// How long the validation of a transaction takes.
const VALIDATION: Duration = Duration::from_millis(1);

pub(super) fn stripes(bench: &Bench) -> Result<(), Failure> {
    let options = |stripes: usize| TripleStoreOptions::new().stripes(stripes);
    for (title, threads) in [("logged, unsynced inserts, 4 threads", 4), ("the same, 1 thread", 1)] {
        let (one_dir, many_dir) = (bench.fresh()?, bench.fresh()?);
        let one = OurQuads::with_options(one_dir.path(), Durability::Buffered, options(1))?;
        let many = OurQuads::with_options(many_dir.path(), Durability::Buffered, options(16))?;
        let cases = vec![inserting(OURS, &many, threads), inserting("one stripe", &one, threads)];
        compare(title, "inserts/s", bench.plan, cases);
    }
    let (one, many) = (OurQuads::in_memory(options(1)), OurQuads::in_memory(options(16)));
    let cases = vec![inserting(OURS, &many, 4), inserting("one stripe", &one, 4)];
    compare("inserts in memory, 4 threads", "inserts/s", bench.plan, cases);

    let (one, many) = (OurQuads::in_memory(options(1)), OurQuads::in_memory(options(16)));
    let cases = vec![validated(OURS, &many), validated("one stripe", &one)];
    compare("validated for 1 ms under the stripe, 16 threads", "inserts/s", bench.plan, cases);
    Ok(())
}

/// Transactions that hold the stripe of their subject while they are validated.
fn validated<'a>(name: &'static str, store: &'a OurQuads) -> Case<'a> {
    let subjects = Subjects::default();
    Case::new(name, move |operations| {
        let insert = |(): &mut ()| {
            let quad = subjects.next();
            let run = |tx: &mut triple_store::Transaction| {
                thread::sleep(VALIDATION);
                tx.insert(&quad)
            };
            let done: Result<bool, Error> = store.store().transaction_on([quad.subject.as_ref()], run);
            done.expect("the store takes every quad");
        };
        closed_loop(16, operations, |_| (), insert)
    })
}

//! Part two: the disk engine, before and after striping, and as it is.

use std::time::Duration;

use parking_lot::Mutex;
use stripe_lock::Fnv1a;

use super::{
    super::{Colour, Curve, Form, Plot, Role, Section, Table, Unit, progress::Progress},
    Settings,
};
use crate::{
    contenders::{
        GlobalMutex, KeyLock, Ours, Unlocked,
        stores::{Durability, Failure, OurStore, Store},
    },
    harness::{Comparison, Plan},
    latencies::Latencies,
    suites,
    workloads::{Put, puts},
};

const WRITERS: [usize; 4] = [1, 4, 16, 64];
const SIZES: [(usize, &str); 2] = [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")];
pub(super) const BEFORE: &str = "one lock over the write";
pub(super) const AFTER: &str = "stripes over the write";
pub(super) const AS_IS: &str = "as it is: stripe released before the sync";

fn plan(settings: &Settings) -> Plan {
    settings.plan((5, 80), (3, 40))
}

pub(super) fn expected(settings: &Settings) -> Duration {
    plan(settings).expected(3 * WRITERS.len() * SIZES.len())
}

pub(super) fn section(settings: &Settings, progress: &mut Progress) -> Result<Section, Failure> {
    progress.part("Disk engine");
    let mut tables = Vec::new();
    let mut plots = Vec::new();
    for (size, name) in SIZES {
        let mut by_writers = Vec::new();
        for writers in WRITERS {
            let result = compare(settings, progress, writers, size)?;
            let title =
                format!("Durable puts of {name} by {writers} writer{}", if writers == 1 { "" } else { "s" });
            by_writers.push(Table::of(title, Unit::PerSecond, &result, BEFORE, role).with_base("one lock"));
        }
        plots.push(curves(name, &by_writers));
        tables.append(&mut by_writers);
    }
    let (alone, many, most) = ([&tables[0]], [&tables[2]], [&tables[3]]);
    let gain = |label: &str| many[0].row(label).ratio.median;
    let mut claims: Vec<(&[&Table], _)> = vec![
        (
            &many,
            format!(
                "With 16 writers of 1 KiB, stripes held over the write make {:.1} times the puts of one lock, and the engine as it is \
                 makes {:.1} times.",
                gain(AFTER),
                gain(AS_IS)
            ),
        ),
        (
            &most,
            format!(
                "Stripes let writers share one sync. The engine releases its stripe before it waits for the disk. With 64 writers, whose \
                 keys share stripes more often, it makes {:.1} times the puts of one lock, and stripes held over the write make {:.1} \
                 times.",
                most[0].row(AS_IS).ratio.median,
                most[0].row(AFTER).ratio.median,
            ),
        ),
        (
            &alone,
            format!(
                "One writer has no other writer to share a sync with: the engine as it is makes {:.2} times the puts of one lock.",
                alone[0].row(AS_IS).ratio.median
            ),
        ),
    ];
    let all: Vec<_> = tables.iter().map(|table| [table]).collect();
    for table in &all {
        let [as_is, after] = [AS_IS, AFTER].map(|label| table[0].row(label).ratio.median);
        if as_is < 0.95 * after {
            let title = &table[0].title;
            claims.push((
                table,
                format!(
                    "Loses in \u{201c}{title}\u{201d}: the engine as it is makes {as_is:.1} times the puts of one lock, and stripes held over \
                     the write make {after:.1} times."
                ),
            ));
        }
    }
    let findings = Section::conclude(claims);
    Ok(Section {
        id: "disk",
        title: "What do stripes buy a disk engine?",
        method: format!(
            "Puts of random bytes under new keys into vde-store, each acknowledged once it is on the disk. Three ways of locking: one \
             lock held over the write, {} stripes (FNV-1a) held over the write, and the engine as it is.",
            suites::STRIPES
        ),
        headline: many[0].headline(
            format!("{:.1} x", gain(AS_IS)),
            "the durable puts of one lock, by 16 writers of 1 KiB into vde-store".to_owned(),
        ),
        findings,
        tables,
        shown: 0,
        plots,
    })
}

/// The three ways of locking, measured in the same rounds on three stores.
fn compare(
    settings: &Settings,
    progress: &mut Progress,
    writers: usize,
    size: usize,
) -> Result<Comparison, Failure> {
    let dirs = [(); 3].map(|()| tempfile::tempdir_in(&settings.dir));
    let mut stores = Vec::new();
    for dir in &dirs {
        let dir = dir.as_ref().map_err(|error| format!("{}: {error}", settings.dir.display()))?;
        stores.push(OurStore::open(dir.path())?);
    }
    let [before, after, as_is] = &stores[..] else { unreachable!("one store for each way") };
    let stripes = Ours::<[u8], _>::new(suites::STRIPES, Fnv1a::default());
    let latencies = Latencies::default();
    let mut cases = [
        puts(BEFORE, locked(before, GlobalMutex(Mutex::new(()))), writers, size, &latencies),
        puts(AFTER, locked(after, stripes), writers, size, &latencies),
        puts(AS_IS, locked(as_is, Unlocked), writers, size, &latencies),
    ];
    Ok(progress.compare(&mut cases, plan(settings)))
}

fn locked<'a>(store: &'a OurStore, lock: impl KeyLock<[u8]> + 'a) -> Box<Put<'a>> {
    Box::new(move |key, value| lock.with(key, || store.put(key, value, Durability::Synced)))
}

pub(super) fn role(label: &str) -> Role {
    match label {
        BEFORE => Role::Before,
        AFTER => Role::After,
        _ => Role::Ours,
    }
}

fn curves(size: &str, tables: &[Table]) -> Plot {
    let curve = |label: &str, colour| {
        let points = WRITERS.iter().zip(tables).map(|(&n, table)| (n as f64, table.row(label).value));
        Curve { label: label.to_owned(), colour, form: Form::Measured, points: points.collect() }
    };
    Plot {
        title: format!("Durable puts of {size} per second"),
        x: "writers".to_owned(),
        y: "puts per second".to_owned(),
        log_y: true,
        named: None,
        curves: vec![curve(BEFORE, Colour::Before), curve(AFTER, Colour::Second), curve(AS_IS, Colour::Ours)],
    }
}

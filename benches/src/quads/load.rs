//! Bulk loads, each in a separate process, to measure its peak of memory; and the memory of recent quads.

use std::{fs, path::Path, process::Command, time::Instant};

use oxrdf::{GraphName, Literal, NamedNode, Quad};
use triple_store::TripleStoreOptions;

use super::{Bench, OURS, print, table};
use crate::{
    contenders::{
        quads::{QuadEngine, ReadableQuads},
        stores::{Durability, Failure},
    },
    spread::Spread,
};

/// What one load cost.
struct Load {
    seconds: f64,
    peak: f64,
    disk: f64,
    opened: f64,
}

pub(super) fn loads(bench: &Bench) -> Result<(), Failure> {
    let (file, triples) = bench.shop()?;
    let mut done: Vec<(&str, Vec<Load>)> = Vec::new();
    for engine in &bench.engines {
        let dir = bench.fresh()?;
        if (engine.open)(dir.path(), Durability::Buffered)?.as_readable().is_some() {
            done.push((engine.name, Vec::new()));
        }
    }
    for _ in 0..bench.plan.rounds {
        for (name, loads) in &mut done {
            let dir = bench.fresh()?;
            loads.push(in_a_process(name, &file, dir.path())?);
        }
    }
    let title = format!("load of {triples} triples");
    let mut table = table([
        "store",
        "triples/s",
        "quartiles",
        "ours, times as fast",
        "peak MiB",
        "bytes/triple",
        "open ms",
    ]);
    let ours = &done.iter().find(|(name, _)| *name == OURS).unwrap_or(&done[0]).1;
    for (name, loads) in &done {
        let of = |figure: fn(&Load) -> f64| Spread::of(loads.iter().map(figure));
        let rate = of(|load| load.seconds).map(|seconds| triples as f64 / seconds);
        let slower = Spread::of(loads.iter().zip(ours).map(|(load, ours)| load.seconds / ours.seconds));
        table.add_row([
            (*name).to_owned(),
            format!("{:.0}", rate.median),
            format!("{:.0} .. {:.0}", rate.low, rate.high),
            format!("{:.2}", slower.median),
            format!("{:.0}", of(|load| load.peak).median / 1024.0),
            format!("{:.1}", of(|load| load.disk).median / triples as f64),
            format!("{:.0}", of(|load| load.opened).median * 1e3),
        ]);
    }
    print(&title, table);
    Ok(())
}

fn in_a_process(name: &str, file: &Path, dir: &Path) -> Result<Load, Failure> {
    let output =
        Command::new(std::env::current_exe()?).arg("--load").args([name]).args([file, dir]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [seconds, peak, opened] = *figures else {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)).into());
    };
    Ok(Load { seconds, peak, disk: bytes_on_disk(dir)? as f64, opened })
}

/// Prints the seconds of the load, the peak of memory in KiB, and the seconds of opening what was loaded.
pub(super) fn load_in_this_process(engine: &QuadEngine, file: &Path, dir: &Path) -> Result<(), Failure> {
    let start = Instant::now();
    let store = (engine.open)(dir, Durability::Synced)?;
    store.as_readable().ok_or("a store that can't be read can't be checked")?.load(file)?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = status("VmHWM")?;
    store.as_readable().map_or(Ok(()), ReadableQuads::checkpoint)?;
    drop(store);
    let start = Instant::now();
    let opened = (engine.open)(dir, Durability::Synced)?;
    println!("{seconds} {peak} {}", start.elapsed().as_secs_f64());
    drop(opened);
    Ok(())
}

/// A line of this process's status, in KiB.
fn status(name: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
}

/// Bytes of the blocks that the files in a directory take.
fn bytes_on_disk(dir: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt;

    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { bytes_on_disk(&entry.path())? } else { data.blocks() * 512 };
    }
    Ok(bytes)
}

const DELTA: usize = 500_000;

pub(super) fn delta() -> Result<(), Failure> {
    let output =
        Command::new(std::env::current_exe()?).arg("--fill-delta").arg(DELTA.to_string()).output()?;
    let bytes: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    println!("\nrecent triples, of terms known before: {bytes:.0} bytes of memory each");
    Ok(())
}

/// Prints how many bytes of memory a recent triple of known terms takes.
pub(super) fn fill_delta_in_this_process(quads: usize) -> Result<(), Failure> {
    let store = TripleStoreOptions::new().checkpoint_after(usize::MAX).in_memory();
    let node = |kind: &str, number: usize| {
        NamedNode::new_unchecked(format!("http://shop.example/{kind}/{}", number % 5000))
    };
    // Two predicates: one to add the terms, and one whose triples are measured. Subjects and objects are in no order.
    let quad = |predicate: &str, number: usize| {
        let object = Literal::from((number.wrapping_mul(0x9e37_79b9) % 1_000_000) as u32);
        let subject = node("Product", number.wrapping_mul(2_654_435_761));
        Quad::new(subject, NamedNode::new_unchecked(predicate), object, GraphName::DefaultGraph)
    };
    for number in 0..5000 {
        store.insert(&quad("http://shop.example/known", number))?;
    }
    let before = (status("VmRSS")?, store.len());
    for number in 0..quads {
        store.insert(&quad("http://shop.example/weighed", number))?;
    }
    let grown = (status("VmRSS")? - before.0) * 1024;
    println!("{}", grown as f64 / (store.len() - before.1) as f64);
    Ok(())
}

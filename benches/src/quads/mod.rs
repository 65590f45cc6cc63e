//! The comparison of quad stores.
//!
//! A binary calls [`main`] with its stores: `quads` with those of this crate, and the package `benches/oxigraph` with
//! Oxigraph as well. Oxigraph links a RocksDB of its own, so it cannot be in one workspace with ours.

mod asked;
mod load;
mod process;
mod queries;
mod questions;
mod reads;
mod writes;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Parser, ValueEnum};
use tempfile::TempDir;

use crate::{
    cli::{Measure, print, table},
    contenders::{
        quads::{OURS, QuadEngine},
        stores::{Durability, Failure},
    },
    harness::{Case, Comparison, Plan},
    rdf::{links, shop_without_graphs},
    workloads::sync_time,
};

/// Quad stores side by side: interleaved rounds, medians and quartiles.
#[derive(Parser)]
struct Options {
    /// Only these.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "load,inserts,stripes,extend,reads,queries,beside,delta"
    )]
    only: Vec<Part>,
    /// Products of the generated shop, 56 triples each.
    #[arg(long, default_value_t = 14_300)]
    products: usize,
    /// Linked nodes of the queries H1 to H12, 5 triples each.
    #[arg(long, default_value_t = 20_000)]
    nodes: usize,
    /// Queries to ask: those whose names begin with one of these (all by default).
    #[arg(long, value_delimiter = ',')]
    questions: Vec<String>,
    /// Ask each query with a comment that no query had before, so that no store has parsed its text.
    #[arg(long)]
    new_texts: bool,
    /// Only write the generated shop to FILE, as N-Triples.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    measure: Measure,
    /// Loads FILE into the store NAME in DIR, for the process that measures this one.
    #[arg(long, hide = true, num_args = 3, value_names = ["NAME", "FILE", "DIR"])]
    load: Option<Vec<String>>,
    /// Opens a store, and does what the process that measures this one requests.
    #[arg(long, hide = true)]
    serve: Option<String>,
    /// Fills the delta of a store in memory, for the process that measures this one.
    #[arg(long, hide = true)]
    fill_delta: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Bulk load: rate, peak memory, bytes on disk, time to open.
    Load,
    /// Single inserts by 1, 4 and 16 threads, durable and buffered.
    Inserts,
    /// The buffered ones of the inserts.
    Unsynced,
    /// 16 stripes against one.
    Stripes,
    /// Transactions of 1,000 quads.
    Extend,
    /// Lookups, ranges, full scan.
    Reads,
    /// Forty queries, with equal answers.
    Queries,
    /// A reader beside four writers.
    Beside,
    /// Memory of recent quads.
    Delta,
}

/// The data that the parts share.
struct Bench {
    options: Options,
    engines: Vec<QuadEngine>,
    dir: TempDir,
    plan: Plan,
}

/// Measures what the command line asks for.
///
/// # Errors
///
/// The error of a store.
pub fn main(engines: &[QuadEngine]) -> Result<(), Failure> {
    let options = Options::parse();
    if let Some(file) = &options.write {
        println!("{} triples", write_shop(options.products, file)?);
        return Ok(());
    }
    if let Some(start) = &options.serve {
        return process::serve(engines, start);
    }
    if let Some(arguments) = &options.load {
        let [name, file, dir] = &**arguments else { return Err("NAME, FILE and DIR".into()) };
        let engine = engines.iter().find(|engine| engine.name == name).ok_or("no store of that name")?;
        return load::load_in_this_process(engine, Path::new(file), Path::new(dir));
    }
    if let Some(quads) = options.fill_delta {
        return load::fill_delta_in_this_process(quads);
    }
    let engines = options.measure.chosen(engines, |engine| engine.name)?;
    let (dir, plan) = (tempfile::tempdir_in(&options.measure.dir)?, options.measure.plan());
    println!("one 4 KiB write and its sync: {:?}", sync_time(&options.measure.dir, 200)?);
    let bench = Bench { options, engines, dir, plan };
    let asks = |parts: &[Part]| bench.options.only.iter().any(|part| parts.contains(part));
    if asks(&[Part::Load]) {
        load::loads(&bench)?;
    }
    if asks(&[Part::Inserts]) {
        writes::inserts(&bench, Durability::Synced)?;
    }
    if asks(&[Part::Inserts, Part::Unsynced]) {
        writes::inserts(&bench, Durability::Buffered)?;
    }
    if asks(&[Part::Extend]) {
        writes::extends(&bench)?;
    }
    if asks(&[Part::Stripes]) {
        writes::stripes(&bench)?;
    }
    if asks(&[Part::Reads, Part::Beside]) {
        reads::reads(&bench)?;
    }
    if asks(&[Part::Queries]) {
        queries::queries(&bench)?;
    }
    if asks(&[Part::Delta]) {
        load::delta()?;
    }
    Ok(bench.options.measure.save.printed("quads")?)
}

impl Bench {
    /// The generated shop, as a file of N-Triples, and how many triples that is.
    fn shop(&self) -> Result<(PathBuf, u64), Failure> {
        let path = self.dir.path().join("shop.nt");
        Ok((path.clone(), write_shop(self.options.products, &path)?))
    }

    /// The generated links between nodes, as a file of N-Triples.
    fn links(&self) -> Result<PathBuf, Failure> {
        let file = self.dir.path().join("links.nt");
        fs::write(&file, links(self.options.nodes, 1))?;
        Ok(file)
    }

    /// A new directory.
    fn fresh(&self) -> Result<TempDir, Failure> {
        Ok(tempfile::tempdir_in(self.dir.path())?)
    }
}

/// Writes the generated shop to a file. Returns the number of its triples.
fn write_shop(products: usize, path: &Path) -> Result<u64, Failure> {
    let (mut triples, mut written, mut file) = (0, Ok(()), File::create(path)?);
    shop_without_graphs(products, 1, &mut |piece| {
        triples += piece.lines().count() as u64;
        if written.is_ok() {
            written = file.write_all(piece.as_bytes());
        }
    });
    written?;
    Ok(triples)
}

/// Measures cases, prints their rates and how many times ours is as fast, and returns the samples.
fn compare(title: &str, unit: &str, plan: Plan, mut cases: Vec<Case<'_>>) -> Comparison {
    let result = Comparison::measure(&mut cases, plan, |_| ());
    let mut table = table(["store", unit, "quartiles", "ours, times as fast"]);
    let ours = result.samples().iter().find(|samples| samples.label == OURS).unwrap_or(&result.samples()[0]);
    for samples in result.samples() {
        let rate = samples.rate();
        table.add_row([
            samples.label.clone(),
            format!("{:.0}", rate.median),
            format!("{:.0} .. {:.0}", rate.low, rate.high),
            format!("{:.2}", samples.times_slower_than(ours).median),
        ]);
    }
    print(title, table);
    result
}

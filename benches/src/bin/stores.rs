//! Durable and buffered puts into every disk engine this build knows, side by side.
//!
//! `cargo run --release -p benches --bin stores -- --help`

use std::{path::PathBuf, time::Duration};

use benches::{
    contenders::stores::{BARE_LOG, Durability, ENGINES, Engine, Failure, Store},
    harness::{Comparison, Plan},
    spread::quantile,
    workloads::{Latencies, puts, sync_time},
};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};

/// Puts into disk engines, side by side: interleaved rounds, medians and quartiles.
#[derive(Parser)]
struct Options {
    /// Numbers of writers.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    writers: Vec<usize>,
    /// Value sizes in bytes.
    #[arg(long, value_delimiter = ',', default_value = "1024,65536")]
    sizes: Vec<usize>,
    /// Engines to measure (all by default).
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// Acknowledge puts before they are durable.
    #[arg(long)]
    buffered: bool,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds of one sample.
    #[arg(long, default_value_t = 300)]
    sample: u64,
    /// A directory on the disk to measure.
    #[arg(long, default_value = "target")]
    dir: PathBuf,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    if let Some(unknown) = options.engines.iter().find(|name| ENGINES.iter().all(|e| e.name != **name)) {
        let known: Vec<_> = ENGINES.iter().map(|engine| engine.name).collect();
        return Err(format!("no engine {unknown:?} in this build; there are {}", known.join(", ")).into());
    }
    let engines: Vec<_> = ENGINES
        .iter()
        .filter(|engine| options.engines.is_empty() || options.engines.iter().any(|name| name == engine.name))
        .copied()
        .collect();
    println!("one 4 KiB write and its sync: {:?}", sync_time(&options.dir, 200)?);
    for &size in &options.sizes {
        for &writers in &options.writers {
            compare(&options, &engines, writers, size)?;
        }
    }
    Ok(())
}

fn compare(options: &Options, engines: &[Engine], writers: usize, size: usize) -> Result<(), Failure> {
    let dirs: Vec<_> =
        engines.iter().map(|_| tempfile::tempdir_in(&options.dir)).collect::<Result<_, _>>()?;
    let stores: Vec<Box<dyn Store>> =
        engines.iter().zip(&dirs).map(|(engine, dir)| (engine.open)(dir.path())).collect::<Result<_, _>>()?;
    let latencies: Vec<_> = engines.iter().map(|_| Latencies::default()).collect();
    let durability = if options.buffered { Durability::Buffered } else { Durability::Synced };
    let mut cases: Vec<_> = (engines.iter().zip(&stores).zip(&latencies))
        .map(|((engine, store), latencies)| {
            let put = Box::new(move |key: &[u8], value: &[u8]| store.put(key, value, durability));
            puts(engine.name, put, writers, size, latencies)
        })
        .collect();
    let plan = Plan { rounds: options.rounds, sample: Duration::from_millis(options.sample) };
    let result = Comparison::measure(&mut cases, plan, |_| ());

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["engine", "puts/s", "quartiles", "p50 us", "p99 us", "of the bare log"]);
    for (samples, latencies) in result.samples().iter().zip(&latencies) {
        let (rate, times) = (samples.rate(), latencies.sorted());
        let of_limit = result
            .samples()
            .iter()
            .find(|other| other.label == BARE_LOG)
            .map_or_else(String::new, |log| format!("{:.2}", log.times_slower_than(samples).median));
        table.add_row([
            samples.label.clone(),
            format!("{:.0}", rate.median),
            format!("{:.0} .. {:.0}", rate.low, rate.high),
            format!("{:.0}", quantile(&times, 0.5) * 1e6),
            format!("{:.0}", quantile(&times, 0.99) * 1e6),
            of_limit,
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let kind = if options.buffered { "buffered" } else { "durable" };
    println!("\n{kind} puts of {size} bytes by {writers} writers\n{table}");
    Ok(())
}

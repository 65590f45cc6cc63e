//! Durable and buffered puts into every disk engine of this build, side by side.
//!
//! `cargo bench-disk stores -- --help`

use benches::{
    cli::{self, Measure},
    contenders::stores::{BARE_LOG, Durability, ENGINES, Engine, Failure, Store},
    harness::Comparison,
    latencies::Latencies,
    spread::quantile,
    workloads::{puts, sync_time},
};
use clap::Parser;

/// Puts into disk engines, side by side: interleaved rounds, medians and quartiles.
#[derive(Parser)]
struct Options {
    /// Numbers of writers.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    writers: Vec<usize>,
    /// Value sizes in bytes.
    #[arg(long, value_delimiter = ',', default_value = "1024,65536")]
    sizes: Vec<usize>,
    /// Acknowledge puts before they are durable.
    #[arg(long)]
    buffered: bool,
    #[command(flatten)]
    measure: Measure,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let engines = options.measure.chosen(ENGINES, |engine| engine.name)?;
    println!("one 4 KiB write and its sync: {:?}", sync_time(&options.measure.dir, 200)?);
    for &size in &options.sizes {
        for &writers in &options.writers {
            compare(&options, &engines, writers, size)?;
        }
    }
    Ok(options.measure.save.printed("stores")?)
}

fn compare(options: &Options, engines: &[Engine], writers: usize, size: usize) -> Result<(), Failure> {
    let dirs: Vec<_> =
        engines.iter().map(|_| tempfile::tempdir_in(&options.measure.dir)).collect::<Result<_, _>>()?;
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
    let result = Comparison::measure(&mut cases, options.measure.plan(), |_| ());

    let mut table = cli::table(["engine", "puts/s", "quartiles", "p50 us", "p99 us", "of the bare log"]);
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
    let kind = if options.buffered { "buffered" } else { "durable" };
    cli::print(&format!("{kind} puts of {size} bytes by {writers} writers"), table);
    Ok(())
}

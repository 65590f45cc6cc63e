//! Disk engines beyond puts: reads, updates, checkpoints, opening, space and memory, of ours and of others.
//!
//! `cargo bench-disk engines -- --help`

use std::path::{Path, PathBuf};

use benches::{
    cli::{self, Measure},
    contenders::stores::{BARE_LOG, ENGINES, Failure},
};
use clap::{Parser, ValueEnum};

mod checkpoints;
mod cold;
mod last;
mod load;
mod memory;
mod opening;
mod reads;
mod space;
mod tails;
mod updates;
mod verifying;

/// Disk engines beyond puts, side by side.
#[derive(Parser)]
struct Options {
    /// What to measure (all by default).
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Divides the amounts of data, for a first look.
    #[arg(long, default_value_t = 1)]
    divide: u64,
    /// Only opens the container of very many keys, reads some of them and prints the MiB of memory for that.
    #[arg(long, hide = true)]
    open_many: Option<PathBuf>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Durable updates that wait 200 us under their stripe: 64 stripes against one.
    Updates,
    /// Point reads of a million values of 100 bytes by two threads, alone and beside four durable writers.
    Reads,
    /// Durable puts by 16 writers, with and without checkpoints at the same time.
    Checkpoints,
    /// Opening: after closing, and after a crash.
    Opening,
    /// The size of a store after values were overwritten and deleted.
    Space,
    /// Memory for one large value, and for very many keys.
    Memory,
    /// The greatest key of 300,000.
    Last,
    /// How much is read from the disk by reads of a million values of 1 KiB that were just put.
    Cold,
    /// Ten million random keys with values of 16 bytes, in durable commits of 1,000.
    Load,
    /// The longest durable puts of 8 writers beside checkpoints and collection.
    Tails,
    /// Durable puts, and calls of `health`, while a store of 1.2 GB is verified.
    Verifying,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    if let Some(path) = &options.open_many {
        return memory::open_many(&options, path);
    }
    let mut engines = options.measure.chosen(ENGINES, |engine| engine.name)?;
    engines.retain(|engine| engine.name != BARE_LOG);
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        match part {
            Part::Updates => updates::measure(&options)?,
            Part::Reads => reads::measure(&options, &engines)?,
            Part::Checkpoints => checkpoints::measure(&options)?,
            Part::Opening => opening::measure(&options, &engines)?,
            Part::Space => space::measure(&options, &engines)?,
            Part::Memory => memory::measure(&options)?,
            Part::Last => last::measure(&options, &engines)?,
            Part::Cold => cold::measure(&options, &engines)?,
            Part::Load => load::measure(&options, &engines)?,
            Part::Tails => tails::measure(&options, &engines)?,
            Part::Verifying => verifying::measure(&options)?,
        }
    }
    Ok(options.measure.save.printed("engines")?)
}

/// Prints rows under a title.
fn print<const N: usize>(title: &str, header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut table = cli::table(header);
    table.add_rows(rows);
    cli::print(title, table);
}

/// The bytes that the file system has allocated for the files of a store.
fn allocated(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;

    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() { allocated(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(total)
}

//! What the command lines of the comparisons have in common: the options of stores, and tables in Markdown.

use std::{error::Error, io, mem, path::PathBuf, sync::Mutex, time::Duration};

use comfy_table::{CellAlignment, Table, presets};

use crate::{
    harness::{Case, Comparison, Plan},
    results::{self, Printed},
};

/// Whether to keep the figures.
#[derive(clap::Args)]
pub struct Save {
    /// Write the figures to `benches/results`, from which `publish` makes the tables of BENCHMARKS.md.
    #[arg(long)]
    pub save: bool,
}

/// The tables that this process printed.
static PRINTED: Mutex<Vec<Printed>> = Mutex::new(Vec::new());

impl Save {
    /// With `--save`, writes what was printed to the file of the benchmark.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn printed(&self, bench: &str) -> io::Result<()> {
        if self.save {
            let printed = mem::take(&mut *PRINTED.lock().expect("no printing panics"));
            eprintln!("{}", results::save(bench, printed)?.display());
        }
        Ok(())
    }
}

/// How to compare locks.
#[derive(clap::Args)]
pub struct Rounds {
    /// Rounds.
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// Milliseconds of one sample.
    #[arg(long, default_value_t = 12)]
    pub sample: u64,
    /// Whether to keep the figures.
    #[command(flatten)]
    pub save: Save,
}

impl Rounds {
    /// The plan of the rounds.
    pub fn plan(&self) -> Plan {
        Plan { rounds: self.rounds, sample: Duration::from_millis(self.sample) }
    }
}

/// How to compare stores.
#[derive(clap::Args)]
pub struct Measure {
    /// Stores to measure (all by default).
    #[arg(long, value_delimiter = ',')]
    pub engines: Vec<String>,
    /// Rounds of a comparison. Some parts do not have rounds.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Milliseconds of one sample.
    #[arg(long, default_value_t = 300)]
    pub sample: u64,
    /// A directory on the disk to measure.
    #[arg(long, default_value = "target")]
    pub dir: PathBuf,
    /// Whether to keep the figures.
    #[command(flatten)]
    pub save: Save,
}

impl Measure {
    /// The plan of the rounds.
    pub fn plan(&self) -> Plan {
        Plan { rounds: self.rounds, sample: self.sample() }
    }

    /// The length of one sample.
    pub fn sample(&self) -> Duration {
        Duration::from_millis(self.sample)
    }

    /// The engines of `all` that the command line names, or all of them.
    ///
    /// # Errors
    ///
    /// If a named engine is not in this build.
    pub fn chosen<E: Copy>(
        &self,
        all: &[E],
        name: impl Fn(&E) -> &'static str,
    ) -> Result<Vec<E>, Box<dyn Error + Send + Sync>> {
        if let Some(unknown) = self.engines.iter().find(|asked| all.iter().all(|e| name(e) != **asked)) {
            let known: Vec<_> = all.iter().map(name).collect();
            return Err(format!("no store {unknown:?} in this build; there are {}", known.join(", ")).into());
        }
        let asked =
            |engine: &&E| self.engines.is_empty() || self.engines.iter().any(|asked| asked == name(engine));
        Ok(all.iter().filter(asked).copied().collect())
    }
}

/// An empty table in Markdown.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    table
}

/// Prints a table under its title, the first column left, the others right.
pub fn print(title: &str, mut table: Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{title}\n\n{table}");
    let cells = |row: &comfy_table::Row| row.cell_iter().map(comfy_table::Cell::content).collect::<Vec<_>>();
    let header = table.header().map(cells).unwrap_or_default();
    let rows = table.row_iter().map(cells).collect();
    let printed = Printed { title: title.to_owned(), header, rows };
    PRINTED.lock().expect("no printing panics").push(printed);
}

/// Measures, and prints nanoseconds for an operation, and ratios to the first case.
pub fn compare(title: &str, plan: Plan, mut cases: Vec<Case<'_>>) {
    let result = Comparison::measure(&mut cases, plan, |_| ());
    let base = &result.samples()[0];
    let mut rows = table(["", "ns", "quartiles", &format!("x {}", base.label)]);
    for samples in result.samples() {
        let time = samples.time().map(|time| time * 1e9);
        rows.add_row([
            samples.label.clone(),
            format!("{:.1}", time.median),
            format!("{:.1} .. {:.1}", time.low, time.high),
            format!("{:.2}", samples.times_slower_than(base).median),
        ]);
    }
    print(title, rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_in_the_build_is_an_error() {
        let asking = |names: &[&str]| Measure {
            engines: names.iter().map(|&name| name.to_owned()).collect(),
            rounds: 1,
            sample: 1,
            dir: PathBuf::new(),
            save: Save { save: false },
        };
        let all = ["vde-store", "fjall"];
        assert_eq!(asking(&[]).chosen(&all, |name| name).unwrap(), all);
        assert_eq!(asking(&["fjall"]).chosen(&all, |name| name).unwrap(), ["fjall"]);
        let error = asking(&["fjall", "rocksdb"]).chosen(&all, |name| name).unwrap_err().to_string();
        assert_eq!(error, "no store \"rocksdb\" in this build; there are vde-store, fjall");
    }
}

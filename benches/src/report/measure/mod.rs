//! Measures the four parts of the report.

mod disk;
mod locks;
mod parallelism;
mod triples;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use super::{Machine, Report, Row, progress::Progress};
use crate::{contenders::stores::Failure, harness::Plan, rdf::Input};

/// How to measure, and what.
#[derive(Debug)]
pub struct Settings {
    /// A short run: fewer and shorter rounds.
    pub quick: bool,
    /// A directory on the disk to measure, for files that are removed afterwards.
    pub dir: PathBuf,
    /// What to load into the triple store.
    pub input: Input,
}

impl Settings {
    fn plan(&self, full: (usize, u64), quick: (usize, u64)) -> Plan {
        let (rounds, sample) = if self.quick { quick } else { full };
        Plan { rounds, sample: Duration::from_millis(sample) }
    }
}

/// Measures everything, under a progress bar on standard error.
///
/// # Errors
///
/// Where the directory cannot be written, or a store in it fails.
pub fn measure(settings: &Settings) -> Result<Report, Failure> {
    // Otherwise the system may write files that were just built or copied to the disk during the measurements. If
    // there is no such command, this risk remains.
    let _ = Command::new("sync").status();
    let begun = Instant::now();
    let expected = parallelism::expected(settings)
        + disk::expected(settings)
        + triples::expected(settings)
        + locks::expected(settings);
    let mut progress = Progress::new(expected);
    let sections = vec![
        parallelism::section(settings, &mut progress),
        disk::section(settings, &mut progress)?,
        triples::section(settings, &mut progress)?,
        locks::section(settings, &mut progress),
    ];
    progress.finish();
    Ok(Report {
        format: 2,
        // Last, because at the start the disk is still busy with what was written before.
        machine: Machine::here(&settings.dir)?,
        quick: settings.quick,
        input: settings.input.name.clone(),
        seconds: begun.elapsed().as_secs_f64(),
        sections,
    })
}

/// `a, b and c`, or `otherwise` for nothing.
fn listed(items: &[String], otherwise: &str) -> String {
    match items {
        [] => otherwise.to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The labels of rows, each with the ratio of its figure to ours.
fn with_ratios(rows: &[&Row]) -> Vec<String> {
    rows.iter().map(|row| format!("{} ({:.2} of ours)", row.label, row.ratio.median)).collect()
}

//! What the figures were measured on.

use std::{fs, path::Path, thread};

use serde::Serialize;

use crate::{contenders::stores::Failure, workloads::sync_time};

/// The machine.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor, as it calls itself.
    pub processor: String,
    /// How many threads run at once.
    pub cores: usize,
    /// The operating system and processor family.
    pub system: String,
    /// How long one write of 4 KiB and its sync take, in microseconds.
    pub sync_us: f64,
}

impl Machine {
    /// This machine; the disk is the one that `dir` lies on.
    ///
    /// # Errors
    ///
    /// Where `dir` cannot be written.
    pub fn here(dir: &Path) -> Result<Self, Failure> {
        let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|info| {
            let line = info.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Ok(Self {
            processor: processor.unwrap_or_else(|| "unknown processor".to_owned()),
            cores: thread::available_parallelism()?.get(),
            system: format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH),
            sync_us: sync_time(dir, 200)?.as_secs_f64() * 1e6,
        })
    }
}

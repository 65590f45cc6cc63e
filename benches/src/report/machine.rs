//! The machine on which the figures were measured.

use std::path::Path;

use serde::Serialize;

use crate::{contenders::stores::Failure, machine, workloads::sync_time};

/// The machine.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// The processor, as it calls itself.
    pub processor: String,
    /// How many threads can run at once.
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
        Ok(Self {
            processor: machine::processor(),
            cores: machine::cores(),
            system: machine::system(),
            sync_us: sync_time(dir, 200)?.as_secs_f64() * 1e6,
        })
    }
}

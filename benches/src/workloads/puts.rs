//! Puts into disk engines.

use std::{
    mem,
    path::Path,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::closed_loop;
use crate::{contenders::stores::Failure, harness::Case, latencies::Latencies};

/// Something that puts a value under a key: an engine, or an engine behind a lock.
pub type Put<'a> = dyn Fn(&[u8], &[u8]) -> Result<(), Failure> + Sync + 'a;

/// Writers that put values of `size` random bytes under fresh 16-byte keys, each as soon as its last put has returned.
///
/// Each put's own time goes into `latencies` as well.
///
/// # Panics
///
/// The case panics if a put fails, since a rate of failures means nothing.
pub fn puts<'a>(
    label: impl Into<String>,
    put: Box<Put<'a>>,
    writers: usize,
    size: usize,
    latencies: &'a Latencies,
) -> Case<'a> {
    let mut session = 0;
    Case::new(label, move |operations| {
        session += 1;
        closed_loop(
            writers,
            operations,
            |writer| Writer::new(writer, session, size, latencies),
            |writer| writer.time(|key, value| put(key, value).expect("the engine takes every put")),
        )
    })
}

struct Writer<'a> {
    rng: SmallRng,
    value: Vec<u8>,
    times: Vec<f64>,
    latencies: &'a Latencies,
}

impl<'a> Writer<'a> {
    fn new(writer: usize, session: u64, size: usize, latencies: &'a Latencies) -> Self {
        let mut rng = SmallRng::seed_from_u64(session << 32 | writer as u64);
        let mut value = vec![0; size];
        rng.fill_bytes(&mut value);
        Self { rng, value, times: Vec::new(), latencies }
    }

    fn time(&mut self, put: impl FnOnce(&[u8], &[u8])) {
        let mut key = [0; 16];
        self.rng.fill_bytes(&mut key);
        // No two values are equal, so an engine can neither compress them nor store them once.
        let stamp = key.len().min(self.value.len());
        self.value[..stamp].copy_from_slice(&key[..stamp]);
        let start = Instant::now();
        put(&key, &self.value);
        self.times.push(start.elapsed().as_secs_f64());
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.latencies.add(mem::take(&mut self.times));
    }
}

/// The time of one write of 4 KiB and its sync, a measure of the disk: the median of `samples` writes.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn sync_time(dir: &Path, samples: usize) -> std::io::Result<Duration> {
    use std::os::unix::fs::FileExt;

    let path = dir.join("sync-probe");
    let file = std::fs::File::create(&path)?;
    let block = [0x5a; 4096];
    file.write_all_at(&vec![0; 4096 * samples], 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(samples);
    for sample in 0..samples as u64 {
        let start = Instant::now();
        file.write_all_at(&block, sample * 4096)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort();
    std::fs::remove_file(path)?;
    Ok(times[samples / 2])
}

//! The maintenance thread: writes segments beforehand, checkpoints, collects.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::checkpoint::Edit;
use crate::engine::Shared;
use crate::error::Result;

/// How many segments are kept written beforehand for the log.
const READY_SEGMENTS: usize = 2;

/// A log that grows faster than this (bytes a second) is not written beforehand: its syncs are few and large, and would
/// compete with the zeros for the disk. Measured on a disk of 1.1 GB/s: at 400 MB/s of 64 KiB values the zeros cost a
/// third of the rate, at 50 MB/s of 1 KiB values they gain a third.
const MAX_PREPARED_RATE: f64 = 64e6;

/// Wakes the maintenance thread, and those who wait for it.
#[derive(Default)]
pub(crate) struct Maintenance {
    state: Mutex<State>,
    wake: Condvar,
    /// Notified after each round.
    round: Condvar,
    /// When the log last asked for a segment.
    last_prepared: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct State {
    running: bool,
    wanted: bool,
    stopping: bool,
}

impl Maintenance {
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        if !state.wanted {
            state.wanted = true;
            self.wake.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.wake.notify_one();
        self.round.notify_all();
    }
}

impl Shared {
    /// Waits while the memtable is far beyond its size.
    pub(crate) fn throttle(&self) -> Result<()> {
        let is_behind = || {
            let (layers, limit) = (self.layers.load(), self.options.checkpoint_bytes);
            let allowed = if layers.frozen.is_some() { limit } else { limit.saturating_mul(3) };
            layers.memtable.bytes() > allowed
        };
        while is_behind() {
            let mut state = self.maintenance.state.lock();
            if !state.running || state.stopping {
                break;
            }
            self.line.check()?;
            if is_behind() {
                self.maintenance.round.wait_for(&mut state, Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// The maintenance thread.
    pub(crate) fn maintain_until_stopped(&self) {
        let mut state = self.maintenance.state.lock();
        state.running = true;
        while !state.stopping {
            if !state.wanted {
                self.maintenance.wake.wait(&mut state);
                continue;
            }
            state.wanted = false;
            drop(state);
            // A failure has turned the store read-only, and every writer is told.
            let _ = self.maintain();
            state = self.maintenance.state.lock();
            self.maintenance.round.notify_all();
        }
        state.running = false;
    }

    fn maintain(&self) -> Result<()> {
        self.prepare_segments()?;
        if self.layers.load().memtable.bytes() > self.options.checkpoint_bytes {
            self.checkpoint(&Edit::Nothing, false)?;
            self.maintenance.round.notify_all();
            let _collecting = self.collecting.lock();
            self.collect(crate::collect::BACKGROUND)?;
        }
        Ok(())
    }

    /// Writes the segments that the log will need next, so that its syncs have no file-system metadata to commit.
    pub(crate) fn prepare_segments(&self) -> Result<()> {
        let size = u64::from(self.pages.geometry().segment_size);
        let rate = {
            let mut last = self.maintenance.last_prepared.lock();
            let since = last.replace(Instant::now()).map_or(Duration::MAX, |last| last.elapsed());
            size as f64 / since.as_secs_f64()
        };
        if rate > MAX_PREPARED_RATE {
            return Ok(());
        }
        loop {
            let Some(segment) = self.segments.lock().begin_preparing(READY_SEGMENTS) else { return Ok(()) };
            let offset = self.pages.geometry().segment_offset(segment);
            let prepared = self.pages.device().prepare(offset, size);
            self.segments.lock().end_preparing(segment, prepared.is_ok());
            prepared.map_err(|e| self.fail("prepare a segment", e))?;
        }
    }
}

//! The maintenance thread: writes segments beforehand, checkpoints, collects.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::checkpoint::Edit;
use crate::engine::Shared;
use crate::error::Result;

/// How many segments are kept written beforehand for the log.
const READY_SEGMENTS: usize = 2;

/// Wakes the maintenance thread, and those who wait for it.
#[derive(Default)]
pub(crate) struct Maintenance {
    state: Mutex<State>,
    wake: Condvar,
    /// Notified after each round.
    round: Condvar,
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
    /// Whether the memtable is far beyond its size.
    fn is_behind(&self) -> bool {
        let (layers, limit) = (self.layers.load(), self.options.checkpoint_bytes);
        let allowed = if layers.frozen.is_some() { limit } else { limit.saturating_mul(3) };
        layers.memtable.bytes() > allowed
    }

    /// Whether [`throttle`](Self::throttle) would wait.
    pub(crate) fn is_throttled(&self) -> bool {
        let is_running = || {
            let state = self.maintenance.state.lock();
            state.running && !state.stopping
        };
        self.is_behind() && is_running()
    }

    /// Waits while the memtable is far beyond its size.
    pub(crate) fn throttle(&self) -> Result<()> {
        while self.is_behind() {
            let mut state = self.maintenance.state.lock();
            if !state.running || state.stopping {
                break;
            }
            self.line.check()?;
            if self.is_behind() {
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
        if self.layers.load().memtable.is_due(self.options.checkpoint_bytes) {
            self.checkpoint(&Edit::Nothing, false)?;
            self.maintenance.round.notify_all();
            let _collecting = self.collecting.lock();
            self.collect(crate::collect::BACKGROUND)?;
        }
        Ok(())
    }

    /// Writes the segments that the log will need next, so that its syncs have no file-system metadata to commit.
    pub(crate) fn prepare_segments(&self) -> Result<()> {
        // Zeros would only take bandwidth from a log whose syncs are limited by it.
        if self.log.has_large_syncs() {
            return Ok(());
        }
        let size = u64::from(self.pages.geometry().segment_size);
        loop {
            let Some(segment) = self.segments.lock().begin_preparing(READY_SEGMENTS) else { return Ok(()) };
            let offset = self.pages.geometry().segment_offset(segment);
            let prepared = self.prepare(offset, size);
            self.segments.lock().end_preparing(segment, prepared.is_ok());
            prepared?;
        }
    }

    fn prepare(&self, offset: u64, size: u64) -> Result<()> {
        const PREPARE: &str = "prepare a segment";
        let device = self.pages.device();
        if device.len().map_err(|e| self.fail(PREPARE, e))? >= offset + size {
            return Ok(());
        }
        device.prepare(offset, size).map_err(|e| self.fail(PREPARE, e))?;
        self.sync(PREPARE)
    }
}

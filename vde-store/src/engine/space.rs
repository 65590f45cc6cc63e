//! What a store does while its device is full.
//!
//! Nothing that could not be written for lack of space makes a store read-only. From then on writes are refused before they are
//! logged, but for deletions; those have what is left of the log's segment, and a checkpoint has the segments that were
//! written beforehand and what the container has kept at its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::container::error::{Error, Result, is_full};
use crate::container::planted::Bug;
use crate::engine::shared::Shared;

/// Whether the device had space when last asked.
#[derive(Default)]
pub(crate) struct Space {
    is_short: AtomicBool,
    cause: Mutex<Option<Arc<io::Error>>>,
}

impl Space {
    /// The device had none; returns what to tell whoever asked.
    pub(crate) fn note(&self, error: Error) -> Error {
        let Error::Io { source, .. } = error else { return error };
        *self.cause.lock() = Some(source.clone());
        self.is_short.store(true, Ordering::Release);
        Error::Full { cause: source }
    }

    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Acquire)
    }

    fn cause(&self) -> Option<Arc<io::Error>> {
        if self.is_short() { self.cause.lock().clone() } else { None }
    }

    fn clear(&self) {
        self.is_short.store(false, Ordering::Release);
    }
}

impl Shared {
    /// Whether there is space for a write that adds something: always, as far as is known, or what was written beforehand.
    pub(crate) fn check_space(&self) -> Result<()> {
        if self.must_prepare() {
            self.syncs.check().map_err(|cause| Error::Poisoned { cause })?;
            self.prepare_segments()?;
        }
        self.check_room(0)
    }

    /// Whether there is space for `len` bytes of log that add something, beside what is kept for deletions.
    pub(crate) fn check_room(&self, len: usize) -> Result<()> {
        match self.space.cause() {
            Some(cause) if !self.log.has_room(len) && !self.options.planted.has(Bug::NothingForDeletions) => {
                Err(Error::Full { cause })
            }
            _ => Ok(()),
        }
    }

    /// Whether a write has to prepare a segment: the thread that does is behind, or has found no space.
    pub(crate) fn must_prepare(&self) -> bool {
        self.options.background && self.log.needs_segment()
    }

    /// The log could not be written. For lack of space, it can be later on.
    pub(crate) fn fail_log(&self, error: Arc<io::Error>) -> Error {
        if self.log.is_waiting_for_space() {
            let error = self.space.note(Error::Io { action: "write the log", source: error });
            if let Error::Full { cause } = &error {
                self.line.suspend(cause.clone());
            }
            error
        } else {
            self.fail("write the log", error)
        }
    }

    /// Whether it is for lack of space that something could not be written. A failed sync is another matter, whatever it says:
    /// what was to be saved may be lost.
    pub(crate) fn is_lack_of_space(&self, error: &Error) -> bool {
        matches!(error, Error::Io { source, .. } if is_full(source)) && self.syncs.check().is_ok()
    }

    /// See [`Vde::try_resume`](crate::Vde::try_resume).
    pub(crate) fn resume(&self) -> Result<()> {
        self.check_writable()?;
        self.syncs.check().map_err(|cause| Error::Poisoned { cause })?;
        self.log.sync().map_err(|e| self.fail_log(e))?;
        self.watchers.advance(self.log.durable());
        self.line.resume();
        self.line.check()?;
        self.prepare_segments()?;
        match self.space.cause() {
            Some(cause) => Err(Error::Full { cause }),
            None => Ok(()),
        }
    }

    /// There is space again.
    pub(crate) fn end_shortage(&self) {
        if self.space.cause().is_some() {
            self.space.clear();
            self.segments.lock().end_scarcity();
        }
    }
}

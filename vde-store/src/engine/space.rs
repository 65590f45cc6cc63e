//! How a store works while its device is full.
//!
//! A lack of space never makes a store read-only. Until there is space again, all writes except deletions fail before
//! they are logged. Deletions use the rest of the log's segment. A checkpoint uses the preallocated segments, and the
//! space that the container reserves at its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::container::error::{Error, Result};
use crate::container::planted::Bug;
use crate::engine::shared::Shared;

/// Whether the last attempt to write or allocate found space on the device.
#[derive(Default)]
pub(crate) struct Space {
    is_short: AtomicBool,
    cause: Mutex<Option<Arc<io::Error>>>,
}

impl Space {
    /// Records that the device had no space. Returns the error for the caller.
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
    /// Fails if there is no space for a write that adds data: the last attempt to write found the device full, and no
    /// preallocated space is left.
    pub(crate) fn check_space(&self) -> Result<()> {
        if self.must_prepare() {
            self.syncs.check().map_err(|cause| Error::Poisoned { cause })?;
            self.prepare_segments()?;
        }
        self.check_room(0)
    }

    /// Fails if the log has no space for `len` bytes that add data, beside the space that is reserved for deletions.
    pub(crate) fn check_room(&self, len: usize) -> Result<()> {
        match self.space.cause() {
            Some(cause) if !self.log.has_room(len) && !self.options.planted.has(Bug::NothingForDeletions) => {
                Err(Error::Full { cause })
            }
            _ => Ok(()),
        }
    }

    /// Whether a write has to prepare a segment, because the maintenance thread is behind or has found no space.
    pub(crate) fn must_prepare(&self) -> bool {
        self.options.background && self.log.needs_segment()
    }

    /// Handles the failure to write the log. After a lack of space, the log can be written later.
    pub(crate) fn fail_log(&self, error: Arc<io::Error>) -> Error {
        if self.log.is_waiting_for_space() {
            let error = self.space.note(Error::Io { action: "write the log", source: error });
            if let Error::Full { cause } = &error {
                self.group_commit.suspend(cause.clone());
            }
            error
        } else {
            self.fail("write the log", error)
        }
    }

    /// See [`Vde::try_resume`](crate::Vde::try_resume).
    pub(crate) fn resume(&self) -> Result<()> {
        self.check_writable()?;
        self.syncs.check().map_err(|cause| Error::Poisoned { cause })?;
        self.log.sync().map_err(|e| self.fail_log(e))?;
        self.watchers.advance(self.log.durable());
        self.group_commit.resume();
        self.group_commit.check()?;
        self.prepare_segments()?;
        match self.space.cause() {
            Some(cause) => Err(Error::Full { cause }),
            None => Ok(()),
        }
    }

    /// To be called when there is space again.
    pub(crate) fn end_shortage(&self) {
        if self.space.cause().is_some() {
            self.space.clear();
            self.segments.lock().end_scarcity();
        }
    }
}

//! An open file on a simulated disk.

use std::io;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::Operation;
use super::state::{Pending, State};
use crate::container::device::Device;

pub(super) struct SimFile {
    state: Arc<Mutex<State>>,
    /// How many of the disk's failures were reported to this file.
    reported: Mutex<u64>,
}

impl SimFile {
    pub(super) fn open(state: Arc<Mutex<State>>) -> Self {
        let reported = Mutex::new(state.lock().known_when_opened());
        Self { state, reported }
    }
}

impl Device for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::Read)?;
        state.read(offset as usize, buf).ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let begun = state.begin(Operation::Write);
        let written = if begun.is_ok() { data } else { &data[..state.short(data.len())] };
        state.change(Pending::Write { offset: offset as usize, data: written.into() });
        begun
    }

    fn prepare(&self, offset: u64, len: u64) -> io::Result<bool> {
        self.write_at(&vec![0; len as usize], offset)?;
        Ok(true)
    }

    /// Overwrites discarded bytes, so that a test notices if they are still needed.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        let len = len.min(self.len()?.saturating_sub(offset));
        self.write_at(&vec![0xD5; len as usize], offset)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        match state.begin(Operation::Sync) {
            Ok(()) => state.save(),
            Err(error) => state.lose(error.kind()),
        }
        let has_failed = state.has_unreported(*self.reported.lock());
        drop(state);
        if has_failed {
            // Lets a concurrent sync receive the failure instead of this one.
            thread::yield_now();
        }
        self.state.lock().report(&mut self.reported.lock())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::SetLen)?;
        state.change(Pending::SetLen(len as usize));
        Ok(())
    }
}

//! A log with group commit and nothing else: no index, no recovery, no reads. It is the limit for a disk engine.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use super::traits::{Durability, Failure, Store};

/// The space of the log, written beforehand (syncing a fresh extent also writes the file system's journal) and
/// written again from its start when full.
const SPACE: u64 = 256 << 20;

/// The longest time for which a flush waits until it has as many writers as the flush before it.
const GATHER: Duration = Duration::from_micros(200);

/// The number of buffered bytes from which a buffered put waits.
const BUFFER: usize = 8 << 20;

/// The log.
pub(super) struct BareLog {
    file: File,
    state: Mutex<State>,
    flushed: Condvar,
}

struct State {
    buffer: Vec<u8>,
    spare: Vec<u8>,
    /// Where in the file the buffer will go.
    place: u64,
    /// The number of bytes appended so far, and how many of them, from the first on, are durable.
    appended: u64,
    durable: u64,
    /// The number of writers that wait for the next flush, and the number that the last flush had.
    waiting: usize,
    last_batch: usize,
    flushing: bool,
}

impl BareLog {
    /// A new log in an empty directory.
    ///
    /// # Errors
    ///
    /// Where the file cannot be created and filled.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let mut file = File::create_new(dir.join("bare.log"))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..SPACE >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        let state = State {
            buffer: Vec::new(),
            spare: Vec::new(),
            place: 0,
            appended: 0,
            durable: 0,
            waiting: 0,
            last_batch: 1,
            flushing: false,
        };
        Ok(Self { file, state: Mutex::new(state), flushed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it is held")
    }

    fn lead(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let mut state = self.state();
        let begun = Instant::now();
        while state.waiting < state.last_batch && begun.elapsed() < GATHER {
            drop(state);
            thread::yield_now();
            state = self.state();
        }
        let spare = std::mem::take(&mut state.spare);
        let mut buffer = std::mem::replace(&mut state.buffer, spare);
        let (position, batch) = (state.appended, state.waiting);
        if state.place + buffer.len() as u64 > SPACE {
            state.place = 0;
        }
        let place = state.place;
        state.place += buffer.len() as u64;
        state.waiting = 0;
        drop(state);

        let result = self.file.write_all_at(&buffer, place).and_then(|()| self.file.sync_data());

        buffer.clear();
        state = self.state();
        state.spare = buffer;
        state.flushing = false;
        state.last_batch = batch;
        self.flushed.notify_all();
        result?;
        state.durable = position;
        Ok(state)
    }
}

impl Store for BareLog {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        let mut state = self.state();
        state.buffer.extend_from_slice(key);
        state.buffer.extend_from_slice(value);
        state.appended += (key.len() + value.len()) as u64;
        if durability == Durability::Buffered && state.buffer.len() < BUFFER {
            return Ok(());
        }
        // Counted under the same lock as the append, so that a flush counts every writer whose record it writes.
        state.waiting += 1;
        let position = state.appended;
        while state.durable < position {
            if state.flushing {
                state = self.flushed.wait(state).expect("nothing panics while it is held");
            } else {
                state.flushing = true;
                drop(state);
                state = self.lead()?;
            }
        }
        Ok(())
    }

    fn get(&self, _key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(None)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.put(key, &[], Durability::Buffered)
    }
}

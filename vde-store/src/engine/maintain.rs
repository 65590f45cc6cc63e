//! The maintenance thread: it writes segments beforehand, makes checkpoints, collects, and returns space to the file
//! system.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::container::error::{Error, Result, is_full};
use crate::container::segments::Usage;
use crate::engine::checkpoint::Purpose;
use crate::engine::shared::Shared;

/// Free space of less than this many times `checkpoint_bytes` is not returned while writers are active, because they
/// soon fill it again.
const REFILLED: u64 = 8;

/// How many segments are kept written beforehand for the log.
const READY_SEGMENTS: usize = 2;

/// A disk with space for this many segments will not be full soon.
const PLENTY_SEGMENTS: u64 = 16;

/// How often those who wait for a checkpoint look how far it has come.
const THROTTLE_INTERVAL: Duration = Duration::from_millis(1);

/// How often the thread checks for readers that have ended and for a pause of the writers, while there is space to
/// return.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Wakes the maintenance thread, and the threads that wait for it.
#[derive(Default)]
pub(crate) struct Maintenance {
    state: Mutex<State>,
    wake: Condvar,
    /// Notified after each round.
    round: Condvar,
}

/// What the thread saw when it last looked for space to return.
struct Looked {
    at: Instant,
    published: u64,
    /// The usage after it last returned space.
    left: Usage,
}

#[derive(Default)]
struct State {
    phase: Phase,
    wanted: bool,
    /// A checkpoint was made, so there may be space to return.
    looking: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// There is no maintenance thread.
    #[default]
    Absent,
    Running,
    Stopping,
}

impl Maintenance {
    pub(crate) fn wake(&self) {
        let mut state = self.state.lock();
        if !state.wanted {
            state.wanted = true;
            self.wake.notify_one();
        }
    }

    /// There may be space to return, now or later.
    pub(crate) fn look(&self) {
        self.state.lock().looking = true;
        self.wake.notify_one();
    }

    /// The thread is about to be started. From now on, writers that are too fast wait for it.
    pub(crate) fn start(&self) {
        self.state.lock().phase = Phase::Running;
    }

    pub(crate) fn stop(&self) {
        self.state.lock().phase = Phase::Stopping;
        self.wake.notify_one();
        self.round.notify_all();
    }
}

/// Whether there is work for a checkpoint. A later one includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lag {
    None,
    /// A checkpoint is due.
    Due,
    /// Writers wait for it. The memtable is far beyond its size; or, while a checkpoint is made or has ended without its work for
    /// lack of space, beyond half of it by a greater part of the other half than the checkpoint has come through.
    Behind,
}

impl Shared {
    fn lag(&self) -> Lag {
        let (layers, limit) = (self.layers.load(), self.options.checkpoint_bytes);
        let allowed = match &layers.frozen {
            // What a checkpoint has left to do is spread over many short waits, instead of one that is as long as all of it.
            Some(frozen) => limit / 2 + frozen.merged_of(limit / 2),
            None => limit.saturating_mul(3),
        };
        if layers.memtable.backlog() > allowed {
            Lag::Behind
        } else if layers.memtable.is_due(limit) {
            Lag::Due
        } else {
            Lag::None
        }
    }

    /// Whether [`throttle`](Self::throttle) would wait.
    pub(crate) fn is_throttled(&self) -> bool {
        let is_running = || {
            let state = self.maintenance.state.lock();
            state.phase == Phase::Running
        };
        self.lag() == Lag::Behind && is_running()
    }

    /// Waits while the memtable is far beyond its size.
    pub(crate) fn throttle(&self) -> Result<()> {
        while self.lag() == Lag::Behind {
            let mut state = self.maintenance.state.lock();
            if state.phase != Phase::Running {
                break;
            }
            self.group_commit.check()?;
            if self.space.is_short() {
                // A checkpoint may be impossible on a full disk, and writes that add data were refused already.
                break;
            }
            if self.lag() == Lag::Behind {
                state.wanted = true;
                self.maintenance.wake.notify_one();
                self.maintenance.round.wait_for(&mut state, THROTTLE_INTERVAL);
            }
        }
        Ok(())
    }

    /// The maintenance thread.
    pub(crate) fn maintain_until_stopped(&self) {
        let mut looked = Looked { at: Instant::now(), published: 0, left: Usage::default() };
        let mut state = self.maintenance.state.lock();
        while state.phase != Phase::Stopping {
            if state.wanted {
                state.wanted = false;
                drop(state);
                // A failure has turned the store read-only, so every writer gets the error.
                let _ = self.maintain();
                state = self.maintenance.state.lock();
                self.maintenance.round.notify_all();
            } else if !state.looking {
                self.maintenance.wake.wait(&mut state);
            } else if looked.at.elapsed() < LOOK_INTERVAL {
                let left = LOOK_INTERVAL.saturating_sub(looked.at.elapsed());
                self.maintenance.wake.wait_for(&mut state, left);
            } else {
                state.looking = false;
                drop(state);
                let looks_on = self.give_back_what_is_free(&mut looked).unwrap_or(false);
                looked.at = Instant::now();
                state = self.maintenance.state.lock();
                state.looking |= looks_on;
            }
        }
        state.phase = Phase::Absent;
    }

    /// Returns the free space of a container to the file system, if most of it is free and no writers are about to
    /// fill it again. Returns whether to look again.
    fn give_back_what_is_free(&self, looked: &mut Looked) -> Result<bool> {
        self.group_commit.check()?;
        self.release_unread();
        let published = self.log.published();
        let is_idle = std::mem::replace(&mut looked.published, published) == published;
        let (usage, is_holding) = {
            let segments = self.segments.lock();
            (segments.usage(), segments.is_holding())
        };
        if !self.is_mostly_free(usage) || usage == looked.left {
            return Ok(is_holding);
        }
        let refilled = self.options.checkpoint_bytes.saturating_mul(REFILLED);
        if !is_idle && usage.free_bytes(u64::from(self.geometry.segment_size)) < refilled {
            return Ok(true);
        }
        let _collecting = self.collecting.lock();
        self.collect(crate::engine::collect::BACKGROUND)?;
        self.give_back()?;
        looked.left = self.segments.lock().usage();
        Ok(true)
    }

    fn maintain(&self) -> Result<()> {
        self.prepare_segments()?;
        if self.lag() >= Lag::Due {
            self.checkpoint(Purpose::Changes)?;
            self.maintenance.round.notify_all();
            let _collecting = self.collecting.lock();
            self.collect(crate::engine::collect::BACKGROUND)?;
        }
        Ok(())
    }

    /// Writes the segments that the log will need next, so that its syncs have no file-system metadata to commit.
    pub(crate) fn prepare_segments(&self) -> Result<()> {
        // If bandwidth limits the log's syncs, writing zeros would only take bandwidth from it. On a nearly full
        // disk, segments are written beforehand nevertheless.
        if self.log.has_large_syncs() && self.has_plenty_of_space() {
            self.end_shortage();
            return Ok(());
        }
        let size = u64::from(self.pages.geometry().segment_size);
        loop {
            let Some(segment) = self.segments.lock().begin_preparing(READY_SEGMENTS) else {
                self.end_shortage();
                return Ok(());
            };
            let offset = self.pages.geometry().segment_offset(segment);
            let prepared = self.prepare(offset, size);
            self.segments.lock().end_preparing(segment, prepared.is_ok());
            match prepared {
                Err(error) if error.is_lack_of_space() => {
                    // This is not a failure: the segments that were prepared before are left.
                    self.space.note(error);
                    return Ok(());
                }
                prepared => prepared?,
            }
        }
    }

    fn has_plenty_of_space(&self) -> bool {
        let available = self.pages.device().available();
        available.is_none_or(|bytes| bytes > PLENTY_SEGMENTS * u64::from(self.geometry.segment_size))
    }

    fn prepare(&self, offset: u64, size: u64) -> Result<()> {
        const PREPARE: &str = "prepare a segment";
        match self.pages.device().prepare(offset, size) {
            Ok(true) => self.sync(),
            Ok(false) => Ok(()),
            Err(error) if is_full(&error) => Err(Error::io(PREPARE, error)),
            Err(error) => Err(self.fail(PREPARE, error)),
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::io::ErrorKind;

    use super::Lag;
    use crate::testing::{Fault, SimDisk};
    use crate::{Error, VdeOptions};

    #[test]
    fn a_failed_sync_of_a_prepared_segment_is_no_lack_of_space() {
        let disk = SimDisk::new();
        let store =
            VdeOptions::new().background(false).segment_size(1 << 18).open_device(disk.device()).unwrap();
        store.put("k", "v").unwrap();
        // The call after the write, which is the sync, tells of a full disk: what was lost may be what another thread has written.
        disk.fail(Fault { at: disk.operations() + 1, error: ErrorKind::StorageFull, forever: false });
        assert!(matches!(store.shared().prepare_segments(), Err(Error::Poisoned { .. })));
        assert!(matches!(store.put("k", "v"), Err(Error::Poisoned { .. })));
        assert!(matches!(store.try_resume(), Err(Error::Poisoned { .. })));
    }

    #[test]
    fn writers_do_not_wait_for_a_checkpoint_that_nobody_makes() {
        let mut waited = 0;
        for call in 1..12 {
            let disk = SimDisk::new();
            let options =
                VdeOptions::new().background(false).segment_size(1 << 18).checkpoint_bytes(64 << 10);
            let store = options.open_device(disk.device()).unwrap();
            // So many that their index is written before all of them are read.
            let mut batch = store.batch();
            (0..20_000_u32).for_each(|key| _ = batch.put(key.to_be_bytes(), []));
            batch.commit().unwrap();
            disk.fail(Fault { at: disk.operations() + call, error: ErrorKind::StorageFull, forever: true });
            let shared = store.shared();
            if store.checkpoint().is_ok() || shared.layers.load().frozen.is_none() {
                continue;
            }
            // There is space again, and the shortage ends.
            disk.fail(Fault { at: u64::MAX, error: ErrorKind::Other, forever: false });
            if shared.prepare_segments().is_err() {
                continue;
            }
            let put = |key: u32| store.put(key.to_be_bytes(), vec![7; 1000]).is_ok();
            let _written = (0..200).take_while(|key| shared.lag() < Lag::Behind && put(*key)).count();
            waited += u32::from(shared.lag() == Lag::Behind);
            shared.maintain().unwrap();
            assert_eq!(shared.lag(), Lag::None, "call {call}");
        }
        assert!(waited > 0, "no checkpoint left writers waiting");
    }
}

//! The maintenance thread. It preallocates segments, makes checkpoints, collects, and returns space to the file
//! system.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::container::error::{Error, Result, is_full};
use crate::container::segments::Usage;
use crate::engine::checkpoint::Purpose;
use crate::engine::shared::Shared;

/// Free space of less than this many times `checkpoint_bytes` is not returned while writers are active, because they
/// will soon fill it again.
const REFILLED: u64 = 8;

/// How many preallocated segments are kept for the log.
const READY_SEGMENTS: usize = 2;

/// A disk with space for this many segments will not be full soon.
const PLENTY_SEGMENTS: u64 = 16;

/// How often writers that wait for a checkpoint check its progress.
const THROTTLE_INTERVAL: Duration = Duration::from_millis(1);

/// While there is space to return, the thread checks at this interval whether readers have ended and whether writers
/// pause.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Wakes the maintenance thread, and the threads that wait for it.
#[derive(Default)]
pub(crate) struct Maintenance {
    state: Mutex<State>,
    wake: Condvar,
    /// Notified after each round.
    round: Condvar,
}

/// The state of the store when the thread last looked for space to return.
struct Looked {
    at: Instant,
    published: u64,
    /// The usage after the thread last returned space.
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

    /// To be called before the thread is started. From now on, writers that are too fast wait for checkpoints.
    pub(crate) fn start(&self) {
        self.state.lock().phase = Phase::Running;
    }

    pub(crate) fn stop(&self) {
        self.state.lock().phase = Phase::Stopping;
        self.wake.notify_one();
        self.round.notify_all();
    }
}

/// How urgent a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lag {
    None,
    /// A checkpoint is due.
    Due,
    /// Writers wait for it: the memtable's backlog exceeds 3 times `checkpoint_bytes`. While there is a frozen
    /// memtable, the bound is `(1 + p) / 2` times `checkpoint_bytes`, where `p` is the share of the frozen memtable
    /// that the checkpoint has merged.
    Behind,
}

impl Shared {
    fn lag(&self) -> Lag {
        let (layers, limit) = (self.layers.load(), self.options.checkpoint_bytes);
        let allowed = match &layers.frozen {
            // Writers wait often and briefly as the checkpoint proceeds, instead of once until it ends.
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

    /// Waits while checkpoints lag far behind the writers; see [`Lag::Behind`].
    pub(crate) fn throttle(&self) -> Result<()> {
        while self.lag() == Lag::Behind {
            let mut state = self.maintenance.state.lock();
            if state.phase != Phase::Running {
                break;
            }
            self.group_commit.check()?;
            if self.space.is_short() {
                // On a full disk, a checkpoint may be impossible, and writes that add data have already failed.
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
                // After a failure the store is read-only, so every writer gets the error.
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
                let looks_on = self.return_free_space(&mut looked).unwrap_or(false);
                looked.at = Instant::now();
                state = self.maintenance.state.lock();
                state.looking |= looks_on;
            }
        }
        state.phase = Phase::Absent;
    }

    /// Returns the free space of a container to the file system, if most of it is free and no writers are about to
    /// fill it again. Returns whether to look again.
    fn return_free_space(&self, looked: &mut Looked) -> Result<bool> {
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

    /// Preallocates the segments that the log will need next, so that its syncs have no file-system metadata to
    /// commit.
    pub(crate) fn prepare_segments(&self) -> Result<()> {
        // If bandwidth limits the log's syncs, writing zeros would only take bandwidth from the log. On a nearly full
        // disk, segments are preallocated nevertheless.
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
                    // A lack of space is not a failure here: the store can use the segments that are already
                    // preallocated.
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
        // The second call is the sync, and reports a full disk. The data that it lost may be that of another thread.
        disk.fail(Fault { at: disk.operations() + 1, error: ErrorKind::StorageFull, forever: false });
        assert!(matches!(store.shared().prepare_segments(), Err(Error::Poisoned { .. })));
        assert!(matches!(store.put("k", "v"), Err(Error::Poisoned { .. })));
        assert!(matches!(store.try_resume(), Err(Error::Poisoned { .. })));
    }

    #[test]
    fn writers_do_not_wait_for_a_checkpoint_that_will_not_come() {
        let mut waited = 0;
        for call in 1..12 {
            let disk = SimDisk::new();
            let options =
                VdeOptions::new().background(false).segment_size(1 << 18).checkpoint_bytes(64 << 10);
            let store = options.open_device(disk.device()).unwrap();
            // With this number of keys, the first index pages are written before all keys are read.
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

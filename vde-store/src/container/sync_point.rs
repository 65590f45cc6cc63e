//! The only place that syncs the container, and the only record of its failures.
//!
//! The system reports a failed write only once for each open file: to the next sync, whichever thread wrote. The log,
//! the checkpoint and the maintenance thread share one file. So a page that one thread wrote may fail the sync of
//! another thread, and the writer's own sync then succeeds. Hence two rules. A failure is recorded before the failed
//! sync returns. And a sync counts as successful only when every sync that ran at the same time has returned, and
//! none has failed so far.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use parking_lot::{Condvar, Mutex};

use crate::container::device::Device;
use crate::container::planted::{Bug, Planted};

/// Syncs the container, and remembers the first failure permanently.
pub(crate) struct SyncPoint {
    device: Arc<dyn Device>,
    /// The first failure. Nothing is written or acknowledged after it.
    failure: OnceLock<Arc<io::Error>>,
    running: Mutex<Running>,
    /// Notified when a sync has returned.
    returned: Condvar,
    planted: Planted,
}

/// The syncs that have not returned yet, by their numbers.
#[derive(Default)]
struct Running {
    numbers: Vec<u64>,
    next: u64,
}

impl Running {
    fn begin(&mut self) -> u64 {
        self.next += 1;
        self.numbers.push(self.next);
        self.next
    }

    fn end(&mut self, number: u64) {
        self.numbers.retain(|running| *running != number);
    }

    /// Whether a sync with a number up to `last` still runs.
    fn has_up_to(&self, last: u64) -> bool {
        self.numbers.iter().any(|running| *running <= last)
    }
}

impl SyncPoint {
    pub(crate) fn new(device: Arc<dyn Device>, planted: Planted) -> Self {
        Self {
            device,
            failure: OnceLock::new(),
            running: Mutex::default(),
            returned: Condvar::new(),
            planted,
        }
    }

    pub(crate) fn planted(&self) -> Planted {
        self.planted
    }

    /// Returns the first failure, if there is one.
    pub(crate) fn check(&self) -> Result<(), Arc<io::Error>> {
        self.failure.get().map_or(Ok(()), |cause| Err(cause.clone()))
    }

    /// Records a failure, if it is the first one. Returns the first failure.
    pub(crate) fn fail(&self, cause: Arc<io::Error>) -> Arc<io::Error> {
        self.failure.get_or_init(|| cause).clone()
    }

    /// Makes every completed write durable.
    pub(crate) fn sync(&self) -> Result<(), Arc<io::Error>> {
        if self.planted.has(Bug::SyncsApart) {
            return self.device.sync().map_err(Arc::new);
        }
        let number = self.running.lock().begin();
        let running = Ending { point: self, number };
        if let Err(error) = self.device.sync() {
            self.fail(Arc::new(error));
        }
        drop(running);
        let mut running = self.running.lock();
        let last = running.next;
        while running.has_up_to(last) {
            self.returned.wait(&mut running);
        }
        drop(running);
        self.check()
    }

    fn fail_if_panicking(&self) {
        if thread::panicking() {
            self.fail(Arc::new(io::Error::other("a thread panicked while it changed the container")));
        }
    }

    /// Returns a guard. A panic while it is held is recorded as a failure, because it is then unknown what was
    /// written.
    pub(crate) fn fail_on_panic(&self) -> FailOnPanic<'_> {
        FailOnPanic(self)
    }
}

/// A running sync. It ends when this is dropped, even by a panic.
struct Ending<'a> {
    point: &'a SyncPoint,
    number: u64,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.point.fail_if_panicking();
        self.point.running.lock().end(self.number);
        self.point.returned.notify_all();
    }
}

/// See [`SyncPoint::fail_on_panic`].
#[must_use = "it watches over what is done while it lives"]
pub(crate) struct FailOnPanic<'a>(&'a SyncPoint);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        self.0.fail_if_panicking();
    }
}

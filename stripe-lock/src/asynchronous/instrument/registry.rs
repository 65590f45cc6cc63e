//! All holders of a set (feature `diagnose`). A guard is on record from when it is made until just before it
//! releases. What a waiter was granted and has not claimed is on record, too.

use std::collections::HashMap;
use std::task::Waker;

use super::{Moment, Site};
use crate::asynchronous::block;
use crate::asynchronous::sync::Mutex;

/// A task, or a thread that blocks, by the address of its wakers.
pub(in crate::asynchronous) struct Task {
    /// Identifies it among the tasks that are known at the same time.
    pub(in crate::asynchronous) address: usize,
    /// Whether it is a thread in a blocking method.
    pub(in crate::asynchronous) blocks: bool,
    /// Keeps the address from being reused for another task.
    _waker: Option<Waker>,
}

impl Task {
    pub(in crate::asynchronous) fn of(waker: &Waker) -> Self {
        let address = waker.data() as usize;
        Self { address, blocks: block::is_parker(waker), _waker: Some(waker.clone()) }
    }

    /// The same task, while something else keeps its waker.
    pub(in crate::asynchronous) fn without_waker(&self) -> Self {
        Self { _waker: None, ..*self }
    }
}

/// What holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::asynchronous) enum Kept {
    Guard,
    /// A waiter that has not claimed what it was granted.
    Grant,
    /// A future that waits for more.
    Waiter,
}

/// A guard, a grant or a future, and what it holds.
pub(in crate::asynchronous) struct Holder<H> {
    pub(in crate::asynchronous) task: Option<Task>,
    pub(in crate::asynchronous) site: Site,
    pub(in crate::asynchronous) since: Moment,
    pub(in crate::asynchronous) kept: Kept,
    pub(in crate::asynchronous) held: Vec<H>,
}

struct Holders<H> {
    next: u64,
    by_id: HashMap<u64, Holder<H>>,
}

/// The holders of a set. No code of the caller's runs under its lock.
pub(in crate::asynchronous) struct Registry<H>(Mutex<Holders<H>>);

impl<H> Registry<H> {
    pub(in crate::asynchronous) fn new() -> Self {
        Self(Mutex::new(Holders { next: 0, by_id: HashMap::new() }))
    }

    pub(in crate::asynchronous) fn add(
        &self,
        task: Option<Task>,
        site: Site,
        kept: Kept,
        held: impl Iterator<Item = H>,
    ) -> u64 {
        let holder = Holder { task, site, since: Moment::now(), kept, held: held.collect() };
        let mut holders = self.0.lock();
        let id = holders.next;
        holders.next += 1;
        holders.by_id.insert(id, holder);
        id
    }

    /// Changes what a holder holds.
    pub(in crate::asynchronous) fn change(&self, id: u64, change: impl FnOnce(&mut Vec<H>)) {
        if let Some(holder) = self.0.lock().by_id.get_mut(&id) {
            change(&mut holder.held);
        }
    }

    /// Removes a holder from the record. Returns its task, which the caller drops outside the lock.
    pub(in crate::asynchronous) fn remove(&self, id: u64) -> Option<Task> {
        let holder = self.0.lock().by_id.remove(&id);
        holder.and_then(|holder| holder.task)
    }

    /// The call site of a holder of which one entry fits.
    #[cfg(feature = "tracing")]
    pub(super) fn holder_of(&self, fits: impl Fn(&H) -> bool) -> Option<Site> {
        let holders = self.0.lock();
        holders.by_id.values().find(|holder| holder.held.iter().any(&fits)).map(|holder| holder.site)
    }

    /// Calls `see` with every holder and its number.
    pub(in crate::asynchronous) fn each(&self, mut see: impl FnMut(u64, &Holder<H>)) {
        self.0.lock().by_id.iter().for_each(|(&id, holder)| see(id, holder));
    }
}

//! All holders of a set (feature `diagnose`). A guard is on record from when it is made until just before it
//! releases. The stripes that a waiter was granted and has not claimed are on record, too.

use std::collections::HashMap;
use std::task::Waker;

use super::{Moment, Site};
use crate::asynchronous::block;
use crate::asynchronous::sync::Mutex;
use crate::asynchronous::word::Mode;

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

/// A guard, or a grant.
pub(in crate::asynchronous) struct Holder {
    pub(in crate::asynchronous) task: Option<Task>,
    pub(in crate::asynchronous) site: Site,
    pub(in crate::asynchronous) since: Moment,
    pub(in crate::asynchronous) granted: bool,
    pub(in crate::asynchronous) stripes: Vec<(usize, Mode)>,
}

#[derive(Default)]
struct Holders {
    next: u64,
    by_id: HashMap<u64, Holder>,
}

/// The guards and grants of a set. No code of the caller's runs under its lock.
pub(in crate::asynchronous) struct Registry(Mutex<Holders>);

impl Registry {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Holders::default()))
    }

    pub(in crate::asynchronous) fn add(
        &self,
        task: Option<Task>,
        site: Site,
        granted: bool,
        stripes: impl Iterator<Item = (usize, Mode)>,
    ) -> u64 {
        let holder = Holder { task, site, since: Moment::now(), granted, stripes: stripes.collect() };
        let mut holders = self.0.lock();
        let id = holders.next;
        holders.next += 1;
        holders.by_id.insert(id, holder);
        id
    }

    pub(super) fn extend(&self, id: u64, stripe: usize, mode: Mode) {
        if let Some(holder) = self.0.lock().by_id.get_mut(&id) {
            holder.stripes.push((stripe, mode));
        }
    }

    /// The holder holds a stripe in another mode from now on, or no longer.
    pub(super) fn change(&self, id: u64, stripe: usize, mode: Option<Mode>) {
        if let Some(holder) = self.0.lock().by_id.get_mut(&id) {
            holder.stripes.retain(|held| held.0 != stripe);
            holder.stripes.extend(mode.map(|mode| (stripe, mode)));
        }
    }

    /// Removes a holder from the record. Returns its task, which the caller drops outside the lock.
    pub(in crate::asynchronous) fn remove(&self, id: u64) -> Option<Task> {
        let holder = self.0.lock().by_id.remove(&id);
        holder.and_then(|holder| holder.task)
    }

    /// The call site of a holder of this stripe.
    #[cfg(feature = "tracing")]
    pub(super) fn holder_of(&self, stripe: usize) -> Option<Site> {
        let holders = self.0.lock();
        let mut all = holders.by_id.values();
        all.find(|holder| holder.stripes.iter().any(|held| held.0 == stripe)).map(|holder| holder.site)
    }

    /// Calls `see` with every holder and its number.
    pub(in crate::asynchronous) fn each(&self, mut see: impl FnMut(u64, &Holder)) {
        self.0.lock().by_id.iter().for_each(|(&id, holder)| see(id, holder));
    }
}

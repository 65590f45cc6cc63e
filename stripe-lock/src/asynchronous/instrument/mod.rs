//! What the features `stats`, `diagnose` and `tracing` record about a set, its guards and its waiters. Without them
//! every type here is empty and every function does nothing, so the rest of the module has no `cfg`.

mod place;
#[cfg(feature = "diagnose")]
mod registry;

use std::task::Context;

pub(super) use place::{Fingerprint, Place};
#[cfg(feature = "diagnose")]
pub(super) use registry::{Holder, Kept, Registry, Task};

use super::word::Mode;
use crate::shared::waits::KeyHash;
#[cfg(feature = "stats")]
use {
    super::stats::StripeWaits, crate::shared::atomic::AtomicU64, crate::shared::striped::Striped,
    std::sync::atomic::Ordering::Relaxed,
};

/// When something began (features `stats` and `diagnose`).
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "diagnose", derive(PartialEq, Eq, Hash))]
pub(super) struct Moment(#[cfg(any(feature = "stats", feature = "diagnose"))] std::time::Instant);

impl Moment {
    #[inline]
    pub(super) fn now() -> Self {
        Self(
            #[cfg(any(feature = "stats", feature = "diagnose"))]
            std::time::Instant::now(),
        )
    }

    #[cfg(any(feature = "stats", feature = "diagnose"))]
    pub(super) fn elapsed(self) -> std::time::Duration {
        self.0.elapsed()
    }
}

/// The call site of an acquisition (feature `diagnose`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Site(#[cfg(feature = "diagnose")] pub(super) &'static std::panic::Location<'static>);

impl Site {
    /// The call site of the caller.
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn here() -> Self {
        Self(
            #[cfg(feature = "diagnose")]
            std::panic::Location::caller(),
        )
    }

    /// The call site, if it is known.
    #[cfg(feature = "tracing")]
    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "known with the feature `diagnose` alone"
    )]
    fn known(self) -> Option<crate::shared::waits::Site> {
        #[cfg(feature = "diagnose")]
        return Some(self.0);
        #[cfg(not(feature = "diagnose"))]
        None
    }
}

/// The record of one waiter while it is in a queue. Protected by the lock of its bucket.
pub(super) struct WaiterNote {
    /// When it joined the queue.
    pub(super) since: Moment,
    #[cfg(feature = "diagnose")]
    pub(super) site: Site,
    /// The task that polled it last. Its waker keeps the task's address from being used again.
    #[cfg(feature = "diagnose")]
    pub(super) task: Option<Task>,
    /// The stripes that it was granted and has not claimed.
    #[cfg(feature = "diagnose")]
    pub(super) granted: Record,
}

impl WaiterNote {
    #[cfg_attr(not(feature = "diagnose"), allow(unused_variables))]
    pub(super) fn new(site: Site) -> Self {
        Self {
            since: Moment::now(),
            #[cfg(feature = "diagnose")]
            site,
            #[cfg(feature = "diagnose")]
            task: None,
            #[cfg(feature = "diagnose")]
            granted: Record::NONE,
        }
    }
}

impl WaiterNote {
    /// Whether the polling task is the recorded one.
    #[cfg_attr(not(feature = "diagnose"), allow(clippy::unused_self, unused_variables))]
    pub(super) fn is_of(&self, cx: &Context<'_>) -> bool {
        #[cfg(feature = "diagnose")]
        return self.task.as_ref().is_some_and(|task| task.address == cx.waker().data() as usize);
        #[cfg(not(feature = "diagnose"))]
        true
    }
}

/// What the future of one acquisition records about itself.
pub(super) struct Watch {
    /// Where it was made.
    pub(super) site: Site,
    #[cfg(feature = "tracing")]
    hash: KeyHash,
    #[cfg(feature = "tracing")]
    wait: Option<crate::shared::waits::Wait>,
}

impl Watch {
    #[inline(always)]
    #[cfg_attr(feature = "diagnose", track_caller)]
    #[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
    pub(super) fn new(hash: KeyHash) -> Self {
        Self {
            site: Site::here(),
            #[cfg(feature = "tracing")]
            hash,
            #[cfg(feature = "tracing")]
            wait: None,
        }
    }

    /// For an acquisition of several stripes with this call site.
    pub(super) fn at(site: Site) -> Self {
        let mut watch = Self::new(KeyHash::NONE);
        watch.site = site;
        watch
    }

    /// The future begins to wait for this stripe.
    #[cfg_attr(not(feature = "tracing"), allow(clippy::unused_self, unused_variables))]
    pub(super) fn begin(&mut self, monitor: &Monitor, stripe: usize) {
        #[cfg(feature = "tracing")]
        {
            self.wait = monitor.patience.begin(stripe, || monitor.holder_of(stripe)?.known());
        }
    }

    /// The wait, if there was one, is over. Called once a guard owns what was acquired, since the subscriber may panic.
    #[inline(always)]
    #[cfg_attr(not(feature = "tracing"), allow(clippy::unused_self, unused_variables))]
    pub(super) fn end(&mut self, acquired: bool) {
        #[cfg(feature = "tracing")]
        if let Some(wait) = self.wait.take() {
            wait.end(self.hash, self.site.known(), acquired);
        }
    }
}

/// The task that takes a lock, and the call site (feature `diagnose`).
pub(super) struct Taker {
    /// `None` for a `try_` method, which doesn't know its task.
    #[cfg(feature = "diagnose")]
    pub(super) task: Option<Task>,
    #[cfg(feature = "diagnose")]
    pub(super) site: Site,
}

impl Taker {
    /// The task that polls. Clones its waker, which runs code of the caller, so a guard owns the stripes by then.
    #[inline(always)]
    #[cfg_attr(not(feature = "diagnose"), allow(unused_variables))]
    pub(super) fn polling(cx: &Context<'_>, site: Site) -> Self {
        Self {
            #[cfg(feature = "diagnose")]
            task: Some(Task::of(cx.waker())),
            #[cfg(feature = "diagnose")]
            site,
        }
    }

    #[inline(always)]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn trying() -> Self {
        Self {
            #[cfg(feature = "diagnose")]
            task: None,
            #[cfg(feature = "diagnose")]
            site: Site::here(),
        }
    }
}

/// The entry of a guard, or of a grant, in the registry (feature `diagnose`).
#[derive(Debug)]
pub(super) struct Record(#[cfg(feature = "diagnose")] pub(super) u64);

impl Record {
    pub(super) const NONE: Self = Self(
        #[cfg(feature = "diagnose")]
        u64::MAX,
    );

    #[cfg(feature = "diagnose")]
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::NONE)
    }
}

/// The records of a set.
pub(super) struct Monitor {
    /// How often each stripe was taken.
    #[cfg(feature = "stats")]
    acquisitions: Striped<(), AtomicU64, ()>,
    #[cfg(feature = "diagnose")]
    pub(super) registry: Registry<(usize, Mode)>,
    /// How long a wait may last before it becomes an event.
    #[cfg(feature = "tracing")]
    pub(super) patience: crate::shared::waits::Patience,
}

#[cfg_attr(
    not(all(feature = "diagnose", feature = "stats")),
    allow(
        clippy::unused_self,
        clippy::needless_pass_by_value,
        unused_variables,
        reason = "used with these features"
    )
)]
impl Monitor {
    pub(super) fn new(stripes: usize) -> Self {
        Self {
            #[cfg(feature = "stats")]
            acquisitions: Striped::from_fn(stripes, (), |_| AtomicU64::new(0)),
            #[cfg(feature = "diagnose")]
            registry: Registry::new(),
            #[cfg(feature = "tracing")]
            patience: crate::shared::waits::Patience::ENDLESS,
        }
    }

    /// A guard was made for `stripes`.
    #[inline(always)]
    pub(super) fn acquired(&self, stripes: impl Iterator<Item = usize>) {
        #[cfg(feature = "stats")]
        stripes.for_each(|stripe| self.count(stripe));
    }

    /// Puts a guard of these stripes on record.
    #[inline(always)]
    pub(super) fn record(&self, taker: Taker, stripes: impl Iterator<Item = (usize, Mode)>) -> Record {
        #[cfg(feature = "diagnose")]
        return Record(self.registry.add(taker.task, taker.site, Kept::Guard, stripes));
        #[cfg(not(feature = "diagnose"))]
        Record()
    }

    /// A guard that is on record has one more stripe.
    #[inline(always)]
    pub(super) fn extended(&self, record: &Record, stripe: usize, mode: Mode) {
        #[cfg(feature = "stats")]
        self.count(stripe);
        #[cfg(feature = "diagnose")]
        self.registry.change(record.0, |held| held.push((stripe, mode)));
    }

    /// A guard on record is about to release a stripe, or to hold it in another mode.
    #[inline(always)]
    pub(super) fn changed(&self, record: &Record, stripe: usize, mode: Option<Mode>) {
        #[cfg(feature = "diagnose")]
        self.registry.change(record.0, |held| {
            held.retain(|held| held.0 != stripe);
            held.extend(mode.map(|mode| (stripe, mode)));
        });
    }

    /// A guard on record is about to release everything. It leaves the record first, because the next holders go on
    /// record as soon as the stripes are free.
    #[inline(always)]
    pub(super) fn released(&self, record: &Record) -> Erased {
        Erased(
            #[cfg(feature = "diagnose")]
            self.registry.remove(record.0),
        )
    }

    #[cfg(feature = "stats")]
    fn count(&self, stripe: usize) {
        self.acquisitions.stripe(stripe).fetch_add(1, Relaxed);
    }

    /// How often a stripe was taken.
    #[cfg(feature = "stats")]
    pub(super) fn acquisitions(&self, stripe: usize) -> u64 {
        self.acquisitions.stripe(stripe).load(Relaxed)
    }

    /// A waiter was granted the stripes that it wants up to `stripe`, and more if its new state says so.
    #[cfg(feature = "diagnose")]
    pub(super) fn granted(
        &self,
        fields: &mut super::queue::Fields,
        stripe: usize,
        state: super::queue::State,
    ) {
        use super::queue::State;
        // SAFETY: a plan lives as long as its node is not idle.
        let plan = fields.plan.map(|plan| unsafe { plan.as_ref() });
        let (all, below) = match state {
            State::Granted => (true, usize::MAX),
            State::Resume(stripe) | State::Closed(stripe) => (false, stripe),
            _ => return,
        };
        let single = (plan.is_none() && all).then(|| (stripe, fields.mode()));
        let several = plan.into_iter().flat_map(|plan| {
            plan.stripes().iter().take_while(|&held| held < below).map(|held| (held, plan.mode(held)))
        });
        let note = &mut fields.note;
        let task = note.task.as_ref().map(Task::without_waker);
        let stripes = single.into_iter().chain(several);
        note.granted = Record(self.registry.add(task, note.site, Kept::Grant, stripes));
    }

    /// A waiter claims what it was granted, or gives it back.
    pub(super) fn claimed(&self, note: &mut WaiterNote) {
        #[cfg(feature = "diagnose")]
        {
            let granted = note.granted.take();
            // The entry of a grant has no waker, so there is nothing to drop.
            let _ = self.registry.remove(granted.0);
        }
    }

    /// The call site of a holder of this stripe.
    #[cfg(feature = "tracing")]
    fn holder_of(&self, stripe: usize) -> Option<Site> {
        #[cfg(feature = "diagnose")]
        return self.registry.holder_of(|held| held.0 == stripe);
        #[cfg(not(feature = "diagnose"))]
        None
    }
}

/// The waker of a task that was on record. It is dropped after the release, because dropping it runs code of the
/// caller.
#[must_use = "drop it after the release"]
pub(super) struct Erased(#[cfg(feature = "diagnose")] pub(super) Option<Task>);

impl Drop for Erased {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(feature = "diagnose")]
        if let Some(task) = self.0.take() {
            super::panics::Panics::default().run(|| drop(task));
        }
    }
}

/// The counters of a queue (feature `stats`), under the lock of its bucket.
#[derive(Default)]
pub(super) struct Tally(#[cfg(feature = "stats")] StripeWaits);

#[cfg_attr(not(feature = "stats"), allow(clippy::unused_self, unused_variables))]
impl Tally {
    /// A waiter that asks for a key with this fingerprint joins the queue of a stripe with this word.
    pub(super) fn joins(&mut self, word: u32, key: Fingerprint) {
        #[cfg(feature = "stats")]
        {
            self.0.contended += 1;
            match key.matches(super::word::holder(word)) {
                Some(true) => self.0.same_key += 1,
                Some(false) => self.0.other_key += 1,
                None => {}
            }
        }
    }

    /// A waiter leaves the queue, served or not.
    pub(super) fn leaves(&mut self, since: Moment, served: bool) {
        #[cfg(feature = "stats")]
        {
            self.0.waited = self.0.waited.saturating_add(since.elapsed());
            self.0.cancelled += u64::from(!served);
        }
    }

    /// Adds what another queue counted.
    pub(super) fn absorb(&mut self, other: &Self) {
        #[cfg(feature = "stats")]
        {
            self.0.contended += other.0.contended;
            self.0.cancelled += other.0.cancelled;
            self.0.same_key += other.0.same_key;
            self.0.other_key += other.0.other_key;
            self.0.waited = self.0.waited.saturating_add(other.0.waited);
        }
    }

    /// Whether nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        #[cfg(feature = "stats")]
        return self.0 == StripeWaits::default();
        #[cfg(not(feature = "stats"))]
        true
    }

    #[cfg(feature = "stats")]
    pub(super) fn snapshot(&self) -> StripeWaits {
        self.0
    }
}

//! The record of guards and waiters (feature `diagnose`). Without the feature, the types are empty.

use std::task::Context;

use super::super::instrument::{Erased, Record, Site, Taker, WaiterNote};
use super::tags::Tag;
#[cfg(feature = "diagnose")]
use {
    super::super::instrument::{Kept, Registry, Task},
    std::sync::Arc,
};

/// The record of a set, which all its buckets share.
#[derive(Clone)]
pub(super) struct Monitor(#[cfg(feature = "diagnose")] pub(super) Arc<Registry<Tag>>);

// Code of the caller's, which may panic, runs while the registry is not locked.
impl std::panic::UnwindSafe for Monitor {}

#[cfg_attr(
    not(feature = "diagnose"),
    allow(clippy::unused_self, clippy::needless_pass_by_value, unused_variables)
)]
impl Monitor {
    pub(super) fn new() -> Self {
        Self(
            #[cfg(feature = "diagnose")]
            Arc::new(Registry::new()),
        )
    }

    /// Puts a guard of these keys on record.
    #[inline(always)]
    pub(super) fn guard(&self, taker: Taker, tags: &[Tag]) -> Record {
        #[cfg(feature = "diagnose")]
        return Record(self.0.add(taker.task, taker.site, Kept::Guard, tags.iter().copied()));
        #[cfg(not(feature = "diagnose"))]
        Record::NONE
    }

    /// Puts a future on record that holds these keys, and is about to wait for another one.
    pub(super) fn waits(&self, cx: &Context<'_>, site: Site, tags: &[Tag]) -> Record {
        #[cfg(feature = "diagnose")]
        if !tags.is_empty() {
            let task = Some(Task::of(cx.waker()));
            return Record(self.0.add(task, site, Kept::Waiter, tags.iter().copied()));
        }
        Record::NONE
    }

    /// A waiter was granted the key.
    pub(super) fn granted(&self, note: &mut WaiterNote, tag: Tag) {
        #[cfg(feature = "diagnose")]
        {
            let task = note.task.as_ref().map(Task::without_waker);
            note.granted = Record(self.0.add(task, note.site, Kept::Grant, std::iter::once(tag)));
        }
    }

    /// A waiter claims what it was granted, or gives it back.
    pub(super) fn claimed(&self, note: &mut WaiterNote) {
        #[cfg(feature = "diagnose")]
        {
            let granted = note.granted.take();
            // The entry of a grant has no waker, so there is nothing to drop.
            let _ = self.0.remove(granted.0);
        }
    }

    /// A guard on record has one more key, or is about to release one.
    pub(super) fn changed(&self, record: &Record, tag: Tag, held: bool) {
        #[cfg(feature = "diagnose")]
        self.0.change(record.0, |tags| {
            tags.retain(|&other| other != tag);
            tags.extend(held.then_some(tag));
        });
    }

    /// A guard is about to release everything, or a future waits no longer. It leaves the record first, because the next
    /// holders go on record as soon as the keys are free.
    #[inline(always)]
    pub(super) fn released(&self, record: &Record) -> Erased {
        Erased(
            #[cfg(feature = "diagnose")]
            self.0.remove(record.0),
        )
    }
}

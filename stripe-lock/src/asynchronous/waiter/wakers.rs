//! The wakers of a waiting task. Cloning and dropping them runs code of the caller.

use std::task::Context;

#[cfg(feature = "diagnose")]
use super::super::instrument::Task;
use super::super::panics::Panics;
use super::super::queue::Fields;

/// The wakers of the task that polls.
pub(in crate::asynchronous) struct Fresh {
    waker: std::task::Waker,
    /// `None` if the node has it already.
    #[cfg(feature = "diagnose")]
    task: Option<Task>,
}

impl Fresh {
    #[cfg_attr(not(feature = "diagnose"), allow(unused_variables))]
    pub(in crate::asynchronous) fn new(cx: &Context<'_>, known: bool) -> Self {
        Self {
            waker: cx.waker().clone(),
            #[cfg(feature = "diagnose")]
            task: (!known).then(|| Task::of(cx.waker())),
        }
    }

    /// Replaces the previous ones, which are returned.
    pub(in crate::asynchronous) fn set(self, fields: &mut Fields) -> Stale {
        Stale {
            waker: fields.set_waker(self.waker),
            #[cfg(feature = "diagnose")]
            task: self.task.and_then(|task| fields.note.task.replace(task)),
        }
    }
}

/// Wakers that are not needed any more. Dropping them runs code of the caller. So that must not happen under a lock,
/// nor before the acquired stripes have an owner.
#[derive(Default)]
#[must_use = "drop it once a guard owns what was acquired"]
pub(in crate::asynchronous) struct Stale {
    waker: Option<std::task::Waker>,
    #[cfg(feature = "diagnose")]
    task: Option<Task>,
}

impl Stale {
    /// The wakers of a waiter whose wait is over.
    pub(in crate::asynchronous) fn of(fields: &mut Fields) -> Self {
        Self {
            waker: fields.take_waker(),
            #[cfg(feature = "diagnose")]
            task: fields.note.task.take(),
        }
    }
}

impl Drop for Stale {
    fn drop(&mut self) {
        let mut panics = Panics::default();
        panics.run(|| drop(self.waker.take()));
        #[cfg(feature = "diagnose")]
        panics.run(|| drop(self.task.take()));
    }
}

//! What is noted of a wait: since when it lasts (features `stats` and `diagnose`), where it was asked for (`diagnose`), and
//! what an event about it has to say (`tracing`). Without these features there is nothing of it, neither in a future nor
//! in a guard.

use super::lot::Queue;
use crate::waits::KeyHash;

/// When something began.
#[derive(Clone, Copy, Debug)]
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

/// The place in the program where a lock was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site(#[cfg(feature = "diagnose")] pub(super) &'static std::panic::Location<'static>);

impl Site {
    /// Where the caller was called from.
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn here() -> Self {
        Self(
            #[cfg(feature = "diagnose")]
            std::panic::Location::caller(),
        )
    }

    /// The place, where it is known.
    #[cfg(feature = "tracing")]
    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "it is known with the feature `diagnose` alone"
    )]
    fn known(self) -> Option<crate::waits::Site> {
        #[cfg(feature = "diagnose")]
        return Some(self.0);
        #[cfg(not(feature = "diagnose"))]
        None
    }
}

/// Tells of the wait of a future, if it gets long.
pub(super) struct Watch {
    #[cfg(feature = "tracing")]
    hash: KeyHash,
    #[cfg(feature = "tracing")]
    wait: Option<crate::waits::Wait>,
}

#[cfg(feature = "tracing")]
impl Watch {
    #[inline]
    pub(super) fn new(hash: KeyHash) -> Self {
        Self { hash, wait: None }
    }

    /// The future begins to wait for this stripe.
    pub(super) fn begin(&mut self, queue: &Queue, stripe: usize) {
        self.wait = queue.patience.begin(stripe, || queue.registry.holder_of(stripe)?.known());
    }

    /// The wait, if there was one, is over. To be called when what was acquired has a guard, which is dropped if the
    /// subscriber panics.
    #[inline]
    pub(super) fn end(&mut self, site: Site, acquired: bool) {
        if let Some(wait) = self.wait.take() {
            wait.end(self.hash, site.known(), acquired);
        }
    }
}

#[cfg(not(feature = "tracing"))]
#[allow(clippy::unused_self, reason = "the same face as with the feature")]
impl Watch {
    #[inline]
    pub(super) fn new(_: KeyHash) -> Self {
        Self {}
    }

    #[inline]
    pub(super) fn begin(&mut self, _: &Queue, _: usize) {}

    #[inline]
    pub(super) fn end(&mut self, _: Site, _: bool) {}
}

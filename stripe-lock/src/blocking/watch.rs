//! Acquisitions that report a long wait (feature `tracing`).
//!
//! An acquisition that finds its stripe free costs one extra branch, which checks whether the set has a limit. The
//! event is sent when the wait is over, and never under an internal lock of the set. By then the thread holds the
//! stripe that it waited for.
//!
//! Without the feature, watching does nothing.

#[cfg(feature = "tracing")]
pub(crate) use on::{Watched, watch};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Watched, watch};

#[cfg(feature = "tracing")]
mod on {
    use std::panic::Location;

    use crate::blocking::held::SetId;
    use crate::blocking::raw::{Mode, RawAcquire, Way};
    use crate::shared::waits::{KeyHash, Patience, Site};

    /// A way of taking a lock that sends an event if it takes long.
    pub(crate) struct Watched<W> {
        way: W,
        patience: Patience,
        set: SetId,
        key: KeyHash,
        at: Site,
    }

    /// Makes `way` send events for the caller.
    #[inline]
    #[track_caller]
    pub(crate) fn watch<W>(way: W, patience: Patience, set: SetId, key: KeyHash) -> Watched<W> {
        Watched { way, patience, set, key, at: Location::caller() }
    }

    impl<L: RawAcquire<M>, M: Mode, W: Way<L, M>> Way<L, M> for Watched<W> {
        const WAITS: bool = W::WAITS;

        #[inline]
        fn take(&self, raw: &L, stripe: usize) -> Option<L::State> {
            if !W::WAITS || self.patience.is_endless() {
                return self.way.take(raw, stripe);
            }
            raw.try_acquire().or_else(|| self.take_slowly(raw, stripe))
        }
    }

    impl<W> Watched<W> {
        #[cold]
        fn take_slowly<L: RawAcquire<M>, M: Mode>(&self, raw: &L, stripe: usize) -> Option<L::State>
        where
            W: Way<L, M>,
        {
            let wait = self.patience.begin(stripe, || self.set.holder_of(stripe));
            let mut taken = Taken::<L, M> { raw, state: self.way.take(raw, stripe) };
            if let Some(wait) = wait {
                wait.end(self.key, Some(self.at), taken.state.is_some());
            }
            taken.state.take()
        }
    }

    /// Releases the lock if the subscriber of the event panics.
    struct Taken<'r, L: RawAcquire<M>, M: Mode> {
        raw: &'r L,
        state: Option<L::State>,
    }

    impl<L: RawAcquire<M>, M: Mode> Drop for Taken<'_, L, M> {
        fn drop(&mut self) {
            if let Some(state) = self.state.take() {
                // SAFETY: the state comes from an acquisition of this lock, and is passed to `release` once.
                unsafe { self.raw.release(state) }
            }
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::blocking::held::SetId;
    use crate::shared::waits::{KeyHash, Patience};

    pub(crate) type Watched<W> = W;

    #[inline]
    pub(crate) fn watch<W>(way: W, _: Patience, _: SetId, _: KeyHash) -> W {
        way
    }
}

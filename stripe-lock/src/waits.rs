//! Events about long waits (feature `tracing`): one for each wait that lasts longer than the limit of its set (`patience`).
//!
//! An acquisition that finds its stripe free costs one extra branch: whether the set has a limit. An event is sent when the wait is
//! over, and never under an internal lock of the set; but by then the thread holds the stripe that it waited for.
//!
//! Without the feature all of this is empty types and functions that return their argument.

#[cfg(feature = "tracing")]
pub(crate) use on::{KeyHash, Patience, Watched, watch};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{KeyHash, Patience, Watched, watch};

#[cfg(all(feature = "tracing", feature = "async"))]
pub(crate) use on::{Site, Wait};

#[cfg(feature = "tracing")]
mod on {
    use std::panic::Location;
    use std::time::{Duration, Instant};

    use crate::held::SetId;
    use crate::raw::{Acquire, Mode, Way};

    /// A place in the program.
    pub(crate) type Site = &'static Location<'static>;

    /// The hash of the key, if it is a single one.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct KeyHash(Option<u64>);

    impl KeyHash {
        pub(crate) const NONE: Self = Self(None);

        #[inline]
        pub(crate) fn of(hash: u64) -> Self {
            Self(Some(hash))
        }
    }

    /// How long a wait in a set may last before it is reported.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Patience(Option<Duration>);

    impl Patience {
        pub(crate) const ENDLESS: Self = Self(None);

        pub(crate) fn ending_after(limit: Duration) -> Self {
            Self(Some(limit))
        }

        /// Begins to measure a wait for this stripe, if the set has a limit.
        pub(crate) fn begin(self, stripe: usize, holder: impl FnOnce() -> Option<Site>) -> Option<Wait> {
            self.0.map(|limit| Wait { limit, stripe, holder: holder(), since: Instant::now() })
        }
    }

    /// A wait that is under way.
    pub(crate) struct Wait {
        limit: Duration,
        stripe: usize,
        /// Where in the program the stripe had been taken when the wait began.
        holder: Option<Site>,
        since: Instant,
    }

    impl Wait {
        /// Reports the wait, if it was a long one.
        #[cold]
        pub(crate) fn end(self, KeyHash(key_hash): KeyHash, at: Option<Site>, acquired: bool) {
            let waited = self.since.elapsed();
            if waited <= self.limit {
                return;
            }
            tracing::warn!(
                target: "stripe_lock",
                stripe = self.stripe,
                key_hash,
                waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX),
                acquired,
                at = at.map(tracing::field::display),
                holder = self.holder.map(tracing::field::display),
                "a long wait for a stripe"
            );
        }
    }

    /// A way of taking a lock, with an event where that takes long.
    pub(crate) struct Watched<W> {
        way: W,
        patience: Patience,
        set: SetId,
        key: KeyHash,
        at: Site,
    }

    /// Watches `way` on behalf of the caller.
    #[inline]
    #[track_caller]
    pub(crate) fn watch<W>(way: W, patience: Patience, set: SetId, key: KeyHash) -> Watched<W> {
        Watched { way, patience, set, key, at: Location::caller() }
    }

    impl<L: Acquire<M>, M: Mode, W: Way<L, M>> Way<L, M> for Watched<W> {
        const WAITS: bool = W::WAITS;

        #[inline]
        fn take(&self, raw: &L, stripe: usize) -> Option<L::State> {
            if !W::WAITS || self.patience.0.is_none() {
                return self.way.take(raw, stripe);
            }
            raw.try_acquire().or_else(|| self.take_slowly(raw, stripe))
        }
    }

    impl<W> Watched<W> {
        #[cold]
        fn take_slowly<L: Acquire<M>, M: Mode>(&self, raw: &L, stripe: usize) -> Option<L::State>
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

    /// Releases what was taken if the subscriber of the event panics.
    struct Taken<'r, L: Acquire<M>, M: Mode> {
        raw: &'r L,
        state: Option<L::State>,
    }

    impl<L: Acquire<M>, M: Mode> Drop for Taken<'_, L, M> {
        fn drop(&mut self) {
            if let Some(state) = self.state.take() {
                // SAFETY: the state comes from an acquisition of this very lock, and is given back once.
                unsafe { self.raw.release(state) }
            }
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use crate::held::SetId;

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct KeyHash;

    impl KeyHash {
        pub(crate) const NONE: Self = Self;

        #[inline]
        pub(crate) fn of(_: u64) -> Self {
            Self
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Patience;

    impl Patience {
        pub(crate) const ENDLESS: Self = Self;
    }

    pub(crate) type Watched<W> = W;

    #[inline]
    pub(crate) fn watch<W>(way: W, _: Patience, _: SetId, _: KeyHash) -> W {
        way
    }
}

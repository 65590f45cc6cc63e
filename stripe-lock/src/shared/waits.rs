//! Events about long waits (feature `tracing`): one for each wait that lasts longer than the limit of its set (`patience`).
//!
//! Without the feature, the types here are empty.

#[cfg(feature = "tracing")]
pub(crate) use on::{KeyHash, Patience, Site};

#[cfg(all(feature = "tracing", feature = "async"))]
pub(crate) use on::Wait;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{KeyHash, Patience};

#[cfg(feature = "tracing")]
mod on {
    use std::panic::Location;
    use std::time::{Duration, Instant};

    /// A place in the program.
    pub(crate) type Site = &'static Location<'static>;

    /// The hash of the key, if the acquisition is of a single key.
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

        #[inline]
        pub(crate) fn is_endless(self) -> bool {
            self.0.is_none()
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
        /// The call site that had taken the stripe when the wait began.
        holder: Option<Site>,
        since: Instant,
    }

    impl Wait {
        /// Sends the event, if the wait was longer than the limit.
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
}

#[cfg(not(feature = "tracing"))]
mod off {
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
}

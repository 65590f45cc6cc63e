//! What is noted of a wait: since when it lasts (features `stats` and `diagnose`) and where it was asked for (`diagnose`).
//! Without these features there is nothing of it, neither in a future nor in a guard.

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
}

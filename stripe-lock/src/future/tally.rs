//! What a bucket counts about those who wait in it (feature `stats`).
//!
//! All of it is counted while the bucket is locked, which it is anyway when somebody joins a line or leaves one. Who finds
//! a stripe free is not counted: that would cost more than taking it does.

#[cfg(feature = "stats")]
pub(super) use on::Tally;

#[cfg(not(feature = "stats"))]
pub(super) use off::Tally;

#[cfg(feature = "stats")]
mod on {
    use crate::future::place::Print;
    use crate::future::stats::WaitStats;
    use crate::future::trace::Moment;
    use crate::future::word;

    /// The counters of a bucket.
    #[derive(Default)]
    pub(in crate::future) struct Tally(WaitStats);

    impl Tally {
        /// Somebody who asks for a key with this print joins the line of a stripe with this word.
        pub(in crate::future) fn joins(&mut self, word: u32, print: Print) {
            self.0.contended += 1;
            match print.met(word::holder(word)) {
                Some(true) => self.0.same_print += 1,
                Some(false) => self.0.other_print += 1,
                None => {}
            }
        }

        /// Somebody leaves a line: served, or not waiting any longer.
        pub(in crate::future) fn leaves(&mut self, since: Moment) {
            self.0.waited = self.0.waited.saturating_add(since.elapsed());
        }

        pub(in crate::future) fn snapshot(&self) -> WaitStats {
            self.0
        }
    }
}

#[cfg(not(feature = "stats"))]
mod off {
    use crate::future::place::Print;
    use crate::future::trace::Moment;

    /// Counts nothing.
    #[derive(Default)]
    pub(in crate::future) struct Tally;

    #[allow(clippy::unused_self, reason = "the same face as `on`")]
    impl Tally {
        #[inline]
        pub(in crate::future) fn joins(&mut self, _word: u32, _print: Print) {}

        #[inline]
        pub(in crate::future) fn leaves(&mut self, _since: Moment) {}
    }
}

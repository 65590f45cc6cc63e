//! The order of commits, and the watermark at which readers begin.
//!
//! A commit takes its number while it holds its stripes, and is published once it is durable. The watermark is the
//! largest number up to which every commit is published. So a reader sees the commits of all stripes in one order,
//! each completely, and none that a crash could undo.

use crate::error::{Error, Result};
use crate::terms::quad::Seq;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// The commits of one store.
#[derive(Debug)]
pub(crate) struct Commits {
    state: Mutex<State>,
    published: Condvar,
    /// A copy of the watermark, for readers.
    watermark: AtomicU64,
}

#[derive(Debug)]
struct State {
    watermark: Seq,
    /// The commits after the watermark: `None` for one that is not published, and otherwise by how much it changes the
    /// number of quads.
    begun: VecDeque<Option<i64>>,
    quads: i64,
    /// The error after which no commit can succeed.
    failure: Option<String>,
}

/// How often a commit yields before it sleeps until earlier commits are published. Earlier commits usually need only
/// another microsecond, or wait for a core, and waking a thread takes longer. With 16 writers, 4 yields instead of none
/// give 1.6 times as many inserts a second. Spinning in addition gains nothing.
const YIELDS: u32 = 4;

impl Commits {
    /// The order of commits of a store that has `quads` quads at commit `watermark`.
    pub(crate) fn new(watermark: Seq, quads: u64) -> Self {
        let state = State { watermark, begun: VecDeque::new(), quads: quads.cast_signed(), failure: None };
        Self { state: Mutex::new(state), published: Condvar::new(), watermark: AtomicU64::new(watermark) }
    }

    /// Takes the next number. The caller holds its stripes, so commits of the same quads take their numbers in the
    /// order of their effects. Every number must later be published or failed, or the watermark would stop.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if an earlier commit failed.
    pub(crate) fn begin(&self) -> Result<Begun<'_>> {
        let mut state = self.state.lock();
        state.check()?;
        state.begun.push_back(None);
        Ok(Begun { commits: self, seq: state.watermark + state.begun.len() as Seq })
    }

    /// The last number taken.
    pub(crate) fn last_begun(&self) -> Seq {
        let state = self.state.lock();
        state.watermark + state.begun.len() as Seq
    }

    fn publish(&self, seq: Seq, added: i64) {
        let mut state = self.state.lock();
        let place = (seq - state.watermark - 1) as usize;
        state.begun[place] = Some(added);
        while let Some(Some(added)) = state.begun.front().copied() {
            state.begun.pop_front();
            state.watermark += 1;
            state.quads += added;
        }
        if state.watermark != self.watermark.load(Ordering::Relaxed) {
            self.watermark.store(state.watermark, Ordering::Release);
            self.published.notify_all();
        }
    }

    /// Fails a commit that was applied and can't be made durable. Readers must never see it, so the watermark stays
    /// below it, and no later commit succeeds until the store is opened again.
    pub(crate) fn fail(&self, reason: &impl ToString) {
        let mut state = self.state.lock();
        state.failure.get_or_insert_with(|| reason.to_string());
        self.published.notify_all();
    }

    /// Waits until readers can see the commit.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] if readers will never see it.
    pub(crate) fn wait(&self, seq: Seq) -> Result<()> {
        for _ in 0..YIELDS {
            if self.watermark() >= seq {
                return Ok(());
            }
            thread::yield_now();
        }
        let mut state = self.state.lock();
        while state.watermark < seq {
            state.check()?;
            self.published.wait(&mut state);
        }
        Ok(())
    }

    pub(crate) fn watermark(&self) -> Seq {
        self.watermark.load(Ordering::Acquire)
    }

    /// The watermark, and the number of quads at it.
    pub(crate) fn now(&self) -> (Seq, u64) {
        let state = self.state.lock();
        (state.watermark, state.quads.max(0).cast_unsigned())
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.state.lock().check()
    }
}

/// A commit that has its number. If it is dropped before it is published, because its thread panics or its write fails,
/// it [fails](Commits::fail).
#[derive(Debug)]
#[must_use = "a commit that is dropped fails, and so do all later ones"]
pub(crate) struct Begun<'a> {
    commits: &'a Commits,
    pub(crate) seq: Seq,
}

impl Begun<'_> {
    /// Publishes a commit that is durable and has been applied.
    pub(crate) fn publish(self, added: i64) {
        self.commits.publish(self.seq, added);
        std::mem::forget(self);
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.commits.fail(&"a commit was not completed");
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.failure {
            Some(reason) => Err(Error::Failed(reason.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_waits_for_the_oldest() {
        let commits = Commits::new(10, 5);
        let [a, b, c] = [(); 3].map(|()| commits.begin().unwrap());
        assert_eq!([a.seq, b.seq, c.seq], [11, 12, 13]);
        b.publish(2);
        assert_eq!(commits.now(), (10, 5));
        a.publish(-1);
        assert_eq!(commits.now(), (12, 6), "both at once");
        commits.wait(12).unwrap();
        c.publish(0);
        assert_eq!(commits.now(), (13, 6));
    }

    #[test]
    fn a_failed_commit_stops_the_watermark_and_fails_waiting_writers() {
        let commits = Commits::new(0, 0);
        let (a, b) = (commits.begin().unwrap(), commits.begin().unwrap());
        b.publish(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| commits.wait(2));
            commits.fail(&Error::Failed("disk full".into()));
            assert!(
                matches!(waiting.join().unwrap(), Err(Error::Failed(reason)) if reason.contains("disk full"))
            );
        });
        assert!(commits.wait(a.seq).is_err() && commits.begin().is_err() && commits.check().is_err());
        assert_eq!(commits.watermark(), 0);
    }

    #[test]
    fn a_panic_before_the_publication_leaves_nobody_waiting() {
        let commits = Commits::new(0, 0);
        std::thread::scope(|scope| {
            let (begun, later) = (commits.begin().unwrap(), commits.begin().unwrap());
            later.publish(1);
            let waiting = scope.spawn(|| commits.wait(2));
            let panicking = scope.spawn(move || {
                let _begun = begun;
                std::panic::resume_unwind(Box::new("as if applying it had panicked"));
            });
            assert!(panicking.join().is_err());
            assert!(matches!(waiting.join().unwrap(), Err(Error::Failed(_))));
        });
        assert!(commits.begin().is_err(), "no later commit succeeds");
        assert_eq!(commits.watermark(), 0, "nobody sees half a commit");
    }
}

//! Group commit: many writers, one sync.
//!
//! Writers that wait for the disk stand in one line, threads and tasks alike. One of them leads: it gathers, flushes
//! for everybody whose records are in the log by then, and hands on. There is never more than one flush in flight,
//! because two would compete for the same disk queue and each carry half of the writers.
//!
//! The states of the line. `flushing` says whether somebody leads; the other columns say what follows from what happens.
//!
//! | state | `flushing` | a writer arrives whose record is logged | it ends when | then |
//! |---|---|---|---|---|
//! | free | false | it takes the lead | somebody takes the lead | gathering, or flushing if nobody is expected |
//! | gathering | true | it sits down; the leader wakes once as many came as are expected | they came, or the limit passed | flushing |
//! | flushing | true | it sits down to wait for the next flush | the device has synced | free: all that were carried are woken, and one that was not |
//! | suspended | either | it is told [`Error::Full`] | [`resume`](Line::resume) | free |
//! | failed | either | it is told [`Error::Poisoned`] | never | |
//!
//! From any state, a write for which there was no space leads to suspended, and any other failure to failed; both wake
//! everybody. A lead that ends by a panic leads to failed.
//!
//! Gathering: right after a sync, the writers it released are about to come back, and those who arrived during it
//! wait already. A leader that started at once would carry the second half only, and the first half would carry the
//! next sync, and so on. So the leader waits until as many writes are in the log as the last flush carried and left behind,
//! but never longer than [`GATHER_LIMIT`]. It doesn't wait if they are so large already that the writing takes longer than the
//! sync: then one half is copied while the other is written. It sleeps meanwhile: a leader that spun and yielded would, beside a
//! busy thread, give that one a whole time slice. Where writers do something else between two writes, they don't come, and
//! gathering is skipped for some flushes:
//!
//! | the last gathering | the flushes that skip the next ones |
//! |---|---|
//! | was in time | 0 |
//! | was in vain, after `n` had skipped it | `2 * n + 1`, and [`MAX_SKIPPED`] at most |
//!
//! Waking: threads that wait for the flush in flight sit on one bench, those that wait for the next one on the other.
//! So a flush wakes those it released, all by one system call, and one of the others to lead.

use std::future::Future;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{self, Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};

use crate::container::error::{Error, Result};
use crate::container::log::watchers::Watchers;
use crate::container::log::writer::Log;
use crate::container::sync_point::SyncPoint;

/// The longest that a leader waits for company: about one sync of a fast disk. Writers that do nothing else between two
/// writes are back sooner, and for others it is not worth waiting.
const GATHER_LIMIT: Duration = Duration::from_micros(100);

/// After waiting in vain, so many flushes at most go without.
const MAX_SKIPPED: usize = 64;

/// The line of those who wait for the disk.
pub(crate) struct Line {
    /// Somebody leads.
    flushing: AtomicBool,
    /// How many writes the next leader may expect.
    expected: AtomicUsize,
    /// How many the leader waits for right now; `usize::MAX` while it waits for nobody.
    target: AtomicUsize,
    /// Where the leader waits for them.
    gathering: Bench,
    /// How many flushes are still to go without gathering, and how many went after the last time it was in vain. Only the
    /// leader touches them.
    skip: AtomicUsize,
    skipped: AtomicUsize,
    benches: [Bench; 2],
    state: Mutex<State>,
    /// Wakes the committer thread.
    committer: Condvar,
    /// Knows whether anything has failed.
    syncs: Arc<SyncPoint>,
    watchers: Arc<Watchers>,
    /// The log waits for space. Nothing is acknowledged until it has some.
    suspended: ArcSwapOption<io::Error>,
}

/// Threads that wait for one flush.
#[derive(Default)]
struct Bench {
    /// The standard library's lock, since its condition variable wakes all by one system call.
    lock: sync::Mutex<()>,
    woken: sync::Condvar,
    /// How many sit here; changes under the lock. An atomic, for no sanitizer sees what the standard library's lock orders.
    seated: AtomicUsize,
}

impl Bench {
    /// Blocks while `must_wait`. Whoever changes what that depends on wakes afterwards.
    fn sit(&self, must_wait: impl Fn() -> bool) {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.seated.fetch_add(1, Ordering::Relaxed);
        while must_wait() {
            lock = self.woken.wait(lock).unwrap_or_else(PoisonError::into_inner);
        }
        self.seated.fetch_sub(1, Ordering::Relaxed);
    }

    /// As [`sit`](Self::sit), for no longer than `limit`. Tells whether it was shorter.
    fn sit_for(&self, limit: Duration, must_wait: impl Fn() -> bool) -> bool {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.seated.fetch_add(1, Ordering::Relaxed);
        let (_lock, timed_out) = self
            .woken
            .wait_timeout_while(lock, limit, |()| must_wait())
            .unwrap_or_else(PoisonError::into_inner);
        self.seated.fetch_sub(1, Ordering::Relaxed);
        !timed_out.timed_out()
    }

    fn is_empty(&self) -> bool {
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.seated.load(Ordering::Relaxed) == 0
    }

    fn wake_one(&self) {
        if !self.is_empty() {
            self.woken.notify_one();
        }
    }

    fn wake_all(&self) {
        if !self.is_empty() {
            self.woken.notify_all();
        }
    }
}

/// The lead, which ends however its holder's work ends.
struct Lead<'a>(&'a Line);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        drop(self.0.poison_on_panic());
        self.0.flushing.store(false, Ordering::Release);
    }
}

/// See [`Line::poison_on_panic`].
#[must_use = "it watches over what is done while it lives"]
pub(crate) struct PoisonOnPanic<'a>(&'a Line);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.poison(Arc::new(io::Error::other("a thread panicked while it changed the store")));
        }
    }
}

/// Wakes all. A waker that panics takes nothing from the others, nor from the thread that happens to wake it.
pub(super) fn wake(wakers: impl Iterator<Item = Waker>) {
    for waker in wakers {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

#[derive(Default)]
struct State {
    tasks: Vec<Task>,
    next_id: u64,
    has_committer: bool,
    /// What the committer thread is asked for.
    requested: Request,
    stopping: bool,
}

/// Work for the committer thread. Each includes those before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Request {
    #[default]
    Nothing,
    Write,
    Sync,
}

/// A task that waits.
struct Task {
    id: u64,
    seq: u64,
    waker: Waker,
}

impl State {
    fn join(&mut self, seq: u64, waker: Waker) -> u64 {
        self.next_id += 1;
        self.tasks.push(Task { id: self.next_id, seq, waker });
        self.next_id
    }

    fn leave(&mut self, id: u64) {
        if let Some(at) = self.tasks.iter().position(|task| task.id == id) {
            self.tasks.swap_remove(at);
        }
    }
}

impl Line {
    /// `has_committer`: whether a thread will [commit](Self::commit_until_stopped) for tasks.
    pub(crate) fn new(syncs: Arc<SyncPoint>, watchers: Arc<Watchers>, has_committer: bool) -> Self {
        Self {
            flushing: AtomicBool::new(false),
            expected: AtomicUsize::new(0),
            target: AtomicUsize::new(usize::MAX),
            gathering: Bench::default(),
            skip: AtomicUsize::new(0),
            skipped: AtomicUsize::new(0),
            benches: Default::default(),
            state: Mutex::new(State { has_committer, ..State::default() }),
            committer: Condvar::new(),
            syncs,
            watchers,
            suspended: ArcSwapOption::empty(),
        }
    }

    /// Fails once any write or sync has failed: it is never tried again as if it had worked.
    pub(crate) fn check(&self) -> Result<()> {
        self.syncs.check().map_err(|cause| Error::Poisoned { cause })?;
        self.suspended.load_full().map_or(Ok(()), |cause| Err(Error::Full { cause }))
    }

    fn has_failed(&self) -> bool {
        self.syncs.check().is_err() || self.suspended.load().is_some()
    }

    /// The log could not be written.
    fn fail(&self, log: &Log, error: Arc<io::Error>) {
        if log.is_waiting_for_space() {
            self.suspend(error);
        } else {
            self.poison(error);
        }
    }

    /// Turns the store read-only and lets everybody in line know.
    pub(crate) fn poison(&self, cause: Arc<io::Error>) {
        let cause = self.syncs.fail(cause);
        self.wake_all();
        self.watchers.fail(&cause);
    }

    /// As [`poison`](Self::poison), until [`resume`](Self::resume): what is in the log can be written once there is space.
    pub(crate) fn suspend(&self, cause: Arc<io::Error>) {
        self.suspended.store(Some(cause));
        self.wake_all();
    }

    /// What suspended the store has ended.
    pub(crate) fn resume(&self) {
        self.suspended.store(None);
    }

    fn wake_all(&self) {
        // Whoever joins from here on sees the failure under the same lock.
        let tasks = std::mem::take(&mut self.state.lock().tasks);
        for bench in &self.benches {
            bench.wake_all();
        }
        wake(tasks.into_iter().map(|task| task.waker));
    }

    /// Poisons if its holder panics: what that was changing may be half done.
    pub(crate) fn poison_on_panic(&self) -> PoisonOnPanic<'_> {
        PoisonOnPanic(self)
    }

    /// Takes the lead, unless somebody has it.
    fn try_lead(&self) -> bool {
        !self.flushing.load(Ordering::Acquire) && !self.flushing.swap(true, Ordering::Acquire)
    }

    /// Blocks until the log is durable up to `seq`, leading a flush where nobody else does.
    pub(crate) fn wait(&self, log: &Log, seq: u64) -> Result<()> {
        let mut bench = None;
        while log.durable() < seq {
            self.check()?;
            if self.try_lead() {
                self.lead(log, true);
                continue;
            }
            let sat = bench.insert(&self.benches[log.flush_of(seq)]);
            sat.sit(|| log.durable() < seq && self.flushing.load(Ordering::Acquire) && !self.has_failed());
        }
        if let Some(bench) = bench
            && !log.is_taken(seq)
        {
            // A checkpoint has made it durable. If this thread was woken to lead, another has to.
            bench.wake_one();
        }
        Ok(())
    }

    /// Resolves when the log is durable up to `seq`. No flush runs inside `poll` while the store has a committer thread.
    pub(crate) fn wait_async<'a>(&'a self, log: &'a Log, seq: u64) -> Waiting<'a> {
        Waiting { line: self, log, seq, joined: None }
    }

    /// Flushes for everybody in line. The caller has taken the lead.
    fn lead(&self, log: &Log, gather: bool) {
        let lead = Lead(self);
        if gather {
            self.gather(log);
        }
        let flushed = log.flush(true);
        let (flush, carried) = match flushed {
            Ok(flush) => flush,
            Err(cause) => return self.fail(log, cause),
        };
        self.expected.store(carried + log.wanted(), Ordering::Relaxed);
        drop(lead);
        // The next leader first: it gathers while the others are being woken.
        self.benches[1 - flush].wake_one();
        self.benches[flush].wake_all();
        self.wake_tasks(log.durable());
        self.watchers.advance(log.durable());
    }

    fn wake_tasks(&self, durable: u64) {
        let mut state = self.state.lock();
        if state.tasks.is_empty() {
            return;
        }
        let (mut released, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.tasks).into_iter().partition(|task| task.seq <= durable);
        state.tasks = left;
        if state.has_committer && !state.tasks.is_empty() {
            self.request(&mut state, Request::Sync);
        } else if let Some(next) = state.tasks.pop() {
            // Polled again, the task leads itself.
            released.push(next);
        }
        drop(state);
        wake(released.into_iter().map(|task| task.waker));
    }

    fn gather(&self, log: &Log) {
        let expected = self.expected.load(Ordering::Relaxed);
        if log.is_worth_a_sync(expected) {
            return;
        }
        let skip = self.skip.load(Ordering::Relaxed);
        if skip > 0 {
            self.skip.store(skip - 1, Ordering::Relaxed);
            return;
        }
        self.target.store(expected, Ordering::SeqCst);
        let came = self.gathering.sit_for(GATHER_LIMIT, || !log.is_worth_a_sync(expected));
        self.target.store(usize::MAX, Ordering::Relaxed);
        let skip = if came { 0 } else { MAX_SKIPPED.min(2 * self.skipped.load(Ordering::Relaxed) + 1) };
        self.skip.store(skip, Ordering::Relaxed);
        self.skipped.store(skip, Ordering::Relaxed);
    }

    /// A write that wants to be durable was logged; a leader may be waiting for it.
    pub(crate) fn arrived(&self, log: &Log) {
        if log.is_worth_a_sync(self.target.load(Ordering::SeqCst)) {
            self.gathering.wake_all();
        }
    }

    fn request(&self, state: &mut State, request: Request) {
        state.requested = state.requested.max(request);
        self.committer.notify_one();
    }

    /// Has the committer thread write what was logged. Without one, writers do so themselves, later.
    pub(crate) fn write_soon(&self) {
        self.request(&mut self.state.lock(), Request::Write);
    }

    /// The committer thread: leads for tasks, writes what is buffered, and syncs it every `interval`.
    pub(crate) fn commit_until_stopped(&self, log: &Log, interval: Duration) {
        let mut synced = Instant::now();
        let mut state = self.state.lock();
        while !state.stopping {
            if state.requested == Request::Nothing {
                self.committer.wait_for(&mut state, interval.saturating_sub(synced.elapsed()));
            }
            let requested = std::mem::take(&mut state.requested);
            let is_due = synced.elapsed() >= interval;
            if is_due {
                synced = Instant::now();
            }
            if self.has_failed() {
                continue;
            }
            drop(state);
            let is_behind = is_due && log.durable() < log.published();
            if (requested == Request::Sync || is_behind) && self.try_lead() {
                // Nobody in particular waits for writes that are buffered.
                self.lead(log, requested == Request::Sync);
                synced = Instant::now();
            } else if requested == Request::Write
                && let Err(cause) = log.flush(false)
            {
                self.fail(log, cause);
            }
            state = self.state.lock();
        }
        state.has_committer = false;
    }

    /// Ends [`commit_until_stopped`](Self::commit_until_stopped).
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.committer.notify_one();
    }
}

/// A task's place in the line.
///
/// # Cancel safety
///
/// Dropping it leaves the line. The write stays in the log and becomes durable with the next flush.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Waiting<'a> {
    line: &'a Line,
    log: &'a Log,
    seq: u64,
    joined: Option<u64>,
}

impl Future for Waiting<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while self.log.durable() < self.seq {
            self.line.check()?;
            let mut state = self.line.state.lock();
            if let Some(id) = self.joined.take() {
                state.leave(id);
            }
            // Whoever leads gives up the lead before it looks for tasks: one that joins here is seen, or sees that.
            let is_led = self.line.flushing.load(Ordering::Acquire);
            if self.log.durable() < self.seq && !self.line.has_failed() && (is_led || state.has_committer) {
                self.joined = Some(state.join(self.seq, cx.waker().clone()));
                if !is_led {
                    self.line.request(&mut state, Request::Sync);
                }
                return Poll::Pending;
            }
            drop(state);
            if self.log.durable() < self.seq && self.line.try_lead() {
                self.line.lead(self.log, false);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.joined.take() {
            self.line.state.lock().leave(id);
        }
    }
}

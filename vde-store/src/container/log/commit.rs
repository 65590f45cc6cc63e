//! Group commit: many writers, one sync.
//!
//! Writers that wait for the disk, threads and tasks alike, wait in a [`GroupCommit`]. One of them is the leader: it
//! waits briefly for other writers (it *gathers* them), flushes all records that are in the log by then, and wakes
//! the next leader. There is never more than one flush in flight, because two would compete for the same disk queue,
//! and each would carry half of the writers.
//!
//! The states of a group commit. `flushing` is whether there is a leader.
//!
//! | state | `flushing` | a writer arrives whose record is logged | it ends when | then |
//! |---|---|---|---|---|
//! | free | false | it becomes the leader | a writer becomes the leader | gathering, or flushing if no writers are expected |
//! | gathering | true | it waits; the last expected writer wakes the leader | all expected writers arrived, or the limit passed | flushing |
//! | flushing | true | it waits for the next flush | the device has synced | free: all writers of this flush are woken, and one writer of the next flush |
//! | suspended | either | it gets [`Error::Full`] | [`resume`](GroupCommit::resume) | free |
//! | failed | either | it gets [`Error::Poisoned`] | never | |
//!
//! In any state, a write that fails for lack of space leads to suspended, and any other failure leads to failed. Both
//! wake all waiters. A panic of the leader leads to failed.
//!
//! Gathering: right after a sync, its writers are about to write again, and the writers that arrived during the sync
//! wait already. If the leader flushed at once, this flush would carry only the second half of the writers, the next
//! flush only the first half, and so on. So the leader waits until the log has as many writes as the last flush
//! carried and left waiting, but never longer than [`GATHER_LIMIT`]. It does not wait if writing the gathered bytes
//! takes longer than the sync: then it is better to copy one half while the other is written. The leader sleeps while
//! it waits, because `yield_now` would give a busy thread a whole time slice. It does not wait either if the last flush
//! took less than [`WORTH_SHARING`], as in memory. If writers do other work between two
//! writes, they arrive too late, and some flushes skip gathering:
//!
//! | the last gathering | number of flushes that skip gathering |
//! |---|---|
//! | was in time | 0 |
//! | reached the limit, after `n` flushes had skipped gathering | `2 * n + 1`, at most [`MAX_SKIPPED`] |
//!
//! Waking: threads that wait for the flush in flight are in one queue, and threads that wait for the next flush are
//! in the other. So a flush wakes all its threads by one system call, and then one thread of the other queue as the
//! next leader.

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

/// The longest time that a leader waits for other writers: about one sync of a fast disk. Writers that do nothing
/// else between two writes return earlier, and it is not worth waiting for writers that do.
const GATHER_LIMIT: Duration = Duration::from_micros(100);

/// A flush that takes less time than this is not worth waiting for: sleeping and being woken takes longer.
const WORTH_SHARING: Duration = Duration::from_micros(20);

/// The most flushes that skip gathering after it has reached the limit.
const MAX_SKIPPED: usize = 64;

/// The writers that wait for the disk, and their leader.
pub(crate) struct GroupCommit {
    /// Whether there is a leader.
    flushing: AtomicBool,
    /// How many writes the next leader may expect.
    expected: AtomicUsize,
    /// The number of writers for which the leader waits; `usize::MAX` while it does not wait.
    target: AtomicUsize,
    /// The leader waits here for other writers.
    gathering: WaitQueue,
    /// How many flushes will skip gathering, and how many have skipped it since it reached the limit. Only the leader
    /// accesses these counters.
    skip: AtomicUsize,
    skipped: AtomicUsize,
    /// Whether the last flush took long enough to be worth sharing. Only the leader accesses it.
    worth_sharing: AtomicBool,
    queues: [WaitQueue; 2],
    state: Mutex<State>,
    /// Wakes the committer thread.
    committer: Condvar,
    /// Knows whether anything has failed.
    syncs: Arc<SyncPoint>,
    watchers: Arc<Watchers>,
    /// Set while the log waits for space on the disk. Meanwhile no write is acknowledged.
    suspended: ArcSwapOption<io::Error>,
}

/// Threads that wait for one flush.
#[derive(Default)]
struct WaitQueue {
    /// The standard library's lock, because its condition variable wakes all threads by one system call.
    lock: sync::Mutex<()>,
    woken: sync::Condvar,
    /// How many threads wait here. It changes under the lock; it is an atomic because sanitizers do not see the
    /// standard library's lock.
    parked: AtomicUsize,
}

impl WaitQueue {
    /// Blocks while `must_wait` returns true. A thread that changes the result of `must_wait` wakes this queue
    /// afterwards.
    fn park(&self, must_wait: impl Fn() -> bool) {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.parked.fetch_add(1, Ordering::Relaxed);
        while must_wait() {
            lock = self.woken.wait(lock).unwrap_or_else(PoisonError::into_inner);
        }
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    /// As [`park`](Self::park), for at most `limit`. Returns whether the wait ended before the limit.
    fn park_for(&self, limit: Duration, must_wait: impl Fn() -> bool) -> bool {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.parked.fetch_add(1, Ordering::Relaxed);
        let (_lock, timed_out) = self
            .woken
            .wait_timeout_while(lock, limit, |()| must_wait())
            .unwrap_or_else(PoisonError::into_inner);
        self.parked.fetch_sub(1, Ordering::Relaxed);
        !timed_out.timed_out()
    }

    fn is_empty(&self) -> bool {
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.parked.load(Ordering::Relaxed) == 0
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

/// The leader's role. It ends when this is dropped, even by a panic.
struct Lead<'a>(&'a GroupCommit);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        drop(self.0.poison_on_panic());
        self.0.flushing.store(false, Ordering::Release);
    }
}

/// See [`GroupCommit::poison_on_panic`].
#[must_use = "it watches over what is done while it lives"]
pub(crate) struct PoisonOnPanic<'a>(&'a GroupCommit);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.poison(Arc::new(io::Error::other("a thread panicked while it changed the store")));
        }
    }
}

/// Wakes all tasks. A waker that panics affects neither the other wakers nor the calling thread.
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
    /// The work that the committer thread is asked to do.
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

impl GroupCommit {
    /// `has_committer`: whether a thread will run [`commit_until_stopped`](Self::commit_until_stopped).
    pub(crate) fn new(syncs: Arc<SyncPoint>, watchers: Arc<Watchers>, has_committer: bool) -> Self {
        Self {
            flushing: AtomicBool::new(false),
            expected: AtomicUsize::new(0),
            target: AtomicUsize::new(usize::MAX),
            gathering: WaitQueue::default(),
            skip: AtomicUsize::new(0),
            skipped: AtomicUsize::new(0),
            worth_sharing: AtomicBool::new(false),
            queues: Default::default(),
            state: Mutex::new(State { has_committer, ..State::default() }),
            committer: Condvar::new(),
            syncs,
            watchers,
            suspended: ArcSwapOption::empty(),
        }
    }

    /// Fails once any write or sync has failed. A failed sync is never retried, because a retry may succeed although
    /// data is lost.
    pub(crate) fn check(&self) -> Result<()> {
        self.syncs.check().map_err(|cause| Error::Poisoned { cause })?;
        self.suspended.load_full().map_or(Ok(()), |cause| Err(Error::Full { cause }))
    }

    fn has_failed(&self) -> bool {
        self.syncs.check().is_err() || self.suspended.load().is_some()
    }

    /// Records that the log could not be written: [suspends](Self::suspend) if there was no space, otherwise
    /// [poisons](Self::poison).
    fn fail(&self, log: &Log, error: Arc<io::Error>) {
        if log.is_waiting_for_space() {
            self.suspend(error);
        } else {
            self.poison(error);
        }
    }

    /// Turns the store read-only and wakes all waiters with the error.
    pub(crate) fn poison(&self, cause: Arc<io::Error>) {
        let cause = self.syncs.fail(cause);
        self.wake_all();
        self.watchers.fail(&cause);
    }

    /// As [`poison`](Self::poison), until [`resume`](Self::resume): the log can be written once there is space.
    pub(crate) fn suspend(&self, cause: Arc<io::Error>) {
        self.suspended.store(Some(cause));
        self.wake_all();
    }

    /// Ends the suspension: there is space again.
    pub(crate) fn resume(&self) {
        self.suspended.store(None);
    }

    fn wake_all(&self) {
        // A task that joins from here on sees the failure under the same lock.
        let tasks = std::mem::take(&mut self.state.lock().tasks);
        for queue in &self.queues {
            queue.wake_all();
        }
        wake(tasks.into_iter().map(|task| task.waker));
    }

    /// Returns a guard that poisons the store if a panic drops it, because a change may be half done.
    pub(crate) fn poison_on_panic(&self) -> PoisonOnPanic<'_> {
        PoisonOnPanic(self)
    }

    /// Becomes the leader, unless there is one.
    fn try_lead(&self) -> bool {
        !self.flushing.load(Ordering::Acquire) && !self.flushing.swap(true, Ordering::Acquire)
    }

    /// Blocks until the log is durable up to `seq`. Leads a flush if there is no leader.
    pub(crate) fn wait(&self, log: &Log, seq: u64) -> Result<()> {
        let mut queue = None;
        while log.durable() < seq {
            self.check()?;
            if self.try_lead() {
                self.lead(log, true);
                continue;
            }
            let joined = queue.insert(&self.queues[log.flush_of(seq)]);
            joined
                .park(|| log.durable() < seq && self.flushing.load(Ordering::Acquire) && !self.has_failed());
        }
        if let Some(queue) = queue
            && !log.is_taken(seq)
        {
            // A checkpoint has made `seq` durable. If this thread was woken as the next leader, it must wake another
            // one.
            queue.wake_one();
        }
        Ok(())
    }

    /// Resolves when the log is durable up to `seq`. No flush runs inside `poll` while the store has a committer thread.
    pub(crate) fn wait_async<'a>(&'a self, log: &'a Log, seq: u64) -> Waiting<'a> {
        Waiting { group: self, log, seq, joined: None }
    }

    /// Flushes for all waiters. The caller is the leader.
    fn lead(&self, log: &Log, gather: bool) {
        let lead = Lead(self);
        if gather {
            self.gather(log);
        }
        let start = Instant::now();
        let flushed = log.flush(true);
        self.worth_sharing.store(start.elapsed() >= WORTH_SHARING, Ordering::Relaxed);
        let (flush, carried) = match flushed {
            Ok(flush) => flush,
            Err(cause) => return self.fail(log, cause),
        };
        self.expected.store(carried + log.wanted(), Ordering::Relaxed);
        drop(lead);
        // The next leader is woken first: it gathers while the others are being woken.
        self.queues[1 - flush].wake_one();
        self.queues[flush].wake_all();
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
            // When it is polled again, the task becomes the leader.
            released.push(next);
        }
        drop(state);
        wake(released.into_iter().map(|task| task.waker));
    }

    fn gather(&self, log: &Log) {
        let expected = self.expected.load(Ordering::Relaxed);
        if log.is_worth_a_sync(expected) || !self.worth_sharing.load(Ordering::Relaxed) {
            return;
        }
        let skip = self.skip.load(Ordering::Relaxed);
        if skip > 0 {
            self.skip.store(skip - 1, Ordering::Relaxed);
            return;
        }
        self.target.store(expected, Ordering::SeqCst);
        let came = self.gathering.park_for(GATHER_LIMIT, || !log.is_worth_a_sync(expected));
        self.target.store(usize::MAX, Ordering::Relaxed);
        let skip = if came { 0 } else { MAX_SKIPPED.min(2 * self.skipped.load(Ordering::Relaxed) + 1) };
        self.skip.store(skip, Ordering::Relaxed);
        self.skipped.store(skip, Ordering::Relaxed);
    }

    /// A durable write was logged, and the leader may be waiting for it.
    pub(crate) fn arrived(&self, log: &Log) {
        if log.is_worth_a_sync(self.target.load(Ordering::SeqCst)) {
            self.gathering.wake_all();
        }
    }

    fn request(&self, state: &mut State, request: Request) {
        state.requested = state.requested.max(request);
        self.committer.notify_one();
    }

    /// Asks the committer thread to write the logged records. Without that thread, writers write them later.
    pub(crate) fn write_soon(&self) {
        self.request(&mut self.state.lock(), Request::Write);
    }

    /// The committer thread: it is the leader for tasks, writes buffered records, and syncs them every `interval`.
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
                // No writer waits for buffered records.
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

/// A task's place in the queue.
///
/// # Cancel safety
///
/// Dropping it removes the task from the queue. The write stays in the log and becomes durable with the next flush.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Waiting<'a> {
    group: &'a GroupCommit,
    log: &'a Log,
    seq: u64,
    joined: Option<u64>,
}

impl Future for Waiting<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while self.log.durable() < self.seq {
            self.group.check()?;
            let mut state = self.group.state.lock();
            if let Some(id) = self.joined.take() {
                state.leave(id);
            }
            // A leader clears `flushing` before it looks for tasks. So either it sees this task, or this task sees
            // that there is no leader.
            let is_led = self.group.flushing.load(Ordering::Acquire);
            if self.log.durable() < self.seq && !self.group.has_failed() && (is_led || state.has_committer) {
                self.joined = Some(state.join(self.seq, cx.waker().clone()));
                if !is_led {
                    self.group.request(&mut state, Request::Sync);
                }
                return Poll::Pending;
            }
            drop(state);
            if self.log.durable() < self.seq && self.group.try_lead() {
                self.group.lead(self.log, false);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.joined.take() {
            self.group.state.lock().leave(id);
        }
    }
}

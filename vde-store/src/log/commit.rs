//! Group commit: many writers, one sync.
//!
//! Writers that wait for the disk stand in one line, threads and tasks alike. One of them leads: it gathers, flushes
//! for everybody whose records are in the log by then, and hands on. There is never more than one flush in flight,
//! because two would compete for the same disk queue and each carry half of the writers.
//!
//! Gathering: right after a sync, the writers it released are about to come back, and those who arrived during it
//! wait already. A leader that started at once would carry the second half only, and the first half would carry the
//! next sync, and so on. So the leader waits until as many writers stand in line as that, but never longer than
//! [`GATHER_LIMIT`].

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::log::writer::Log;

/// The longest that a leader waits for company: less than one sync of a fast disk.
const GATHER_LIMIT: Duration = Duration::from_micros(300);

/// The line of those who wait for the disk.
pub(crate) struct Line {
    state: Mutex<State>,
    /// How many stand in line; read by a gathering leader without the mutex.
    waiting: AtomicUsize,
    /// Wakes the committer thread.
    committer: Condvar,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts, not one state")]
struct State {
    flushing: bool,
    waiters: Vec<Waiter>,
    next_id: u64,
    /// How many writers the next leader may expect.
    expected: usize,
    failure: Option<Arc<io::Error>>,
    has_committer: bool,
    lead_requested: bool,
    stopping: bool,
}

struct Waiter {
    id: u64,
    seq: u64,
    who: Who,
}

enum Who {
    Thread(Thread),
    Task(Waker),
}

impl Who {
    fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => waker.wake(),
        }
    }
}

impl State {
    fn join(&mut self, seq: u64, who: Who) -> u64 {
        self.next_id += 1;
        self.waiters.push(Waiter { id: self.next_id, seq, who });
        self.next_id
    }

    fn leave(&mut self, id: u64) {
        if let Some(at) = self.waiters.iter().position(|w| w.id == id) {
            self.waiters.swap_remove(at);
        }
    }
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State::default()), waiting: AtomicUsize::new(0), committer: Condvar::new() }
    }

    /// Fails once any write or sync of the log has failed: it is never tried again as if it had worked.
    pub(crate) fn check(&self) -> Result<()> {
        Self::checked(&self.state.lock())
    }

    fn checked(state: &State) -> Result<()> {
        match &state.failure {
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Turns the store read-only and lets everybody in line know.
    pub(crate) fn poison(&self, cause: Arc<io::Error>) {
        let mut state = self.state.lock();
        state.failure.get_or_insert(cause);
        let waiters = std::mem::take(&mut state.waiters);
        self.waiting.store(0, Ordering::Relaxed);
        drop(state);
        for waiter in waiters {
            waiter.who.wake();
        }
    }

    /// Blocks until the log is durable up to `seq`, leading a flush where nobody else does.
    pub(crate) fn wait(&self, log: &Log, seq: u64) -> Result<()> {
        let mut joined = None;
        while log.durable() < seq {
            let mut state = self.state.lock();
            Self::checked(&state)?;
            if log.durable() >= seq {
                if let Some(id) = joined {
                    state.leave(id);
                }
                break;
            }
            if state.flushing {
                if joined.is_none_or(|id| state.waiters.iter().all(|w| w.id != id)) {
                    joined = Some(state.join(seq, Who::Thread(thread::current())));
                    self.waiting.store(state.waiters.len(), Ordering::Relaxed);
                }
                drop(state);
                thread::park();
            } else {
                if let Some(id) = joined.take() {
                    state.leave(id);
                }
                state.flushing = true;
                let expected = state.expected;
                drop(state);
                self.lead(log, expected);
            }
        }
        Ok(())
    }

    /// Resolves when the log is durable up to `seq`. No flush runs inside `poll` while the store has a committer thread.
    pub(crate) fn wait_async<'a>(&'a self, log: &'a Log, seq: u64) -> Waiting<'a> {
        Waiting { line: self, log, seq, joined: None }
    }

    /// Flushes for everybody in line. The caller has set `flushing`.
    fn lead(&self, log: &Log, expected: usize) {
        self.gather(expected);
        let flushed = log.flush(true);
        let mut state = self.state.lock();
        state.flushing = false;
        if let Err(error) = flushed {
            state.failure.get_or_insert(Arc::new(error));
        }
        let failed = state.failure.is_some();
        let durable = log.durable();
        let (released, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.waiters).into_iter().partition(|w| failed || w.seq <= durable);
        state.waiters = left;
        self.waiting.store(state.waiters.len(), Ordering::Relaxed);
        // The leader itself comes back too.
        state.expected = released.len() + state.waiters.len() + 1;
        let next = state.waiters.iter().find_map(|w| match &w.who {
            Who::Thread(thread) => Some(thread.clone()),
            Who::Task(_) => None,
        });
        let mut released = released;
        if next.is_none() && !state.waiters.is_empty() {
            if state.has_committer {
                self.request(&mut state);
            } else {
                // Polled again, the task leads itself.
                released.push(state.waiters.swap_remove(0));
            }
        }
        drop(state);
        // The next leader first: it gathers while the others are being woken.
        if let Some(thread) = next {
            thread.unpark();
        }
        for waiter in released {
            waiter.who.wake();
        }
    }

    fn gather(&self, expected: usize) {
        // The leader has left the line, so it does not count itself.
        let company = expected.saturating_sub(1);
        if company == 0 || self.waiting.load(Ordering::Relaxed) >= company {
            return;
        }
        let start = Instant::now();
        while self.waiting.load(Ordering::Relaxed) < company && start.elapsed() < GATHER_LIMIT {
            thread::yield_now();
        }
    }

    fn request(&self, state: &mut State) {
        state.lead_requested = true;
        self.committer.notify_one();
    }

    /// The committer thread: leads for tasks, and syncs buffered writes every `interval`.
    pub(crate) fn commit_until_stopped(&self, log: &Log, interval: Duration) {
        let mut state = self.state.lock();
        state.has_committer = true;
        while !state.stopping {
            let timed_out =
                !state.lead_requested && self.committer.wait_for(&mut state, interval).timed_out();
            let wanted = state.lead_requested || (timed_out && log.durable() < log.published());
            state.lead_requested = false;
            if wanted && !state.flushing && state.failure.is_none() {
                state.flushing = true;
                // Tasks stand in line themselves while the committer leads for them.
                let expected = if timed_out { 0 } else { state.expected + 1 };
                drop(state);
                self.lead(log, expected);
                state = self.state.lock();
            }
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
        loop {
            if self.log.durable() >= self.seq {
                return Poll::Ready(Ok(()));
            }
            let mut state = self.line.state.lock();
            Line::checked(&state)?;
            if let Some(id) = self.joined.take() {
                state.leave(id);
            }
            if self.log.durable() >= self.seq {
                return Poll::Ready(Ok(()));
            }
            if state.flushing || state.has_committer {
                self.joined = Some(state.join(self.seq, Who::Task(cx.waker().clone())));
                self.line.waiting.store(state.waiters.len(), Ordering::Relaxed);
                if !state.flushing {
                    self.line.request(&mut state);
                }
                return Poll::Pending;
            }
            state.flushing = true;
            drop(state);
            self.line.lead(self.log, 0);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.joined.take() {
            let mut state = self.line.state.lock();
            state.leave(id);
            self.line.waiting.store(state.waiters.len(), Ordering::Relaxed);
        }
    }
}

//! The changes that watchers receive: in the order of the log, once they are durable.
//!
//! Changes are recorded in one bounded list under the log's mutex, so the list has the order of the log. A watcher
//! receives a change once it is durable. The list is kept only while there are watchers.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::container::error::{Error, Result};
use crate::container::log::commit::wake;
use crate::container::log::noted::{New, Noted};
use crate::container::memtable::{Location, Payload, Stored};
use crate::container::planted::{Bug, Planted};
use crate::container::turns::Turns;

/// What was done to a key, or to a range of keys.
///
/// # Examples
///
/// ```
/// use vde_store::{ChangeKind, Vde};
///
/// let store = Vde::in_memory()?;
/// let (_, mut changes) = store.watch()?;
/// store.put("k", "v")?;
/// assert_eq!(changes.next().unwrap()?.kind, ChangeKind::Put);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// The key got a value.
    Put,
    /// The key was deleted.
    Delete,
    /// Every key from the change's key up to, but not including, this one was deleted. With `None`, there is no upper
    /// bound.
    DeleteRange(Option<Arc<[u8]>>),
}

/// A change that is durable.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// let (_, mut changes) = store.watch()?;
/// let mut batch = store.batch();
/// batch.put("a", "1").put("b", "2");
/// batch.commit()?;
/// let (a, b) = (changes.next().unwrap()?, changes.next().unwrap()?);
/// assert!(a.version < b.version);
/// assert!(!a.ends_batch && b.ends_batch);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The key, or the first of a range.
    pub key: Arc<[u8]>,
    /// It grows from change to change. For a put, it is the value's [version](crate::Metadata::version).
    pub version: u64,
    /// What was done.
    pub kind: ChangeKind,
    /// The length of the value in bytes, for a put.
    pub len: u64,
    /// Whether no more changes of the same batch follow.
    pub ends_batch: bool,
    /// Where a put lies in the log. `None` for deletions, for values of more than 64 KiB, and for the changes that
    /// [`Vde::watch_after`](crate::Vde::watch_after) itself returns.
    pub logged: Option<LoggedPut>,
}

/// A put as it lies in the log. [`Records`](crate::Records) reads it.
///
/// # Examples
///
/// See [`ReadView::later_records`](crate::ReadView::later_records).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedPut {
    pub(crate) version: u64,
    pub(crate) location: Location,
    is_copied: bool,
    created: u64,
}

impl LoggedPut {
    pub(crate) fn of(version: u64, location: Location, stored: &Stored) -> Option<Self> {
        let facts = stored.facts.as_ref().filter(|_| !matches!(stored.payload, Payload::Blob(_)))?;
        let created = stored.origin.map_or(facts.modified, |origin| origin.created);
        Some(Self { version, location, is_copied: stored.origin.is_some(), created })
    }

    /// When the value was created. If the key had a value before, and if this one is not [copied](Self::is_copied), that
    /// was when the value before was created.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let (_, mut changes) = store.watch()?;
    /// store.put("k", "v")?;
    /// let logged = changes.next().unwrap()?.logged.unwrap();
    /// assert_eq!(logged.created(), store.metadata("k")?.unwrap().created);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn created(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.created)
    }

    /// Whether the value has its version and creation time from another store: see
    /// [`CopyBatch`](crate::CopyBatch).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let (_, mut changes) = store.watch()?;
    /// store.put("k", "v")?;
    /// assert!(!changes.next().unwrap()?.logged.unwrap().is_copied());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn is_copied(&self) -> bool {
        self.is_copied
    }
}

/// The recent changes, and the watchers that wait for later ones.
pub(crate) struct Watchers {
    /// The number of watchers. It grows under the log's mutex, so that a new watcher misses nothing that is logged
    /// later.
    count: AtomicUsize,
    state: Mutex<State>,
    /// Notified when changes become durable, and when no more will come.
    news: Condvar,
    /// How many bytes of changes are kept.
    limit: usize,
    planted: Planted,
}

#[derive(Default)]
struct State {
    changes: Noted,
    /// How many changes came before those that are kept.
    dropped: u64,
    /// Changes up to this version are durable.
    durable: u64,
    end: Option<End>,
    wakers: Vec<(u64, Waker)>,
    next_id: u64,
}

/// Why no more changes will come.
enum End {
    Closed,
    Failed(Arc<io::Error>),
}

/// How many changes a watch takes over at a time.
const TAKEN: usize = 64;

impl Watchers {
    pub(crate) fn new(limit: usize, planted: Planted) -> Self {
        Self { count: AtomicUsize::new(0), state: Mutex::default(), news: Condvar::new(), limit, planted }
    }

    /// Whether changes are to be [noted](Self::note). The caller holds the log's mutex.
    pub(crate) fn is_watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Changes were logged. The caller holds the log's mutex.
    pub(crate) fn note<'a>(&self, changes: impl Iterator<Item = New<'a>>) {
        let mut state = self.state.lock();
        for change in changes {
            state.changes.push(&change);
        }
        while state.changes.weight() > self.limit && state.changes.pop() {
            state.dropped += 1;
        }
    }

    /// Everything up to `seq` is durable.
    pub(crate) fn advance(&self, seq: u64) {
        if self.is_watched() {
            self.change(|state| state.durable = state.durable.max(seq));
        }
    }

    /// The store has failed; nothing more becomes durable.
    pub(crate) fn fail(&self, cause: &Arc<io::Error>) {
        self.change(|state| {
            state.end.get_or_insert_with(|| End::Failed(cause.clone()));
        });
    }

    /// The store was closed.
    pub(crate) fn close(&self) {
        self.change(|state| {
            state.end.get_or_insert(End::Closed);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.news.notify_all();
        wake(wakers.into_iter().map(|(_, waker)| waker));
    }

    /// Adds a watcher of the changes from here on. The caller holds the log's mutex.
    pub(crate) fn begin(self: &Arc<Self>) -> Watch {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.next_id += 1;
        Watch {
            watchers: self.clone(),
            id: state.next_id,
            next: state.dropped + state.changes.len() as u64,
            taken: VecDeque::new(),
            has_ended: false,
            turns: Turns::default(),
        }
    }
}

/// Every change that becomes durable after the view that came with it, in the order in which the changes were made.
/// It is a blocking iterator and a [`Stream`](futures_core::Stream).
///
/// It yields [`Error::FellBehind`], and ends, if the changes that it has not yielded exceed
/// [`VdeOptions::watch_bytes`](crate::VdeOptions::watch_bytes): to continue, start a new
/// [`Vde::watch`](crate::Vde::watch). It yields [`Error::Poisoned`], and ends, once the store has failed. It ends
/// when the store is closed, and does not keep the store from closing.
///
/// A change that it has yielded survives a crash. So a buffered change is yielded only after the next sync. A change
/// does not contain the value: read it from the store, which may have a newer value, or from the log, by
/// [`Records`](crate::Records).
///
/// # Examples
///
/// ```
/// use std::collections::BTreeSet;
/// use vde_store::{ChangeKind, Vde};
///
/// // A set that follows the store's keys.
/// let store = Vde::in_memory()?;
/// store.put("a", "1")?;
/// let (view, changes) = store.watch()?;
/// let mut keys: BTreeSet<Box<[u8]>> = view.list("").map(|entry| Ok(entry?.into_key())).collect::<vde_store::Result<_>>()?;
/// drop(view);
/// store.put("b", "2")?;
/// store.delete("a")?;
/// store.close()?;
/// for change in changes {
///     let change = change?;
///     match change.kind {
///         ChangeKind::Put => drop(keys.insert((*change.key).into())),
///         _ => drop(keys.remove(&*change.key)),
///     }
/// }
/// assert!(keys.iter().eq([&Box::from(*b"b")]));
/// # Ok::<(), vde_store::Error>(())
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Watch {
    watchers: Arc<Watchers>,
    id: u64,
    /// The number of the next change to take over.
    next: u64,
    /// The changes that were taken over and not yet yielded.
    taken: VecDeque<Change>,
    has_ended: bool,
    turns: Turns,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}

/// A stream lets other tasks run after this many changes.
const CHANGES_IN_A_TURN: u64 = 1024;

impl Watch {
    /// Skips the changes up to `version`.
    pub(crate) fn skip_to(&mut self, version: u64) {
        let state = self.watchers.state.lock();
        let known = state.changes.count_until(version);
        self.next = self.next.max(state.dropped + known as u64);
    }

    /// All changes up to `version` that were not yielded, or [`Error::FellBehind`].
    pub(crate) fn take_until(&mut self, version: u64) -> Result<Vec<Change>> {
        let watchers = self.watchers.clone();
        // What was taken over was durable already, so it is not behind `version`.
        let mut changes: Vec<_> = self.taken.drain(..).collect();
        loop {
            // Writers need the lock, so it is held for a few changes at a time.
            let before = changes.len();
            changes.reserve(TAKEN);
            let state = watchers.state.lock();
            let Some(from) = self.next.checked_sub(state.dropped).filter(|_| !self.has_ended) else {
                self.has_ended = true;
                return Err(Error::FellBehind);
            };
            changes.extend(state.changes.from(from as usize, version).take(TAKEN));
            drop(state);
            let new = changes.len() - before;
            self.next += new as u64;
            if new < TAKEN {
                return Ok(changes);
            }
        }
    }

    /// The next change. Pending while no later change is durable.
    fn step(&mut self, state: &State) -> Poll<Option<Result<Change>>> {
        if let Some(change) = self.taken.pop_front() {
            return Poll::Ready(Some(Ok(change)));
        }
        if self.has_ended {
            return Poll::Ready(None);
        }
        let Some(from) = self.next.checked_sub(state.dropped) else {
            self.has_ended = true;
            return Poll::Ready(Some(Err(Error::FellBehind)));
        };
        let told = if self.watchers.planted.has(Bug::TellEarly) { u64::MAX } else { state.durable };
        self.taken.extend(state.changes.from(from as usize, told).take(TAKEN));
        self.next += self.taken.len() as u64;
        if let Some(change) = self.taken.pop_front() {
            return Poll::Ready(Some(Ok(change)));
        }
        let Some(end) = &state.end else { return Poll::Pending };
        self.has_ended = true;
        Poll::Ready(match end {
            End::Closed => None,
            End::Failed(cause) => Some(Err(Error::Poisoned { cause: cause.clone() })),
        })
    }

    /// The next change, if one is durable already. `None` if there is none yet, or if the watch has ended.
    ///
    /// # Errors
    ///
    /// [`Error::FellBehind`], [`Error::Poisoned`]: see [`Watch`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let (_, mut changes) = store.watch()?;
    /// assert_eq!(changes.try_next()?, None);
    /// store.put("k", "v")?;
    /// assert_eq!(*changes.try_next()?.unwrap().key, *b"k");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn try_next(&mut self) -> Result<Option<Change>> {
        let watchers = self.watchers.clone();
        let state = watchers.state.lock();
        match self.step(&state) {
            Poll::Ready(next) => next.transpose(),
            Poll::Pending => Ok(None),
        }
    }
}

impl Iterator for Watch {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Self::Item> {
        let watchers = self.watchers.clone();
        let mut state = watchers.state.lock();
        loop {
            if let Poll::Ready(next) = self.step(&state) {
                return next;
            }
            watchers.news.wait(&mut state);
        }
    }
}

impl std::iter::FusedIterator for Watch {}

impl futures_core::Stream for Watch {
    type Item = Result<Change>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.turns.left(CHANGES_IN_A_TURN, cx));
        let watchers = self.watchers.clone();
        let mut state = watchers.state.lock();
        let next = self.step(&state);
        if next.is_ready() {
            self.turns.spend(1);
            return next;
        }
        let id = self.id;
        let old = state.wakers.iter().position(|(waiting, _)| *waiting == id);
        let old = old.map(|at| state.wakers.swap_remove(at));
        state.wakers.push((id, cx.waker().clone()));
        drop(state);
        // Dropping a waker runs code of the caller, so not under the lock.
        drop(old);
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.watchers.state.lock();
        let waiting = state.wakers.iter().position(|(id, _)| *id == self.id);
        let waker = waiting.map(|at| state.wakers.swap_remove(at));
        if self.watchers.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.dropped += state.changes.len() as u64;
            state.changes = Noted::default();
        }
        drop(state);
        drop(waker);
    }
}

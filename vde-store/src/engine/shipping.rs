//! How far the store was copied elsewhere, for writes that wait for it. The program that copies it reports that.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::container::error::{Error, Result};

type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Called with the version for which a write waits.
type Ask = Arc<dyn Fn(u64) + Send + Sync>;

/// How far what is shipped is behind the store.
///
/// # Examples
///
/// See [`Shipping::behind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShipLag {
    /// Roughly the bytes that are still to be shipped.
    pub bytes: u64,
    /// The age of the oldest change that is not shipped. Zero if there is none.
    pub age: Duration,
}

#[derive(Default)]
struct State {
    /// The number of the newest [`Shipping`]. Earlier ones have no effect any more.
    newest: u64,
    shipped: u64,
    /// The bytes that are still to be shipped, and when the oldest change of them was noticed.
    behind: (u64, Option<Instant>),
    /// `None` if nobody ships.
    ask: Option<Ask>,
    cause: Option<Cause>,
    /// The waiting tasks.
    tasks: BTreeMap<u64, Waker>,
    next_task: u64,
}

impl State {
    /// Whether a write of this version may be acknowledged. `None`: not yet.
    fn outcome(&self, version: u64) -> Option<Result<()>> {
        match self.ask {
            _ if self.shipped >= version => Some(Ok(())),
            None => Some(Err(Error::NotShipped { cause: self.cause.clone() })),
            Some(_) => None,
        }
    }
}

/// How far a store is shipped.
#[derive(Default)]
pub(crate) struct Shipped {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shipped {
    /// Changes the state, if the `number`-th [`Shipping`] is still the newest.
    fn change(&self, number: u64, change: impl FnOnce(&mut State)) {
        let tasks = {
            let mut state = self.state.lock();
            if state.newest != number {
                return;
            }
            change(&mut state);
            self.changed.notify_all();
            std::mem::take(&mut state.tasks)
        };
        tasks.into_values().for_each(Waker::wake);
    }

    /// `None` if nobody ships.
    pub(crate) fn lag(&self) -> Option<ShipLag> {
        let state = self.state.lock();
        let (bytes, since) = state.behind;
        state
            .ask
            .as_ref()
            .map(|_| ShipLag { bytes, age: since.map_or(Duration::ZERO, |since| since.elapsed()) })
    }

    fn ask(&self, version: u64) {
        let ask = self.state.lock().ask.clone();
        if let Some(ask) = ask {
            ask(version);
        }
    }

    /// Waits until every write up to `version` is shipped.
    pub(crate) fn wait(&self, version: u64) -> Result<()> {
        self.ask(version);
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = state.outcome(version) {
                return outcome;
            }
            self.changed.wait(&mut state);
        }
    }

    /// As [`wait`](Self::wait).
    pub(crate) async fn wait_async(&self, version: u64) -> Result<()> {
        self.ask(version);
        let mut waiting = Waiting { shipped: self, task: None };
        poll_fn(|context| {
            let mut state = self.state.lock();
            if let Some(outcome) = state.outcome(version) {
                return Poll::Ready(outcome);
            }
            let task = *waiting.task.get_or_insert_with(|| {
                state.next_task += 1;
                state.next_task
            });
            state.tasks.insert(task, context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// A waiting task. Its waker goes when it does.
struct Waiting<'a> {
    shipped: &'a Shipped,
    task: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let task = self.task.and_then(|task| self.shipped.state.lock().tasks.remove(&task));
        // A waker's own code runs when it is dropped, so the lock is released before.
        drop(task);
    }
}

/// By this, a program that copies the store elsewhere reports how far it is. Writes with
/// [`Durability::Shipped`](crate::Durability::Shipped) wait for it. Dropping it ends the reports.
///
/// # Examples
///
/// See [`Vde::shipping`](crate::Vde::shipping).
#[must_use = "dropping it ends the reports"]
pub struct Shipping {
    shipped: Arc<Shipped>,
    number: u64,
}

impl fmt::Debug for Shipping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipping").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Shipping {
    pub(crate) fn new(shipped: &Arc<Shipped>, ask: Ask) -> Self {
        let number = {
            let mut state = shipped.state.lock();
            state.newest += 1;
            state.newest
        };
        // Who waits for the one before, waits for this one.
        shipped.change(number, |state| {
            (state.shipped, state.behind, state.ask, state.cause) = (0, (0, None), Some(ask), None);
        });
        Self { shipped: shipped.clone(), number }
    }

    /// Every write up to this version is in the other place, too.
    ///
    /// # Examples
    ///
    /// See [`Vde::shipping`](crate::Vde::shipping).
    pub fn advance(&self, version: u64) {
        self.shipped.change(self.number, |state| state.shipped = state.shipped.max(version));
    }

    /// Reports how many bytes are still to be shipped, and when the oldest change of them was noticed, for
    /// [`Stats::ship_lag`](crate::Stats::ship_lag).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// assert!(store.stats()?.ship_lag.is_none(), "nobody ships");
    /// let shipping = store.shipping(|_| {});
    /// shipping.behind(100, Some(std::time::Instant::now()));
    /// assert_eq!(store.stats()?.ship_lag.map(|lag| lag.bytes), Some(100));
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn behind(&self, bytes: u64, since: Option<Instant>) {
        let mut state = self.shipped.state.lock();
        if state.newest == self.number {
            state.behind = (bytes, since);
        }
    }

    /// Nothing more will be shipped. Writes that wait, and later ones, fail with
    /// [`Error::NotShipped`] and this cause.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Durability, Error, Vde};
    ///
    /// let store = Vde::in_memory()?;
    /// let shipping = store.shipping(|_| {});
    /// shipping.end(std::io::Error::other("another program ships the store"));
    /// let refused = store.with_durability(Durability::Shipped).put("k", "v");
    /// assert!(matches!(refused, Err(Error::NotShipped { cause: Some(_) })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn end(self, cause: impl std::error::Error + Send + Sync + 'static) {
        self.shipped.change(self.number, |state| state.cause = Some(Arc::new(cause)));
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        self.shipped.change(self.number, |state| state.ask = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Vde};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::Context;
    use std::{future::Future, io, pin::pin, thread};

    #[test]
    fn a_write_waits_until_it_is_shipped_and_the_shipper_is_asked() {
        let store = Vde::in_memory().unwrap();
        let waiting = store.with_durability(Durability::Shipped);
        assert!(matches!(waiting.put("k", "0"), Err(Error::NotShipped { cause: None })), "nobody ships");
        assert!(store.contains("k").unwrap(), "it is durable all the same");
        let asked = Arc::new(AtomicU64::new(0));
        let ask = asked.clone();
        let shipping = store.shipping(move |version| _ = ask.fetch_max(version, Ordering::SeqCst));
        thread::scope(|scope| {
            let put = scope.spawn(|| waiting.put("k", "1"));
            let flush = scope.spawn(|| waiting.flush());
            while asked.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            shipping.advance(1);
            assert!(!put.is_finished());
            shipping.advance(2);
            assert_eq!(put.join().unwrap().unwrap(), 2);
            flush.join().unwrap().unwrap();
        });
        drop(shipping);
        assert!(matches!(waiting.put("k", "2"), Err(Error::NotShipped { cause: None })));
    }

    #[test]
    fn tasks_wait_and_leave_nothing_behind() {
        let store = Vde::in_memory().unwrap();
        let shipping = store.shipping(|_| {});
        let shipped = &store.shared().shipped;
        let mut context = Context::from_waker(Waker::noop());
        let mut kept = pin!(shipped.wait_async(3));
        assert!(kept.as_mut().poll(&mut context).is_pending());
        {
            let mut dropped = pin!(shipped.wait_async(3));
            assert!(dropped.as_mut().poll(&mut context).is_pending());
            assert_eq!(shipped.state.lock().tasks.len(), 2);
        }
        assert_eq!(shipped.state.lock().tasks.len(), 1);
        shipping.advance(3);
        assert!(matches!(kept.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
        assert!(shipped.state.lock().tasks.is_empty());
    }

    #[test]
    fn the_newest_shipper_counts_alone() {
        let store = Vde::in_memory().unwrap();
        let first = store.shipping(|_| {});
        first.advance(9);
        let second = store.shipping(|_| {});
        let shipped = &store.shared().shipped;
        let is_shipped = |version| shipped.state.lock().outcome(version);
        assert!(is_shipped(9).is_none(), "the second one has shipped nothing yet");
        first.advance(10);
        second.behind(7, None);
        first.behind(9, None);
        assert_eq!(shipped.lag(), Some(ShipLag { bytes: 7, age: Duration::ZERO }));
        first.end(io::Error::other("fenced"));
        assert!(is_shipped(9).is_none());
        second.advance(9);
        assert!(matches!(is_shipped(9), Some(Ok(()))));
        second.end(io::Error::other("fenced"));
        assert!(matches!(is_shipped(9), Some(Ok(()))), "it was shipped before");
        assert!(matches!(is_shipped(10), Some(Err(Error::NotShipped { cause: Some(_) }))));
    }
}

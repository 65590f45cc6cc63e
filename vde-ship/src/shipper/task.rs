//! The task of a shipper.
//!
//! | state | it holds | on changes | on a failed upload | it becomes |
//! |---|---|---|---|---|
//! | following | a watch, the changed keys | a part every interval | the keys of the part are kept for the next one | lost if the keys take too much memory, or the watch fell behind |
//! | lost | nothing | nothing | tries again, less and less often | following, with a new history that begins with a base |
//! | ended | nothing | nothing | | |
//!
//! A base is uploaded beside the parts. Only it holds a view of the store for long; it gives up after some failures,
//! so that the store can reuse its space, and begins again with a newer view.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use vde_store::{ReadView, Shipping, Vde, Watch};

use super::history::{Begun, Put, begin, put_base, put_entry, random};
use super::options::{Bug, ShipOptions};
use super::retention::{Based, pause, remove_old};
use super::{State, Wishes};
use crate::bucket::Bucket;
use crate::content::{ChunkWriter, Pace, Patience, finished, upload};
use crate::error::{Error, Result};
use crate::format::{Kind, now};
use crate::log::End;
use crate::pending::Pending;

/// The longest pause between two looks at what has changed. The store keeps a bounded number of changes for us, and
/// writers can run between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// How often a chunk of a part is tried, before the part is made anew from a newer view.
const PART_TRIES: u32 = 4;

pub(super) struct Task {
    store: Vde,
    bucket: Bucket,
    options: ShipOptions,
    wishes: Arc<Wishes>,
    told: watch::Sender<State>,
    /// Tells the store. `None` once it was told the end.
    shipping: Option<Shipping>,
    writer: [u8; 16],
    end: End,
    /// `None` while it is lost.
    watch: Option<Watch>,
    pending: Pending,
    /// Whether a part is being uploaded, whose changes are not in `pending`.
    sending: bool,
    attempts: u64,
    failures: u32,
    /// When the last part began, or the last attempt.
    last: Instant,
    /// The newest base of the history, and the bytes of the parts after it.
    base: Option<Based>,
    part_bytes: u64,
    basing: Option<Beside<Based>>,
    base_failures: u32,
    base_failed: Instant,
    removing: Option<Beside<()>>,
}

/// Work beside the parts. It ends if it is dropped.
struct Beside<T>(JoinHandle<Result<T>>);

impl<T> Beside<T> {
    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    async fn join(mut self) -> Result<T> {
        finished((&mut self.0).await)
    }
}

impl<T> Drop for Beside<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    pub(super) fn new(
        store: Vde,
        bucket: Bucket,
        options: ShipOptions,
        wishes: Arc<Wishes>,
        told: watch::Sender<State>,
        shipping: Shipping,
    ) -> Self {
        Self {
            store,
            bucket,
            options,
            wishes,
            told,
            shipping: Some(shipping),
            writer: random(),
            end: End::default(),
            watch: None,
            pending: Pending::default(),
            sending: false,
            attempts: 0,
            failures: 0,
            last: Instant::now(),
            base: None,
            part_bytes: 0,
            basing: None,
            base_failures: 0,
            base_failed: Instant::now(),
            removing: None,
        }
    }

    /// Keeps other shippers out. With `anew`, changes were forgotten.
    pub(super) async fn begin(&mut self, anew: bool) -> Result<()> {
        let begun = begin(&self.store, &self.bucket, &self.options, self.writer, anew).await?;
        let Begun { end, watch, step, base } = begun;
        (self.end, self.watch) = (end, Some(watch));
        self.base = base.as_ref().map(Based::of);
        // It is unknown how many bytes the parts after the base have.
        self.part_bytes = 1;
        self.pending = Pending::default();
        self.pending.add(step.changes);
        self.pending.hold(&step.view);
        if self.base.is_none() && self.pending.is_empty() {
            self.start_base(step.view);
        }
        self.tell(step.version);
        Ok(())
    }

    /// Ships until the shipper is closed, or until it cannot continue.
    pub(super) async fn run(mut self) -> Result<()> {
        let ended = self.ship().await;
        let error = ended.as_ref().err().cloned().unwrap_or(Error::Closed);
        if let Some(shipping) = self.shipping.take() {
            shipping.end(error.clone());
        }
        self.told.send_modify(|state| state.ended = Some(error));
        ended
    }

    async fn ship(&mut self) -> Result<()> {
        let wishes = self.wishes.clone();
        loop {
            tokio::select! {
                () = sleep(LOOK.min(self.options.interval)) => {}
                () = wishes.news.notified() => {}
            }
            let closing = wishes.closing.load(Ordering::SeqCst);
            let view = self.look()?;
            self.check_work().await?;
            let wanted = wishes.is_wanted(self.end.version);
            let since_last = self.last.elapsed();
            let rested = self.failures == 0 || since_last >= pause(self.failures, self.options.interval);
            match view {
                None if rested => {
                    self.last = Instant::now();
                    let begun = self.begin(true).await;
                    self.note(begun)?;
                }
                Some((view, version))
                    if !self.pending.is_empty()
                        && rested
                        && (wanted || since_last >= self.options.interval) =>
                {
                    self.last = Instant::now();
                    let shipped = self.part(view, version).await;
                    self.note(shipped)?;
                }
                Some((view, _)) if self.pending.is_empty() && self.is_base_due() => self.start_base(view),
                _ => {}
            }
            if closing && self.watch.is_some() && self.pending.is_empty() && self.base.is_some() {
                return Ok(());
            }
        }
    }

    /// Takes over what has changed. Returns the store as it is after that; `None` if changes were forgotten.
    fn look(&mut self) -> Result<Option<(ReadView, u64)>> {
        let Some(watch) = &mut self.watch else { return Ok(None) };
        match self.store.catch_up(watch) {
            Ok(step) => {
                self.pending.add(step.changes);
                if self.pending.is_empty() || !self.pending.is_holding() {
                    self.pending.hold(&step.view);
                }
                if self.pending.memory <= self.options.memory {
                    self.tell(step.version);
                    return Ok(Some((step.view, step.version)));
                }
            }
            Err(vde_store::Error::FellBehind) => {}
            Err(error) => return Err(error.into()),
        }
        self.watch = None;
        self.pending = Pending::default();
        (self.base, self.basing) = (None, None);
        self.tell(0);
        Ok(None)
    }

    /// Uploads what leads to `view`, and puts it into the log.
    async fn part(&mut self, view: ReadView, version: u64) -> Result<()> {
        self.attempts += 1;
        if self.options.has(Bug::TellEarly) && self.base.is_some() {
            self.told.send_modify(|state| state.shipped = version);
        }
        let mut sending = std::mem::take(&mut self.pending);
        if self.options.has(Bug::LeaveOut) && self.attempts.is_multiple_of(3) {
            sending.leave_out();
        }
        if self.options.has(Bug::ContinueAlways) {
            sending.continue_always();
        }
        self.pending.hold(&view);
        let (sending, view) = (Arc::new(sending), Arc::new(view));
        let mut entry = self.end.entry(Kind::Part, self.writer, self.store.identity(), version);
        entry.attempt = self.attempts;
        let (bucket, options) = (self.bucket.clone(), self.options.clone());
        let (sent, seen) = (sending.clone(), view.clone());
        let pace = Pace::new(options.interval / 2, self.wishes.clone(), self.end.version);
        let uploading = async move {
            let patience = Patience { tries: PART_TRIES, pause: options.interval };
            let write = move |writer: &mut ChunkWriter| writer.part(&seen, &sent, pace);
            entry.fill(upload(&bucket, &entry, options.chunk_bytes, patience, write).await?);
            Ok((put_entry(&bucket, &options, &entry).await?, entry))
        };
        let mut uploading = pin!(uploading);
        self.sending = true;
        let done: Result<_> = loop {
            tokio::select! {
                done = &mut uploading => break done,
                // The store keeps a bounded number of changes for the watch.
                () = sleep(LOOK) => self.look().map(drop)?,
            }
        };
        self.sending = false;
        let is_all = matches!(done, Ok((Put::Done, _)));
        if !is_all && self.watch.is_some() && !self.options.has(Bug::ForgetUnsent) {
            self.pending.add_unsent(&sending);
        }
        let (entry, sum) = match done? {
            (Put::Done, entry) => {
                let sum = entry.encode().1;
                (entry, sum)
            }
            (Put::Earlier(entry, sum), _) => (*entry, sum),
            (Put::Other, entry) => return Err(Error::Fenced { number: entry.number }),
        };
        self.end = End::after(&entry, sum);
        self.part_bytes += entry.len();
        self.told.send_modify(|state| {
            state.parts += 1;
            state.since = None;
        });
        if is_all
            && self.watch.is_some()
            && self.is_base_due()
            && let Some(view) = Arc::into_inner(view)
        {
            self.start_base(view);
        }
        self.tell(version);
        Ok(())
    }

    fn is_base_due(&self) -> bool {
        let rested = self.base_failures == 0
            || self.base_failed.elapsed() >= pause(self.base_failures, self.options.interval);
        let is_old = |base: &Based| base.is_old(self.part_bytes, &self.options);
        self.basing.is_none() && rested && self.base.as_ref().is_none_or(is_old)
    }

    /// Begins to upload a base of `view`, which is the store as it is at the end of the log.
    fn start_base(&mut self, view: ReadView) {
        self.attempts += 1;
        let manifest = self.end.manifest(self.writer, self.store.identity(), self.attempts);
        let (bucket, options) = (self.bucket.clone(), self.options.clone());
        self.basing = Some(Beside(tokio::spawn(async move {
            put_base(&bucket, &options, manifest, view).await.map(|manifest| Based::of(&manifest))
        })));
    }

    /// Takes over the results of what runs beside the parts.
    async fn check_work(&mut self) -> Result<()> {
        if let Some(removing) = self.removing.take_if(|removing| removing.is_finished()) {
            // What could not be removed is removed after the next base.
            let removed = removing.join().await;
            self.failed(removed.err());
        }
        let Some(basing) = self.basing.take_if(|basing| basing.is_finished()) else { return Ok(()) };
        match basing.join().await {
            Ok(base) => {
                (self.base, self.part_bytes, self.base_failures) = (Some(base), 0, 0);
                self.told.send_modify(|state| state.bases += 1);
                self.failed(None);
                self.tell(self.end.version);
                if self.removing.is_none() {
                    let (bucket, options) = (self.bucket.clone(), self.options.clone());
                    let removing = async move { remove_old(&bucket, &options, now()).await };
                    self.removing = Some(Beside(tokio::spawn(removing)));
                }
                Ok(())
            }
            Err(error) if error.is_passing() => {
                self.base_failures += 1;
                self.base_failed = Instant::now();
                self.failed(Some(error));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Notes whether an attempt has succeeded. Returns the error if it does not help to try again.
    fn note(&mut self, attempt: Result<()>) -> Result<()> {
        match attempt {
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => {
                self.failures += 1;
                self.failed(Some(error));
            }
            Ok(()) => {
                self.failures = 0;
                self.failed(None);
            }
        }
        Ok(())
    }

    fn failed(&self, error: Option<Error>) {
        self.told.send_modify(|state| state.failed = error);
    }

    /// Tells the handles how far it is. `seen`: what is pending is all up to this version that is not shipped.
    fn tell(&self, seen: u64) {
        let is_current = !self.sending && self.pending.is_empty() && self.watch.is_some();
        self.told.send_modify(|state| {
            state.seen = state.seen.max(seen);
            if self.base.is_some() {
                // What comes after the end of the log has changed nothing, if nothing is pending.
                let shipped = if is_current { seen.max(self.end.version) } else { self.end.version };
                state.shipped = state.shipped.max(shipped);
            }
            state.bytes = self.pending.bytes;
            let is_behind = !is_current || self.base.is_none();
            state.since = if is_behind { state.since.or_else(|| Some(Instant::now())) } else { None };
        });
        if let Some(shipping) = &self.shipping {
            let state = self.told.borrow();
            shipping.behind(state.bytes, state.since.map(Instant::into_std));
            shipping.advance(state.shipped);
        }
    }
}

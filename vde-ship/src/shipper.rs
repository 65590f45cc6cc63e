//! [`Shipper`], the handle of a task that ships a store.

mod checkpoints;
mod history;
mod options;
mod retention;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vde_store::Vde;

use crate::bucket::Bucket;
use crate::content::joined;
use crate::error::{Error, Result};
use task::Task;

pub use checkpoints::CheckpointShipper;
pub use history::ship_once;
#[cfg_attr(not(feature = "testing"), allow(unused_imports, unreachable_pub))]
pub use options::Bug;
pub use options::ShipOptions;

/// How far what is shipped is behind the store. If the disk dies now, that much is lost.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// # let objects = Arc::new(object_store::memory::InMemory::new());
/// let store = vde_store::Vde::in_memory()?;
/// let shipper = vde_ship::Shipper::new(&store, vde_ship::Bucket::new(objects, "")).await?;
/// shipper.wait(store.put("k", "v")?).await?;
/// assert_eq!(shipper.lag().bytes, 0);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// The number of durable writes that are not shipped.
    pub writes: u64,
    /// Roughly the bytes that are still to be shipped. A key that changed several times counts once. While a base is
    /// missing, it counts only the changes.
    pub bytes: u64,
    /// How long ago the oldest change was noticed that is not shipped. Zero if there is none.
    pub age: Duration,
}

/// What the task tells its handles.
#[derive(Clone, Debug, Default)]
struct State {
    shipped: u64,
    /// What the task has seen of the store.
    seen: u64,
    bytes: u64,
    since: Option<Instant>,
    failed: Option<Error>,
    ended: Option<Error>,
    parts: u64,
    bases: u64,
}

/// What the handles and the task share.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// A version that someone waits for.
    wanted: AtomicU64,
    closing: AtomicBool,
    news: Notify,
}

impl Wishes {
    /// Whether someone waits for a version after this one, or for the end.
    pub(crate) fn is_wanted(&self, shipped: u64) -> bool {
        self.closing.load(Ordering::SeqCst) || self.wanted.load(Ordering::SeqCst) > shipped
    }

    fn want(&self, version: u64) {
        self.wanted.fetch_max(version, Ordering::SeqCst);
        self.news.notify_one();
    }
}

/// Ships a store to an object store: every change, shortly after it has become durable. The work is done by a task of
/// the tokio runtime in which the shipper was started. Dropping the shipper ends the task, and what is not shipped yet
/// waits for the next shipper; [`close`](Self::close) ships it first.
///
/// Writes through a handle with [`Durability::Shipped`](vde_store::Durability::Shipped) wait for it.
///
/// The shipper holds a handle of the store, so end it before you close the store.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use vde_ship::{Bucket, Point, Shipper};
///
/// let dir = tempfile::tempdir()?;
/// let bucket = Bucket::open(&format!("file://{}/shipped", dir.path().display()))?;
/// let store = vde_store::Vde::open(dir.path().join("store.vde"))?;
/// let shipper = Shipper::new(&store, bucket.clone()).await?;
/// let version = store.put("k", "v")?;
/// shipper.wait(version).await?; // now it survives the loss of the disk
/// shipper.close().await?;
///
/// let restored = vde_ship::restore(&bucket, dir.path().join("restored.vde"), Point::Newest).await?;
/// assert_eq!(restored.version, version);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping the shipper ends it"]
pub struct Shipper {
    store: Vde,
    wishes: Arc<Wishes>,
    state: watch::Receiver<State>,
    task: Option<JoinHandle<Result<()>>>,
}

impl Shipper {
    /// Starts to ship `store` into `bucket`, with default options. See [`ShipOptions::start`].
    ///
    /// # Errors
    ///
    /// As [`ShipOptions::start`].
    ///
    /// # Examples
    ///
    /// See [`Shipper`].
    pub async fn new(store: &Vde, bucket: Bucket) -> Result<Self> {
        ShipOptions::new().start(store, bucket).await
    }

    pub(crate) async fn start(store: &Vde, bucket: Bucket, options: ShipOptions) -> Result<Self> {
        let wishes: Arc<Wishes> = Arc::default();
        let (told, state) = watch::channel(State::default());
        let asked = wishes.clone();
        let shipping = store.shipping(move |version| asked.want(version));
        let mut task = Task::new(store.clone(), bucket, options, wishes.clone(), told, shipping);
        task.begin(false).await?;
        let task = tokio::spawn(task.run());
        Ok(Self { store: store.clone(), wishes, state, task: Some(task) })
    }

    /// Every write up to this version is shipped: it is restored even if the disk is lost now. 0 until the first base
    /// is complete.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    /// # let store = vde_store::Vde::in_memory()?;
    /// let shipper = vde_ship::Shipper::new(&store, vde_ship::Bucket::new(objects, "")).await?;
    /// let version = store.put("k", "v")?;
    /// shipper.wait(version).await?;
    /// assert!(shipper.shipped() >= version);
    /// # Ok(()) }
    /// ```
    pub fn shipped(&self) -> u64 {
        self.state.borrow().shipped
    }

    /// Waits until every write up to `version` is shipped, and asks for that to happen at once. With it, a write is
    /// acknowledged only after it is in two places. Calls at the same time share one upload. It waits through outages
    /// of the object store: put a time limit around it.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if another shipper has taken over: then it is unknown whether the write is shipped;
    /// [`Error::Closed`]; the errors that end the shipper.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the shipper.
    ///
    /// # Examples
    ///
    /// See [`Shipper`].
    pub async fn wait(&self, version: u64) -> Result<()> {
        self.wishes.want(version);
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| state.shipped >= version || state.ended.is_some()).await;
        let state = reached.map_err(|_| Error::Closed)?;
        match &state.ended {
            Some(error) if state.shipped < version => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// How far what is shipped is behind the store.
    ///
    /// # Examples
    ///
    /// See [`Lag`].
    pub fn lag(&self) -> Lag {
        let state = self.state.borrow();
        // Writes that only moved values within the file need not be shipped.
        let unseen = self.store.durable().saturating_sub(state.seen);
        let writes =
            unseen + if state.since.is_some() { state.seen.saturating_sub(state.shipped) } else { 0 };
        let age = state.since.map_or(Duration::ZERO, |since| since.elapsed());
        Lag { writes, bytes: state.bytes, age }
    }

    /// Why the shipper ended, or why its last attempt to upload failed. `None` if all is well.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    /// # let store = vde_store::Vde::in_memory()?;
    /// let shipper = vde_ship::Shipper::new(&store, vde_ship::Bucket::new(objects, "")).await?;
    /// assert!(shipper.error().is_none());
    /// # Ok(()) }
    /// ```
    pub fn error(&self) -> Option<Error> {
        let state = self.state.borrow();
        state.ended.clone().or_else(|| state.failed.clone())
    }

    /// Whether the shipper has ended, because of [`error`](Self::error): nothing more is shipped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    /// # let store = vde_store::Vde::in_memory()?;
    /// let shipper = vde_ship::Shipper::new(&store, vde_ship::Bucket::new(objects, "")).await?;
    /// assert!(!shipper.is_ended());
    /// # Ok(()) }
    /// ```
    pub fn is_ended(&self) -> bool {
        self.state.borrow().ended.is_some()
    }

    /// How many parts and how many bases were uploaded.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let objects = std::sync::Arc::new(object_store::memory::InMemory::new());
    /// # let store = vde_store::Vde::in_memory()?;
    /// let shipper = vde_ship::Shipper::new(&store, vde_ship::Bucket::new(objects, "")).await?;
    /// shipper.wait(store.put("k", "v")?).await?;
    /// assert_eq!(shipper.uploads(), (1, 1));
    /// # Ok(()) }
    /// ```
    pub fn uploads(&self) -> (u64, u64) {
        let state = self.state.borrow();
        (state.parts, state.bases)
    }

    /// Makes the store's buffered writes durable, ships everything, and ends the shipper. It waits through outages of
    /// the object store: put a time limit around it.
    ///
    /// # Errors
    ///
    /// The errors that end the shipper, such as [`Error::Fenced`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the shipper. What is not shipped yet waits for the next one.
    ///
    /// # Examples
    ///
    /// See [`Shipper`].
    pub async fn close(mut self) -> Result<()> {
        let store = self.store.clone();
        joined(tokio::task::spawn_blocking(move || Ok(store.flush()?))).await?;
        self.wishes.closing.store(true, Ordering::SeqCst);
        self.wishes.news.notify_one();
        let Some(task) = &mut self.task else { return Ok(()) };
        let ended = task.await.unwrap_or(Err(Error::Closed));
        self.task = None;
        ended
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

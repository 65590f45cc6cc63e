//! A replica: a store that applies each part after it was shipped.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use vde_store::{CopyBatch, Metadata, UserMetadata, Vde, VdeOptions};

use crate::bucket::Bucket;
use crate::content::{apply, fetch, joined};
use crate::error::{Error, Result};
use crate::format::{BASES, Entry, LOG, numbered, time_of};
use crate::log::{End, read};
use crate::pending::POSITION_KEY;
use crate::restore::{Point, restore_over};
use crate::shipper::Bug;

/// The first version of a follower's own writes is this far behind the versions that it copies, so that versions still
/// grow after it was promoted.
const SKIP: u64 = 1 << 50;
/// The number of polls without an entry after which the follower checks whether the entry was removed.
const POLLS: u64 = 60;

/// A store that follows a shipped one. It applies each part as one batch: readers see the shipped store as it was at
/// some point, and never a mixture of two.
///
/// Its store has one key of its own, `"\0vde-ship"`, with the position in the log. Do not write to the store.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use vde_ship::{Bucket, Follower, Shipper};
///
/// # let dir = tempfile::tempdir()?;
/// # let bucket = Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
/// let store = vde_store::Vde::in_memory()?;
/// let shipper = Shipper::new(&store, bucket.clone()).await?;
/// shipper.wait(store.put("k", "v")?).await?;
///
/// let mut follower = Follower::open(bucket, dir.path().join("replica.vde")).await?;
/// assert_eq!(follower.store().get("k")?.unwrap(), b"v");
/// shipper.wait(store.put("k", "w")?).await?;
/// follower.catch_up().await?;
/// assert_eq!(follower.store().get("k")?.unwrap(), b"w");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Follower {
    bucket: Bucket,
    path: PathBuf,
    store: Vde,
    end: End,
    idle: u64,
    current_at: Option<Instant>,
    bug: Option<Bug>,
}

fn encode(end: End) -> Vec<u8> {
    [end.next, end.previous, end.history, end.version, end.time]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect()
}

fn decode(bytes: &[u8]) -> Option<End> {
    let (fields, rest) = bytes.as_chunks::<8>();
    let [next, previous, history, version, time] = *fields else { return None };
    let fields = [next, previous, history, version, time].map(u64::from_le_bytes);
    let [next, previous, history, version, time] = fields;
    rest.is_empty().then_some(End { next, previous, history, version, time })
}

/// Adds the position to a batch.
fn note(batch: &mut CopyBatch, end: End) -> Result<()> {
    let time = time_of(end.time);
    let metadata = Metadata::copied(end.version, time, time, UserMetadata::new());
    batch.put(POSITION_KEY, &encode(end)[..], &metadata)?;
    Ok(())
}

async fn restored(bucket: &Bucket, path: &Path) -> Result<(Vde, End)> {
    restore_over(bucket, path, Point::Newest, SKIP, |store, end| {
        let mut batch = store.copy_batch();
        note(&mut batch, end)?;
        batch.commit()?;
        Ok(())
    })
    .await?;
    opened(path).await
}

async fn opened(path: &Path) -> Result<(Vde, End)> {
    let path = path.to_owned();
    joined(spawn_blocking(move || {
        let store = VdeOptions::new().create_if_missing(false).open(&path)?;
        let end = store.get(POSITION_KEY)?.as_deref().and_then(decode);
        let no_follower = || Error::file("follow with", &path, std::io::Error::other("it is no follower"));
        Ok((store, end.ok_or_else(no_follower)?))
    }))
    .await
}

impl Follower {
    /// Opens the follower at `path`, or restores it from the newest base if there is no such file. It is at some point
    /// that was shipped; [`catch_up`](Self::catch_up) moves it to the newest.
    ///
    /// # Errors
    ///
    /// As [`restore`](crate::restore()); [`Error::File`] if the file at `path` is no follower.
    ///
    /// # Examples
    ///
    /// See [`Follower`].
    pub async fn open(bucket: Bucket, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let (store, end) =
            if path.exists() { opened(&path).await? } else { restored(&bucket, &path).await? };
        Ok(Self { bucket, path, store, end, idle: 0, current_at: None, bug: None })
    }

    /// Follows with a bug, to see whether a test finds it.
    ///
    /// # Examples
    ///
    /// ```
    /// let plant = |follower: vde_ship::Follower| follower.plant(vde_ship::Bug::ForgetPosition);
    /// ```
    #[cfg(feature = "testing")]
    #[must_use = "it returns the follower with the bug"]
    pub fn plant(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }

    /// The follower's store, to read from. After [`catch_up`](Self::catch_up) has restored it anew, this is another
    /// store, and earlier handles stay where they were.
    ///
    /// # Examples
    ///
    /// See [`Follower`].
    pub fn store(&self) -> &Vde {
        &self.store
    }

    /// The store has exactly the shipped store's writes up to this version.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use vde_ship::{Bucket, Follower, Shipper};
    /// # let dir = tempfile::tempdir()?;
    /// # let bucket = Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
    /// # let store = vde_store::Vde::in_memory()?;
    /// # let shipper = Shipper::new(&store, bucket.clone()).await?;
    /// let version = store.put("k", "v")?;
    /// shipper.wait(version).await?;
    /// let follower = Follower::open(bucket, dir.path().join("replica.vde")).await?;
    /// assert_eq!(follower.version(), version);
    /// # Ok(()) }
    /// ```
    pub fn version(&self) -> u64 {
        self.end.version
    }

    /// When the shipped store was as this one is now, or later: if nothing changed since, the follower cannot know.
    ///
    /// # Examples
    ///
    /// See [`lag`](Self::lag).
    pub fn time(&self) -> SystemTime {
        time_of(self.end.time)
    }

    /// How far the follower is behind what was shipped: the time since it last found that it had everything. If it
    /// never did, or is busy, the age of its newest part.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use vde_ship::{Bucket, Follower, Shipper};
    /// # let dir = tempfile::tempdir()?;
    /// # let bucket = Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
    /// # let store = vde_store::Vde::in_memory()?;
    /// # let shipper = Shipper::new(&store, bucket.clone()).await?;
    /// # shipper.wait(store.put("k", "v")?).await?;
    /// let mut follower = Follower::open(bucket, dir.path().join("replica.vde")).await?;
    /// follower.catch_up().await?;
    /// println!("{:?} behind, as of {:?}", follower.lag(), follower.time());
    /// # Ok(()) }
    /// ```
    pub fn lag(&self) -> Duration {
        match self.current_at {
            Some(at) => at.elapsed(),
            None => SystemTime::now().duration_since(self.time()).unwrap_or_default(),
        }
    }

    /// Applies everything that was shipped meanwhile. Returns how many entries of the log it has applied. The memory
    /// that it takes grows with the values of at most 64 KiB in one part.
    ///
    /// If the shipped store has begun a new history, for example because it was restored itself, or if the entries
    /// were removed that the follower needs, the follower is restored anew, from the newest base.
    ///
    /// # Errors
    ///
    /// [`Error::Objects`], [`Error::TimedOut`]: try again. [`Error::Damaged`], [`Error::Store`].
    ///
    /// # Cancel safety
    ///
    /// Each part is applied as a whole or not at all. If the future is dropped after a part was applied, the follower
    /// may apply it once more, which changes nothing.
    ///
    /// # Examples
    ///
    /// See [`Follower`].
    pub async fn catch_up(&mut self) -> Result<u64> {
        let mut applied = 0;
        loop {
            match read(&self.bucket, &numbered(LOG, self.end.next)).await {
                Ok((entry, sum)) if entry.history == self.end.history => {
                    let mut end = self.end;
                    end.advance(&entry, sum)?;
                    self.current_at = None;
                    self.apply(entry, end).await?;
                    self.idle = 0;
                    applied += 1;
                }
                Ok(_) => {
                    if !self.restart_in_new_history().await? {
                        return Ok(applied);
                    }
                }
                Err(Error::Missing { .. }) => {
                    if !self.was_removed().await? {
                        self.current_at = Some(Instant::now());
                        self.idle += 1;
                        return Ok(applied);
                    }
                    self.restart().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn apply(&mut self, entry: Entry, end: End) -> Result<()> {
        let (store, object) = (self.store.clone(), numbered(LOG, entry.number));
        let (mut content, bug) = (fetch(&self.bucket, entry), self.bug);
        joined(spawn_blocking(move || {
            if bug == Some(Bug::NoteEarly) {
                let mut early = store.copy_batch();
                note(&mut early, end)?;
                early.commit()?;
            }
            let mut batch = apply(&store, &mut content, &object, u64::MAX)?;
            if bug != Some(Bug::ForgetPosition) {
                note(&mut batch, end)?;
            }
            batch.commit()?;
            Ok(())
        }))
        .await?;
        self.end = end;
        Ok(())
    }

    /// Another history has begun. Restores the store from its base, if that is complete.
    async fn restart_in_new_history(&mut self) -> Result<bool> {
        let Some(newest) = self.bucket.numbers(BASES, self.end.next).await?.last().copied() else {
            return Ok(false);
        };
        let (base, _) = read(&self.bucket, &numbered(BASES, newest)).await?;
        if base.history == self.end.history {
            return Ok(false);
        }
        self.restart().await?;
        Ok(true)
    }

    async fn restart(&mut self) -> Result<()> {
        let (store, end) = restored(&self.bucket, &self.path).await?;
        (self.store, self.end, self.idle) = (store, end, 0);
        Ok(())
    }

    /// Whether the entry that comes next was removed.
    async fn was_removed(&self) -> Result<bool> {
        if !self.idle.is_multiple_of(POLLS) {
            return Ok(false);
        }
        if self.bucket.numbers(BASES, self.end.next + 1).await?.is_empty() {
            return Ok(false);
        }
        // The entry may have been put meanwhile.
        match read(&self.bucket, &numbered(LOG, self.end.next)).await {
            Err(Error::Missing { .. }) => Ok(true),
            Err(error) => Err(error),
            Ok(_) => Ok(false),
        }
    }

    /// Applies everything that is shipped, now and every `pause`, and waits through outages of the object store.
    /// `each` is called after each round, with the error if it failed; it returns whether to continue.
    ///
    /// # Errors
    ///
    /// As [`catch_up`](Self::catch_up), except for outages.
    ///
    /// # Cancel safety
    ///
    /// As [`catch_up`](Self::catch_up).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use vde_ship::{Bucket, Follower, Shipper};
    /// # let dir = tempfile::tempdir()?;
    /// # let bucket = Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
    /// # let store = vde_store::Vde::in_memory()?;
    /// # let shipper = Shipper::new(&store, bucket.clone()).await?;
    /// # shipper.wait(store.put("k", "v")?).await?;
    /// use std::time::Duration;
    ///
    /// let mut follower = Follower::open(bucket, dir.path().join("replica.vde")).await?;
    /// follower.follow(Duration::from_secs(1), |follower, _| {
    ///     println!("version {}, {:?} behind", follower.version(), follower.lag());
    ///     false
    /// }).await?;
    /// # Ok(()) }
    /// ```
    pub async fn follow(
        &mut self,
        pause: Duration,
        mut each: impl FnMut(&Self, Option<&Error>) -> bool,
    ) -> Result<()> {
        loop {
            let round = self.catch_up().await;
            match &round {
                Err(error) if !error.is_passing() => return round.map(drop),
                _ => {}
            }
            if !each(self, round.as_ref().err()) {
                return Ok(());
            }
            sleep(pause).await;
        }
    }

    /// Ends the following, and makes the store an ordinary one: to take over after the shipped store was lost. The
    /// store has what the last [`catch_up`](Self::catch_up) found.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store cannot be written.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use vde_ship::{Bucket, Follower, Shipper};
    /// # let dir = tempfile::tempdir()?;
    /// # let bucket = Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
    /// # let store = vde_store::Vde::in_memory()?;
    /// # let shipper = Shipper::new(&store, bucket.clone()).await?;
    /// # shipper.wait(store.put("k", "v")?).await?;
    /// let mut follower = Follower::open(bucket.clone(), dir.path().join("replica.vde")).await?;
    /// follower.catch_up().await?;
    /// let store = follower.promote().await?;
    /// let shipper = Shipper::new(&store, bucket).await?; // keeps the lost store's shipper out
    /// # Ok(()) }
    /// ```
    pub async fn promote(self) -> Result<Vde> {
        let store = self.store.clone();
        joined(spawn_blocking(move || {
            store.delete(POSITION_KEY)?;
            Ok(store)
        }))
        .await
    }
}

//! Restoring a store: a base, and the parts after it up to a point.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat};
use futures_util::StreamExt;
use tokio::task::spawn_blocking;
use vde_store::{Durability, Vde, VdeOptions};

use crate::bucket::Bucket;
use crate::content::{apply, fetch, joined};
use crate::error::{Error, Result};
use crate::format::{BASES, Entry, LOG, micros, numbered, time_of};
use crate::log::{End, read};

/// The point to restore. Every part is one point.
///
/// Parsed from, and displayed as, a version, a time in the form of RFC 3339, or `newest`. A time is displayed in UTC
/// and in microseconds, which is how it is shipped: the time of a point, as displayed, is a time of that point. It can
/// also be given as `@` and the seconds since 1970. Times before 1970 count as 1970.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use vde_ship::{Error, Point};
///
/// let an_hour_ago = Point::Time(SystemTime::now() - Duration::from_hours(1));
/// let noon: Point = "2026-11-30T12:00:00+01:00".parse()?;
/// assert_eq!(noon.to_string(), "2026-11-30T11:00:00.000000Z");
/// assert_eq!("17".parse::<Point>()?, Point::Version(17));
/// assert!(matches!("yesterday".parse::<Point>(), Err(Error::NoPoint { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// The newest point.
    Newest,
    /// The newest point that has no write after this version.
    Version(u64),
    /// The newest point that was shipped from a store as it was at this time or before.
    Time(SystemTime),
}

impl FromStr for Point {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason: String| Error::NoPoint { text: text.into(), reason };
        if text == "newest" {
            return Ok(Self::Newest);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Version).map_err(|error| wrong(format!("as a version: {error}")));
        }
        if let Some(seconds) = text.strip_prefix('@') {
            let since = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let time = since.and_then(|since| UNIX_EPOCH.checked_add(since));
            return time.map(Self::Time).ok_or_else(|| wrong("after `@` come the seconds since 1970".into()));
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self::Time(time_of(time.timestamp_micros().try_into().unwrap_or(0)))),
            Err(error) => Err(wrong(format!(
                "a point is a version like `17`, a time like `2026-11-30T12:00:00Z` or `@1796040000`, or `newest`; \
                 as a time: {error}"
            ))),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Version(version) => write!(f, "{version}"),
            Self::Time(time) => {
                let micros = micros(*time);
                let date = i64::try_from(micros).ok().and_then(DateTime::from_timestamp_micros);
                match date {
                    Some(date) => f.write_str(&date.to_rfc3339_opts(SecondsFormat::Micros, true)),
                    // Damaged objects may have any time.
                    None => write!(f, "@{}", micros / 1_000_000),
                }
            }
        }
    }
}

impl Point {
    fn includes(self, entry: &Entry) -> bool {
        match self {
            Self::Newest => true,
            Self::Version(version) => entry.version <= version,
            Self::Time(time) => entry.time <= micros(time),
        }
    }
}

/// What was restored.
///
/// # Examples
///
/// See [`restore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The store has exactly the writes up to this version.
    pub version: u64,
    /// When the shipped store was like that.
    pub time: SystemTime,
    /// How many entries of the log were applied to the base.
    pub entries: u64,
}

/// How many entries are fetched at the same time.
const AHEAD: usize = 8;
/// The bytes of a batch. Nobody sees the store before all of it is there.
const BATCH: u64 = 8 << 20;

/// The newest base that is in the point.
async fn base_for(bucket: &Bucket, point: Point) -> Result<Entry> {
    for number in bucket.numbers(BASES, 0).await?.into_iter().rev() {
        match read(bucket, &numbered(BASES, number)).await {
            Ok((base, _)) if point.includes(&base) => return Ok(base),
            Ok(_) | Err(Error::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::NoBase)
}

/// The end of the log at the point, for a store that begins with `base`.
async fn end_at(bucket: &Bucket, base: &Entry, point: Point) -> Result<End> {
    let mut end = End::of_base(base);
    let Some(last) = bucket.numbers(LOG, base.number).await?.last().copied() else { return Ok(end) };
    // Within a history, versions and times only grow. So the entries that belong to the point come first.
    let (mut first_out, mut number) = (last + 1, last);
    while end.next < first_out {
        let (entry, sum) = read(bucket, &numbered(LOG, number)).await?;
        if entry.history == base.history && point.includes(&entry) {
            end = End::after(&entry, sum);
        } else {
            first_out = number;
        }
        number = end.next.midpoint(first_out);
    }
    Ok(end)
}

/// Applies `base` and the entries up to `end` to an empty store. Returns how many entries these are.
async fn load(bucket: &Bucket, store: &Vde, base: Entry, end: End) -> Result<u64> {
    let mut at = End::of_base(&base);
    let first = base.number;
    put(bucket, store, base, BASES).await?;
    let entries = futures_util::stream::iter(first..end.next)
        .map(|number| async move { read(bucket, &numbered(LOG, number)).await });
    let mut entries = std::pin::pin!(entries.buffered(AHEAD));
    while let Some(entry) = entries.next().await {
        let (entry, sum) = entry?;
        at.advance(&entry, sum)?;
        put(bucket, store, entry, LOG).await?;
    }
    Ok(end.next - first)
}

/// Applies the content of an entry to `store`.
async fn put(bucket: &Bucket, store: &Vde, entry: Entry, folder: &str) -> Result<()> {
    if entry.len() == 0 {
        return Ok(());
    }
    let (store, object) = (store.clone(), numbered(folder, entry.number));
    let mut content = fetch(bucket, entry);
    joined(spawn_blocking(move || {
        apply(&store, &mut content, &object, BATCH)?.commit()?;
        Ok(())
    }))
    .await
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".restoring");
    name.into()
}

/// Makes the renaming of a file durable.
fn sync_folder(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| Error::file("sync", folder, e))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Restores a point into the store that `open` opens. `skip`: how many versions lie between the point and the first
/// version of the restored store's own writes.
async fn restore_as(
    bucket: &Bucket,
    point: Point,
    skip: u64,
    open: impl FnOnce(VdeOptions) -> Result<Vde> + Send + 'static,
) -> Result<(Vde, End, u64)> {
    let base = base_for(bucket, point).await?;
    let end = end_at(bucket, &base, point).await?;
    let options = VdeOptions::new().first_version(end.version + 1 + skip);
    let store = joined(spawn_blocking(move || open(options))).await?;
    let entries = load(bucket, &store.with_durability(Durability::Buffered), base, end).await?;
    Ok((store, end, entries))
}

/// Restores a point into a store that `open` creates with the given options, and perhaps more of them: in memory, or on
/// a device of your own. It must be empty. The store is returned open, and its contents may not be durable yet. Use
/// [`restore`] for a file.
///
/// # Errors
///
/// As [`restore`]; the errors of `open`.
///
/// # Cancel safety
///
/// If the future is dropped, the store has a part of the contents.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bucket = vde_ship::Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
/// # let store = vde_store::Vde::in_memory()?;
/// # store.put("k", "v")?;
/// # vde_ship::ship_once(&store, &bucket).await?;
/// use vde_ship::{Point, restore_with};
/// let (store, restored) = restore_with(&bucket, Point::Newest, |options| options.in_memory()).await?;
/// assert_eq!(store.get("k")?.unwrap(), b"v");
/// # Ok(()) }
/// ```
pub async fn restore_with(
    bucket: &Bucket,
    point: Point,
    open: impl FnOnce(VdeOptions) -> vde_store::Result<Vde> + Send + 'static,
) -> Result<(Vde, Restored)> {
    let (store, end, entries) = restore_as(bucket, point, 0, |options| Ok(open(options)?)).await?;
    Ok((store, Restored { version: end.version, time: time_of(end.time), entries }))
}

/// Restores a point to the file `path`, and replaces what is there. `finish` is called with the store before it is
/// closed.
pub(crate) async fn restore_over(
    bucket: &Bucket,
    path: &Path,
    point: Point,
    skip: u64,
    finish: impl FnOnce(&Vde, End) -> Result<()> + Send + 'static,
) -> Result<Restored> {
    let (part, path) = (partial(path), path.to_owned());
    let creating = part.clone();
    let open = move |options: VdeOptions| match fs::remove_file(&creating) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", &creating, error)),
        _ => Ok(options.create(&creating)?),
    };
    let loaded = restore_as(bucket, point, skip, open).await;
    joined(spawn_blocking(move || {
        let finished = loaded.and_then(|(store, end, entries)| {
            finish(&store, end)?;
            store.close()?;
            fs::rename(&part, &path).map_err(|e| Error::file("rename", &part, e))?;
            sync_folder(&path)?;
            Ok(Restored { version: end.version, time: time_of(end.time), entries })
        });
        if finished.is_err() {
            // The error is reported, and the next attempt removes the file.
            let _ = fs::remove_file(&part);
        }
        finished
    }))
    .await
}

/// Restores a store from what was shipped, as it was at `point`, into a new file at `path`.
///
/// The file appears once it is whole and durable. Until then, it is at a path that ends in `.restoring`; a crash leaves
/// that file behind, and the next restore to `path` removes it. Values keep their versions, times and user metadata.
/// The restored store is an ordinary one: to ship it in turn, use another prefix, or the same, where it takes over
/// with a new base.
///
/// # Errors
///
/// [`Error::NoBase`] if the point is not there; [`Error::File`] if `path` exists already or cannot be written;
/// [`Error::Damaged`], [`Error::Missing`], [`Error::Objects`], [`Error::Store`].
///
/// # Cancel safety
///
/// If the future is dropped, `path` does not appear, or it appears whole.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use vde_ship::{Bucket, Point, Shipper, restore};
///
/// # let dir = tempfile::tempdir()?;
/// # let bucket = Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
/// let store = vde_store::Vde::in_memory()?;
/// let shipper = Shipper::new(&store, bucket.clone()).await?;
/// let first = store.put("k", "1")?;
/// shipper.wait(first).await?;
/// shipper.wait(store.put("k", "2")?).await?;
///
/// let path = dir.path().join("restored.vde");
/// assert_eq!(restore(&bucket, &path, Point::Version(first)).await?.version, first);
/// assert_eq!(vde_store::Vde::open(&path)?.get("k")?.unwrap(), b"1");
/// # Ok(()) }
/// ```
pub async fn restore(bucket: &Bucket, path: impl AsRef<Path>, point: Point) -> Result<Restored> {
    let path = path.as_ref();
    if path.exists() {
        return Err(Error::file("create", path, ErrorKind::AlreadyExists.into()));
    }
    restore_over(bucket, path, point, 0, |_, _| Ok(())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_as_it_is_displayed() {
        for micros in [0, 1, 1_796_040_000_123_456, 253_402_300_799_999_999] {
            let point = Point::Time(time_of(micros));
            assert_eq!(point.to_string().parse::<Point>().unwrap(), point, "{point}");
        }
        for point in [Point::Newest, Point::Version(0), Point::Version(u64::MAX)] {
            assert_eq!(point.to_string().parse::<Point>().unwrap(), point);
        }
        assert_eq!(Point::Time(time_of(u64::MAX)).to_string(), "@18446744073709");
    }

    #[test]
    fn a_time_may_have_an_offset_and_counts_from_1970() {
        let time = |text: &str| match text.parse().unwrap() {
            Point::Time(time) => micros(time),
            other => panic!("{other:?}"),
        };
        assert_eq!(time("2026-11-30T12:00:00Z"), 1_796_040_000_000_000);
        assert_eq!(time("2026-11-30T13:30:00.5+01:30"), 1_796_040_000_500_000);
        assert_eq!(time("@1796040000.5"), 1_796_040_000_500_000);
        assert_eq!(time("1960-01-01T00:00:00Z"), 0);
        let wrong = [
            "",
            "-1",
            "99999999999999999999",
            "2026-11-30",
            "2026-11-30T12:00:00",
            "@",
            "@-1",
            "@nan",
            "@1e30",
        ];
        for text in wrong {
            assert!(matches!(text.parse::<Point>(), Err(Error::NoPoint { .. })), "{text}");
        }
    }
}

//! Values as readers receive them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use crate::container::blob::{Reading, Source};
use crate::container::format::Fields;
use crate::container::pages::PinnedBytes;
use crate::container::tree::Tree;
use crate::container::turns::Turns;

/// The bytes of a value, pinned: later writes and collection do not change them. It is cheap to clone. A value in a
/// mapped file is not copied. While a `Value` exists, the container's file stays open and locked.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "old")?;
/// let value = store.value("k")?.unwrap();
/// store.put("k", "new")?;
/// assert_eq!(&*value, b"old");
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Value {
    pub(crate) bytes: PinnedBytes,
    /// Keeps the bytes from being reused.
    #[allow(dead_code, reason = "held, never read")]
    pub(crate) pin: Option<Arc<Tree>>,
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.len())
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

/// The metadata of a stored value.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "12345")?;
/// let metadata = store.metadata("k")?.unwrap();
/// assert_eq!(metadata.len, 5);
/// assert!(metadata.created <= metadata.modified);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Length of the value in bytes.
    pub len: u64,
    /// When the key was first put since it was last absent.
    pub created: SystemTime,
    /// When the value was put.
    pub modified: SystemTime,
    /// The sequence number of the write, as [`Vde::put`](crate::Vde::put) returned it. It grows with every write to the
    /// store. Two different values of one key never have the same version.
    pub version: u64,
    /// XXH3 (64 bits, seed 0) of the value.
    pub checksum: u64,
    /// The metadata that was passed to [`Vde::put_with`](crate::Vde::put_with).
    pub user: UserMetadata,
}

impl Metadata {
    /// The metadata of a value of another store, for [`CopyBatch::put`](crate::CopyBatch::put). The length and the
    /// checksum are 0: they follow from the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use vde_store::{Metadata, UserMetadata};
    /// let metadata = Metadata::copied(7, SystemTime::UNIX_EPOCH, SystemTime::now(), UserMetadata::new());
    /// assert_eq!(metadata.version, 7);
    /// ```
    pub fn copied(version: u64, created: SystemTime, modified: SystemTime, user: UserMetadata) -> Self {
        Self { len: 0, created, modified, version, checksum: 0, user }
    }
}

/// Names and values that a caller keeps with a value.
///
/// # Examples
///
/// ```
/// use vde_store::{UserMetadata, Vde};
///
/// let store = Vde::in_memory()?;
/// let tags = UserMetadata::from([("type".to_owned(), "text/plain".to_owned())]);
/// store.put_with("note", &b"hello"[..], &tags)?;
/// assert_eq!(store.metadata("note")?.unwrap().user["type"], "text/plain");
/// # Ok::<(), vde_store::Error>(())
/// ```
pub type UserMetadata = BTreeMap<String, String>;

pub(crate) fn encode_user(user: &UserMetadata) -> Vec<u8> {
    let mut out = Vec::new();
    for text in user.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The caller has verified the bytes with their record or page.
pub(crate) fn decode_user(bytes: &[u8]) -> UserMetadata {
    let mut f = Fields(bytes);
    let mut text = || {
        let len = f.u32()? as usize;
        String::from_utf8(f.bytes(len)?.to_vec()).ok()
    };
    std::iter::from_fn(|| Some((text()?, text()?))).collect()
}

/// Reads a value from front to back, or from any position: [`Read`] and [`Seek`], and their async counterparts of
/// `futures-io`.
///
/// The memory it takes does not depend on the length of the value. It reads and verifies only the chunks of 64 KiB
/// that contain requested bytes.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Seek, SeekFrom};
///
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "0123456789")?;
/// let mut reader = store.reader("k")?.unwrap();
/// let mut two = [0; 2];
/// reader.seek(SeekFrom::End(-2)).unwrap();
/// reader.read_exact(&mut two).unwrap();
/// assert_eq!(&two, b"89");
/// # Ok::<(), vde_store::Error>(())
/// ```
pub struct ValueReader {
    reading: Reading,
    turns: Turns,
    _pin: Arc<Tree>,
}

impl fmt::Debug for ValueReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueReader")
            .field("len", &self.len())
            .field("at", &self.reading.at)
            .finish_non_exhaustive()
    }
}

impl ValueReader {
    pub(crate) fn new(source: Source, pin: Arc<Tree>) -> Self {
        Self { reading: Reading { source, at: 0 }, turns: Turns::default(), _pin: pin }
    }

    /// The length of the whole value in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "12345")?;
    /// assert_eq!(store.reader("k")?.unwrap().len(), 5);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.reading.len()
    }

    /// Whether the value has no bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "")?;
    /// assert!(store.reader("k")?.unwrap().is_empty());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Read for ValueReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reading.read(buf)
    }
}

impl Seek for ValueReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reading.seek(to)
    }
}

/// A reader lets other tasks run after this many bytes.
const BYTES_IN_A_TURN: u64 = 1 << 20;

/// Bytes that are not in memory are read on the polling thread, 64 KiB at a time. From time to time the reader yields
/// to other tasks: it is pending once, and wakes its task at once.
impl futures_io::AsyncRead for ValueReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(self.turns.left(BYTES_IN_A_TURN, cx));
        let read = self.reading.read(buf)?;
        self.turns.spend(read as u64);
        Poll::Ready(Ok(read))
    }
}

impl futures_io::AsyncSeek for ValueReader {
    fn poll_seek(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        Poll::Ready(self.reading.seek(to))
    }
}

pub(crate) fn time_from_micros(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

pub(crate) fn micros_from_time(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

pub(crate) fn now_micros() -> u64 {
    micros_from_time(SystemTime::now())
}

//! The content of parts and bases: written in chunks, read as one stream. One or two chunks are in memory at a time.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use vde_store::{CopyBatch, PutRecord, ReadView, Vde};

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::{Chunk, Entry, PutHead, Record, checksum, chunk_name, micros};
use crate::pending::{Newest, POSITION_KEY, Pending};
use crate::shipper::Wishes;

/// Values up to this length are read at once, and not in pieces.
const SHORT: u64 = 64 << 10;

/// Collects bytes, and hands them over in chunks.
pub(crate) struct ChunkWriter {
    bytes: Vec<u8>,
    /// The head of a put.
    head: Vec<u8>,
    limit: usize,
    full: mpsc::Sender<Vec<u8>>,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..len]);
        if self.bytes.len() == self.limit {
            let full = std::mem::replace(&mut self.bytes, Vec::with_capacity(self.limit));
            self.full.blocking_send(full).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets the threads of writers run while a part is made: it works for a short time, and then rests for twice as long.
/// Otherwise a writer that the disk has woken may wait for a processor until the time slice of this thread ends.
pub(crate) struct Pace {
    since: Instant,
    /// How long it may still rest.
    left: Duration,
    wishes: Arc<Wishes>,
    /// It does not rest if someone waits for a version after this one.
    shipped: u64,
}

/// How long it works before a rest: far less than the time slice of a thread.
const WORK: Duration = Duration::from_micros(300);
/// The number of keys between two looks at the clock.
const KEYS_BEFORE_A_LOOK: usize = 16;

impl Pace {
    pub(crate) fn new(left: Duration, wishes: Arc<Wishes>, shipped: u64) -> Self {
        Self { since: Instant::now(), left, wishes, shipped }
    }

    fn keep(&mut self) {
        if self.since.elapsed() < WORK {
            return;
        }
        let rest = self.left.min(2 * WORK);
        if !rest.is_zero() && !self.wishes.is_wanted(self.shipped) {
            std::thread::sleep(rest);
            self.left -= rest;
        }
        self.since = Instant::now();
    }
}

/// A value could not be written because the upload has ended, or could not be read from the store.
fn writing(error: io::Error) -> Error {
    match error.downcast::<vde_store::Error>() {
        Ok(of_store) => of_store.into(),
        Err(_) => Error::Closed,
    }
}

impl ChunkWriter {
    fn record(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(writing)
    }

    fn head(&mut self, put: &PutHead<'_>) -> Result<()> {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        put.encode(&mut head);
        let written = self.record(&head);
        self.head = head;
        written
    }

    fn entry(&mut self, entry: &vde_store::Entry) -> Result<()> {
        self.head(&PutHead::of(entry.key(), &entry.metadata()?))?;
        if entry.len() <= SHORT {
            return self.record(&entry.value()?);
        }
        io::copy(&mut entry.reader()?, self).map_err(writing)?;
        Ok(())
    }

    /// Writes everything in `view`.
    pub(crate) fn base(&mut self, view: &ReadView) -> Result<()> {
        for entry in view.list("") {
            let entry = entry?;
            if entry.key() != POSITION_KEY {
                self.entry(&entry)?;
            }
        }
        Ok(())
    }

    /// Writes what leads from a view to a later one. Both are listed, and of equal keys the versions are compared. Values
    /// are only read if they have changed.
    pub(crate) fn difference(&mut self, from: &ReadView, to: &ReadView) -> Result<()> {
        let mut earlier = from.list("");
        let mut before = earlier.next().transpose()?;
        for entry in to.list("") {
            let entry = entry?;
            while let Some(gone) = before.take_if(|before| before.key() < entry.key()) {
                self.deletion(&gone)?;
                before = earlier.next().transpose()?;
            }
            let was = before.take_if(|before| before.key() == entry.key());
            if was.is_some() {
                before = earlier.next().transpose()?;
            }
            let is_same = was.map(|was| was.version()).transpose()? == Some(entry.version()?);
            if !is_same && entry.key() != POSITION_KEY {
                self.entry(&entry)?;
            }
        }
        for gone in before.map(Ok).into_iter().chain(earlier) {
            self.deletion(&gone?)?;
        }
        Ok(())
    }

    fn deletion(&mut self, gone: &vde_store::Entry) -> Result<()> {
        match gone.key() {
            POSITION_KEY => Ok(()),
            key => self.record(&Pending::deletion(key)),
        }
    }

    /// Writes what leads to `view`, if nothing but `pending` has changed.
    pub(crate) fn part(&mut self, view: &ReadView, pending: &Pending, mut pace: Pace) -> Result<()> {
        for range in pending.range_records() {
            self.record(&range)?;
        }
        for (i, (key, newest)) in pending.keys().enumerate() {
            if i % KEYS_BEFORE_A_LOOK == 0 {
                pace.keep();
            }
            let is_written = match newest {
                Newest::Unknown => false,
                Newest::Deleted => self.record(&Pending::deletion(key)).map(|()| true)?,
                Newest::Put { put, created, continues } => {
                    let write = |put: PutRecord<'_>| self.logged(&put, key, created, continues);
                    pending.read(key, &put, write)?.transpose()?.is_some()
                }
            };
            if !is_written {
                match view.entry(key)? {
                    None => self.record(&Pending::deletion(key))?,
                    Some(entry) => self.entry(&entry)?,
                }
            }
        }
        Ok(())
    }

    /// Writes a put from the log.
    fn logged(&mut self, put: &PutRecord<'_>, key: &[u8], created: u64, continues: bool) -> Result<()> {
        let (version, modified, len) = (put.version, micros(put.modified), put.value.len() as u64);
        self.head(&PutHead { continues, key, version, created, modified, user: &put.user, len })?;
        self.record(&put.value)
    }
}

/// A content that was uploaded: its chunks, and the rest.
pub(crate) struct Uploaded {
    chunks: Vec<Chunk>,
    rest: Vec<u8>,
}

impl Entry {
    pub(crate) fn fill(&mut self, Uploaded { chunks, rest }: Uploaded) {
        (self.chunks, self.rest) = (chunks, rest);
    }
}

/// How often a chunk is tried.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) tries: u32,
    pub(crate) pause: Duration,
}

/// The result of work on another thread.
pub(crate) async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    finished(task.await)
}

/// The result of a task that has ended.
pub(crate) fn finished<T>(task: Result<Result<T>, JoinError>) -> Result<T> {
    match task {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Closed),
        },
    }
}

/// Uploads the chunks of the content that `write` writes, under the names that `entry` gives them.
pub(crate) async fn upload(
    bucket: &Bucket,
    entry: &Entry,
    chunk_bytes: usize,
    patience: Patience,
    write: impl FnOnce(&mut ChunkWriter) -> Result<()> + Send + 'static,
) -> Result<Uploaded> {
    let (full, mut chunks_to_put) = mpsc::channel(1);
    let writing = spawn_blocking(move || {
        let mut writer = ChunkWriter { bytes: Vec::new(), head: Vec::new(), limit: chunk_bytes, full };
        write(&mut writer)?;
        Ok(writer.bytes)
    });
    let mut chunks = Vec::new();
    while let Some(bytes) = chunks_to_put.recv().await {
        let bytes = Bytes::from(bytes);
        let name = chunk_name(entry.number, entry.attempt, chunks.len());
        chunks.push(Chunk { len: bytes.len() as u64, sum: checksum(&bytes) });
        let mut tries = 1;
        while let Err(error) = bucket.put(&name, bytes.clone()).await {
            if !error.is_passing() || tries >= patience.tries {
                return Err(error);
            }
            tokio::time::sleep(patience.pause * tries).await;
            tries += 1;
        }
    }
    Ok(Uploaded { chunks, rest: joined(writing).await? })
}

/// Reads the content of entries, for a thread that may block.
pub(crate) struct Content {
    chunks: mpsc::Receiver<Result<Bytes>>,
    now: Bytes,
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() && !buf.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.now = chunk.map_err(io::Error::other)?,
            }
        }
        let len = buf.len().min(self.now.len());
        buf[..len].copy_from_slice(&self.now.split_to(len));
        Ok(len)
    }
}

async fn chunk(bucket: &Bucket, entry: &Entry, index: usize) -> Result<Bytes> {
    let name = chunk_name(entry.number, entry.attempt, index);
    let bytes = bucket.get(&name).await?;
    let found = Chunk { len: bytes.len() as u64, sum: checksum(&bytes) };
    if found == entry.chunks[index] { Ok(bytes) } else { Err(Error::Damaged { object: name }) }
}

/// Fetches the content of an entry, a chunk ahead of its reader.
pub(crate) fn fetch(bucket: &Bucket, entry: Entry) -> Content {
    let (fetched, chunks) = mpsc::channel(1);
    let bucket = bucket.clone();
    tokio::spawn(async move {
        for index in 0..entry.chunks.len() {
            let chunk = chunk(&bucket, &entry, index).await;
            let failed = chunk.is_err();
            if fetched.send(chunk).await.is_err() || failed {
                return;
            }
        }
        // The reader may be gone.
        let _ = fetched.send(Ok(entry.rest.into())).await;
    });
    Content { chunks, now: Bytes::new() }
}

/// The error of writing a value that was read from a [`Content`].
fn copying(error: vde_store::Error) -> Error {
    if let vde_store::Error::Io { source, .. } = &error
        && let Some(own) = source.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
    {
        return own.clone();
    }
    error.into()
}

/// Calls `each` with every record of `content`, and a reader of its value.
pub(crate) fn records(
    content: &mut Content,
    object: &str,
    mut each: impl FnMut(Record, &mut io::Take<&mut Content>) -> Result<()>,
) -> Result<()> {
    while let Some(record) = Record::read(content).map_err(|e| Error::of_read(e, object))? {
        let len = if let Record::Put { len, .. } = &record { *len } else { 0 };
        let mut value = content.take(len);
        each(record, &mut value)?;
        if value.limit() > 0 {
            return Err(Error::Damaged { object: object.into() });
        }
    }
    Ok(())
}

/// Applies a content to `store`, in batches of about `limit` bytes. Returns the last batch, for the caller to commit.
pub(crate) fn apply(store: &Vde, content: &mut Content, object: &str, limit: u64) -> Result<CopyBatch> {
    let mut batch = store.copy_batch();
    records(content, object, |record, value| {
        match record {
            Record::Put { key, metadata, continues: false, .. } => {
                batch.put(key, value, &metadata).map_err(copying)?;
            }
            Record::Put { key, metadata, continues: true, .. } => {
                batch.replace(key, value, &metadata).map_err(copying)?;
            }
            Record::Delete { key } => {
                batch.delete(key);
            }
            Record::DeleteRange { from, until } => {
                batch.delete_range(from, until.as_deref());
            }
        }
        if batch.bytes() > limit {
            std::mem::replace(&mut batch, store.copy_batch()).commit()?;
        }
        Ok(())
    })?;
    Ok(batch)
}

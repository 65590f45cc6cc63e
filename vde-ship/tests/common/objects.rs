//! An object store that fails.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use vde_ship::Bucket;

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Of 100 calls, how many fail, repeat, or are delayed.
    percent: AtomicU64,
    /// No call succeeds.
    away: AtomicBool,
    /// From this call on, no call returns. 0: none.
    stuck_from: AtomicU64,
    /// This call fails. 0: none.
    fails_at: AtomicU64,
    calls: AtomicU64,
    rng: Mutex<Rng>,
}

/// An object store over `InMemory` that fails before or after the call, repeats puts, and puts late: after it has
/// reported a failure.
#[derive(Clone)]
pub(crate) struct Flaky {
    pub(crate) memory: Arc<InMemory>,
    faults: Arc<Faults>,
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeeds,
    FailsBefore,
    FailsAfter,
    Repeats,
    FailsAndComesLate,
}

fn failure() -> object_store::Error {
    object_store::Error::Generic { store: "Flaky", source: "planned".into() }
}

impl Flaky {
    pub(crate) fn new(seed: u64) -> Self {
        let faults = Faults { rng: Mutex::new(Rng::with_seed(seed)), ..Faults::default() };
        Self { memory: Arc::new(InMemory::new()), faults: Arc::new(faults) }
    }

    pub(crate) fn bucket(&self) -> Bucket {
        Bucket::new(Arc::new(self.clone()), "a/b")
    }

    /// The same objects, without faults.
    pub(crate) fn steady(&self) -> Bucket {
        Bucket::new(self.memory.clone(), "a/b")
    }

    pub(crate) fn fail_percent(&self, percent: u64) {
        self.faults.percent.store(percent, Ordering::SeqCst);
    }

    pub(crate) fn go_away(&self, away: bool) {
        self.faults.away.store(away, Ordering::SeqCst);
    }

    /// From now on, call number `call` and all later ones never return.
    pub(crate) fn stick_at(&self, call: u64) {
        self.faults.calls.store(0, Ordering::SeqCst);
        self.faults.stuck_from.store(call, Ordering::SeqCst);
    }

    /// Call number `call` from now on fails.
    pub(crate) fn fail_at(&self, call: u64) {
        self.faults.calls.store(0, Ordering::SeqCst);
        self.faults.fails_at.store(call, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.faults.calls.load(Ordering::SeqCst)
    }

    /// The names of all objects.
    pub(crate) async fn names(&self) -> Vec<Path> {
        let mut names: Vec<_> = self.memory.list(None).map(|meta| meta.unwrap().location).collect().await;
        names.sort();
        names
    }

    async fn fate(&self) -> Fate {
        let call = self.faults.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let stuck = self.faults.stuck_from.load(Ordering::SeqCst);
        if stuck > 0 && call >= stuck {
            std::future::pending::<()>().await;
        }
        if self.faults.away.load(Ordering::SeqCst) || self.faults.fails_at.load(Ordering::SeqCst) == call {
            return Fate::FailsBefore;
        }
        let (is_faulty, kind, yields) = {
            let mut rng = self.faults.rng.lock().unwrap();
            let is_faulty = rng.u64(..100) < self.faults.percent.load(Ordering::SeqCst);
            (is_faulty, rng.u8(..5), rng.u8(..3))
        };
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        match kind {
            _ if !is_faulty => Fate::Succeeds,
            0 => Fate::FailsBefore,
            1 => Fate::FailsAfter,
            2 => Fate::Repeats,
            3 => Fate::FailsAndComesLate,
            _ => Fate::Succeeds,
        }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.fate().await {
            Fate::Succeeds => self.memory.put_opts(to, payload, options).await,
            Fate::FailsBefore => Err(failure()),
            Fate::FailsAfter => {
                self.memory.put_opts(to, payload, options).await?;
                Err(failure())
            }
            // As a client that has lost the answer, and sends the request once more.
            Fate::Repeats => {
                let _ = self.memory.put_opts(to, payload.clone(), options.clone()).await;
                self.memory.put_opts(to, payload, options).await
            }
            Fate::FailsAndComesLate => {
                let (memory, to) = (self.memory.clone(), to.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let _ = memory.put_opts(&to, payload, options).await;
                });
                Err(failure())
            }
        }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failure())
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fate().await {
            Fate::Succeeds | Fate::Repeats => self.memory.get_opts(from, options).await,
            _ => Err(failure()),
        }
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.memory.get_ranges(from, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (this, memory) = (self.clone(), self.memory.clone());
        let checked = locations.then(move |path| {
            let this = this.clone();
            async move {
                match this.fate().await {
                    Fate::Succeeds | Fate::Repeats => path,
                    _ => Err(failure()),
                }
            }
        });
        memory.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, listed) = (self.clone(), self.memory.list(prefix));
        let fate = futures_util::stream::once(async move { this.fate().await });
        fate.map(|fate| match fate {
            Fate::Succeeds | Fate::Repeats => None,
            _ => Some(Err(failure())),
        })
        .filter_map(std::future::ready)
        .chain(listed)
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}

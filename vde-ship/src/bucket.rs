//! The place of the objects: a prefix of an object store, with the few calls that the rest of the crate makes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, PutPayload, local::LocalFileSystem,
};
use url::Url;

use crate::error::{Error, Result};
use crate::format::numbered;

/// An object store, and the prefix under which the objects of one store lie.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use object_store::memory::InMemory;
/// use vde_ship::Bucket;
///
/// let in_memory = Bucket::new(Arc::new(InMemory::new()), "orders");
/// let dir = tempfile::tempdir().unwrap();
/// let in_files = Bucket::open(&format!("file://{}/orders", dir.path().display()))?;
/// # Ok::<(), vde_ship::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bucket {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    timeout: Duration,
}

/// Whether an object was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    Yes,
    /// There is one of that name already.
    Exists,
}

/// The number in the name of an object in the folder `prefix`.
fn number_of(prefix: &Path, path: &Path) -> Option<u64> {
    path.prefix_match(prefix)?.next()?.as_ref().parse().ok()
}

impl Bucket {
    /// The objects under `prefix` of an object store. The object store must support the conditional put
    /// [`PutMode::Create`], and list an object as soon as it was put.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// let memory = object_store::memory::InMemory::new();
    /// let bucket = vde_ship::Bucket::new(Arc::new(memory), "a/b");
    /// ```
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: impl Into<Path>) -> Self {
        Self { objects, prefix: prefix.into(), timeout: Duration::from_mins(1) }
    }

    /// The objects below a URL: `file:///folder`, and with the features of the same names `s3://bucket/prefix`,
    /// `gs://bucket/prefix` and `az://container/prefix`, which take their credentials from the environment. Files are
    /// synced before a put returns.
    ///
    /// # Errors
    ///
    /// [`Error::Url`] if this build does not support the URL; [`Error::File`] if the folder cannot be created.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let bucket = vde_ship::Bucket::open(&format!("file://{}", dir.path().display()))?;
    /// # Ok::<(), vde_ship::Error>(())
    /// ```
    pub fn open(url: &str) -> Result<Self> {
        let wrong = |reason: String| Error::Url { url: url.into(), reason };
        let parsed = Url::parse(url).map_err(|e| wrong(e.to_string()))?;
        let (scheme, path) = ObjectStoreScheme::parse(&parsed).map_err(|e| wrong(e.to_string()))?;
        if scheme == ObjectStoreScheme::Local {
            let folder = parsed.to_file_path().map_err(|()| wrong("names no file".into()))?;
            std::fs::create_dir_all(&folder).map_err(|e| Error::file("create", &folder, e))?;
            let objects = LocalFileSystem::new_with_prefix(&folder).map_err(|e| wrong(e.to_string()))?;
            return Ok(Self::new(Arc::new(objects.with_fsync(true)), ""));
        }
        let variables = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let (objects, _) =
            object_store::parse_url_opts(&parsed, variables).map_err(|e| wrong(e.to_string()))?;
        Ok(Self::new(Arc::from(objects), path))
    }

    /// How long one call of the object store may take. Default 60 s. A call that takes longer counts as failed, and
    /// is repeated.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let memory = object_store::memory::InMemory::new();
    /// let bucket = vde_ship::Bucket::new(Arc::new(memory), "").timeout(std::time::Duration::from_secs(5));
    /// ```
    #[must_use = "it returns the bucket with another limit"]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    async fn within<T>(
        &self,
        action: &'static str,
        name: &str,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(object_store::Error::NotFound { .. })) => Err(Error::Missing { object: name.into() }),
            Ok(Err(source)) => Err(Error::Objects { action, object: name.into(), source: Arc::new(source) }),
            Err(_) => Err(Error::TimedOut { action, object: name.into() }),
        }
    }

    /// Puts an object whose name no one else uses.
    pub(crate) async fn put(&self, name: &str, bytes: impl Into<PutPayload>) -> Result<()> {
        self.within("put", name, self.objects.put(&self.path(name), bytes.into())).await.map(drop)
    }

    /// Puts an object if there is none of that name. After an error, it may be there or appear later.
    pub(crate) async fn create(&self, name: &str, bytes: impl Into<PutPayload>) -> Result<Created> {
        let (path, bytes) = (self.path(name), bytes.into());
        let put = async {
            match self.objects.put_opts(&path, bytes, PutOptions::from(PutMode::Create)).await {
                Ok(_) => Ok(Created::Yes),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(Created::Exists)
                }
                Err(other) => Err(other),
            }
        };
        self.within("put", name, put).await
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Bytes> {
        let path = self.path(name);
        let get = async { self.objects.get(&path).await?.bytes().await };
        self.within("get", name, get).await
    }

    /// The numbers of the objects in `folder`, in order; only those from `from` on.
    pub(crate) async fn numbers(&self, folder: &str, from: u64) -> Result<Vec<u64>> {
        let prefix = self.path(folder);
        let list = async {
            let listed = match from.checked_sub(1) {
                Some(before) => {
                    self.objects.list_with_offset(Some(&prefix), &self.path(&numbered(folder, before)))
                }
                None => self.objects.list(Some(&prefix)),
            };
            listed.map_ok(|object| number_of(&prefix, &object.location)).try_collect::<Vec<_>>().await
        };
        let listed = self.within("list", folder, list).await?;
        let mut numbers: Vec<_> = listed.into_iter().flatten().filter(|number| *number >= from).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// Removes the objects in `folder` for whose number `is_old` holds.
    pub(crate) async fn remove(&self, folder: &str, is_old: impl Fn(u64) -> bool) -> Result<()> {
        let prefix = self.path(folder);
        let list = self.objects.list(Some(&prefix)).map_ok(|object| object.location).try_collect::<Vec<_>>();
        let mut old = self.within("list", folder, list).await?;
        old.retain(|path| number_of(&prefix, path).is_some_and(&is_old));
        let old = futures_util::stream::iter(old.into_iter().map(Ok)).boxed();
        let removed = self.objects.delete_stream(old).try_for_each(|_| std::future::ready(Ok(())));
        match self.within("remove", folder, removed).await {
            // Another shipper has removed it meanwhile.
            Err(Error::Missing { .. }) => Ok(()),
            removed => removed,
        }
    }
}

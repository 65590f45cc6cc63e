//! The options of a store.

use crate::engine::bulk::BULK;
use crate::error::{Error, Result};
use crate::storage::durability::Durability;
use crate::terms::quad::EncodedQuad;
use vde_store::StripeHasher;

/// The most quads in a block of the run.
const MOST_IN_BLOCK: usize = 1 << 14;

/// The bytes of terms that a load may always have in memory. Unit tests spill more often.
const LEAST_TERMS: u64 = if cfg!(test) { 1 << 12 } else { 1 << 21 };

/// The bytes of the cache, unless the caller says otherwise. `--cfg triple_store_small_cache` runs the tests with a small one.
const CACHE: usize = if cfg!(triple_store_small_cache) { 1 << 20 } else { 256 << 20 };

/// About how many bytes of memory a recent quad takes.
pub(crate) const RECENT_BYTES: usize = 115;

/// The options of a store.
///
/// # Examples
///
/// ```
/// use triple_store::{Durability, TripleStoreOptions};
///
/// let dir = tempfile::tempdir()?;
/// let store = TripleStoreOptions::new()
///     .stripes(64)
///     .durability(Durability::Buffered)
///     .open(dir.path().join("data.vde"))?;
/// assert!(store.is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a store is opened with them"]
pub struct TripleStoreOptions {
    pub(crate) stripes: usize,
    pub(crate) hasher: StripeHasher,
    pub(crate) durability: Durability,
    pub(crate) checkpoint_after: usize,
    pub(crate) run_block: usize,
    pub(crate) cache: usize,
    pub(crate) background: bool,
    pub(crate) read_only: bool,
}

impl Default for TripleStoreOptions {
    fn default() -> Self {
        Self {
            stripes: 16,
            hasher: StripeHasher::keyed(),
            durability: Durability::Sync,
            checkpoint_after: 1 << 20,
            run_block: 16,
            cache: CACHE,
            background: true,
            read_only: false,
        }
    }
}

impl TripleStoreOptions {
    /// The defaults: 16 stripes, [`Durability::Sync`], a checkpoint after a million recent quads.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of stripes for the subjects: from 1 to [`stripe_lock::MAX_STRIPES`], rounded up to a power of two.
    /// The stored data does not depend on it, so a store may be opened with another number each time.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Error, TripleStoreOptions};
    ///
    /// let store = TripleStoreOptions::new().stripes(1).in_memory();
    /// assert_eq!(store.len(), 0);
    /// let dir = tempfile::tempdir()?;
    /// let refused = TripleStoreOptions::new().stripes(0).open(dir.path().join("data.vde"));
    /// assert!(matches!(refused, Err(Error::InvalidOption { option: "stripes", .. })));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes;
        self
    }

    /// The hash function that selects the stripe of a subject. The default is [keyed](StripeHasher::keyed), so an
    /// attacker cannot choose subjects that share one stripe. The stored data does not depend on it.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{StripeHasher, TripleStoreOptions};
    ///
    /// let store = TripleStoreOptions::new().hasher(StripeHasher::Fnv1a).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn hasher(mut self, hasher: StripeHasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// When writes are acknowledged.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Durability, TripleStoreOptions};
    ///
    /// let options = TripleStoreOptions::new().durability(Durability::Sync);
    /// # let _ = options;
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The number of recent quads, at least one, after which a [checkpoint](crate::TripleStore::checkpoint) merges them
    /// into the run in the background. Until then, each takes about 115 bytes of memory, and its terms as much again. If the run
    /// has more than eight times this number of quads, the merge waits for one eighth of the run's size, or until the quads take
    /// as many bytes as the [cache](Self::cache). Writers wait for the merge if as many recent quads are added again before it
    /// ends.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().checkpoint_after(10_000).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn checkpoint_after(mut self, quads: usize) -> Self {
        self.checkpoint_after = quads;
        self
    }

    /// The number of quads in a block of the run, from 1 to 16,384. It applies from the next merge on: existing blocks
    /// don't change. A lookup decodes half a block on average, so lookups in small blocks are faster. A block takes
    /// about 28 bytes of memory in each of the three or four orders.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().run_block(64).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn run_block(mut self, quads: usize) -> Self {
        self.run_block = quads;
        self
    }

    /// The bytes of memory for the parts of the run that were read last. The default is 256 MiB. A part is about 110 KiB, and
    /// is read from the file when it is first used. The ids of the terms that were looked up last take up to a sixteenth of it in
    /// addition. The recent quads with their terms and what queries hold are not counted. A load takes about as much again: half
    /// of it for quads, half for terms. A store in memory does not use it.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::TripleStoreOptions;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let store = TripleStoreOptions::new().cache(64 << 20).open(dir.path().join("data.vde"))?;
    /// assert_eq!(store.len(), 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// Whether the store merges in a thread of its own, which is the default. Otherwise, the writer that reaches the
    /// limit merges.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().background(false).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Opens the store read-only: the file is not changed, and need not be writable. Several processes may read one
    /// store at the same time, but not while another process writes it, because they would read an old state. Writes
    /// return [`Error::ReadOnly`].
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Error, TripleStore, TripleStoreOptions};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("data.vde");
    /// TripleStore::open(&path)?.update("INSERT DATA { <urn:s> <urn:p> 1 }")?;
    /// let readers = [(); 2].map(|()| TripleStoreOptions::new().read_only(true).open(&path));
    /// for reader in readers {
    ///     let reader = reader?;
    ///     assert_eq!(reader.len(), 1);
    ///     assert!(matches!(reader.update("CLEAR ALL"), Err(Error::ReadOnly)));
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// How many recent quads take as much memory as the cache.
    pub(crate) fn most_recent(&self) -> usize {
        self.cache / RECENT_BYTES
    }

    /// The most quads of a load in memory. They take half as much memory as the cache, or 2 MiB.
    pub(crate) fn batch(&self) -> usize {
        (self.cache / 2 / size_of::<EncodedQuad>()).max(BULK)
    }

    /// The most bytes of terms of a load in memory: half as many as the cache has, or 2 MiB.
    pub(crate) fn most_terms(&self) -> u64 {
        (self.cache as u64 / 2).max(LEAST_TERMS)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |option, reason| Err(Error::InvalidOption { option, reason });
        if !(1..=stripe_lock::MAX_STRIPES).contains(&self.stripes) {
            return wrong("stripes", "must be from 1 to 1,048,576");
        }
        if !(1..=MOST_IN_BLOCK).contains(&self.run_block) {
            return wrong("run_block", "must be from 1 to 16,384");
        }
        if self.checkpoint_after == 0 {
            return wrong("checkpoint_after", "must be at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.vde");
        let new = TripleStoreOptions::new;
        for (options, wrong) in [
            (new().stripes(0), "stripes"),
            (new().stripes(stripe_lock::MAX_STRIPES + 1), "stripes"),
            (new().run_block(0), "run_block"),
            (new().run_block(MOST_IN_BLOCK + 1), "run_block"),
            (new().checkpoint_after(0), "checkpoint_after"),
        ] {
            match options.open(&path) {
                Err(Error::InvalidOption { option, .. }) => assert_eq!(option, wrong),
                other => panic!("{other:?}"),
            }
            assert!(!path.exists(), "{wrong}");
        }
    }
}

//! Reading the values of a damaged store, as far as they can be read.

use super::{
    COMMIT, FORMAT, MANIFEST, MANIFEST_COPY, Manifest, NAMESPACE, VERSION, commits, other_data, other_version,
};
use crate::error::{Error, Result};
use crate::storage::dictionary::Dictionary;
use crate::storage::dictionary::archive::Archive;
use crate::storage::pages::{PAGE, Pages, Source};
use crate::storage::record;
use crate::storage::run::Run;
use crate::terms::quad::{EncodedQuad, Seq};
use std::collections::{BTreeMap, HashMap};
use vde_store::{ReadView, Vde};

/// What is left of a store. Its pages are read when they are needed, and may be damaged.
pub(crate) struct Remains {
    pub(crate) run: Run,
    pub(crate) dictionary: Dictionary,
    /// The quads that were changed after the last checkpoint, and whether they are there.
    pub(crate) recent: HashMap<EncodedQuad, bool, ahash::RandomState>,
    pub(crate) namespaces: BTreeMap<String, String>,
}

impl Remains {
    /// Reads a vde-store that was opened with salvage. Calls `lost` with a sentence for each loss.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] or [`Error::Corrupt`] if it is not a triple store of this format.
    pub(crate) fn of(vde: &Vde, cache: usize, lost: &mut impl FnMut(String)) -> Result<Self> {
        let view = vde.read_view();
        match view.get(FORMAT) {
            Ok(Some(version)) if version != VERSION.as_bytes() => return Err(other_version(&version)),
            Ok(None) if !has_data(&view) => return Err(other_data()),
            _ => {}
        }
        if let Some(offset) = vde.recovery().damaged_at {
            lost(format!("what was logged from byte {offset} of the file on"));
        }
        let pages = Pages::new(Some(Source::View(view.clone())), cache);
        let stored = [MANIFEST, MANIFEST_COPY].into_iter().find_map(|key| {
            let bytes = view.get(key).ok().flatten()?;
            Manifest::decode(&bytes, &pages)
        });
        let mut next = stored.as_ref().map(|(manifest, ..)| manifest.last + 1);
        if stored.is_none() && view.list([PAGE]).next().is_some() {
            lost("all quads of the last checkpoint: the list of its pages can't be read".into());
        }
        let (manifest, run, archive) =
            stored.unwrap_or_else(|| (Manifest::default(), Run::empty(&pages), Archive::empty(&pages)));
        let mut remains = Self {
            run,
            dictionary: Dictionary::new(archive, manifest.next_term),
            recent: HashMap::default(),
            namespaces: BTreeMap::new(),
        };
        for entry in view.list([NAMESPACE]) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    lost(format!("some prefixes: {error}"));
                    continue;
                }
            };
            let prefix = String::from_utf8_lossy(&entry.key()[1..]).into_owned();
            match entry.value().map(|iri| String::from_utf8_lossy(&iri).into_owned()) {
                Ok(iri) => _ = remains.namespaces.insert(prefix, iri),
                Err(error) => lost(format!("the prefix {prefix}: {error}")),
            }
        }
        for entry in view.range(commits(next.unwrap_or(0)..=Seq::MAX)) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    lost(format!("some commits: {error}"));
                    continue;
                }
            };
            let Some(seq) = entry.key().get(1..).and_then(|seq| seq.try_into().ok()) else { continue };
            let seq = Seq::from_be_bytes(seq);
            if let Some(missing) = next.filter(|next| *next < seq) {
                lost(format!("the commits from {missing} to {}", seq - 1));
            }
            next = Some(seq.saturating_add(1));
            let replayed = entry.value().map_err(Error::from).and_then(|bytes| remains.replay(&bytes));
            if let Err(error) = replayed {
                lost(format!("the commit {seq}: {error}"));
            }
        }
        Ok(remains)
    }

    fn replay(&mut self, record: &[u8]) -> Result<()> {
        let (terms, changes) = record::parse(record)?;
        for (id, bytes) in terms {
            self.dictionary.salvage(id, bytes);
        }
        self.recent.extend(changes.into_iter().map(|change| (change.quad, change.adds)));
        Ok(())
    }
}

/// Whether a store without a version has other values of a triple store.
fn has_data(view: &ReadView) -> bool {
    [&[COMMIT][..], &[PAGE]].iter().any(|prefix| view.list(prefix).next().is_some())
}

//! The prefix table: short names for IRIs, stored with the quads for display. Queries have their own `PREFIX`. Loads
//! and dumps do not use the table.

use crate::error::{Error, Result};
use crate::faces::store::TripleStore;
use oxrdf::NamedNode;

impl TripleStore {
    /// Sets the IRI of a prefix. It is durable when this returns. The table is for callers: queries, loads and dumps
    /// do not use it.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the IRI is invalid, [`Error::Storage`] if it can't be stored.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStore::in_memory();
    /// store.set_namespace("foaf", "http://xmlns.com/foaf/0.1/")?;
    /// assert_eq!(store.namespace("foaf").as_deref(), Some("http://xmlns.com/foaf/0.1/"));
    /// assert_eq!(store.namespaces().len(), 1);
    /// assert!(store.remove_namespace("foaf")?);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn set_namespace(&self, prefix: &str, iri: &str) -> Result<()> {
        NamedNode::new(iri).map_err(|error| Error::Unsupported(format!("the IRI {iri}: {error}")))?;
        let mut namespaces = self.engine.namespaces.lock();
        self.engine.journal.set_namespace(prefix, Some(iri))?;
        namespaces.insert(prefix.to_owned(), iri.to_owned());
        Ok(())
    }

    /// The IRI of a prefix.
    ///
    /// # Examples
    ///
    /// See [`set_namespace`](Self::set_namespace).
    pub fn namespace(&self, prefix: &str) -> Option<String> {
        self.engine.namespaces.lock().get(prefix).cloned()
    }

    /// Removes a prefix. Returns whether it existed.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the removal can't be stored.
    ///
    /// # Examples
    ///
    /// See [`set_namespace`](Self::set_namespace).
    pub fn remove_namespace(&self, prefix: &str) -> Result<bool> {
        let mut namespaces = self.engine.namespaces.lock();
        self.engine.journal.set_namespace(prefix, None)?;
        Ok(namespaces.remove(prefix).is_some())
    }

    /// All prefixes and their IRIs, sorted by prefix.
    ///
    /// # Examples
    ///
    /// See [`set_namespace`](Self::set_namespace).
    pub fn namespaces(&self) -> Vec<(String, String)> {
        self.engine.namespaces.lock().clone().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::TripleStoreOptions;

    #[test]
    fn prefixes_outlive_the_handle_and_checkpoints() {
        let vde = vde_store::Vde::in_memory().unwrap();
        let open = || TripleStoreOptions::new().open_in(&vde).unwrap();
        let store = open();
        store.set_namespace("", "http://example.com/").unwrap();
        store.set_namespace("a", "http://example.com/a").unwrap();
        store.set_namespace("a", "http://example.com/b").unwrap();
        store.set_namespace("gone", "http://example.com/c").unwrap();
        assert!(store.remove_namespace("gone").unwrap() && !store.remove_namespace("gone").unwrap());
        assert!(store.set_namespace("bad", "no IRI").is_err());
        store.update("INSERT DATA { <urn:s> <urn:p> 1 }").unwrap();
        store.checkpoint().unwrap();
        drop(store);
        let expected = [("", "http://example.com/"), ("a", "http://example.com/b")];
        assert_eq!(open().namespaces(), expected.map(|(prefix, iri)| (prefix.to_owned(), iri.to_owned())));
        assert_eq!(open().len(), 1);
    }
}

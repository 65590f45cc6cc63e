//! Checking a store for inconsistencies.

use crate::error::Result;
use crate::faces::snapshot::Snapshot;
use crate::faces::store::TripleStore;
use crate::terms::pattern::Pattern;
use std::sync::Arc;

/// The result of a verification.
///
/// # Examples
///
/// ```
/// let verified = triple_store::TripleStore::in_memory().verify()?;
/// assert!(verified.problems.is_empty());
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Verified {
    /// The number of quads that were read.
    pub quads: u64,
    /// The number of terms that were read.
    pub terms: u64,
    /// The problems, as text. At most 1,000 are listed.
    pub problems: Vec<String>,
}

/// The most problems that are listed.
const MOST_PROBLEMS: usize = 1000;

impl TripleStore {
    /// Writes again what can't be read: an order of the quads from the others, and the index of terms from the terms. Writers
    /// and readers keep working. Returns whether there was damage. The text of a term is stored once, so it can't be repaired.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if a quad can be read in no order, or a term can't be read: nothing is
    /// changed then. Otherwise as [`checkpoint`](Self::checkpoint).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!triple_store::TripleStore::in_memory().repair()?, "nothing is damaged");
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn repair(&self) -> Result<bool> {
        self.engine.repair()
    }

    /// Reads everything. Checks that all orders have the same quads, that every quad consists of terms of the
    /// dictionary in positions where they are allowed, and that the number of quads is right.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) if something can't be read. Inconsistencies are not errors: they are
    /// in the [`problems`](Verified::problems).
    ///
    /// # Examples
    ///
    /// See [`Verified`].
    pub fn verify(&self) -> Result<Verified> {
        let snapshot = self.snapshot();
        let mut verified = Verified::default();
        let mut problems = Vec::new();
        let mut problem = |text: String| {
            if problems.len() < MOST_PROBLEMS {
                problems.push(text);
            }
        };
        verify_terms(&snapshot, &mut verified, &mut problem);
        verify_quads(&snapshot, &mut verified, &mut problem);
        for layer in &snapshot.source.view.layers {
            layer.delta.verify(&mut problem);
        }
        snapshot.source.view.base.verify(&mut problem);
        verified.problems = problems;
        Ok(verified)
    }
}

fn verify_terms(snapshot: &Snapshot, verified: &mut Verified, problem: &mut impl FnMut(String)) {
    let dictionary = &snapshot.source.engine.dictionary;
    let archive = dictionary.archive();
    // What a checkpoint moves meanwhile is in the first, or in both.
    let recent = dictionary.recent();
    for ids in [Ok(recent)].into_iter().chain(dictionary.archive().blocks()) {
        let ids = ids.unwrap_or_else(|error| {
            problem(error.to_string());
            Vec::new()
        });
        for id in ids {
            verified.terms += 1;
            let found = dictionary.resolve(id).and_then(|term| Ok((dictionary.lookup(term.as_ref())?, term)));
            match found {
                Ok((Some(found), _)) if found == id => {}
                // A sweep has removed it meanwhile.
                _ if !Arc::ptr_eq(&archive, &dictionary.archive())
                    && matches!(dictionary.knows(id), Ok(false)) => {}
                Ok((_, term)) => problem(format!("{term} is stored as {id:?} and not found there")),
                Err(error) => problem(error.to_string()),
            }
        }
    }
}

fn verify_quads(snapshot: &Snapshot, verified: &mut Verified, problem: &mut impl FnMut(String)) {
    let source = &snapshot.source;
    let quads = match source.view.scan(&Pattern::ALL) {
        Ok(quads) => quads,
        Err(error) => return problem(error.to_string()),
    };
    for quad in quads {
        let found = quad.and_then(|quad| {
            verified.quads += 1;
            source.engine.dictionary.check(quad)?;
            Ok((quad, source.view.contains(quad)?))
        });
        match found {
            Ok((_, true)) => {}
            Ok((quad, false)) => problem(format!("{quad:?} is listed and not found")),
            Err(error) => problem(error.to_string()),
        }
    }
    if verified.quads != snapshot.len() {
        problem(format!("{} quads are counted and {} found", snapshot.len(), verified.quads));
    }
}

//! Results that are computed one by one.

use oxrdf::{NamedOrBlankNode, Triple};
use spareval::{CancellationToken, QueryEvaluationError};

use crate::error::{Error, Result};
use crate::sparql::depth::Room;
use crate::sparql::meter::{self, Meter};
use crate::sparql::once::Failure;

/// Results that are computed when they are requested. Each is computed with enough stack. After a cancellation there
/// are no more results: otherwise a product of large sides would return rows for a long time without reading data.
pub(super) struct Steps<T, I> {
    /// `None` once dropped.
    pub(super) results: Option<I>,
    pub(super) token: CancellationToken,
    pub(super) failure: Failure,
    pub(super) room: Room,
    pub(super) meter: Meter,
    /// How many bytes the evaluator remembers for each result.
    pub(super) remembered: Option<fn(&T) -> usize>,
}

impl<T, I: Iterator<Item = Result<T, QueryEvaluationError>>> Steps<T, I> {
    fn step(&mut self) -> Result<Option<T>> {
        let Some(results) = &mut self.results else { return Ok(None) };
        let result = self.meter.run(|| {
            let result = self.room.run(|| results.next()).transpose();
            if let (Some(remembered), Ok(Some(result))) = (self.remembered, &result) {
                meter::keep(remembered(result));
            }
            result
        });
        if result.is_err() {
            self.end();
        }
        self.failure.check()?;
        let result = result??;
        if result.is_some() && self.token.is_cancelled() { Err(Error::Cancelled) } else { Ok(result) }
    }
}

impl<T, I> Steps<T, I> {
    fn end(&mut self) {
        // An evaluation that is over its budget is still over it while it is dropped.
        let _ = self.meter.run(|| self.room.run(|| drop(self.results.take())));
    }
}

impl<T, I: Iterator<Item = Result<T, QueryEvaluationError>>> Iterator for Steps<T, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.step().map_err(reported).transpose()
    }
}

impl<T, I> Drop for Steps<T, I> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The error in the form in which results report it.
fn reported(error: Error) -> QueryEvaluationError {
    match error {
        Error::Cancelled => QueryEvaluationError::Cancelled,
        Error::Evaluation(error) => error,
        error => QueryEvaluationError::Dataset(error.into()),
    }
}

/// The bytes for a triple in a set.
pub(super) fn size(triple: &Triple) -> usize {
    let subject = match &triple.subject {
        NamedOrBlankNode::NamedNode(node) => node.as_str().len(),
        NamedOrBlankNode::BlankNode(node) => node.as_str().len(),
    };
    meter::ENTRY + subject + triple.predicate.as_str().len() + meter::text_length(&triple.object)
}

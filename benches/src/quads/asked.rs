//! The answers of a store to queries, and the time to ask them.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use oxrdf::{Literal, Term, Triple, vocab::xsd};
use triple_store::{CancellationToken, QueryResults};

use crate::contenders::{
    quads::{ReadableQuads, count},
    stores::Failure,
};

/// The most time that a store has to answer.
pub(super) const MOST: Duration = Duration::from_secs(5);

/// The sorted rows of each text, and the time that all took. `None` if one took longer than [`MOST`].
pub(super) type Answers = Option<(Vec<Vec<String>>, Duration)>;

/// The texts that a store is asked.
#[derive(Default)]
pub(super) struct Texts {
    texts: Vec<String>,
    asked: u64,
}

impl Texts {
    pub(super) fn answers(
        &mut self,
        store: &dyn ReadableQuads,
        texts: Vec<String>,
    ) -> Result<Answers, Failure> {
        self.texts = texts;
        let start = Instant::now();
        let answers = self.texts.iter().map(|text| answer(store, text).transpose());
        let rows: Option<Vec<_>> = answers.collect::<Option<_>>().transpose()?;
        Ok(rows.map(|rows| (rows, start.elapsed())))
    }

    pub(super) fn ask(
        &mut self,
        store: &dyn ReadableQuads,
        times: u64,
        new: bool,
    ) -> Result<Duration, Failure> {
        let (token, start) = (CancellationToken::new(), Instant::now());
        for _ in 0..times {
            for text in &self.texts {
                self.asked += 1;
                let text = if new { &format!("{text} # {}", self.asked) } else { text };
                read(store.query(text, &token)?)?;
            }
        }
        Ok(start.elapsed())
    }
}

/// Reads all rows and counts them.
fn read(results: QueryResults<'_>) -> Result<u64, Failure> {
    match results {
        QueryResults::Solutions(solutions) => count(solutions),
        QueryResults::Graph(triples) => count(triples),
        QueryResults::Boolean(holds) => Ok(u64::from(holds)),
    }
}

/// The rows that a store gives, or `None` after [`MOST`].
fn answer(store: &dyn ReadableQuads, text: &str) -> Result<Option<Vec<String>>, Failure> {
    let (token, (done, is_done)) = (CancellationToken::new(), mpsc::channel::<()>());
    thread::scope(|scope| {
        let cancel = || token.cancel();
        scope.spawn(move || {
            if is_done.recv_timeout(MOST) == Err(RecvTimeoutError::Timeout) {
                cancel();
            }
        });
        let found = store.query(text, &token).and_then(rows);
        drop(done);
        if token.is_cancelled() { Ok(None) } else { found.map(Some) }
    })
}

/// The rows as text, sorted.
fn rows(results: QueryResults<'_>) -> Result<Vec<String>, Failure> {
    let mut rows = Vec::new();
    match results {
        QueryResults::Solutions(solutions) => {
            for row in solutions {
                let mut values: Vec<_> =
                    row?.iter().map(|(name, value)| format!("{name} = {}", canonical(value))).collect();
                values.sort_unstable();
                rows.push(values.join(", "));
            }
        }
        QueryResults::Graph(triples) => {
            for triple in triples {
                let Triple { subject, predicate, object } = triple?;
                rows.push(format!("{subject} {predicate} {}", canonical(&object)));
            }
        }
        QueryResults::Boolean(holds) => rows.push(holds.to_string()),
    }
    rows.sort_unstable();
    Ok(rows)
}

/// A term as text. Decimal numbers are in one form, because Oxigraph does not keep the form in which they were loaded.
fn canonical(term: &Term) -> String {
    match term {
        Term::Literal(number) if number.datatype() == xsd::DECIMAL && number.value().contains('.') => {
            let value = number.value().trim_end_matches('0').trim_end_matches('.');
            Literal::new_typed_literal(value, xsd::DECIMAL).to_string()
        }
        term => term.to_string(),
    }
}

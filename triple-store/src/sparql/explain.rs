//! How a query is evaluated.

use super::dataset::Dataset;
use super::depth::Room;
use super::plan::Estimates;
use super::query::{Prepared, QueryOptions};
use crate::error::{Error, Result};
use crate::faces::snapshot::Snapshot;
use spareval::{QueryEvaluationError, QueryResults};
use std::cell::RefCell;
use std::fmt::Write;
use std::time::Instant;

impl Snapshot {
    /// The plan of a query as JSON: for each node, the number of rows and the time, and for a triple pattern also the
    /// estimated number of rows. The query is evaluated to measure them.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{QueryOptions, TripleStore};
    ///
    /// let snapshot = TripleStore::in_memory().snapshot();
    /// let plan = snapshot.explain("SELECT * WHERE { ?s <urn:p> ?o }", &QueryOptions::new())?;
    /// assert!(plan.contains("urn:p"));
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn explain(&self, query: &str, options: &QueryOptions) -> Result<String> {
        Room::of(query)?.run(|| self.explained(query, options))
    }

    fn explained(&self, query: &str, options: &QueryOptions) -> Result<String> {
        let estimates = RefCell::default();
        let (query, evaluator) =
            options.plan(options.parse(query)?, &self.source, Instant::now(), Some(&estimates))?;
        let Prepared { evaluator, token, failure, watchdog, terms, steps, meter } = evaluator;
        let evaluator = evaluator.compute_statistics();
        let mut prepared = options.prepare(&evaluator, &query);
        let dataset =
            Dataset::new(self.source.clone(), terms, &steps, prepared.dataset_mut(), token, watchdog)?;
        let explanation = meter.run(|| {
            let (results, explanation) = prepared.explain(dataset);
            match results? {
                QueryResults::Solutions(mut solutions) => solutions.try_for_each(|row| row.map(drop))?,
                QueryResults::Graph(mut triples) => triples.try_for_each(|row| row.map(drop))?,
                QueryResults::Boolean(_) => {}
            }
            Ok::<_, QueryEvaluationError>(explanation)
        });
        failure.check()?;
        let explanation = explanation??;
        let mut json = Vec::new();
        explanation.write_in_json(&mut json).map_err(|source| Error::Io { name: "plan".into(), source })?;
        Ok(with_estimates(&String::from_utf8_lossy(&json), estimates.into_inner()))
    }
}

/// Adds the estimated numbers of rows to the actual ones in the plan.
fn with_estimates(plan: &str, mut estimates: Estimates) -> String {
    const NAME: &str = "\"name\":\"";
    let mut parts = plan.split(NAME);
    let mut explained = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = string_end(part);
        let (name, rest) = part.split_at(end);
        explained.extend([NAME, name]);
        let place = estimates.iter().position(|(pattern, _)| *pattern == unescaped(name));
        if let Some((_, rows)) = place.map(|place| estimates.remove(place)) {
            let rest = rest.strip_prefix('"').unwrap_or(rest);
            write!(explained, "\",\"estimated number of results\":{:.0}{rest}", rows.min(1e18))
                .expect("writing to a string does not fail");
        } else {
            explained.push_str(rest);
        }
    }
    explained
}

/// Where a string of JSON ends.
fn string_end(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

fn unescaped(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

//! Queries that were parsed before.
//!
//! Programs ask few texts, and those again and again; to parse a short one takes as long as to evaluate it. What a text
//! means depends on nothing else, unless the options have a base IRI or aggregates.

use super::depth::Room;
use parking_lot::Mutex;
use spargebra::Query;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// Texts that are remembered at most: with one more, all are forgotten. A query takes some twenty times the bytes of its text.
const MOST_TEXTS: usize = 64;
/// Bytes of a text.
const MOST_BYTES: usize = 2048;

static PARSED: LazyLock<Mutex<Parsed>> = LazyLock::new(Mutex::default);

type Parsed = HashMap<Box<str>, (Arc<Query>, Room), ahash::RandomState>;

/// The query that a text was parsed to, and the stack it takes.
pub(super) fn find(text: &str) -> Option<(Arc<Query>, Room)> {
    if text.len() > MOST_BYTES { None } else { PARSED.lock().get(text).cloned() }
}

/// Remembers a query, unless it is large or deep.
pub(super) fn remember(text: &str, query: &Query, room: Room) {
    if text.len() <= MOST_BYTES && room.is_small() {
        let query = Arc::new(query.clone());
        let forgotten = add(&mut PARSED.lock(), text, query, room);
        // A query is dropped by recursion.
        Room::SMALL.run(|| drop(forgotten));
    }
}

/// Returns what is forgotten for it.
fn add(parsed: &mut Parsed, text: &str, query: Arc<Query>, room: Room) -> Parsed {
    let forgotten = if parsed.len() < MOST_TEXTS { Parsed::default() } else { std::mem::take(parsed) };
    parsed.insert(text.into(), (query, room));
    forgotten
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{QueryOptions, QueryResults, TripleStore};
    use spargebra::SparqlParser;

    #[test]
    fn as_many_texts_are_kept_as_there_may_be() {
        let mut parsed = Parsed::default();
        for n in 0..3 * MOST_TEXTS {
            let text = format!("ASK {{ ?s ?p {n} }}");
            let query = Arc::new(SparqlParser::new().parse_query(&text).unwrap());
            let forgotten = add(&mut parsed, &text, Arc::clone(&query), Room::SMALL);
            assert_eq!(parsed.get(&*text).map(|(query, _)| query), Some(&query));
            assert_eq!(parsed.len(), 1 + n % MOST_TEXTS);
            assert_eq!(forgotten.len(), if n > 0 && n % MOST_TEXTS == 0 { MOST_TEXTS } else { 0 });
        }
    }

    #[test]
    fn what_is_large_or_deep_is_not_remembered() {
        let remembered = |text: &str| {
            TripleStore::in_memory().query(text).unwrap();
            find(text).is_some()
        };
        assert!(!remembered(&format!("ASK {{ ?s ?p 'large' }}{}", " ".repeat(MOST_BYTES))));
        assert!(!remembered(&format!("ASK {{ FILTER({}true) }}", "!".repeat(1000))));
    }

    /// Whether the text is one that was parsed before or not, the answer is that of the data and the options of the moment.
    #[test]
    fn answers_are_those_of_the_moment() {
        let store = TripleStore::in_memory();
        let columns_and_rows = |text: &str| {
            let QueryResults::Solutions(rows) = store.query(text).unwrap() else { panic!("{text}") };
            let columns: Vec<_> = rows.variables().iter().map(ToString::to_string).collect();
            (columns.concat(), rows.count())
        };
        let text = "SELECT * { ?z <urn:parsed> ?a . ?z <urn:parsed> [] }";
        assert_eq!(columns_and_rows(text), ("?z?a".into(), 0));
        store.update("INSERT DATA { <urn:s> <urn:parsed> 1 . <urn:base/s> <urn:p> 1 }").unwrap();
        assert_eq!(columns_and_rows(text), ("?z?a".into(), 1));

        let with_base = |base: &str| {
            let options = QueryOptions::new().base_iri(base);
            matches!(store.query_with("ASK { <s> <urn:p> 1 }", &options), Ok(QueryResults::Boolean(true)))
        };
        assert!(with_base("urn:base/x") && !with_base("urn:other/x") && with_base("urn:base/x"));
        assert!(store.query("ASK { <s> <urn:p> 1 }").is_err());
    }
}

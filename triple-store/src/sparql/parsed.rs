//! A cache of parsed queries.
//!
//! Programs repeat a few queries, and parsing a short query takes as long as evaluating it. The parsed query depends
//! only on its text, unless the options have a base IRI or aggregates.

use super::depth::Room;
use parking_lot::Mutex;
use spargebra::Query;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The most queries in the cache. Adding one more clears the cache. A parsed query takes about 20 times the bytes of
/// its text.
const MOST_TEXTS: usize = 64;
/// The most bytes of a text in the cache.
const MOST_BYTES: usize = 2048;

static PARSED: LazyLock<Mutex<Parsed>> = LazyLock::new(Mutex::default);

type Parsed = HashMap<Box<str>, (Arc<Query>, Room), ahash::RandomState>;

/// The cached query of a text, and the stack that it needs.
pub(super) fn find(text: &str) -> Option<(Arc<Query>, Room)> {
    if text.len() > MOST_BYTES { None } else { PARSED.lock().get(text).cloned() }
}

/// Adds a query to the cache, unless it is large or deep.
pub(super) fn remember(text: &str, query: &Query, room: Room) {
    if text.len() <= MOST_BYTES && room.is_small() {
        let query = Arc::new(query.clone());
        let forgotten = add(&mut PARSED.lock(), text, query, room);
        // Dropping a query is recursive. A new stack takes longer than parsing a short text.
        if !forgotten.is_empty() {
            Room::SMALL.run(|| drop(forgotten));
        }
    }
}

/// Adds a query. Returns the queries that were removed to make room for it.
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
    fn a_full_cache_is_cleared() {
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
    fn large_and_deep_queries_are_not_cached() {
        let remembered = |text: &str| {
            TripleStore::in_memory().query(text).unwrap();
            find(text).is_some()
        };
        assert!(!remembered(&format!("ASK {{ ?s ?p 'large' }}{}", " ".repeat(MOST_BYTES))));
        assert!(!remembered(&format!("ASK {{ FILTER({}true) }}", "!".repeat(1000))));
    }

    /// A cached query reads the current data, and uses the options of its call.
    #[test]
    fn a_cached_query_uses_current_data_and_options() {
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

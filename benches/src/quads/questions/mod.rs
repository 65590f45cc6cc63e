//! Forty queries: those of the Berlin SPARQL Benchmark, the shapes of `WatDiv`, and some that many stores do not
//! answer in time.
//!
//! A query with a `LIMIT` orders its rows completely, so that every store has to give the same ones.

mod business;
mod explore;
mod links;
mod shapes;

use super::reads::SHOP;
use crate::rdf::{COUNTRIES, LINKS, WORDS};

/// A query with a number as its parameter. The number takes the place of the benchmark's random choices.
pub(super) struct Question {
    pub(super) name: &'static str,
    text: fn(usize, &Shop) -> String,
}

impl Question {
    /// The queries of the numbers below `count`, without repetition.
    pub(super) fn texts(&self, count: usize, shop: &Shop) -> Vec<String> {
        let mut texts: Vec<_> = (0..count).map(|n| with_prefixes(&(self.text)(n, shop))).collect();
        texts.dedup();
        texts
    }
}

fn with_prefixes(query: &str) -> String {
    format!(
        "PREFIX : <{LINKS}> PREFIX v: <{SHOP}vocabulary#> PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
         PREFIX xsd: <http://www.w3.org/2001/XMLSchema#> {query}"
    )
}

/// The shop that the queries are about.
pub(super) struct Shop {
    pub(super) products: usize,
}

impl Shop {
    fn product(&self, n: usize) -> String {
        format!("<{SHOP}Product/{}>", n * 7919 % self.products)
    }
}

fn feature(n: usize) -> String {
    format!("<{SHOP}Feature/{}>", 1 + n % 30)
}

/// Queries about the shop.
pub(super) const OF_THE_SHOP: [&[Question]; 3] = [explore::QUESTIONS, business::QUESTIONS, shapes::QUESTIONS];

/// Queries about the linked nodes.
pub(super) const OF_LINKS: [&[Question]; 1] = [links::QUESTIONS];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use triple_store::TripleStore;

    use super::{OF_LINKS, OF_THE_SHOP, Shop};

    #[test]
    fn there_are_forty_well_formed_queries_with_different_names() {
        let all = || OF_THE_SHOP.into_iter().chain(OF_LINKS).flatten();
        assert_eq!(all().map(|question| question.name).collect::<BTreeSet<_>>().len(), 40);
        let store = TripleStore::in_memory();
        for text in all().flat_map(|question| question.texts(4, &Shop { products: 9 })) {
            assert!(store.query(&text).is_ok(), "{text}");
        }
    }
}

//! The business intelligence use case of the Berlin SPARQL Benchmark, which counts and averages over the whole shop.

use super::{COUNTRIES, Question, feature};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        name: "B1: products by country of their producers",
        text: |_, _| {
            "SELECT ?country (COUNT(?product) AS ?products) (AVG(?n) AS ?number) WHERE { ?product v:producer ?p ;
             v:number0 ?n . ?p v:country ?country } GROUP BY ?country ORDER BY DESC(?products)"
                .into()
        },
    },
    Question {
        name: "B2: features by price of their offers",
        text: |_, _| {
            "SELECT ?feature (AVG(?price) AS ?mean) WHERE { ?product v:feature ?feature . ?offer v:product ?product ;
             v:price ?price } GROUP BY ?feature ORDER BY DESC(?mean) LIMIT 10"
                .into()
        },
    },
    Question {
        name: "B3: how many reviews are good",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?good) WHERE { ?review a v:Review ; v:rating1 ?r FILTER(?r >= 8) }".into()
        },
    },
    Question {
        name: "B4: vendors of a country by their mean price",
        text: |n, _| {
            let country = COUNTRIES[n % COUNTRIES.len()];
            format!(
                "SELECT ?vendor (AVG(?price) AS ?mean) (COUNT(?offer) AS ?offers) WHERE {{
                 ?vendor v:country \"{country}\" . ?offer v:vendor ?vendor ; v:price ?price }}
                 GROUP BY ?vendor ORDER BY DESC(?mean) LIMIT 10"
            )
        },
    },
    Question {
        name: "B5: reviewers who rate better than the mean",
        text: |_, _| {
            "SELECT ?by (AVG(?r) AS ?mean) WHERE { ?review v:reviewer ?by ; v:rating1 ?r
             { SELECT (AVG(?s) AS ?all) WHERE { ?any v:rating1 ?s } } }
             GROUP BY ?by ?all HAVING(AVG(?r) > ?all + 2)"
                .into()
        },
    },
    Question {
        name: "B6: products without an offer from a country",
        text: |n, _| {
            let country = COUNTRIES[n % COUNTRIES.len()];
            format!(
                "SELECT (COUNT(?product) AS ?products) WHERE {{ ?product v:feature {}
                 FILTER NOT EXISTS {{ ?offer v:product ?product ; v:vendor ?vendor .
                 ?vendor v:country \"{country}\" }} }}",
                feature(n)
            )
        },
    },
    Question {
        name: "B7: the cheapest offer of each product with a feature",
        text: |n, _| {
            format!(
                "SELECT ?product ?least ?vendor WHERE {{ {{ SELECT ?product (MIN(?price) AS ?least) WHERE {{
                 ?product v:feature {} . ?offer v:product ?product ; v:price ?price }} GROUP BY ?product }}
                 ?best v:product ?product ; v:price ?least ; v:vendor ?vendor }}",
                feature(n + 20)
            )
        },
    },
];

//! The explore use case of the Berlin SPARQL Benchmark, which looks for products of the shop.

use super::{Question, SHOP, WORDS, feature};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        name: "E1: products with two features",
        text: |n, _| {
            format!(
                "SELECT DISTINCT ?product ?label WHERE {{ ?product rdfs:label ?label ; a v:Product ;
                 v:feature {} , {} ; v:number0 ?n FILTER(?n > 500) }} ORDER BY ?label ?product LIMIT 10",
                feature(n),
                feature(n + 1)
            )
        },
    },
    Question {
        name: "E2: all about a product",
        text: |n, shop| {
            let product = shop.product(n);
            format!(
                "SELECT * WHERE {{ {product} rdfs:label ?label ; rdfs:comment ?comment ; v:producer ?p ;
                 v:feature ?f ; v:text0 ?t0 ; v:text1 ?t1 ; v:number0 ?n0 . ?p rdfs:label ?producer
                 OPTIONAL {{ {product} v:text2 ?t2 }} OPTIONAL {{ {product} v:text9 ?t9 }} }}"
            )
        },
    },
    Question {
        name: "E3: one feature and not another",
        text: |n, _| {
            format!(
                "SELECT ?product ?label WHERE {{ ?product rdfs:label ?label ; a v:Product ; v:feature {} ;
                 v:number0 ?n0 ; v:number1 ?n1 FILTER(?n0 > 800) FILTER(?n1 < 1200)
                 OPTIONAL {{ ?product v:feature {} ; rdfs:label ?without }} FILTER(!BOUND(?without)) }}
                 ORDER BY ?label ?product LIMIT 10",
                feature(n),
                feature(n + 3)
            )
        },
    },
    Question {
        name: "E4: one of two features",
        text: |n, _| {
            format!(
                "SELECT DISTINCT ?product ?label WHERE {{
                 {{ ?product rdfs:label ?label ; v:feature {} ; v:number0 ?n FILTER(?n > 1500) }} UNION
                 {{ ?product rdfs:label ?label ; v:feature {} ; v:number1 ?n FILTER(?n > 1500) }} }}
                 ORDER BY ?label ?product OFFSET 5 LIMIT 10",
                feature(n),
                feature(n + 5)
            )
        },
    },
    Question {
        name: "E5: products like this one",
        text: |n, shop| {
            let product = shop.product(n);
            format!(
                "SELECT DISTINCT ?other ?label WHERE {{ {product} v:feature ?f ; v:number0 ?n0 ; v:number1 ?n1 .
                 ?other v:feature ?f ; rdfs:label ?label ; v:number0 ?o0 ; v:number1 ?o1
                 FILTER({product} != ?other) FILTER(?o0 < ?n0 + 120 && ?o0 > ?n0 - 120)
                 FILTER(?o1 < ?n1 + 170 && ?o1 > ?n1 - 170) }} ORDER BY ?label ?other LIMIT 5"
            )
        },
    },
    Question {
        name: "E6: products with two words in their label",
        text: |n, _| {
            let (first, second) = (WORDS[n % WORDS.len()], WORDS[(n + 5) % WORDS.len()]);
            format!(
                "SELECT ?product ?label WHERE {{ ?product a v:Product ; rdfs:label ?label
                 FILTER(REGEX(?label, \"{first}.*{second}\")) }}"
            )
        },
    },
    Question {
        name: "E7: offers and reviews of a product",
        text: |n, shop| {
            let product = shop.product(n);
            format!(
                "SELECT * WHERE {{ {product} rdfs:label ?label
                 OPTIONAL {{ ?offer v:product {product} ; v:price ?price ; v:vendor ?vendor ; v:validTo ?to .
                 ?vendor rdfs:label ?name ; v:country \"DE\" }}
                 OPTIONAL {{ ?review v:reviewFor {product} ; v:reviewer ?by ; v:title ?title . ?by rdfs:label ?who
                 OPTIONAL {{ ?review v:rating1 ?r1 }} OPTIONAL {{ ?review v:rating2 ?r2 }} }} }}"
            )
        },
    },
    Question {
        name: "E8: the newest reviews of a product",
        text: |n, shop| {
            format!(
                "SELECT ?title ?text ?date ?who WHERE {{ ?review v:reviewFor {} ; v:title ?title ; v:text ?text ;
                 v:date ?date ; v:reviewer ?by . ?by rdfs:label ?who FILTER langMatches(lang(?text), \"en\") }}
                 ORDER BY DESC(?date) LIMIT 20",
                shop.product(n)
            )
        },
    },
    Question {
        name: "E9: the reviewer of a review, described",
        text: |n, shop| {
            format!(
                "DESCRIBE ?by WHERE {{ <{SHOP}Review/{}> v:reviewer ?by }}",
                n * 7919 % (2 * shop.products)
            )
        },
    },
    Question {
        name: "E10: cheap offers of a product",
        text: |n, shop| {
            format!(
                "SELECT DISTINCT ?offer ?price WHERE {{ ?offer v:product {} ; v:vendor ?vendor ; v:deliveryDays ?days ;
                 v:price ?price ; v:validTo ?to . ?vendor v:country ?country
                 FILTER(?days <= 10) FILTER(?to > \"2006-01-01\"^^xsd:date) }} ORDER BY ?price LIMIT 10",
                shop.product(n)
            )
        },
    },
    Question {
        name: "E11: all that names an offer, or it names",
        text: |n, shop| {
            let offer = format!("<{SHOP}Offer/{}>", n * 7919 % (3 * shop.products));
            format!(
                "SELECT ?property ?value ?of WHERE {{ {{ {offer} ?property ?value }} UNION
                 {{ ?of ?property {offer} }} }}"
            )
        },
    },
    Question {
        name: "E12: an offer as a graph",
        text: |n, shop| {
            format!(
                "CONSTRUCT {{ ?offer v:of ?label ; v:by ?name ; v:price ?price }} WHERE {{ ?offer v:product {} ;
                 v:vendor ?vendor ; v:price ?price . ?vendor rdfs:label ?name . {} rdfs:label ?label }}",
                shop.product(n),
                shop.product(n)
            )
        },
    },
];

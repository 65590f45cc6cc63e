//! The shapes of `WatDiv`: lines, stars, snowflakes and combinations of them.

use super::{Question, feature};

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        name: "L1: a line from a feature to the vendors",
        text: |n, _| {
            format!(
                "SELECT ?product ?vendor WHERE {{ ?product v:feature {} . ?offer v:product ?product .
                 ?offer v:vendor ?vendor }}",
                feature(n + 20)
            )
        },
    },
    Question {
        name: "L2: a line from a country to the products",
        text: |_, _| {
            "SELECT ?product ?label WHERE { ?p v:country \"KE\" . ?product v:producer ?p ; rdfs:label ?label }".into()
        },
    },
    Question {
        name: "L3: a line from a reviewer to the producers",
        text: |n, _| {
            format!(
                "SELECT DISTINCT ?p WHERE {{ ?review v:reviewer <http://shop.example/Reviewer/{}> ;
                 v:reviewFor ?product . ?product v:producer ?p }}",
                n % 50
            )
        },
    },
    Question {
        name: "S1: a star around the offers of a vendor",
        text: |n, shop| {
            format!(
                "SELECT * WHERE {{ ?offer v:vendor <http://shop.example/Vendor/{}> ; v:product ?product ;
                 v:price ?price ; v:validFrom ?from ; v:validTo ?to ; v:deliveryDays ?days ; v:webPage ?page }}",
                n % shop.products.div_ceil(50)
            )
        },
    },
    Question {
        name: "S2: a star around the products with a number",
        text: |n, _| {
            format!(
                "SELECT * WHERE {{ ?product v:number0 {} ; a v:Product ; rdfs:label ?label ; v:producer ?p ;
                 v:text0 ?text }}",
                1 + n * 97 % 1999
            )
        },
    },
    Question {
        name: "S3: a star with nothing to begin with",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) WHERE { ?review v:rating1 ?a ; v:rating2 ?b ; v:reviewFor ?product ; v:date ?d }"
                .into()
        },
    },
    Question {
        name: "F1: a snowflake around the offers of a feature",
        text: |n, _| {
            format!(
                "SELECT ?offer ?label ?who WHERE {{ ?product v:feature {} ; rdfs:label ?label ; v:producer ?p .
                 ?p v:country \"DE\" . ?offer v:product ?product ; v:deliveryDays 1 ; v:vendor ?vendor .
                 ?vendor rdfs:label ?who ; v:country ?where }}",
                feature(n)
            )
        },
    },
    Question {
        name: "F2: a snowflake around the best reviews",
        text: |n, _| {
            format!(
                "SELECT ?review ?label ?who WHERE {{ ?review v:rating1 10 ; v:rating2 10 ; v:reviewer ?by ;
                 v:reviewFor ?product . ?by rdfs:label ?who ; v:country \"FR\" . ?product rdfs:label ?label ;
                 v:feature {} }}",
                feature(n)
            )
        },
    },
    Question {
        name: "C1: reviews and offers of products of one country",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) WHERE { ?p v:country \"AT\" . ?product v:producer ?p . ?offer v:product ?product ;
             v:vendor ?vendor . ?vendor v:country \"AT\" . ?review v:reviewFor ?product ; v:rating1 ?r }"
                .into()
        },
    },
];

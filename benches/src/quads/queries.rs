//! Twelve queries in the manner of the Berlin SPARQL Benchmark: nine of its explore use case, which look around in the
//! shop, and three of its business intelligence use case, which count and average all of it.

use std::time::Instant;

use super::{Bench, Fresh, OURS, print, reads::SHOP, table};
use crate::{
    contenders::stores::Failure,
    harness::{Case, Comparison},
};

/// A query for each number, which stands for what the benchmark draws at random.
struct Question {
    name: &'static str,
    text: fn(usize, &Shop) -> String,
}

struct Shop {
    products: usize,
}

impl Shop {
    fn product(&self, n: usize) -> String {
        format!("<{SHOP}Product/{}>", n * 7919 % self.products)
    }
}

fn feature(n: usize) -> String {
    format!("<{SHOP}Feature/{}>", 1 + n % 30)
}

const QUESTIONS: &[Question] = &[
    Question {
        name: "E1: products with two features",
        text: |n, _| {
            format!(
                "SELECT DISTINCT ?product ?label WHERE {{ ?product rdfs:label ?label ; a v:Product ;
                 v:feature {} , {} ; v:number0 ?n FILTER(?n > 500) }} ORDER BY ?label LIMIT 10",
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
                 ORDER BY ?label LIMIT 10",
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
                 ORDER BY ?label OFFSET 5 LIMIT 10",
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
                 FILTER(?o1 < ?n1 + 170 && ?o1 > ?n1 - 170) }} ORDER BY ?label LIMIT 5"
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
];

/// Numbers that a question is asked for, in turn.
const TURNS: usize = 16;

pub(super) fn queries(bench: &Bench, stores: &[Fresh]) -> Result<(), Failure> {
    let shop = Shop { products: bench.options.products };
    let names: Vec<_> = stores.iter().map(|fresh| fresh.name).collect();
    let mut header = vec!["query, us".to_owned()];
    header.extend(names.iter().map(|name| (*name).to_owned()));
    header.extend(names.iter().filter(|name| **name != OURS).map(|name| format!("x {name}")));
    let mut rows = table::<0>([]);
    rows.set_header(header);
    let mut ratios = vec![Vec::new(); names.len()];
    for question in QUESTIONS {
        let mut texts: Vec<_> = (0..TURNS).map(|n| with_prefixes(&(question.text)(n, &shop))).collect();
        texts.dedup();
        agree(question.name, stores, &texts)?;
        let mut cases: Vec<_> = stores.iter().map(|fresh| asking(fresh, &texts)).collect();
        let result = Comparison::measure(&mut cases, bench.plan, |_| ());
        let samples = result.samples();
        let ours = samples.iter().find(|samples| samples.label == OURS).unwrap_or(&samples[0]);
        let mut row = vec![question.name.to_owned()];
        row.extend(samples.iter().map(|samples| format!("{:.0}", samples.time().median * 1e6)));
        for (samples, ratios) in samples.iter().zip(&mut ratios) {
            let ratio = samples.times_slower_than(ours).median;
            ratios.push(ratio);
            if samples.label != OURS {
                row.push(format!("{ratio:.2}"));
            }
        }
        rows.add_row(row);
    }
    let mut last = vec!["geometric mean".to_owned()];
    last.resize(1 + names.len(), String::new());
    for (_, ratios) in names.iter().zip(&ratios).filter(|(name, _)| **name != OURS) {
        let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
        last.push(format!("{:.2}", mean.exp()));
    }
    rows.add_row(last);
    print(rows);
    Ok(())
}

fn with_prefixes(query: &str) -> String {
    format!(
        "PREFIX v: <{SHOP}vocabulary#> PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
         PREFIX xsd: <http://www.w3.org/2001/XMLSchema#> {query}"
    )
}

fn asking<'a>(fresh: &'a Fresh, texts: &'a [String]) -> Case<'a> {
    let mut turn = 0;
    Case::new(fresh.name, move |operations| {
        let start = Instant::now();
        for _ in 0..operations {
            fresh.readable().query(&texts[turn % texts.len()]).expect("the store answers");
            turn += 1;
        }
        start.elapsed()
    })
}

/// That all stores give as many rows, and not none to every question.
fn agree(name: &str, stores: &[Fresh], texts: &[String]) -> Result<(), Failure> {
    let mut some = false;
    for text in texts {
        let rows: Vec<_> =
            stores.iter().map(|fresh| fresh.readable().query(text)).collect::<Result<_, _>>()?;
        assert!(rows.iter().all(|found| *found == rows[0]), "{name}: {rows:?} rows of {text}");
        some |= rows[0] > 0;
    }
    assert!(some, "{name} has no answers");
    Ok(())
}

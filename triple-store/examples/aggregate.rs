//! A custom aggregate and a custom function: the median price of the shops nearby.

use std::f64::consts::PI;
use triple_store::oxrdf::{Literal, NamedNode, Term};
use triple_store::{AggregateFunctionAccumulator, QueryOptions, QueryResults, RdfFormat, TripleStore};

const SHOPS: &str = "PREFIX ex: <http://example.com/>
    ex:ada ex:latitude 52.5200 ; ex:longitude 13.4050 ; ex:price 3.20 .
    ex:bob ex:latitude 52.5163 ; ex:longitude 13.3777 ; ex:price 2.80 .
    ex:cyd ex:latitude 52.5219 ; ex:longitude 13.4132 ; ex:price 9.90 .
    ex:dan ex:latitude 48.8566 ; ex:longitude 2.3522 ; ex:price 1.00 .";

/// The median of the numbers of a group. With an even number of values, the lower of the two in the middle.
#[derive(Default)]
struct Median(Vec<f64>);

impl AggregateFunctionAccumulator for Median {
    fn accumulate(&mut self, term: Term) {
        self.0.extend(number(&term));
    }

    fn finish(&mut self) -> Option<Term> {
        self.0.sort_by(f64::total_cmp);
        let middle = self.0.get(self.0.len().checked_sub(1)? / 2)?;
        Some(Literal::from(*middle).into())
    }
}

fn number(term: &Term) -> Option<f64> {
    match term {
        Term::Literal(literal) => literal.value().parse().ok(),
        _ => None,
    }
}

/// The kilometres between two places, each given by its latitude and longitude. It is meant for short distances,
/// because it takes the earth as flat.
fn kilometres(arguments: &[Term]) -> Option<Term> {
    let numbers: Option<Vec<f64>> = arguments.iter().map(number).collect();
    let &[latitude, longitude, other_latitude, other_longitude] = &*numbers? else { return None };
    let degree = 40_000.0 / 360.0;
    let (north, east) = (latitude - other_latitude, longitude - other_longitude);
    let east = east * (latitude * PI / 180.0).cos();
    Some(Literal::from(degree * north.hypot(east)).into())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = TripleStore::in_memory();
    store.load(SHOPS.as_bytes(), RdfFormat::Turtle, "shops.ttl")?;
    let options = QueryOptions::new()
        .function(NamedNode::new("http://example.com/km")?, kilometres)
        .aggregate(NamedNode::new("http://example.com/median")?, || Box::new(Median::default()));
    let query = "PREFIX ex: <http://example.com/>
        SELECT (COUNT(*) AS ?shops) (ex:median(?price) AS ?median) {
            ?shop ex:latitude ?latitude ; ex:longitude ?longitude ; ex:price ?price
            FILTER(ex:km(?latitude, ?longitude, 52.52, 13.40) < 10)
        }";
    let QueryResults::Solutions(solutions) = store.query_with(query, &options)? else {
        unreachable!("a SELECT has solutions")
    };
    for solution in solutions {
        let solution = solution?;
        println!("{} shops are near, and their median price is {}", solution["shops"], solution["median"]);
        assert_eq!(solution["median"], Literal::from(3.2).into());
    }
    Ok(())
}

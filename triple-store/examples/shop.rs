//! A shop in one file: a catalogue is loaded, many customers buy at once, and no item is sold twice. Meanwhile the
//! day's report is read from a snapshot.
//!
//! `cargo run -p triple-store --example shop`

use std::error::Error;
use std::thread;

use triple_store::oxrdf::{GraphName, Literal, NamedNode, Quad, Term};
use triple_store::{QueryResults, RdfFormat, TripleStore};

const CATALOGUE: &str = "
    PREFIX : <http://shop.example/>
    :lamp :name 'Lamp'@en, 'Lampe'@de ; :price 49.90 ; :stock 30 .
    :desk :name 'Desk'@en ; :price 210.00 ; :stock 5 .";

/// Takes one from the stock of `item`, if there is one, and records the customer: both or neither.
fn buy(store: &TripleStore, item: &str, customer: usize) -> Result<bool, Box<dyn Error + Send + Sync>> {
    let of = |name: &str| NamedNode::new(format!("http://shop.example/{name}"));
    let (item, stock, bought) = (of(item)?, of("stock")?, of("bought")?);
    let buyer = of(&format!("customer/{customer}"))?;
    store.transaction(|tx| {
        let in_stock = tx.quads_for_pattern(Some((&item).into()), Some((&stock).into()), None, None).next();
        let Some(quad) = in_stock.transpose()? else { return Ok(false) };
        let Term::Literal(count) = &quad.object else { return Ok(false) };
        let left: i64 = count.value().parse()?;
        if left == 0 {
            return Ok(false);
        }
        tx.remove(&quad)?;
        tx.insert(&Quad { object: Literal::from(left - 1).into(), ..quad })?;
        tx.insert(&Quad::new(buyer.clone(), bought.clone(), item.clone(), GraphName::DefaultGraph))?;
        Ok(true)
    })
}

/// The rows of a query, a line each.
fn lines(results: QueryResults<'_>) -> Result<Vec<String>, Box<dyn Error>> {
    let QueryResults::Solutions(solutions) = results else { return Err("not a SELECT".into()) };
    let line = |values: &[Option<Term>]| {
        let shown = values.iter().map(|value| value.as_ref().map_or("-".into(), Term::to_string));
        shown.collect::<Vec<_>>().join("  ")
    };
    solutions.map(|solution| Ok(line(solution?.values()))).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("shop.vde");
    let store = TripleStore::open(&path)?;
    store.load(CATALOGUE.as_bytes(), RdfFormat::Turtle, "catalogue.ttl")?;

    let before = store.snapshot();
    thread::scope(|scope| {
        for customer in 0..8 {
            let store = &store;
            scope.spawn(move || {
                buy(store, if customer % 2 == 0 { "desk" } else { "lamp" }, customer).unwrap()
            });
            scope.spawn(move || buy(store, "desk", customer + 8).unwrap());
        }
    });
    let report = "PREFIX : <http://shop.example/>
        SELECT ?item ?left (COUNT(?who) AS ?sold) { ?item :stock ?left OPTIONAL { ?who :bought ?item } }
        GROUP BY ?item ?left ORDER BY ?item";
    println!("in the morning: {:#?}", lines(before.query(report)?)?);
    println!("in the evening: {:#?}", lines(store.query(report)?)?);

    let sold_out = "PREFIX : <http://shop.example/>
        DELETE { ?item :price ?price } INSERT { ?item :soldOut true }
        WHERE { ?item :stock 0 ; :price ?price }";
    store.update(sold_out)?;
    drop((before, store));

    let reopened = TripleStore::open(&path)?;
    let QueryResults::Boolean(is_sold_out) =
        reopened.query("PREFIX : <http://shop.example/> ASK { :desk :soldOut true ; :stock 0 }")?
    else {
        return Err("ASK gives a boolean".into());
    };
    assert!(is_sold_out, "twelve wanted one of five desks");
    Ok(())
}

//! Functions and aggregates of the caller, and those of `GeoSPARQL`.

use oxrdf::vocab::xsd;
use oxrdf::{Literal, NamedNode, Term};
use std::sync::{Arc, Mutex};
use triple_store::{
    AggregateFunctionAccumulator, QueryOptions, QueryResults, RdfFormat, TripleStore, UpdateOptions,
};

fn name(local: &str) -> NamedNode {
    NamedNode::new(format!("http://example.com/{local}")).unwrap()
}

fn store() -> TripleStore {
    let store = TripleStore::in_memory();
    let turtle = "PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
        <urn:s> <urn:p> 1, 01, \"042\"^^xsd:int, 1.500, \"a\"@en, <urn:o>, TRUE, \"1\"^^xsd:boolean .";
    store.load(turtle.replace("TRUE", "true").as_bytes(), RdfFormat::Turtle, "data.ttl").unwrap();
    store
}

/// The first column of the rows, sorted.
fn column(store: &TripleStore, query: &str, options: &QueryOptions) -> Vec<String> {
    let QueryResults::Solutions(rows) = store.query_with(query, options).unwrap() else { panic!("{query}") };
    let text = |term: &Option<Term>| term.as_ref().map_or_else(String::new, Term::to_string);
    let mut column: Vec<_> = rows.map(|row| text(&row.unwrap().values()[0])).collect();
    column.sort();
    column
}

const PREFIX: &str = "PREFIX ex: <http://example.com/>";

#[test]
fn a_function_gets_and_returns_terms_unchanged() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let options = QueryOptions::new().function(name("same"), move |arguments| {
        log.lock().unwrap().push(arguments.to_vec());
        arguments.first().cloned()
    });
    let store = store();
    let all = column(&store, "SELECT ?o { ?s ?p ?o }", &options);
    let query = format!("{PREFIX} SELECT (ex:same(?o) AS ?x) {{ ?s ?p ?o }}");
    assert_eq!(column(&store, &query, &options), all);
    let mut given: Vec<_> = seen.lock().unwrap().drain(..).map(|terms| terms[0].to_string()).collect();
    given.sort();
    assert_eq!(given, all);
    let stored = format!(
        "{PREFIX} SELECT ?o {{ ?s ?p ?o BIND(ex:same(ex:same(?o)) AS ?x) ?s ?p ?x FILTER sameTerm(?o, ?x) }}"
    );
    assert_eq!(column(&store, &stored, &options), all);
    let computed = format!("{PREFIX} SELECT (ex:same(?o) + 1 AS ?x) {{ ?s ?p ?o FILTER(ex:same(?o) = 1) }}");
    assert_eq!(
        column(&store, &computed, &options),
        [Literal::from(2).to_string(), Literal::from(2).to_string()]
    );
    let literal = format!("{PREFIX} SELECT (STR(ex:same(\"007\"^^<{}>)) AS ?x) {{}}", xsd::BYTE.as_str());
    assert_eq!(column(&store, &literal, &options), ["\"007\""]);
}

#[test]
fn a_function_that_returns_none_is_an_error_in_an_expression() {
    let options = QueryOptions::new().function(name("none"), |_| None);
    let query = format!("{PREFIX} SELECT (COALESCE(ex:none(1), 'error') AS ?x) {{}}");
    assert_eq!(column(&store(), &query, &options), ["\"error\""]);
    let query = format!("{PREFIX} SELECT * {{ ?s ?p ?o FILTER(ex:none(?o)) }}");
    assert!(column(&store(), &query, &options).is_empty());
    let unknown = format!("{PREFIX} SELECT (ex:other(1) AS ?x) {{}}");
    let found = store().query_with(&unknown, &options);
    let found = found.and_then(|results| match results {
        QueryResults::Solutions(rows) => rows.collect::<Result<Vec<_>, _>>().map_err(Into::into),
        _ => panic!(),
    });
    assert!(found.is_err_and(|error| error.to_string().contains("other")), "it is named");
}

/// The terms of a group, written one after the other.
struct Written(Vec<String>);

impl AggregateFunctionAccumulator for Written {
    fn accumulate(&mut self, term: Term) {
        self.0.push(term.to_string());
    }

    fn finish(&mut self) -> Option<Term> {
        self.0.sort();
        (!self.0.is_empty()).then(|| Literal::from(self.0.join(" ")).into())
    }
}

/// The literal with the longest lexical form.
#[derive(Default)]
struct Longest(Option<Literal>);

impl AggregateFunctionAccumulator for Longest {
    fn accumulate(&mut self, term: Term) {
        if let Term::Literal(literal) = term
            && self.0.as_ref().is_none_or(|longest| literal.value().len() > longest.value().len())
        {
            self.0 = Some(literal);
        }
    }

    fn finish(&mut self) -> Option<Term> {
        self.0.take().map(Into::into)
    }
}

#[test]
fn an_aggregate_gets_and_returns_terms_unchanged() {
    let options = QueryOptions::new()
        .aggregate(name("written"), || Box::new(Written(Vec::new())))
        .aggregate(name("longest"), || Box::new(Longest::default()));
    let store = store();
    let expected = column(&store, "SELECT ?o { ?s ?p ?o }", &options).join(" ");
    let written = |what: &str| {
        let query = format!("{PREFIX} SELECT (ex:written({what}) AS ?x) {{ ?s ?p ?o }}");
        column(&store, &query, &options).remove(0)
    };
    assert_eq!(written("?o"), Literal::from(expected.as_str()).to_string());
    let longest = format!("{PREFIX} SELECT (ex:longest(?o) AS ?x) {{ ?s ?p ?o FILTER isNumeric(?o) }}");
    assert_eq!(column(&store, &longest, &options), ["\"1.500\"^^<http://www.w3.org/2001/XMLSchema#decimal>"]);
    let grouped =
        format!("{PREFIX} SELECT (ex:longest(?o) AS ?x) {{ ?s ?p ?o }} GROUP BY ?o HAVING(isIRI(?o))");
    assert_eq!(column(&store, &grouped, &options), [""], "nothing is unbound");
}

#[test]
fn updates_call_custom_functions_and_aggregates() {
    let store = store();
    let options = UpdateOptions::new()
        .function(name("same"), |arguments| arguments.first().cloned())
        .aggregate(name("longest"), || Box::new(Longest::default()));
    let update = format!(
        "{PREFIX} INSERT {{ ?s <urn:longest> ?x }} WHERE {{ {{ SELECT ?s (ex:longest(ex:same(?o)) AS ?x) {{ ?s ?p ?o }} GROUP BY ?s }} }}"
    );
    assert_eq!(store.update_with(&update, &options).unwrap().added, 1);
    let found = column(&store, "SELECT ?o { ?s <urn:longest> ?o }", &QueryOptions::new());
    assert_eq!(found, ["\"1.500\"^^<http://www.w3.org/2001/XMLSchema#decimal>"]);
}

#[cfg(feature = "geosparql")]
#[test]
fn geometries_are_compared() {
    let store = TripleStore::in_memory();
    let places = "PREFIX geo: <http://www.opengis.net/ont/geosparql#>
        <urn:inside> geo:asWKT \"POINT(1 1)\"^^geo:wktLiteral .
        <urn:outside> geo:asWKT \"POINT(9 9)\"^^geo:wktLiteral .
        <urn:wrong> geo:asWKT \"POINT(\"^^geo:wktLiteral .";
    store.load(places.as_bytes(), RdfFormat::Turtle, "places.ttl").unwrap();
    let query = "PREFIX geo: <http://www.opengis.net/ont/geosparql#>
        PREFIX geof: <http://www.opengis.net/def/function/geosparql/>
        SELECT ?place {
            ?place geo:asWKT ?point
            FILTER(geof:sfWithin(?point, \"POLYGON((0 0, 2 0, 2 2, 0 2, 0 0))\"^^geo:wktLiteral))
        }";
    assert_eq!(column(&store, query, &QueryOptions::new()), ["<urn:inside>"]);
    let far = query.replace("geof:sfWithin(?point, \"POLYGON((0 0, 2 0, 2 2, 0 2, 0 0))\"^^geo:wktLiteral)",
        "geof:distance(?point, \"POINT(1 2)\"^^geo:wktLiteral, <http://www.opengis.net/def/uom/OGC/1.0/metre>) < 200000");
    assert_eq!(column(&store, &far, &QueryOptions::new()), ["<urn:inside>"]);
}

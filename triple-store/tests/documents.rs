//! Every term in every syntax: a dump has the loaded terms, from memory, from a run and from a file.

use oxrdf::vocab::xsd;
use oxrdf::{BaseDirection, Dataset, GraphName, Literal, NamedNode, Quad, Term, Triple};
use triple_store::{CancellationToken, LoadOptions, RdfFormat, TripleStore};

fn node(name: &str) -> NamedNode {
    NamedNode::new_unchecked(format!("http://example.com/{name}"))
}

/// Literals whose lexical form, language or direction is easily lost.
fn literals() -> Vec<Literal> {
    let typed = |value: &str, datatype| Literal::new_typed_literal(value, datatype);
    vec![
        Literal::new_simple_literal(""),
        Literal::new_simple_literal("short"),
        Literal::new_simple_literal("a \"text\" of\n\ttwo lines \\ and \u{1f600}, longer than an id"),
        Literal::new_language_tagged_literal_unchecked("chat", "fr"),
        Literal::new_language_tagged_literal_unchecked("chat", "en-gb"),
        Literal::new_directional_language_tagged_literal_unchecked("chat", "he", BaseDirection::Rtl),
        Literal::new_directional_language_tagged_literal_unchecked("chat", "he", BaseDirection::Ltr),
        typed("1", xsd::INTEGER),
        typed("01", xsd::INTEGER),
        typed("-0", xsd::INTEGER),
        typed("123456789012345678901234567890", xsd::INTEGER),
        typed("no number", xsd::INTEGER),
        typed("1", xsd::INT),
        typed("1.0", xsd::DECIMAL),
        typed("1.00", xsd::DECIMAL),
        typed("1", xsd::DECIMAL),
        typed("1", xsd::BOOLEAN),
        typed("true", xsd::BOOLEAN),
        typed("1e0", xsd::DOUBLE),
        typed("1.0E0", xsd::DOUBLE),
        typed("NaN", xsd::FLOAT),
        typed("2024-02-29", xsd::DATE),
        typed("2024-02-29Z", xsd::DATE),
        typed("2024-02-29T24:00:00.000-05:00", xsd::DATE_TIME),
        typed("P1Y", xsd::DURATION),
        Literal::new_typed_literal("x", node("a-datatype-of-its-own")),
    ]
}

fn store(graph: &GraphName, triple_terms: bool) -> TripleStore {
    let store = TripleStore::in_memory();
    let quad = |predicate: &str, object: Term| Quad::new(node("s"), node(predicate), object, graph.clone());
    store.extend(literals().into_iter().map(|literal| quad("p", literal.into()))).unwrap();
    store.insert(&quad("p", node("o").into())).unwrap();
    if triple_terms {
        let inner = Triple::new(node("a"), node("b"), literals()[5].clone());
        let outer = Triple::new(node("a"), node("b"), inner.clone());
        store.extend([quad("q", inner.into()), quad("q", outer.into())]).unwrap();
    }
    store
}

fn contents(store: &TripleStore) -> Dataset {
    store.snapshot().iter().map(Result::unwrap).collect()
}

fn comes_back(format: RdfFormat, graph: &GraphName, triple_terms: bool) {
    let store = store(graph, triple_terms);
    let document = store.snapshot().dump(Vec::new(), format).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy.vde");
    let copy = TripleStore::open(&path).unwrap();
    let options = LoadOptions::new();
    copy.load_with(&*document, format, "document", &options)
        .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&document)));
    let expected = contents(&store);
    assert_eq!(contents(&copy), expected, "{format}");
    copy.checkpoint().unwrap();
    assert_eq!(contents(&copy), expected, "{format}, merged");
    drop(copy);
    let copy = TripleStore::open(&path).unwrap();
    assert_eq!(contents(&copy), expected, "{format}, opened again");
    assert!(copy.verify().unwrap().problems.is_empty());
    for quad in &expected {
        let found = copy.quads_for_pattern(None, Some(quad.predicate), Some(quad.object), None);
        assert_eq!(found.count(), 1, "{quad}");
    }
}

#[test]
fn every_term_survives_every_syntax_of_datasets() {
    let graph = GraphName::from(node("g"));
    for format in [RdfFormat::NQuads, RdfFormat::TriG] {
        comes_back(format, &graph, true);
        comes_back(format, &GraphName::DefaultGraph, true);
    }
}

#[test]
fn every_term_survives_every_syntax_of_graphs() {
    for format in [RdfFormat::NTriples, RdfFormat::Turtle] {
        comes_back(format, &GraphName::DefaultGraph, true);
    }
    comes_back(RdfFormat::RdfXml, &GraphName::DefaultGraph, false);
}

#[test]
fn triple_terms_are_matched_and_taken_apart_by_queries() {
    let store = store(&GraphName::DefaultGraph, true);
    let ask = |pattern: &str| {
        let query = format!("PREFIX : <http://example.com/> ASK {{ {pattern} }}");
        match store.query(&query).unwrap() {
            triple_store::QueryResults::Boolean(answer) => answer,
            _ => unreachable!("an ASK has a boolean"),
        }
    };
    assert!(ask(":s :q <<( :a :b 'chat'@he--rtl )>>"));
    assert!(!ask(":s :q <<( :a :b 'chat'@he--ltr )>>"));
    assert!(ask(":s :q <<( :a :b <<( :a ?p ?o )>> )>> FILTER(LANGDIR(?o) = 'rtl' && ?p = :b)"));
    assert!(ask(
        ":s :q ?t FILTER(isTRIPLE(?t) && OBJECT(?t) = TRIPLE(:a, :b, STRLANGDIR('chat', 'he', 'rtl')))"
    ));
    store.update("PREFIX : <http://example.com/> DELETE { :s :q ?t } WHERE { :s :q ?t FILTER(isTRIPLE(OBJECT(?t))) }").unwrap();
    assert!(ask(":s :q ?t") && !ask(":s :q ?t FILTER(isTRIPLE(OBJECT(?t)))"));
}

#[test]
fn documents_may_begin_with_a_byte_order_mark_or_be_utf_16() {
    let quad = "<urn:s> <urn:p> \"é\" .";
    let json = "{ \"@id\": \"urn:s\", \"urn:p\": \"é\" }";
    let xml = "<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE r [<!ENTITY rdf 'http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n\
               <!ENTITY e 'é'>]><rdf:RDF xmlns:rdf='&rdf;'><rdf:Description rdf:about='urn:s'><p xmlns='urn:'>&e;</p>\
               </rdf:Description></rdf:RDF>";
    for (format, text) in [
        (RdfFormat::Turtle, quad),
        (RdfFormat::NTriples, quad),
        (RdfFormat::TriG, quad),
        (RdfFormat::NQuads, quad),
        (RdfFormat::N3, quad),
        (RdfFormat::RdfXml, &xml.replace("16", "8")),
        (RdfFormat::from_extension("jsonld").unwrap(), json),
    ] {
        for keep_partial in [false, true] {
            let store = TripleStore::in_memory();
            let options = LoadOptions::new().keep_partial(keep_partial);
            store.load_with(format!("\u{feff}{text}").as_bytes(), format, "marked", &options).unwrap();
            let quad = store.snapshot().iter().next().unwrap().unwrap();
            assert_eq!(quad.object, Literal::new_simple_literal("é").into(), "{format}");
        }
    }
    let utf_16 =
        |mark: &str| format!("{mark}{xml}").encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    for bytes in [utf_16("\u{feff}"), utf_16("")] {
        let store = TripleStore::in_memory();
        assert_eq!(store.load(&*bytes, RdfFormat::RdfXml, "utf-16").unwrap().added, 1);
        let cut = store.load(&bytes[..bytes.len() - 1], RdfFormat::RdfXml, "cut");
        assert!(matches!(cut, Err(triple_store::Error::Io { .. })), "{cut:?}");
    }
}

/// Errors of a syntax without lines still name the document.
#[test]
fn errors_name_the_document_and_the_place() {
    for (format, text, line) in [
        (RdfFormat::NTriples, "<urn:s> <urn:p> <urn:o> .\noops", 2),
        (RdfFormat::NQuads, "<urn:s> <urn:p> <urn:o> .\noops", 2),
        (RdfFormat::Turtle, "<urn:s> <urn:p> <urn:o> .\n<urn:s> <urn:p> .", 2),
        (RdfFormat::TriG, "<urn:g> {\n<urn:s> <urn:p> }\n", 2),
        (RdfFormat::N3, "<urn:s> <urn:p> <urn:o> .\n<urn:s> <urn:p> .", 2),
        (RdfFormat::RdfXml, "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n<a>", 2),
        (RdfFormat::RdfXml, "<!-- one\ntwo -->\n<rdf:RDF>\n</rdf:RDF>\n", 3),
        (RdfFormat::from_extension("jsonld").unwrap(), "{\n\"@id\": \"urn:s\", oops", 2),
    ] {
        let store = TripleStore::in_memory();
        match store.load(text.as_bytes(), format, "the document") {
            Err(triple_store::Error::Syntax { file, line: found, .. }) => {
                assert_eq!((&*file, found), ("the document", line), "{format}");
            }
            other => panic!("{format}: {other:?}"),
        }
        assert!(store.is_empty());
    }
}

#[test]
fn an_incomplete_xml_document_is_an_error() {
    let xml = "<?xml version='1.0'?>\n<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns='urn:'>\n\
               <r:Description r:about='urn:s'><p>1</p><q r:resource='urn:o'/></r:Description>\n<!-- c -->\n</r:RDF>";
    let (begin, store) = (xml.find("<r:RDF").unwrap(), TripleStore::in_memory());
    for end in begin + 1..xml.len() {
        let result = store.load(&xml.as_bytes()[..end], RdfFormat::RdfXml, "cut.rdf");
        assert!(matches!(result, Err(triple_store::Error::Syntax { .. })), "{}: {result:?}", &xml[..end]);
        assert!(store.is_empty());
    }
    let options = LoadOptions::new().keep_partial(true);
    assert!(
        store.load_with(&xml.as_bytes()[..xml.len() - 5], RdfFormat::RdfXml, "cut.rdf", &options).is_err()
    );
    assert_eq!(store.len(), 2, "with `keep_partial`, the quads before the end are stored");
    assert_eq!(store.load(xml.as_bytes(), RdfFormat::RdfXml, "whole.rdf").unwrap().quads, 2);
}

/// A reader that ends a load when it is read for the second time.
struct Cancelling<'a>(&'a [u8], CancellationToken, usize);

impl std::io::Read for Cancelling<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.2 += 1;
        if self.2 == 2 {
            self.1.cancel();
        }
        // The whole text is readable in the end.
        self.0.read(buffer)
    }
}

#[test]
fn a_load_that_is_cancelled_stores_nothing() {
    let line = |n| format!("<urn:s{n}> <urn:p> <urn:o> .\n");
    let turtle: String = (0..2000).map(line).collect();
    for format in ["nt", "nq", "ttl", "trig", "n3", "rdf", "jsonld"] {
        let format = RdfFormat::from_extension(format).unwrap();
        let mut text = Vec::new();
        let source = TripleStore::in_memory();
        source.load(turtle.as_bytes(), RdfFormat::Turtle, "a").unwrap();
        source.snapshot().dump_graph(&mut text, format, &GraphName::DefaultGraph).unwrap();
        for keep_partial in [false, true] {
            let (store, token) = (TripleStore::in_memory(), CancellationToken::new());
            let options = LoadOptions::new().cancellation(token.clone()).keep_partial(keep_partial);
            let result = store.load_with(Cancelling(&text, token, 0), format, "a", &options);
            assert!(matches!(result, Err(triple_store::Error::Cancelled)), "{format}: {result:?}");
            assert!(store.is_empty(), "{format}");
        }
    }
}

#[test]
fn deep_documents_are_read_or_refused_and_no_stack_overflows() {
    let many = |part: &str| part.repeat(5000);
    for (format, text) in [
        (RdfFormat::Turtle, format!("<urn:s> <urn:p> {}{} .", many("( "), many(") "))),
        (RdfFormat::Turtle, format!("<urn:s> <urn:p> {}{} .", many("[ <urn:p> "), many("] "))),
        (RdfFormat::N3, format!("<urn:s> <urn:p> {}{} .", many("{ <urn:s> <urn:p> "), many("} "))),
        (RdfFormat::RdfXml, many("<a xmlns='urn:'>")),
        (
            RdfFormat::RdfXml,
            many(
                "<a xmlns='urn:'><b rdf:parseType='Triple' xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>",
            ),
        ),
        (RdfFormat::from_extension("jsonld").unwrap(), many("[")),
        (RdfFormat::from_extension("jsonld").unwrap(), many("{\"urn:p\":")),
        (RdfFormat::from_extension("jsonld").unwrap(), format!("{{\"@context\": {}", many("["))),
    ] {
        let load = move || {
            let store = TripleStore::in_memory();
            let result = store.load(text.as_bytes(), format, "deep");
            assert!(result.is_ok() || store.is_empty(), "{format}: {result:?}");
        };
        // The stack is so small that a small frame at every level would overflow it.
        std::thread::Builder::new().stack_size(256 << 10).spawn(load).unwrap().join().unwrap();
    }
}

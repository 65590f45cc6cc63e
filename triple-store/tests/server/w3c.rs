//! The W3C test suites for the SPARQL 1.1 Protocol and the Graph Store HTTP Protocol.
//!
//! They are not part of this repository. With a checkout of <https://github.com/w3c/rdf-tests>:
//!
//! ```text
//! TRIPLES_W3C_DIR=path/to/rdf-tests cargo test -p triple-store --test server w3c -- --include-ignored --nocapture
//! ```

use crate::client::{Answer, Running};
use oxrdf::dataset::CanonicalizationAlgorithm;
use oxrdf::{Dataset, NamedNodeRef, Term, TermRef};
use std::path::{Path, PathBuf};
use std::string::FromUtf8Error;
use triple_store::server::ServerOptions;
use triple_store::{LoadOptions, RdfFormat, TripleStore};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const MF: &str = "http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#";
const HT: &str = "http://www.w3.org/2011/http#";
const CNT: &str = "http://www.w3.org/2011/content#";
const UT: &str = "http://www.w3.org/2009/sparql/tests/test-update#";
const LABEL: &str = "http://www.w3.org/2000/01/rdf-schema#label";

/// A manifest and its folder.
struct Manifest {
    store: TripleStore,
    folder: PathBuf,
}

impl Manifest {
    fn read(path: &Path) -> Self {
        let (store, folder) = (TripleStore::in_memory(), path.parent().unwrap().to_owned());
        let base = format!("file://{}", path.display());
        store.load_file_with(path, &LoadOptions::new().base_iri(base)).unwrap();
        Self { store, folder }
    }

    fn values(&self, subject: &Term, predicate: &str) -> Vec<Term> {
        let subject = match subject.as_ref() {
            TermRef::NamedNode(node) => node.into(),
            TermRef::BlankNode(node) => node.into(),
            other => panic!("{other} has no properties"),
        };
        let predicate = NamedNodeRef::new(predicate).unwrap();
        let quads = self.store.quads_for_pattern(Some(subject), Some(predicate), None, None);
        quads.map(|quad| quad.unwrap().object).collect()
    }

    fn value(&self, subject: &Term, predicate: &str) -> Option<Term> {
        self.values(subject, predicate).pop()
    }

    fn text(&self, subject: &Term, predicate: &str) -> Option<String> {
        Some(text(&self.value(subject, predicate)?))
    }

    fn list(&self, subject: &Term, predicate: &str) -> Vec<Term> {
        let (mut items, mut rest) = (Vec::new(), self.value(subject, predicate));
        while let Some(cell) = rest {
            items.extend(self.value(&cell, &format!("{RDF}first")));
            rest = self.value(&cell, &format!("{RDF}rest"));
        }
        items
    }

    /// Header fields of a message, as lines.
    fn fields(&self, message: &Term) -> Vec<String> {
        let fields = self.list(message, &format!("{HT}headers"));
        let part = |field: &Term, name: &str| self.text(field, &format!("{HT}{name}")).unwrap();
        fields
            .iter()
            .map(|field| format!("{}: {}", part(field, "fieldName"), part(field, "fieldValue")))
            .collect()
    }

    fn body(&self, message: &Term) -> Option<Vec<u8>> {
        let body = self.value(message, &format!("{HT}body"))?;
        let chars = self.text(&body, &format!("{CNT}chars")).unwrap();
        Some(match self.text(&body, &format!("{CNT}characterEncoding")).as_deref() {
            Some("UTF-8") | None => chars.into_bytes(),
            Some("UTF-16") => chars.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Some(other) => panic!("{other}"),
        })
    }

    /// Runs a test. Returns the error if it fails.
    fn run(&self, test: &Term) -> Result<(), String> {
        let server = Running::new(ServerOptions::new());
        for data in self.values(test, &format!("{UT}graphData")) {
            let file = self.text(&data, &format!("{UT}graph")).unwrap();
            let graph = oxrdf::NamedNode::new(self.text(&data, LABEL).unwrap()).unwrap();
            let name = file.rsplit('/').next().unwrap();
            let options = LoadOptions::new().graph(graph);
            server
                .store
                .load_file_with(self.folder.join(name), &options)
                .map_err(|error| error.to_string())?;
        }
        let action = self.value(test, &format!("{MF}action")).unwrap();
        let authority = self.text(&action, &format!("{HT}connectionAuthority")).unwrap();
        let mut location: Option<(String, String)> = None;
        for request in self.list(&action, &format!("{HT}requests")) {
            // Replaces the suite's names of endpoints and graphs by those of this server.
            let ours = |name: String| {
                let name = name.replace("/gsp", "/store").replace("%2Fgsp", "%2Fstore");
                match &location {
                    Some((template, value)) => name.replace(template, value),
                    None => name,
                }
            };
            let method = self.text(&request, &format!("{HT}methodName")).unwrap();
            let target = ours(self.text(&request, &format!("{HT}absolutePath")).unwrap());
            let target = target
                .strip_prefix(&format!("http://{authority}"))
                .unwrap_or(&target)
                .replacen("/sparql/", "/sparql", 1);
            let body = self.body(&request).unwrap_or_default();
            let body = String::from_utf8(body)
                .map_or_else(FromUtf8Error::into_bytes, |body| ours(body).into_bytes());
            let mut fields = self.fields(&request);
            fields.push(format!("Host: {authority}\r\nContent-Length: {}\r\n\r\n", body.len()));
            let mut connection = server.connect();
            let head = format!("{method} {target} HTTP/1.1\r\n{}", fields.join("\r\n"));
            connection.write([head.as_bytes(), &body].concat()).map_err(|error| error.to_string())?;
            let answer = connection.answer(&method);
            let expected = self.value(&request, &format!("{HT}resp")).unwrap();
            self.check(&expected, &answer, &ours).map_err(|error| format!("{method} {target}: {error}"))?;
            if let Some(template) = self.text(&expected, &format!("{MF}expectedLocation")) {
                location = Some((template, answer.field("location").ok_or("no Location")?.to_owned()));
            }
        }
        Ok(())
    }

    fn check(&self, expected: &Term, answer: &Answer, ours: &dyn Fn(String) -> String) -> Result<(), String> {
        let found = format!("{} {:?} {}", answer.status, answer.field("content-type"), answer.body);
        let statuses = self.values(expected, &format!("{MF}expectedStatus"));
        if !statuses.iter().any(|status| is_status(&text(status), answer.status)) {
            return Err(format!("not {statuses:?} but {found}"));
        }
        if let Some(truth) = self.text(expected, &format!("{MF}expectedBoolean"))
            && !answer.body.contains(&format!("\"boolean\":{truth}"))
        {
            return Err(format!("not {truth} but {found}"));
        }
        let format = answer.field("content-type").and_then(RdfFormat::from_media_type);
        let is_rdf =
            format.is_some_and(|format| format != RdfFormat::from_media_type("application/json").unwrap());
        match self.text(expected, &format!("{MF}expectedFormat")).as_deref() {
            Some("RDF") if !is_rdf => return Err(format!("no RDF: {found}")),
            Some("boolean") if !answer.body.contains("\"boolean\"") => {
                return Err(format!("no truth value: {found}"));
            }
            Some("tabular") if !answer.body.contains("\"bindings\"") => {
                return Err(format!("no table: {found}"));
            }
            _ => {}
        }
        let Some(body) = self.body(expected) else { return Ok(()) };
        let body = ours(String::from_utf8(body).map_err(|error| error.to_string())?).into_bytes();
        let media_type = self.fields(expected).iter().find_map(|field| {
            let (name, value) = field.split_once(": ")?;
            name.eq_ignore_ascii_case("content-type").then(|| value.to_owned())
        });
        let wanted =
            media_type.as_deref().and_then(RdfFormat::from_media_type).ok_or("the suite names no syntax")?;
        let (here, there) =
            (canonical(answer.body.as_bytes(), format.ok_or("no RDF")?)?, canonical(&body, wanted)?);
        if here == there { Ok(()) } else { Err(format!("another graph: {found}")) }
    }
}

fn text(term: &Term) -> String {
    match term {
        Term::NamedNode(node) => node.as_str().to_owned(),
        Term::Literal(literal) => literal.value().to_owned(),
        other => other.to_string(),
    }
}

fn is_status(name: &str, status: u16) -> bool {
    match name.rsplit('#').next().unwrap() {
        "OK" => status == 200,
        "Created" => status == 201,
        "NoContent" => status == 204,
        "NotFound" => status == 404,
        "StatusCode2xx" => status / 100 == 2,
        "StatusCode3xx" => status / 100 == 3,
        "StatusCode4xx" => status / 100 == 4,
        other => panic!("{other}"),
    }
}

fn canonical(document: &[u8], format: RdfFormat) -> Result<Dataset, String> {
    let store = TripleStore::in_memory();
    let options = LoadOptions::new().base_iri("http://www.example/");
    store.load_with(document, format, "graph", &options).map_err(|error| error.to_string())?;
    let mut dataset: Dataset = store.snapshot().iter().map(Result::unwrap).collect();
    dataset.canonicalize(CanonicalizationAlgorithm::Unstable);
    Ok(dataset)
}

#[test]
#[ignore = "needs the suites: TRIPLES_W3C_DIR"]
fn the_suites_of_the_protocols_pass() {
    let root = PathBuf::from(std::env::var_os("TRIPLES_W3C_DIR").expect("TRIPLES_W3C_DIR names the suites"));
    let (mut passed, mut failed) = (0, Vec::new());
    for name in [
        "protocol/manifest",
        "graph-store-protocol/manifest-direct",
        "graph-store-protocol/manifest-indirect",
    ] {
        let path = root.join("sparql/sparql11").join(name).with_extension("ttl");
        let manifest = Manifest::read(&path.canonicalize().unwrap());
        let itself = Term::from(
            oxrdf::NamedNode::new(format!("file://{}", path.canonicalize().unwrap().display())).unwrap(),
        );
        for test in manifest.list(&itself, &format!("{MF}entries")) {
            match manifest.run(&test) {
                Ok(()) => passed += 1,
                Err(error) => failed.push(format!("{test}: {error}")),
            }
        }
    }
    println!("{passed} passed, {} failed", failed.len());
    assert!(failed.is_empty() && passed > 0, "{}", failed.join("\n"));
}

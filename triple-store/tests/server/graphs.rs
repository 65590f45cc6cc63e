//! SPARQL 1.1 Graph Store HTTP Protocol.

use crate::client::Running;
use triple_store::server::ServerOptions;

const TURTLE: &str = "text/turtle";

fn put(server: &Running, target: &str, body: &str) -> u16 {
    server.send("PUT", target, &["Content-Type: text/turtle"], body).status
}

#[test]
fn a_graph_is_made_read_added_to_replaced_and_deleted() {
    let server = Running::new(ServerOptions::new());
    let accept = ["Accept: application/n-triples"];
    let graph = "/store?graph=urn%3Ag";
    assert_eq!(server.get(graph, &[]).status, 404);
    assert_eq!(server.send("HEAD", graph, &[], "").status, 404);
    assert_eq!(put(&server, graph, "<#s> <urn:p> 1 ."), 201);
    let answer = server.get(graph, &accept);
    assert_eq!(answer.body, "<urn:g#s> <urn:p> \"1\"^^<http://www.w3.org/2001/XMLSchema#integer> .\n");
    let head = server.send("HEAD", graph, &accept, "");
    assert_eq!((head.status, head.field("content-length")), (200, Some(&*answer.body.len().to_string())));
    assert_eq!(server.post(graph, TURTLE, "<#s> <urn:p> 2 .").status, 204);
    assert_eq!(server.get(graph, &accept).body.lines().count(), 2);
    assert_eq!(put(&server, graph, "<#s> <urn:p> 3 ."), 204);
    assert_eq!(server.get(graph, &accept).body.lines().count(), 1);
    assert_eq!(server.send("DELETE", graph, &[], "").status, 204);
    assert_eq!(server.send("DELETE", graph, &[], "").status, 404);
    assert_eq!(server.post("/store?graph=urn:other", TURTLE, "<#s> <urn:p> 1 .").status, 201);
}

#[test]
fn the_default_graph_always_exists_and_is_separate_from_named_graphs() {
    let server = Running::new(ServerOptions::new());
    let accept = ["Accept: application/n-triples"];
    assert_eq!(server.get("/store?default", &accept).status, 200);
    assert_eq!(server.send("DELETE", "/store?default", &[], "").status, 204);
    assert_eq!(put(&server, "/store?graph=urn:g", "<urn:s> <urn:p> <urn:named> ."), 201);
    assert_eq!(put(&server, "/store?default", "<urn:s> <urn:p> <urn:o> ."), 204);
    assert_eq!(server.get("/store?default", &accept).body, "<urn:s> <urn:p> <urn:o> .\n");
    assert_eq!(put(&server, "/store?default", ""), 204);
    assert_eq!(server.get("/store?default", &accept).body, "");
    assert_eq!(server.store.len(), 1);
}

#[test]
fn the_whole_store_is_a_resource_too() {
    let server = Running::new(ServerOptions::new());
    let quads = "<urn:s> <urn:p> \"1\" .\n<urn:s> <urn:p> \"2\" <urn:g> .\n";
    assert_eq!(server.post("/store", "application/n-quads", quads).status, 204);
    let mut lines: Vec<_> = server.get("/store", &[]).body.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines.join("\n") + "\n", quads);
    assert_eq!(server.get("/store", &["Accept: text/turtle"]).status, 406, "it holds one graph only");
    let trig = server.send(
        "PUT",
        "/store?all",
        &["Content-Type: application/trig"],
        "<urn:x> { <urn:s> <urn:p> 1 }",
    );
    assert_eq!((trig.status, server.store.len()), (204, 1));
    assert_eq!(server.send("DELETE", "/store?all", &[], "").status, 204);
    assert!(server.store.is_empty());
}

#[test]
fn a_request_with_a_mistyped_parameter_changes_nothing() {
    let server = Running::new(ServerOptions::new());
    assert_eq!(put(&server, "/store?graph=urn:g", "<urn:s> <urn:p> 1 ."), 201);
    let update = "Content-Type: application/sparql-update";
    for (method, target, field, body) in [
        ("DELETE", "/store?grpah=urn:g", "", ""),
        ("DELETE", "/store?Graph=urn:g", "", ""),
        ("DELETE", "/store?graph=urn:g&x=1", "", ""),
        ("DELETE", "/store?all&default", "", ""),
        ("DELETE", "/store", "", ""),
        ("DELETE", "/store?", "", ""),
        ("PUT", "/store?grpah=urn:g", "Content-Type: text/turtle", ""),
        ("PUT", "/store", "Content-Type: application/trig", ""),
        ("POST", "/store?grpah=urn:g", "Content-Type: text/turtle", "<urn:s> <urn:p> 2 ."),
        ("PATCH", "/store?grpah=urn:g", update, "CLEAR ALL"),
        ("GET", "/store?grpah=urn:g", "", ""),
        ("POST", "/update?using-grpah-uri=urn:h", update, "DELETE WHERE { GRAPH ?g { ?s ?p ?o } }"),
        ("GET", "/query?query=ASK%7B%7D&defualt-graph-uri=urn:g", "", ""),
    ] {
        let fields = if field.is_empty() { vec![] } else { vec![field] };
        let answer = server.send(method, target, &fields, body);
        assert_eq!(answer.status, 400, "{method} {target}: {}", answer.body);
        assert_eq!(server.store.len(), 1, "{method} {target}");
    }
    assert_eq!(server.get("/query?query=ASK%7B%7D&format=json&output=json&results=json", &[]).status, 200);
}

#[test]
fn a_graph_can_be_named_by_its_own_address_or_by_the_server() {
    let server = Running::new(ServerOptions::new());
    assert_eq!(put(&server, "/store/people/1.ttl", "<#me> <urn:p> <1.ttl> ."), 201);
    let subject = server.query("SELECT * { GRAPH ?g { ?s <urn:p> ?o } }");
    let graph = "http://localhost/store/people/1.ttl";
    assert_eq!(subject, format!("g,s,o\r\n{graph},{graph}#me,{graph}\r\n"));
    let answer = server.post("/store", TURTLE, "<urn:s> <urn:p> 1 .");
    let location = answer.field("location").unwrap().strip_prefix("http://localhost").unwrap();
    assert_eq!((answer.status, server.get(location, &[]).status), (201, 200));
}

const FORM: &str = "multipart/form-data; boundary=AaB03x";

/// A form of parts, each with the fields of its head and its document.
fn form(parts: &[(&str, &str)]) -> String {
    let part = |(fields, document): &(&str, &str)| format!("--AaB03x\r\n{fields}\r\n\r\n{document}\r\n");
    parts.iter().map(part).collect::<String>() + "--AaB03x--\r\n"
}

const PART: &str = "Content-Disposition: form-data; name=\"one\"\r\nContent-Type: text/turtle; charset=utf-8";
const FILE: &str = "Content-Disposition: form-data; name=\"two\"; filename=\"two.nt\"\r\n\
                    Content-Type: application/octet-stream";

#[test]
fn a_form_holds_several_documents_that_are_stored_together() {
    let server = Running::new(ServerOptions::new());
    let turtle = "PREFIX : <urn:> :s :p 1, _:b .";
    let both = form(&[(PART, turtle), (FILE, "<urn:s> <urn:p> _:b .\n")]);
    assert_eq!(server.post("/store?graph=urn:g", FORM, &both).status, 201);
    let count = "SELECT (COUNT(*) AS ?n) (SUM(IF(isBlank(?o), 1, 0)) AS ?b) { GRAPH <urn:g> { ?s ?p ?o } }";
    assert_eq!(server.query(count), "n,b\r\n3,2\r\n", "each document has its own blank nodes");
    // Adds one more of each, then replaces all by fewer.
    assert_eq!(server.post("/store?graph=urn:g", FORM, &both).status, 204);
    assert_eq!(server.query(count), "n,b\r\n5,4\r\n");
    let put =
        |body: &str| server.send("PUT", "/store?graph=urn:g", &[&format!("Content-Type: {FORM}")], body);
    assert_eq!(put(&form(&[(PART, turtle)])).status, 204);
    assert_eq!(server.query(count), "n,b\r\n2,1\r\n");
    assert_eq!(put(&form(&[])).status, 204);
    assert!(server.store.is_empty());
    // Without a target graph, quads go to their graphs, and triples to a new graph.
    let trig = "Content-Disposition: form-data; name=three\r\nContent-Type: application/trig";
    let answer = server.post(
        "/store",
        FORM,
        &form(&[(PART, "<#s> <urn:p> 1 ."), (trig, "<urn:x> { <urn:s> <urn:p> 2 }")]),
    );
    let graph = answer.field("location").unwrap();
    let expected = format!("g,s,o\r\n{graph},{graph}#s,1\r\nurn:x,urn:s,2\r\n");
    assert_eq!(server.query("SELECT ?g ?s ?o { GRAPH ?g { ?s ?p ?o } } ORDER BY ?o"), expected);
}

#[test]
fn a_form_is_stored_whole_or_refused() {
    let server = Running::new(ServerOptions::new());
    let (good, text) = ("<urn:s> <urn:p> 1 .", "Content-Disposition: form-data; name=\"text\"");
    let whole = form(&[(PART, good), (FILE, "<urn:s> <urn:p> <urn:o> .")]);
    for (body, status, says) in [
        (form(&[(PART, good), (FILE, "<urn:s> <urn:p> .")]), 400, "two.nt:1:"),
        (form(&[(PART, good), (text, "free text")]), 415, "text must be RDF"),
        (whole[..whole.len() - 6].to_owned(), 400, "broken"),
        (whole[..40].to_owned(), 400, "broken"),
        (good.to_owned(), 400, "broken"),
        (String::new(), 400, "broken"),
        (whole.replace("form-data; name=\"two\"", &"x".repeat(1 << 20)), 413, "head of a part"),
    ] {
        let answer = server.post("/store?default", FORM, &body);
        assert_eq!(answer.status, status, "{says}: {}", answer.body);
        assert!(answer.body.contains(says), "{says} {}", answer.body);
    }
    assert_eq!(server.post("/store?default", "multipart/form-data", &whole).status, 400);
    assert_eq!(server.post("/store?default", "multipart/mixed; boundary=AaB03x", &whole).status, 415);
    assert!(server.store.is_empty());
    assert_eq!(server.post("/store?default", FORM, &whole).status, 204);
    assert_eq!(server.store.len(), 2);
}

#[test]
fn a_form_may_arrive_in_pieces_of_any_size() {
    let server = Running::new(ServerOptions::new());
    let line = |i| format!("<urn:s{i}> <urn:p> \"--AaB03\\r\\n\" .\r\n");
    let (small, large) = (line(0), (0..20_000).map(line).collect::<String>());
    for (documents, expected) in [([&*small, &*small], 1), ([&*large, &*small], 20_000)] {
        let body = form(&documents.map(|document| (FILE, document)));
        let pieces = if expected == 1 { 1 } else { 5_000 };
        let mut connection = server.connect();
        let head = format!("PUT /store?default HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n");
        connection.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n")).unwrap();
        for piece in body.as_bytes().chunks(pieces) {
            let length = format!("{:x}\r\n", piece.len());
            connection.write([length.as_bytes(), piece, b"\r\n"].concat()).unwrap();
        }
        connection.write("0\r\n\r\n").unwrap();
        assert_eq!(connection.answer("PUT").status, 204);
        assert_eq!(server.store.len(), expected);
    }
}

#[test]
fn invalid_requests_change_nothing() {
    let server = Running::new(ServerOptions::new());
    assert_eq!(put(&server, "/store?graph=urn:g", "<urn:s> <urn:p> 1 ."), 201);
    for (method, target, media_type, body, expected) in [
        ("PUT", "/store?graph=urn:g", "text/turtle", "<urn:s> <urn:p> 2 . oops", 400),
        ("PUT", "/store?graph=urn:g", "application/n-triples", "<urn:s> <urn:p> \"2\" .\noops", 400),
        ("PUT", "/store?graph=urn:g", "application/n-quads", "<urn:s> <urn:p> \"2\" <urn:h> .", 400),
        ("PUT", "/store?graph=urn:g", "image/png", "", 415),
        ("PUT", "/store?graph=urn:g&default", "text/turtle", "", 400),
        ("POST", "/store?graph=relative", "text/turtle", "", 400),
        ("PATCH", "/store?graph=urn:g", "text/turtle", "", 415),
    ] {
        let answer = server.send(method, target, &[&format!("Content-Type: {media_type}")], body);
        assert_eq!(answer.status, expected, "{method} {target} {media_type} {body}: {}", answer.body);
        if body.contains("oops") {
            assert!(answer.body.starts_with("body:"), "the place of the error: {}", answer.body);
        }
    }
    assert_eq!(server.query("SELECT ?o { GRAPH ?g { ?s ?p ?o } }"), "o\r\n1\r\n");
}

#[test]
fn a_graph_that_is_replaced_is_never_seen_empty_or_half() {
    let server = Running::new(ServerOptions::new());
    let version = |n: usize| {
        let line = |i| format!("<urn:s{i}> <urn:p> {n} .\n");
        (0..50).map(line).collect::<String>()
    };
    assert_eq!(put(&server, "/store?graph=urn:g", &version(0)), 201);
    std::thread::scope(|scope| {
        let writer = scope
            .spawn(|| (1..30).for_each(|n| assert_eq!(put(&server, "/store?graph=urn:g", &version(n)), 204)));
        while !writer.is_finished() {
            let body = server.get("/store?graph=urn:g", &["Accept: application/n-triples"]).body;
            let objects: std::collections::BTreeSet<_> =
                body.lines().map(|line| line.split(' ').nth(2)).collect();
            assert_eq!((body.lines().count(), objects.len()), (50, 1), "{body}");
        }
    });
}

#[test]
fn a_graph_is_patched_by_an_update_that_changes_no_other() {
    let server = Running::new(ServerOptions::new());
    for graph in ["default", "graph=urn:g", "graph=urn:h"] {
        put(&server, &format!("/store?{graph}"), "<urn:s> <urn:p> 1 .");
    }
    let patch = |target: &str, update: &str| {
        server.send("PATCH", target, &["Content-Type: application/sparql-update"], update)
    };
    let increment = "DELETE { ?s ?p ?o } INSERT { ?s ?p ?n } WHERE { ?s ?p ?o BIND(?o + 1 AS ?n) }";
    let rows =
        || server.query("SELECT ?g ?o { { ?s ?p ?o } UNION { GRAPH ?g { ?s ?p ?o } } } ORDER BY ?g ?o");
    assert_eq!(patch("/store?graph=urn:g", increment).status, 204);
    assert_eq!(rows(), "g,o\r\n,1\r\nurn:g,2\r\nurn:h,1\r\n");
    assert_eq!(patch("/store?graph=urn:g", "CLEAR DEFAULT ; INSERT DATA { <#s> <p> 5 }").status, 204);
    assert_eq!(server.query("SELECT ?s ?p { GRAPH <urn:g> { ?s ?p 5 } }"), "s,p\r\nurn:g#s,urn:p\r\n");
    let read = "INSERT { ?s ?p 7 } WHERE { GRAPH <urn:h> { ?s ?p ?o } } ; DELETE DATA { GRAPH <urn:g> { <urn:g#s> <urn:p> 5 } }";
    assert_eq!(patch("/store?graph=urn:g", read).status, 204);
    assert_eq!(patch("/store?default", increment).status, 204);
    assert_eq!(rows(), "g,o\r\n,2\r\nurn:g,7\r\nurn:h,1\r\n");
    assert_eq!(patch("/store?graph=urn:new", "INSERT DATA { <urn:s> <urn:p> 3 }").status, 204);
    for update in [
        "INSERT DATA { GRAPH <urn:h> { <urn:s> <urn:p> 4 } }",
        "DELETE WHERE { GRAPH ?g { ?s ?p ?o } }",
        "CLEAR GRAPH <urn:h>",
        "DROP ALL",
        "WITH <urn:h> DELETE { ?s ?p ?o } WHERE { ?s ?p ?o }",
        "DELETE { ?s ?p ?o } USING <urn:h> WHERE { ?s ?p ?o }",
        "COPY <urn:g> TO <urn:h>",
        "ADD DEFAULT TO <urn:h>",
        "CREATE GRAPH <urn:i>",
        "LOAD <http://example.com/>",
        "INSERT DATA { <urn:s> <urn:p> 9 } ; CLEAR GRAPH <urn:h>",
        "SELEKT",
    ] {
        for target in ["/store?graph=urn:g", "/store?default"] {
            assert_eq!(patch(target, update).status, 400, "{target} {update}");
        }
    }
    assert_eq!(rows(), "g,o\r\n,2\r\nurn:g,7\r\nurn:h,1\r\nurn:new,3\r\n");
    assert_eq!(patch("/store", "CLEAR NAMED").status, 204, "a patch of all graphs may change any graph");
    assert_eq!(rows(), "g,o\r\n,2\r\n");
    let refused = server.send("PATCH", "/store?default", &["Content-Type: application/rdf-patch"], "");
    assert_eq!((refused.status, refused.field("accept-patch")), (415, Some("application/sparql-update")));
}

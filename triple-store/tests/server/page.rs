//! The page in Chromium, and a custom page.

use crate::browser::{ALT, Browser, CTRL, SHIFT};
use crate::client::{Running, encode};
use serde_json::json;
use triple_store::TripleStore;
use triple_store::server::ServerOptions;

const ENTER: u8 = 13;

fn shop() -> TripleStore {
    let store = TripleStore::in_memory();
    store.set_namespace("shop", "http://example.com/shop#").unwrap();
    let update = "PREFIX s: <http://example.com/shop#> INSERT DATA {
        s:a s:price 10 ; s:label \"<img src=x onerror=alert(1)>\"@en .
        s:b s:price 9.5 ; s:label \"tea, \\\"green\\\"\" .
        <javascript:alert(1)> s:price 2e2 }";
    store.update(update).unwrap();
    store
}

const PRICES: &str = "PREFIX s: <http://example.com/shop#>
SELECT ?what ?price ?label WHERE { ?what s:price ?price OPTIONAL { ?what s:label ?label } } ORDER BY ?what";

/// The cells of a column, from top to bottom.
fn column(browser: &mut Browser, at: usize) -> String {
    let cells = format!("[...document.querySelectorAll('td:nth-child({at})')].map((cell) => cell.innerText)");
    browser.evaluate(&format!("{cells}.join('|')")).as_str().unwrap().to_owned()
}

fn message(browser: &mut Browser) -> String {
    browser.evaluate("document.getElementById('message').innerText").as_str().unwrap().to_owned()
}

/// Replaces the text in the editor.
fn write(browser: &mut Browser, text: &str) {
    browser.evaluate("text = document.getElementById('text'); text.focus(); text.select()");
    browser.write(text);
}

#[test]
fn results_are_a_table_that_can_be_sorted_and_downloaded() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Running::with_store(shop(), ServerOptions::new());
    let address = format!("http://{}/", server.address);
    browser.open(&format!("{address}#query={}", encode(PRICES)));
    browser.until("document.querySelectorAll('tbody tr').length === 3");
    assert!(message(&mut browser).starts_with("3 rows in "));
    assert_eq!(column(&mut browser, 1), "s:a|s:b|<javascript:alert(1)>");
    let hrefs = "[...document.querySelectorAll('td a')].every((link) => new URL(link.href).hash.startsWith('#query=DESCRIBE'))";
    assert_eq!(browser.evaluate(hrefs), true, "no link leads away, least of all to JavaScript");
    assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), 0, "text is shown as text");
    let align = "getComputedStyle(document.querySelector('td:nth-child(2)')).textAlign";
    assert_eq!(browser.evaluate(align), "right");

    let price = "document.querySelectorAll('th button')[1]";
    browser.evaluate(&format!("{price}.click()"));
    assert_eq!(column(&mut browser, 2), "9.5|10|2e2", "by value, and as it is written");
    browser.evaluate(&format!("{price}.click()"));
    assert_eq!(column(&mut browser, 2), "2e2|10|9.5");
    browser.evaluate("document.getElementById('csv').click()");
    assert_eq!(
        browser.downloaded("results.csv"),
        "what,price,label\r\njavascript:alert(1),2e2,\r\n\
         http://example.com/shop#a,10,<img src=x onerror=alert(1)>\r\n\
         http://example.com/shop#b,9.5,\"tea, \"\"green\"\"\"\r\n"
    );
    browser.evaluate("document.getElementById('json').click()");
    assert!(browser.downloaded("results.json").contains("\"bindings\":["));

    browser.evaluate("document.querySelector('td a[title$=\"#b\"]').click()");
    browser.until("document.querySelector('#results pre')?.innerText.includes('9.5')");
    write(&mut browser, "ASK { ?s ?p 10 }");
    browser.press("Enter", ENTER, CTRL);
    browser.until("document.querySelector('td')?.innerText.startsWith('true')");
    browser.assert_quiet(&address);
}

#[test]
fn an_error_is_marked_at_its_position() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Running::new(ServerOptions::new());
    let address = format!("http://{}/", server.address);
    browser.open(&address);
    write(&mut browser, "# 🦀\nSELECT * WHERE {\n  ?s ?p '🦀' ; nothere:name ?name }");
    browser.press("Enter", ENTER, CTRL);
    browser.until("document.querySelector('.fault')");
    assert_eq!(browser.evaluate("document.querySelectorAll('.fault').length"), 1);
    let marked = browser.evaluate("document.querySelector('.fault').innerText");
    let message = message(&mut browser);
    assert!(message.contains(" at 3:"), "{message}");
    let line = "  ?s ?p '🦀' ; nothere:name ?name }";
    let place: usize = message.rsplit(':').next().unwrap().parse().unwrap();
    let rest: String = line.chars().skip(place - 1).collect();
    assert!(rest.starts_with(marked.as_str().unwrap()), "{message}: {marked}");
    browser.write(" ");
    assert_eq!(browser.evaluate("document.querySelector('.fault')"), json!(null), "until it is changed");
    browser.assert_quiet(&address);
}

#[test]
fn updates_go_to_their_endpoint_with_the_entered_token() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Running::with_store(shop(), ServerOptions::new().token("xyzzy"));
    let address = format!("http://{}/", server.address);
    let update =
        "BASE <http://example.com/>\nPREFIX insert: <shop#> # select\nDELETE WHERE { ?s insert:label ?o }";
    // A link must not change anything.
    browser.open(&format!("{address}#query={}", encode(update)));
    assert_eq!((&*message(&mut browser), server.store.len()), ("", 5));
    for token in ["plugh", "xyzzy"] {
        if token == "plugh" {
            browser.press("Enter", ENTER, CTRL);
        }
        browser.until("document.getElementById('asks').open");
        assert_eq!(server.store.len(), 5);
        browser.evaluate("document.getElementById('token').select()");
        browser.write(token);
        browser.evaluate("document.querySelector('#asks button').click()");
    }
    browser.until("document.getElementById('message').innerText.startsWith('done in')");
    assert_eq!(server.store.len(), 3);
    write(&mut browser, "CLEAR ALL");
    browser.press("Enter", ENTER, CTRL);
    browser.until("document.getElementById('message').innerText.startsWith('done in')");
    assert!(server.store.is_empty(), "the token is kept");
    browser.assert_quiet(&address);
}

#[test]
fn keys_complete_explain_and_go_through_the_history() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Running::with_store(shop(), ServerOptions::new());
    let address = format!("http://{}/", server.address);
    browser.open(&address);
    write(&mut browser, "SELECT * { ?s sho");
    browser.until("document.querySelectorAll('#words li').length === 1");
    browser.press("Tab", 9, 0);
    let text = "document.getElementById('text').value";
    let completed = "PREFIX shop: <http://example.com/shop#>\nSELECT * { ?s shop:";
    assert_eq!(browser.evaluate(text), completed, "it is declared, too");
    browser.write("price ?price } ORDER BY ?pri");
    browser.until("document.querySelector('#words li[aria-selected=true]')?.innerText.trim() === '?price'");
    browser.press("Tab", 9, 0);
    assert_eq!(browser.evaluate(text), format!("{completed}price ?price }} ORDER BY ?price"));
    browser.press("Enter", ENTER, CTRL | SHIFT);
    browser.until("document.querySelectorAll('td.plan').length > 1");
    browser.picture("explained");
    write(&mut browser, "ASK {}");
    browser.press("Enter", ENTER, CTRL);
    browser.until("document.getElementById('message').innerText.startsWith('true')");
    browser.press("ArrowUp", 38, ALT);
    browser.until(&format!("{text}.includes('ORDER BY')"));
    browser.press("ArrowDown", 40, ALT);
    browser.until(&format!("{text} === 'ASK {{}}'"));
    browser.open(&address);
    browser.until(&format!("{text} === 'ASK {{}}'"));
    browser.evaluate("document.getElementById('past').click()");
    browser.until("document.querySelectorAll('#list button').length === 2");
    browser.picture("history");
    browser.evaluate("document.querySelectorAll('#list button')[1].click()");
    browser.until(&format!("{text}.includes('ORDER BY')"));
    browser.assert_quiet(&address);
}

#[test]
fn the_page_fits_a_phone_and_dark_mode() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Running::with_store(shop(), ServerOptions::new());
    let address = format!("http://{}/#query={}", server.address, encode(PRICES));
    let mut seen = Vec::new();
    for width in [390, 1280] {
        for scheme in ["light", "dark"] {
            let metrics =
                json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
            browser.call("Emulation.setDeviceMetricsOverride", metrics);
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.call("Emulation.setEmulatedMedia", features);
            browser.open(&address);
            browser.until("document.querySelectorAll('tbody tr').length === 3");
            let wide = browser.evaluate("document.documentElement.scrollWidth");
            assert!(wide.as_u64().unwrap() <= width, "{wide} pixels in {width}");
            seen.push(browser.evaluate("getComputedStyle(document.body).backgroundColor").to_string());
            browser.picture(&format!("{scheme}-{width}"));
        }
    }
    assert_ne!(seen[0], seen[1]);
    assert_eq!(seen[..2], seen[2..]);
    browser.assert_quiet(&format!("http://{}/", server.address));
}

#[test]
fn the_page_loads_nothing_from_other_servers() {
    let server = Running::with_store(shop(), ServerOptions::new());
    let page = server.get("/", &[]);
    assert!(page.field("content-security-policy").unwrap().contains("default-src 'none'"));
    for name in ["page.css", "page.js"] {
        assert!(page.body.contains(&format!("\"{name}\"")), "{name}");
        assert_eq!(server.get(&format!("/{name}"), &[]).status, 200, "{name}");
    }
    let lines: usize = [&page.body, &server.get("/page.css", &[]).body, &server.get("/page.js", &[]).body]
        .map(|text| text.lines().count())
        .iter()
        .sum();
    assert!(lines <= 500, "{lines} lines");
    let loaded = page.body.matches("src=\"").count() + page.body.matches("href=\"").count();
    assert_eq!(loaded, 3, "and an empty icon");
    let prefixes = server.get("/prefixes", &[]).body;
    assert!(prefixes.contains("PREFIX shop: <http://example.com/shop#>\n"), "{prefixes}");
    assert!(prefixes.contains("PREFIX foaf: <http://xmlns.com/foaf/0.1/>\n"), "{prefixes}");
}

#[test]
fn a_plan_is_sent_as_json() {
    let server = Running::with_store(shop(), ServerOptions::new());
    let plan = server.post("/query?explain", "application/sparql-query", PRICES);
    assert_eq!((plan.status, plan.field("content-type")), (200, Some("application/json")));
    let plan: serde_json::Value = serde_json::from_str(&plan.body).unwrap();
    assert!(plan["plan"]["name"].is_string());
    assert_eq!(server.post("/query?explain", "application/sparql-query", "SELEKT").status, 400);
}

#[test]
fn another_page_is_served_from_a_folder_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("page")).unwrap();
    std::fs::write(dir.path().join("page/index.html"), "<p>another page").unwrap();
    std::fs::write(dir.path().join("page/query"), "not this").unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let server = Running::with_store(shop(), ServerOptions::new().page(dir.path().join("page")));
    let page = server.get("/", &[]);
    assert_eq!((page.status, &*page.body), (200, "<p>another page"));
    assert!(page.field("content-security-policy").unwrap().contains("connect-src 'self'"));
    assert_eq!(server.get("/page.js", &[]).status, 404);
    assert_eq!(server.query("SELECT (1 AS ?x) {}"), "x\r\n1\r\n", "routes come first");
    for target in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret", "/page/../../secret", "/%00"] {
        let answer = server.get(target, &[]);
        assert!(answer.status >= 400 && !answer.body.contains("secret"), "{target}: {}", answer.status);
    }
}

//! Functions that process untrusted bytes: nothing may panic, and a refused input changes nothing. The fuzz targets
//! call them, and the test `hostile` calls them with the saved inputs.

use std::sync::OnceLock;
use std::time::Duration;
use triple_store::{Error, QueryOptions, QueryResults, RdfFormat, TripleStoreOptions, UpdateOptions};
use vde_store::{Vde, VdeOptions};

const SYNTAXES: [&str; 7] = ["nt", "nq", "ttl", "trig", "rdf", "n3", "jsonld"];

/// Loads a document in the syntax that the first byte selects. Dumps the store, and loads the dump.
pub(crate) fn load(data: &[u8]) {
    let Some((format, document)) = data.split_first() else { return };
    let store = TripleStoreOptions::new().background(false).in_memory();
    let format = RdfFormat::from_extension(SYNTAXES[usize::from(*format) % SYNTAXES.len()]);
    if store.load(document, format.expect("a known extension"), "hostile").is_err() {
        assert!(store.is_empty(), "a refused document leaves nothing");
        return;
    }
    let dumped =
        store.snapshot().dump(Vec::new(), RdfFormat::NQuads).expect("a dump to memory does not fail");
    let copy = TripleStoreOptions::new().background(false).in_memory();
    // Some parsers accept invalid terms, which the parser of N-Quads then rejects.
    if copy.load(&*dumped, RdfFormat::NQuads, "dumped").is_ok() {
        assert_eq!(copy.len(), store.len());
    }
}

/// Runs a text as a query and as an update.
pub(crate) fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let store = TripleStoreOptions::new().background(false).in_memory();
    store.update(DATA).expect("the data are an update");
    let limit = Duration::from_millis(200);
    match store.query_with(text, &QueryOptions::new().timeout(limit)) {
        Ok(QueryResults::Solutions(rows)) => rows.take(1000).for_each(drop),
        Ok(QueryResults::Graph(triples)) => triples.take(1000).for_each(drop),
        Ok(QueryResults::Boolean(_)) | Err(_) => {}
    }
    let before = store.len();
    if store.update_with(text, &UpdateOptions::new().timeout(limit).most_changes(1000)).is_err() {
        assert_eq!(store.len(), before, "a refused update changes nothing");
    }
    assert!(store.verify().expect("a store in memory can be read").problems.is_empty());
}

const DATA: &str = "PREFIX : <urn:> INSERT DATA { :a :p 1, 2.5, 'text', 'chat'@fr ; :q :b . :b :q :a, [] .
                    GRAPH :g { :a :p true . << :a :p 1 >> :says :b } }";

/// A key and its value.
type Stored = (Box<[u8]>, Vec<u8>);

/// The values of a store with a run, terms and a commit after the checkpoint.
pub(crate) fn values() -> &'static [Stored] {
    static VALUES: OnceLock<Vec<Stored>> = OnceLock::new();
    VALUES.get_or_init(|| {
        let make = || -> Result<_, Error> {
            let vde = vde()?;
            let store = TripleStoreOptions::new().background(false).run_block(2).open_in(&vde)?;
            store.update(DATA)?;
            store.checkpoint()?;
            store.update("INSERT DATA { <urn:c> <urn:p> 'a text that is too long to be its own number' }")?;
            let read = |entry: vde_store::Result<vde_store::Entry>| {
                let entry = entry?;
                Ok((entry.key().into(), entry.value()?.to_vec()))
            };
            vde.list([]).map(read).collect()
        };
        make().expect("memory takes a store")
    })
}

fn vde() -> vde_store::Result<Vde> {
    VdeOptions::new().background(false).segment_size(1 << 18).in_memory()
}

/// Replaces the stored value that the first byte selects. The store must either not open, or open and work without a
/// panic.
pub(crate) fn stored(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    let values = values();
    let which = usize::from(*which) % values.len();
    let vde = vde().expect("memory takes a store");
    for (number, (key, value)) in values.iter().enumerate() {
        vde.put(key, if number == which { bytes } else { value }).expect("memory takes a value");
    }
    let Ok(store) = TripleStoreOptions::new().background(false).open_in(&vde) else { return };
    store.snapshot().iter().for_each(drop);
    // Damage may cause errors.
    _ = store.verify();
    _ = store.insert(&triple());
    _ = store.checkpoint();
}

fn triple() -> oxrdf::Quad {
    let node = oxrdf::NamedNode::new_unchecked("urn:new");
    oxrdf::Quad::new(node.clone(), node.clone(), node, oxrdf::GraphName::DefaultGraph)
}

//! Updates of whole graphs need no more memory for a larger graph, and give its space back. The allocator of this program counts.

use oxrdf::vocab::xsd;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use triple_store::{Durability, RdfFormat, TripleStore, TripleStoreOptions};
use vde_store::{Vde, VdeOptions};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller promises the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller promises the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many bytes more than before were held at the same time.
fn peak(run: impl FnOnce()) -> usize {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    run();
    PEAK.load(Ordering::Relaxed) - before
}

const QUADS: u64 = 280_000;

/// The most bytes that a request may hold. A list of the quads takes more: each takes 32 bytes, and 115 as a recent quad.
const MOST: usize = 24 << 20;

fn open(vde: &Vde) -> TripleStore {
    let options = TripleStoreOptions::new().background(false).cache(1 << 20).durability(Durability::Buffered);
    options.open_in(vde).unwrap()
}

#[test]
fn memory_does_not_grow_with_the_graph_and_its_space_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let vde = VdeOptions::new().segment_size(1 << 18).open(dir.path().join("store.vde")).unwrap();
    let mut text = String::new();
    for n in 0..QUADS {
        let (s, p, integer) = (n % 997, n % 5, xsd::INTEGER.as_str());
        writeln!(text, "<urn:s{s}> <urn:p{p}> \"{n}\"^^<{integer}> <urn:g> .").unwrap();
    }
    open(&vde).load(text.as_bytes(), RdfFormat::NQuads, "text").unwrap();
    drop(text);
    vde.checkpoint().unwrap();
    let used = vde.stats().unwrap().container_bytes;
    let store = open(&vde);
    for request in [
        "COPY <urn:g> TO <urn:h>",
        "DELETE WHERE { GRAPH <urn:h> { ?s ?p ?o } }",
        "ADD <urn:g> TO DEFAULT",
        "MOVE DEFAULT TO <urn:i>",
        "DROP GRAPH <urn:i>",
        "CLEAR ALL",
    ] {
        let held = peak(|| {
            let updated = store.update(request).unwrap();
            assert!(updated.added + updated.removed >= QUADS, "{request}");
        });
        assert!(held < MOST, "{request} holds {held} bytes");
    }
    assert!(store.is_empty());
    vde.checkpoint().unwrap();
    vde.compact().unwrap();
    let left = vde.stats().unwrap().container_bytes;
    assert!(left < used / 2, "{left} of {used} bytes are left");
}

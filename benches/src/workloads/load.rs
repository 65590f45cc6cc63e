//! RDF loaded by several writers.

use std::{
    collections::HashSet,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use oxrdf::{NamedOrBlankNode, Quad};

use crate::{
    contenders::{KeyLock, quads::ReadableQuads, stores::Failure},
    harness::Case,
};

/// Writers that load `subjects` into a new store. Each writer takes the next subject, and adds all its quads as one
/// transaction while it holds the subject's lock in `lock`. An operation is one quad.
///
/// `open` creates the store, and returns with it what must live as long as the store. This is not part of the
/// measured time. After every load, the case checks that the store has each quad once.
pub fn load<'a, Store, Keep>(
    label: impl Into<String>,
    open: impl Fn() -> Result<(Store, Keep), Failure> + 'a,
    lock: impl KeyLock<NamedOrBlankNode> + 'a,
    subjects: &'a [Vec<Quad>],
    writers: usize,
) -> Case<'a>
where
    Store: ReadableQuads,
{
    let total: usize = subjects.iter().map(Vec::len).sum();
    let distinct = subjects.iter().flatten().collect::<HashSet<_>>().len();
    Case::fixed(label, total as u64, move || {
        let (store, _keep) = open().expect("an empty directory takes a new store");
        let work: Vec<_> = subjects.iter().map(|quads| Mutex::new(quads.clone())).collect();
        let next = AtomicUsize::new(0);
        let barrier = Barrier::new(writers + 1);
        let took = thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        while let Some(quads) = work.get(next.fetch_add(1, Relaxed)) {
                            let quads = std::mem::take(&mut *quads.lock().expect("nobody else takes it"));
                            let Some(subject) = quads.first().map(|quad| quad.subject.clone()) else {
                                continue;
                            };
                            lock.with(&subject, || store.add(quads)).expect("the store takes every quad");
                        }
                    })
                })
                .collect();
            barrier.wait();
            let start = Instant::now();
            for thread in threads {
                thread.join().expect("writers do not panic");
            }
            start.elapsed()
        });
        assert_eq!(store.len(), distinct, "every quad is stored once");
        took
    })
}

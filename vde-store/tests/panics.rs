//! Panics of the device (in any thread and at any call), of a waker and of a caller's closure. After a panic, no
//! thread waits forever, acknowledged writes are present, and a store that accepts no more writes returns an error.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;

use vde_store::testing::SimDisk;
use vde_store::{Durability, Error, Health, UserMetadata, Vde, VdeOptions};

fn options(background: bool) -> VdeOptions {
    VdeOptions::new().background(background).segment_size(1 << 18).checkpoint_bytes(1 << 16)
}

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Makes writes of every kind until one fails or panics. Returns the acknowledged contents.
fn write(store: &Vde, thread: u8) -> Contents {
    let mut acknowledged = Contents::new();
    for i in 0..25u8 {
        let len = [10, 3000, 70_000, 20_000][usize::from(i % 4)];
        let (key, value) = (vec![thread, i], vec![i; len]);
        let put = panic::catch_unwind(AssertUnwindSafe(|| {
            if i % 8 == 7 {
                store.checkpoint()?;
            }
            store.put(&key, &value)
        }));
        if !matches!(put, Ok(Ok(_))) {
            break;
        }
        acknowledged.insert(key, value);
    }
    acknowledged
}

/// Makes the device panic at call `at`. Returns whether there was such a call.
fn device_panics(at: u64, background: bool) -> bool {
    let disk = SimDisk::new();
    let store = options(background).open_device(disk.device()).unwrap();
    let first = disk.operations();
    // The device must panic only once: a call that panics is not counted, so the next call has the same number.
    let panicked = AtomicBool::new(false);
    disk.before_each_operation(move |cut| {
        let panics = cut.number() == first + at && !panicked.swap(true, Ordering::Relaxed);
        assert!(!panics, "planted");
    });
    let acknowledged: Contents = thread::scope(|scope| {
        let writers: Vec<_> = (0..2).map(|thread| (thread, &store)).collect();
        let writers: Vec<_> =
            writers.into_iter().map(|(thread, store)| scope.spawn(move || write(store, thread))).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let has_panicked = acknowledged.len() < 50;
    let mut acknowledged = acknowledged;
    let put = || panic::catch_unwind(AssertUnwindSafe(|| store.put("k", "v")));
    match put().or_else(|_| put()).unwrap() {
        // No change was half done: only pages of a value were written, and these were freed.
        Ok(_) => drop(acknowledged.insert(b"k".to_vec(), b"v".to_vec())),
        Err(Error::Poisoned { .. }) => {
            assert!(matches!(store.checkpoint(), Err(Error::Poisoned { .. })));
            assert!(matches!(store.health().unwrap(), Health::Critical { .. }));
        }
        Err(error) => panic!("call {at}, background {background}: {error}"),
    }
    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(store)));
    disk.before_each_operation(|_| {});
    for left in [disk.crash(at), disk] {
        let store = options(background).open_device(left.device()).unwrap();
        for (key, value) in &acknowledged {
            assert_eq!(store.get(key).unwrap().as_ref(), Some(value));
        }
        assert!(store.verify(|_| {}).unwrap().is_clean());
    }
    has_panicked
}

/// Suppresses the messages of planted panics, which would fill the output.
fn quietly() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some("planted") {
            usual(info);
        }
    }));
}

#[test]
fn a_device_that_panics_at_any_call_of_writers_and_checkpoints() {
    quietly();
    let panicked = (0..120).filter(|at| device_panics(*at, false)).count();
    assert!(panicked > 60, "{panicked} panics");
}

#[test]
fn a_device_that_panics_in_any_thread() {
    quietly();
    let panicked = (0..120).filter(|at| device_panics(*at, true)).count();
    assert!(panicked > 60, "{panicked} panics");
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("planted");
    }
}

#[test]
fn a_waker_that_panics_does_not_affect_other_tasks() {
    quietly();
    let disk = SimDisk::new();
    let store = options(true).open_device(disk.device()).unwrap();
    let tasks = store.to_async();
    for i in 0..20u8 {
        let mut panicking = pin!(tasks.put([0, i], "v"));
        let waker = Waker::from(Arc::new(PanickingWaker));
        let mut context = Context::from_waker(&waker);
        let _ = panic::catch_unwind(AssertUnwindSafe(|| panicking.as_mut().poll(&mut context)));
        // Both tasks wait for the same flush, or for the one after it.
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(tasks.put([1, i], "v"))
            .unwrap();
        store.put([2, i], "v").unwrap();
        while panic::catch_unwind(AssertUnwindSafe(|| {
            panicking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        }))
        .is_ok_and(|poll| poll.is_pending())
        {
            thread::yield_now();
        }
    }
    assert_eq!(store.list("").count(), 60);
    assert_eq!(store.health().unwrap(), Health::Healthy);
}

struct PanickingSource;

impl Read for PanickingSource {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("planted")
    }
}

#[test]
fn a_closure_or_source_that_panics_changes_nothing() {
    quietly();
    let store = options(true).in_memory().unwrap();
    store.put("k", "v").unwrap();
    let source = || io::repeat(7).take(100_000).chain(PanickingSource);
    let buffered = store.with_durability(Durability::Buffered);
    for panicked in [
        panic::catch_unwind(AssertUnwindSafe(|| drop(store.update("k", |_| panic!("planted"))))),
        panic::catch_unwind(AssertUnwindSafe(|| {
            drop(buffered.put_with("k", source(), &UserMetadata::new()));
        })),
        panic::catch_unwind(AssertUnwindSafe(|| drop(store.verify(|_| panic!("planted"))))),
    ] {
        assert!(panicked.is_err());
    }
    assert_eq!(store.get("k").unwrap().unwrap(), b"v");
    store.put("k", "w").unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.health().unwrap(), Health::Healthy);
}

//! Tests that no poll blocks. A test holds the lock or the disk for which an operation waits. If the operation waits
//! inside its poll, the test fails after a time limit that no passing test reaches.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use futures_io::AsyncRead;
use parking_lot::RwLock;

use super::*;
use crate::container::device::{Device, MemoryDevice};
use crate::engine::operation::Condition;
use crate::engine::options::VdeOptions;
use crate::engine::value::UserMetadata;

const NO_TAGS: &UserMetadata = &UserMetadata::new();
const TIMEOUT: Duration = Duration::from_secs(10);

/// The pool starts no work while a test holds this for writing. Otherwise the work could be done before a future's
/// first poll ends.
static POOL: RwLock<()> = RwLock::new(());

pub(super) fn wait_while_the_pool_is_paused() {
    drop(POOL.read());
}

/// Checks that the first poll of `work`, which has to wait, returns, and that `work` resolves after `release`.
async fn waits_elsewhere<T>(work: impl Future<Output = Result<T>>, release: impl FnOnce()) -> T {
    let mut work = std::pin::pin!(work);
    let paused = POOL.write();
    let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(paused);
    release();
    assert!(polled.is_pending(), "the poll did the work or waited for it");
    work.await.unwrap()
}

#[tokio::test]
async fn a_write_whose_key_is_being_updated_does_not_block_its_executor() {
    let store = Vde::in_memory().unwrap().to_async();
    for which in 0..8 {
        let ((release, released), (enter, entered)) = (mpsc::channel(), mpsc::channel());
        let updating = store.blocking().clone();
        let updating = thread::spawn(move || {
            updating.update("k", |_| {
                enter.send(()).unwrap();
                let _ = released.recv_timeout(TIMEOUT);
                Some(b"updated".to_vec())
            })
        });
        entered.recv().unwrap();
        let release = || release.send(()).unwrap();
        let (new, long) = (b"new".to_vec(), vec![1; 100_000]);
        let left = match which {
            0 => {
                waits_elsewhere(store.put("k", &new), release).await;
                Some(new)
            }
            1 => {
                waits_elsewhere(store.delete("k"), release).await;
                None
            }
            2 => {
                waits_elsewhere(store.clear(), release).await;
                None
            }
            3 => {
                let twice = |old: Option<&[u8]>| old.map(|old| old.repeat(2));
                waits_elsewhere(store.update("k", twice), release).await;
                Some(b"updatedupdated".to_vec())
            }
            4 => {
                let swap = store.compare_and_swap("k", Some(b"updated"), Some(&new));
                assert!(waits_elsewhere(swap, release).await);
                Some(new)
            }
            5 => {
                waits_elsewhere(store.put_with("k", &new[..], NO_TAGS), release).await;
                Some(new)
            }
            6 => {
                waits_elsewhere(store.put_with("k", &long[..], NO_TAGS), release).await;
                Some(long)
            }
            _ => {
                let mut batch = store.batch();
                batch.put("other", "v").delete("k");
                waits_elsewhere(batch.commit(), release).await;
                None
            }
        };
        updating.join().unwrap().unwrap();
        assert_eq!(store.get("k").await.unwrap(), left, "{which}");
    }
}

#[tokio::test]
async fn a_write_that_is_throttled_or_large_does_not_block_its_executor() {
    let options = VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(64 << 10);
    let store = options.in_memory().unwrap().with_durability(Durability::Buffered);
    let tasks = store.to_async();
    let large = vec![7; 300_000];
    waits_elsewhere(tasks.put("large", &large), || ()).await;
    assert!(waits_elsewhere(tasks.compare_and_swap("large", Some(&large), Some(b"")), || ()).await);
    assert!(waits_elsewhere(tasks.compare_and_swap("large", Some(b""), Some(&large)), || ()).await);
    let mut many = tasks.batch();
    for key in 0u32..2_000 {
        many.put(key.to_le_bytes(), "");
    }
    waits_elsewhere(many.commit(), || ()).await;
    let mut conditional = tasks.batch();
    conditional.require("large", Condition::Value(large));
    waits_elsewhere(conditional.commit(), || ()).await;
    // While this is held, no checkpoint is made.
    let checkpoint = store.shared().checkpoint.lock();
    for i in 0u32.. {
        if store.shared().is_throttled() {
            break;
        }
        store.put(i.to_le_bytes(), [1; 200]).unwrap();
    }
    let mut batch = tasks.batch();
    batch.put("b", "v");
    let writes = async {
        tokio::try_join!(
            tasks.put("k", "v"),
            batch.commit(),
            tasks.put_with("source", &b"v"[..], NO_TAGS),
            tasks.compare_and_swap("swapped", None, Some(b"v")),
            tasks.update("updated", |_| Some(b"v".to_vec())),
        )
        .map(drop)
    };
    waits_elsewhere(writes, || drop(checkpoint)).await;
    for key in ["k", "b", "source", "swapped", "updated"] {
        assert_eq!(store.get(key).unwrap().unwrap(), b"v", "{key}");
    }
}

/// A disk whose calls wait while a test holds `gate` for writing.
#[derive(Default)]
struct Gated {
    disk: MemoryDevice,
    gate: RwLock<()>,
}

impl Gated {
    fn pass<T>(&self, work: impl FnOnce(&MemoryDevice) -> T) -> T {
        let _passing = self.gate.try_read_for(TIMEOUT);
        work(&self.disk)
    }
}

impl Device for Gated {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.pass(|disk| disk.read_at(buf, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.pass(|disk| disk.write_at(data, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.pass(MemoryDevice::sync)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pass(|disk| disk.set_len(len))
    }
}

#[tokio::test]
async fn long_operations_do_not_run_inside_a_poll() {
    let disk = Arc::new(Gated::default());
    let open = || VdeOptions::new().segment_size(1 << 18).open_device(disk.clone()).unwrap().to_async();
    let large = vec![7; 300_000];
    let store = open();
    let closed = disk.gate.write();
    // The store's threads may not have started yet.
    waits_elsewhere(store.put("k", "v"), || drop(closed)).await;
    store.blocking().put("large", &large).unwrap();
    let paused = || disk.gate.write();

    let gate = paused();
    let source = &large[..];
    waits_elsewhere(store.put_with("source", source, NO_TAGS), || drop(gate)).await;
    let gate = paused();
    let next = large.clone();
    waits_elsewhere(store.update("large", |_| Some(next)), || drop(gate)).await;
    let gate = paused();
    assert_eq!(waits_elsewhere(store.get("source"), || drop(gate)).await.unwrap(), large);
    let gate = paused();
    assert_eq!(*waits_elsewhere(store.value("source"), || drop(gate)).await.unwrap(), *large);
    let gate = paused();
    assert_eq!(waits_elsewhere(store.get_range("source", 5..), || drop(gate)).await.unwrap(), large[5..]);
    let gate = paused();
    waits_elsewhere(store.metadata("source"), || drop(gate)).await.unwrap();
    let gate = paused();
    waits_elsewhere(store.flush_of_a_buffered_put(), || drop(gate)).await;
    let gate = paused();
    waits_elsewhere(store.close(), || drop(gate)).await;
    assert_eq!(open().get("large").await.unwrap().unwrap(), large);
}

impl AsyncVde {
    async fn flush_of_a_buffered_put(&self) -> Result<()> {
        self.with_durability(Durability::Buffered).put("buffered", "v").await?;
        self.flush().await
    }
}

/// Counts how often it wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn long_streams_and_readers_yield_to_other_tasks() {
    let store = VdeOptions::new().background(false).in_memory().unwrap();
    let store = store.with_durability(Durability::Buffered);
    let keys = 10_000u32;
    (0..keys).for_each(|key| _ = store.put(key.to_be_bytes(), "").unwrap());
    store.put("value", vec![5; 5 << 20]).unwrap();
    let woken = Arc::new(Wakes::default());
    let waker = Waker::from(woken.clone());
    let cx = &mut Context::from_waker(&waker);
    // How many entries the stream yields, and how often it is pending.
    let mut count = |mut entries: crate::Entries| {
        let (mut found, mut rests) = (0, 0);
        loop {
            match Pin::new(&mut entries).poll_next(cx) {
                Poll::Ready(Some(entry)) => found += usize::from(entry.is_ok()),
                Poll::Ready(None) => return (found, rests),
                Poll::Pending => rests += 1,
            }
        }
    };
    assert_eq!(count(store.to_async().list("")), (10_001, 39));
    (0..keys).for_each(|key| assert!(store.delete(key.to_be_bytes()).unwrap()));
    assert_eq!(count(store.to_async().list("")), (1, 39), "deleted keys count as well");

    let mut reader = store.reader("value").unwrap().unwrap();
    let (mut read, mut rests, buffer) = (0, 0, &mut *vec![0; 100_000]);
    while read < 5 << 20 {
        match Pin::new(&mut reader).poll_read(cx, buffer) {
            Poll::Ready(len) => read += len.unwrap(),
            Poll::Pending => rests += 1,
        }
    }
    assert_eq!(rests, 4);
    assert_eq!(woken.0.load(Ordering::Relaxed), 39 + 39 + 4, "each pending poll wakes its task");
}

#[test]
fn a_loop_of_operations_that_do_not_wait_yields_to_other_tasks() {
    let options = VdeOptions::new().background(false).durability(Durability::Buffered);
    let store = options.in_memory().unwrap().to_async();
    let rests = |mut task: Pin<Box<dyn Future<Output = ()> + '_>>| {
        let cx = &mut Context::from_waker(Waker::noop());
        std::iter::repeat_with(|| task.as_mut().poll(cx)).take_while(Poll::is_pending).count()
    };
    let puts = async {
        for key in 0..1_000u32 {
            store.put(key.to_le_bytes(), "").await.unwrap();
        }
    };
    let (writes, reads) = (rests(Box::pin(puts)), async {
        for key in 0..1_000u32 {
            assert!(store.get(key.to_le_bytes()).await.unwrap().is_some());
        }
    });
    assert!((62..=63).contains(&writes), "{writes}");
    let reads = rests(Box::pin(reads));
    assert!((7..=8).contains(&reads), "{reads}");
}

//! Single values: large, compressed, with metadata.

use std::io::{Read, Seek, SeekFrom};
use std::thread;

use fastrand::Rng;
use vde_store::{Compression, Durability, UserMetadata, Vde};

use crate::{busy, bytes, place};

#[test]
fn large_values_stream_in_and_out() {
    let (dir, path) = place();
    let store = busy().open(&path).unwrap();
    let mut rng = Rng::with_seed(4);
    let lens = [65_536, 65_537, 262_144, 262_145, 1_000_000, 3_000_000];
    let values: Vec<_> = lens.map(|len| bytes(&mut rng, len)).into();
    let user = UserMetadata::from([("kind".into(), "large".into())]);
    for (value, len) in values.iter().zip(lens) {
        store.put_with(len.to_string(), &value[..], &user).unwrap();
    }
    let check = |store: &Vde| {
        for (value, len) in values.iter().zip(lens) {
            let key = len.to_string();
            assert_eq!(&*store.value(&key).unwrap().unwrap(), *value);
            let metadata = store.metadata(&key).unwrap().unwrap();
            assert_eq!((metadata.len, metadata.user.len()), (len as u64, 1));
            assert_eq!(metadata.checksum, xxhash_rust::xxh3::xxh3_64(value));
            let (from, to) = (len as u64 / 3, len as u64 - 7);
            let range = store.get_range(&key, from..to).unwrap().unwrap();
            assert_eq!(range, value[from as usize..to as usize]);
            let mut reader = store.reader(&key).unwrap().unwrap();
            let mut tail = Vec::new();
            reader.seek(SeekFrom::End(-100)).unwrap();
            reader.read_to_end(&mut tail).unwrap();
            assert_eq!(tail, value[len - 100..]);
            reader.seek(SeekFrom::Start(0)).unwrap();
            let mut whole = Vec::new();
            reader.read_to_end(&mut whole).unwrap();
            assert_eq!(whole, *value);
        }
    };
    check(&store);
    store.checkpoint().unwrap();
    check(&store);
    let copy = dir.path().join("copy.vde");
    assert_eq!(store.backup(&copy).unwrap(), 6);
    drop(store);
    check(&busy().open(&path).unwrap());
    let copy = Vde::open(copy).unwrap();
    check(&copy);
    assert!(copy.verify(|_| {}).unwrap().is_clean());
    for len in lens {
        copy.delete(len.to_string()).unwrap();
    }
    copy.checkpoint().unwrap();
    copy.put("one more", "for the next checkpoint").unwrap();
    copy.checkpoint().unwrap();
    assert!(copy.stats().unwrap().page_bytes < 100_000, "{:?}", copy.stats());
}

#[test]
fn a_source_that_fails_changes_nothing_and_leaks_nothing() {
    struct Fails(usize);
    impl Read for Fails {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(buf.len()).ok_or(std::io::ErrorKind::Other)?;
            Ok(buf.len())
        }
    }
    let store = busy().in_memory().unwrap();
    store.put("k", "old").unwrap();
    for len in [10, 100_000, 2_000_000] {
        assert!(store.put_with("k", Fails(len), &UserMetadata::new()).is_err());
    }
    assert_eq!(store.get("k").unwrap().unwrap(), b"old");
    assert_eq!(store.stats().unwrap().page_bytes, 0);
    store.put("k", "new").unwrap();
}

#[test]
fn metadata_survives_everything() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap();
    let user = UserMetadata::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
    store.put_with("k", &b"first"[..], &user).unwrap();
    let first = store.metadata("k").unwrap().unwrap();
    assert_eq!((first.created, first.user.clone()), (first.modified, user.clone()));
    thread::sleep(std::time::Duration::from_millis(2));
    let large = vec![7; 1000];
    store.put_with("k", &large[..], &user).unwrap();
    let second = store.metadata("k").unwrap().unwrap();
    assert_eq!(second.created, first.created);
    assert!(second.modified > first.modified && second.version > first.version);
    store.checkpoint().unwrap();
    assert_eq!(store.metadata("k").unwrap().unwrap(), second, "after a checkpoint");
    // Fills and empties segments around the value, so that it is moved.
    let buffered = store.with_durability(Durability::Buffered);
    for round in 0..3u8 {
        for i in 0..300u32 {
            buffered.put(i.to_be_bytes(), vec![round; 1000]).unwrap();
        }
        store.compact().unwrap();
        assert_eq!(store.metadata("k").unwrap().unwrap(), second, "after collection");
    }
    drop((store, buffered));
    let store = busy().open(&path).unwrap();
    assert_eq!(store.metadata("k").unwrap().unwrap(), second, "after reopening");
    store.delete("k").unwrap();
    store.put("k", "anew").unwrap();
    let third = store.metadata("k").unwrap().unwrap();
    assert!(third.created > second.modified && third.user.is_empty());
    store.checkpoint().unwrap();
    assert_eq!(store.metadata("k").unwrap().unwrap(), third);
}

#[test]
fn compressed_values_are_read_as_they_were_put() {
    let (_dir, path) = place();
    let text = |i: usize| format!("value {i} of many; ").repeat(100 + i).into_bytes();
    let plain = busy().in_memory().unwrap();
    let store = busy().compression(Compression::Lz4).open(&path).unwrap();
    for i in 0..300usize {
        plain.put(i.to_be_bytes(), text(i)).unwrap();
        store.with_durability(Durability::Buffered).put(i.to_be_bytes(), text(i)).unwrap();
    }
    store.checkpoint().unwrap();
    plain.checkpoint().unwrap();
    let (ours, theirs) = (store.stats().unwrap().live_log_bytes, plain.stats().unwrap().live_log_bytes);
    assert!(ours * 5 < theirs, "{ours} and {theirs} bytes");
    // Deletes two of three values, so that compacting moves the others.
    for i in (0..300usize).filter(|i| i % 3 > 0) {
        store.delete(i.to_be_bytes()).unwrap();
    }
    store.compact().unwrap();
    drop(store);
    let store = busy().open(&path).unwrap();
    for i in (0..300usize).step_by(3) {
        let key = i.to_be_bytes();
        let value = text(i);
        assert_eq!(store.get(key).unwrap().unwrap(), value);
        assert_eq!(&*store.value(key).unwrap().unwrap(), value);
        assert_eq!(store.get_range(key, 5..50).unwrap().unwrap(), value[5..50]);
        let metadata = store.metadata(key).unwrap().unwrap();
        assert_eq!(metadata.checksum, plain.metadata(key).unwrap().unwrap().checksum);
        assert_eq!(metadata.len, value.len() as u64);
    }
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

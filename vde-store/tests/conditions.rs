//! Batches with conditions. They are written only if the conditions hold.

use std::sync::Mutex;
use std::thread;

use vde_store::{Condition, Durability, Error, UserMetadata, Vde, VdeOptions};

#[test]
fn a_batch_is_written_only_if_all_its_conditions_hold() {
    let store = VdeOptions::new().background(false).in_memory().unwrap();
    let user = UserMetadata::new();
    for (i, value) in [b"short".to_vec(), vec![1; 3000], vec![2; 200_000]].into_iter().enumerate() {
        for is_indexed in [false, true] {
            store.put_with("k", &value[..], &user).unwrap();
            if is_indexed {
                store.checkpoint().unwrap();
            }
            let version = store.metadata("k").unwrap().unwrap().version;
            let other = [&value[1..], &[9]].concat();
            for (key, condition, holds) in [
                ("k", Condition::Present, true),
                ("k", Condition::Absent, false),
                ("k", Condition::Value(value.clone()), true),
                ("k", Condition::Value(other), false),
                ("k", Condition::Version(version), true),
                ("k", Condition::Version(version + 1), false),
                ("none", Condition::Present, false),
                ("none", Condition::Absent, true),
                ("none", Condition::Value(Vec::new()), false),
                ("none", Condition::Version(0), false),
            ] {
                let writes = store.stats().unwrap().writes;
                let mut batch = store.batch();
                batch.put("made", format!("{i}{condition:?}")).require("k", Condition::Present);
                batch.require(key, condition.clone());
                let made = batch.commit();
                let unmet =
                    matches!(&made, Err(Error::ConditionFailed { key: unmet }) if **unmet == *key.as_bytes());
                assert_eq!((made.is_ok(), unmet), (holds, !holds), "{condition:?}: {made:?}");
                assert_eq!(store.stats().unwrap().writes - writes, u64::from(holds));
            }
        }
    }
    let mut batch = store.batch();
    batch.require("", Condition::Absent);
    assert!(matches!(batch.commit(), Err(Error::InvalidKey { len: 0 })));
}

#[test]
fn with_conditions_a_queue_delivers_each_message_once() {
    let store = Vde::in_memory().unwrap().with_durability(Durability::Buffered);
    for i in 0..200u32 {
        store.put(i.to_be_bytes(), "message").unwrap();
    }
    let taken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(first) = store.first().unwrap() {
                    let mut batch = store.batch();
                    batch.require(first.key(), Condition::Present).delete(first.key());
                    match batch.commit() {
                        Ok(_) => taken.lock().unwrap().push(first.into_key()),
                        Err(error) => assert!(matches!(error, Error::ConditionFailed { .. }), "{error}"),
                    }
                }
            });
        }
    });
    let mut taken = taken.into_inner().unwrap();
    taken.sort_unstable();
    assert!(taken.iter().map(|key| u32::from_be_bytes(key[..].try_into().unwrap())).eq(0..200));
}

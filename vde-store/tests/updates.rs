//! Closures of updates: calls that they may and may not make, and closures that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use vde_store::{Condition, Error, UserMetadata, Vde};

#[test]
fn a_write_from_inside_an_update_is_refused() {
    let store = Vde::in_memory().unwrap();
    let elsewhere = Vde::in_memory().unwrap();
    let refused =
        |result: vde_store::Result<()>| assert!(matches!(result, Err(Error::InsideUpdate)), "{result:?}");
    let try_all = || {
        for key in ["k", "other"] {
            refused(store.put(key, "v").map(drop));
            refused(store.put_with(key, &b"v"[..], &UserMetadata::new()).map(drop));
            refused(store.delete(key).map(drop));
            refused(store.update(key, |_| None).map(drop));
            refused(store.compare_and_swap(key, None, None).map(drop));
            refused(store.delete_range(key..));
            let mut batch = store.batch();
            batch.require(key, Condition::Absent);
            refused(batch.commit().map(drop));
        }
        refused(store.compact().map(drop));
        assert_eq!(store.get("k").unwrap(), None);
    };
    store
        .update("k", |_| {
            try_all();
            elsewhere.put("k", "v").unwrap();
            elsewhere
                .update("k", |_| {
                    try_all();
                    None
                })
                .unwrap();
            try_all();
            None
        })
        .unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| store.update("k", |_| panic!("in the closure"))));
    assert!(panicked.is_err());
    store.put("k", "v").unwrap();
}

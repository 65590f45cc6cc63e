//! The contents of a store, for the tests that damage one.

use std::collections::BTreeMap;

use vde_store::{Vde, VdeOptions};

pub(crate) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) fn options() -> VdeOptions {
    VdeOptions::new().background(false).segment_size(1 << 18)
}

pub(crate) fn contents(store: &Vde) -> Contents {
    store
        .list("")
        .map(|entry| entry.and_then(|entry| Ok((entry.key().to_vec(), entry.value()?.to_vec()))))
        .collect::<vde_store::Result<_>>()
        .unwrap()
}

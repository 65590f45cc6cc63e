//! A temporary folder for a store, and options for small stores.

use std::path::PathBuf;

use tempfile::TempDir;
use vde_store::VdeOptions;

/// A temporary folder, and the path of a store in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    (dir, path)
}

/// Options with small segments, so that a test fills several.
pub(crate) fn small() -> VdeOptions {
    VdeOptions::new().segment_size(1 << 18)
}

//! Quad stores behind two traits.

#[cfg(feature = "disk")]
mod naive;
mod ours;
mod traits;

pub use ours::OurQuads;
pub use traits::{OpenQuads, Pattern, QuadEngine, QuadStore, ReadableQuads, count};
use triple_store::TripleStoreOptions;

/// The name of our store, to which the ratios refer.
pub const OURS: &str = "triple-store";

/// Every quad store of this build, ours first.
pub const QUAD_ENGINES: &[QuadEngine] = &[
    QuadEngine { name: OURS, on_disk: true, open: |dir, d| Ok(Box::new(OurQuads::open(dir, d)?)) },
    QuadEngine {
        name: "triple-store in memory",
        on_disk: false,
        open: |_, _| Ok(Box::new(OurQuads::in_memory(TripleStoreOptions::new()))),
    },
    #[cfg(feature = "disk")]
    QuadEngine { name: "quads over fjall", on_disk: true, open: naive::over_fjall },
    #[cfg(feature = "disk")]
    QuadEngine { name: "quads over redb", on_disk: true, open: naive::over_redb },
    #[cfg(feature = "lmdb")]
    QuadEngine { name: "quads over LMDB", on_disk: true, open: naive::over_lmdb },
];

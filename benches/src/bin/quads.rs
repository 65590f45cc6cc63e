//! Quad stores side by side: loading, inserting, reading, querying.
//!
//! `cargo run --release -p benches --features stores --bin quads -- --help`; with Oxigraph: `benches/oxigraph/run.sh --help`.

use benches::{
    contenders::{quads::QUAD_ENGINES, stores::Failure},
    quads,
};

fn main() -> Result<(), Failure> {
    quads::main(QUAD_ENGINES)
}

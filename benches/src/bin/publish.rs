//! Draws the charts of the READMEs, light and dark, from the tables in BENCHMARKS.md.

use std::{fs, io, path::Path};

use benches::chart::charts;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let drawn = charts(&fs::read_to_string(root.join("BENCHMARKS.md"))?)
        .map_err(|error| io::Error::other(format!("BENCHMARKS.md has {error}")))?;
    let folder = root.join("docs/charts");
    fs::create_dir_all(&folder)?;
    for (name, svg) in drawn {
        fs::write(folder.join(&name), svg)?;
        println!("docs/charts/{name}");
    }
    Ok(())
}

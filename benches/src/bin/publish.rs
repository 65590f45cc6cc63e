//! Writes the tables of the documents from the results in `benches/results`, and draws the charts that show them, light and dark.

use std::{fs, io, path::Path};

use benches::{chart::charts, published, results};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let all = results::load()?;
    let tables = published::tables(&all.values().collect::<Vec<_>>()).map_err(io::Error::other)?;
    for name in published::DOCUMENTS {
        let path = root.join(name);
        let text = published::update(&fs::read_to_string(&path)?, &tables).map_err(io::Error::other)?;
        fs::write(&path, &text)?;
        println!("{name}");
    }
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

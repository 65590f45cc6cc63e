//! Draws the chart of the README, light and dark, from the table in BENCHMARKS.md.

use std::{fs, io, path::Path};

use benches::chart::{DARK, HEADING, LIGHT, Table, striping};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("BENCHMARKS.md"))?;
    let table = Table::under(&text, HEADING)
        .ok_or_else(|| io::Error::other(format!("BENCHMARKS.md has no table under `{HEADING}`")))?;
    fs::create_dir_all(root.join("docs/charts"))?;
    for (name, theme) in [("light", LIGHT), ("dark", DARK)] {
        let path = root.join(format!("docs/charts/striping-{name}.svg"));
        fs::write(&path, striping(&table, &theme))?;
        println!("{}", path.display());
    }
    Ok(())
}

//! Measured figures as files: `results/<processor>/<bench>.json`, one for each benchmark binary.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::machine;

/// What one benchmark measured on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The binary.
    pub bench: String,
    /// The processor, as it calls itself.
    pub processor: String,
    /// How many threads can run at once.
    pub cores: usize,
    /// The operating system and processor family.
    pub system: String,
    /// The versions of the crates that ours was compared with.
    pub versions: BTreeMap<String, String>,
    /// The tables, in the order of their titles.
    pub tables: Vec<Table>,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What was measured.
    pub title: String,
    /// The day of the measurement.
    pub date: String,
    /// The commit that was measured.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// The names of the columns, without that of the labels.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row: a label and its figures, one for each column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Most often the name of a contender.
    pub label: String,
    /// The figures, in the order of the columns.
    pub figures: Vec<Figure>,
}

/// The content of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figure {
    /// A median.
    Number(f64),
    /// The lower and the upper quartile.
    Quartiles([f64; 2]),
    /// Anything else.
    Text(String),
}

impl Figure {
    /// The figure of a cell as it is printed.
    pub fn read(cell: &str) -> Self {
        let number = |text: &str| text.trim().replace([',', '*'], "").parse().ok();
        let quartiles = cell.split_once(" .. ").and_then(|(low, high)| Some([number(low)?, number(high)?]));
        match (number(cell), quartiles) {
            (Some(figure), _) => Self::Number(figure),
            (None, Some(quartiles)) => Self::Quartiles(quartiles),
            (None, None) => Self::Text(cell.trim().to_owned()),
        }
    }
}

/// A table as it was printed, cell by cell.
#[derive(Debug)]
pub struct Printed {
    /// What was measured.
    pub title: String,
    /// The cells of the header.
    pub header: Vec<String>,
    /// The cells of each row.
    pub rows: Vec<Vec<String>>,
}

/// When figures were measured, on which commit and with which compiler.
struct Origin {
    date: String,
    commit: String,
    rustc: String,
}

impl Origin {
    /// The origin of figures that this process measures.
    fn here() -> Self {
        // Changed files of results do not count, because they are no code.
        let tracked =
            ["status", "--porcelain", "--untracked-files=no", ":(top)", ":(top,exclude)benches/results"];
        let is_changed = !machine::said("git", &tracked).is_empty();
        let commit = machine::said("git", &["rev-parse", "--short", "HEAD"]);
        Self {
            date: machine::said("date", &["+%F"]),
            commit: if is_changed { format!("{commit}, changed") } else { commit },
            rustc: machine::said("rustc", &["--version"]),
        }
    }

    fn table(&self, printed: Printed) -> Table {
        let row = |cells: &Vec<String>| Row {
            label: cells[0].replace("**", ""),
            figures: cells[1..].iter().map(|cell| Figure::read(cell)).collect(),
        };
        Table {
            title: printed.title,
            date: self.date.clone(),
            commit: self.commit.clone(),
            rustc: self.rustc.clone(),
            columns: printed.header[1..].to_vec(),
            rows: printed.rows.iter().map(row).collect(),
        }
    }
}

impl Table {
    /// The figure of a row in a column, if it is a number.
    pub fn number(&self, label: &str, column: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.label == label)?;
        match row.figures.get(self.columns.iter().position(|name| name == column)?)? {
            Figure::Number(figure) => Some(*figure),
            Figure::Quartiles(_) | Figure::Text(_) => None,
        }
    }
}

/// The folder of all results.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

/// The name of the folder of a processor.
fn slug(processor: &str) -> String {
    let words = processor.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// Puts tables into the file of a benchmark on this machine. Tables of other titles stay as they are.
///
/// # Errors
///
/// If the file can't be read, does not contain [`Results`], or can't be written.
pub fn save(bench: &str, printed: Vec<Printed>) -> io::Result<PathBuf> {
    let processor = machine::processor();
    let path = folder().join(slug(&processor)).join(format!("{bench}.json"));
    let mut all: BTreeMap<String, Table> = match fs::read(&path) {
        Ok(bytes) => {
            let old: Results = serde_json::from_slice(&bytes)?;
            old.tables.into_iter().map(|table| (table.title.clone(), table)).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error),
    };
    let origin = Origin::here();
    all.extend(printed.into_iter().map(|printed| (printed.title.clone(), origin.table(printed))));
    let results = Results {
        bench: bench.to_owned(),
        processor,
        cores: machine::cores(),
        system: machine::system(),
        versions: versions(&fs::read_to_string(folder().join("../../Cargo.lock")).unwrap_or_default()),
        tables: all.into_values().collect(),
    };
    fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
    fs::write(&path, serde_json::to_string_pretty(&results)? + "\n")?;
    Ok(path)
}

/// All results of all machines, by the folder of the machine and the benchmark.
///
/// # Errors
///
/// If a file can't be read, or does not contain [`Results`].
pub fn load() -> io::Result<BTreeMap<String, BTreeMap<String, Results>>> {
    let mut all = BTreeMap::new();
    for machine in fs::read_dir(folder())? {
        let machine = machine?;
        let mut benches = BTreeMap::new();
        for file in fs::read_dir(machine.path())? {
            let results: Results = serde_json::from_slice(&fs::read(file?.path())?)?;
            benches.insert(results.bench.clone(), results);
        }
        all.insert(machine.file_name().to_string_lossy().into_owned(), benches);
    }
    Ok(all)
}

/// The crates whose versions are stored with the figures.
const COMPARED: [&str; 15] = [
    "async-lock",
    "dashmap",
    "fjall",
    "futures-util",
    "happylock",
    "heed",
    "keyed-lock",
    "lockable",
    "parking_lot",
    "redb",
    "rocksdb",
    "scc",
    "sled",
    "striped-lock",
    "tokio",
];

/// The versions of the compared crates, from the text of a `Cargo.lock`.
fn versions(lock: &str) -> BTreeMap<String, String> {
    let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
    let mut versions = BTreeMap::new();
    let mut name = None;
    for line in lock.lines() {
        if line.starts_with("name = ") {
            name = quoted(line).filter(|name| COMPARED.contains(&name.as_str()));
        } else if let (true, Some(name)) = (line.starts_with("version = "), name.take()) {
            versions.insert(name, quoted(line).unwrap_or_default());
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_they_are_printed() {
        assert_eq!(Figure::read("**0.90**"), Figure::Number(0.9));
        assert_eq!(Figure::read("1,024.5"), Figure::Number(1024.5));
        assert_eq!(Figure::read("4.1 .. 4.3"), Figure::Quartiles([4.1, 4.3]));
        assert_eq!(Figure::read("given up"), Figure::Text("given up".to_owned()));
        assert_eq!(slug("Intel(R) Xeon(R) Processor @ 2.10GHz"), "intel-r-xeon-r-processor-2-10ghz");
    }

    #[test]
    fn a_table_comes_back_from_its_file() {
        let cells = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let (header, row) = (cells(["", "ns", "quartiles"]), cells(["us", "4.2", "4.1 .. 4.3"]));
        let table = Origin::here().table(Printed { title: "t".to_owned(), header, rows: vec![row] });
        assert_eq!(table.number("us", "ns"), Some(4.2));
        assert_eq!(table.number("us", "quartiles"), None);
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<Table>(&text).unwrap(), table);
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"scc\"\nversion = \"3.8.8\"\n\n[[package]]\nname = \"syn\"\nversion = \"2.0.0\"\n";
        assert_eq!(versions(lock), BTreeMap::from([("scc".to_owned(), "3.8.8".to_owned())]));
    }
}

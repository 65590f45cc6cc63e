//! The tables of the [documents](DOCUMENTS), made of the [results](crate::results).
//!
//! A table is between two marks of a document, `<!-- figures: NAME -->` and `<!-- end of figures -->`. If several
//! machines have results for it, each row of the table has a line for each machine, the newest results first.

mod lists;

use std::{collections::BTreeMap, fmt::Write};

use lists::{ALTERNATIVES, FASTER, SPECS};
use stripe_lock::expected_parallelism;

use crate::{
    results::{Figure, Results, Table},
    spread::thousands,
};

/// The documents with tables of results.
pub const DOCUMENTS: [&str; 5] = [
    "README.md",
    "BENCHMARKS.md",
    "docs/notes/lock-targets.md",
    "docs/notes/locks-two-threads.md",
    "docs/notes/waiting.md",
];

/// The results of one machine, by benchmark.
type Machine = BTreeMap<String, Results>;

/// A row or a column of a table: its name there, and the title and the column of its figures in the results.
struct Cell {
    shown: &'static str,
    title: &'static str,
    column: &'static str,
    /// The column that is shown for the first contender, which is ours, because its ratio to itself is always 1.
    absolute: &'static str,
}

const fn cell(shown: &'static str, title: &'static str, column: &'static str) -> Cell {
    Cell { shown, title, column, absolute: column }
}

const fn ratio(
    shown: &'static str,
    title: &'static str,
    column: &'static str,
    absolute: &'static str,
) -> Cell {
    Cell { shown, title, column, absolute }
}

/// One table: a row for each contender and a column for each cell, or the other way round.
struct Spec {
    name: &'static str,
    bench: &'static str,
    /// The header of the first column.
    corner: &'static str,
    /// The names of the contenders in the table and in the results.
    contenders: &'static [(&'static str, &'static str)],
    cells: &'static [Cell],
    /// Whether each contender has a row. If not, it has a column.
    contenders_down: bool,
}

/// A contender that takes less than this share of our time is ahead.
const AHEAD: f64 = 0.95;

impl Spec {
    /// The table of one machine, if it measured any of it.
    fn table(&self, machine: &Machine) -> Option<Shown> {
        let results = machine.get(self.bench)?;
        let source = |title: &str| results.tables.iter().find(|table| table.title == title);
        let mut dates: Vec<_> =
            self.cells.iter().filter_map(|cell| Some(source(cell.title)?.date.clone())).collect();
        dates.sort();
        let date = dates.pop()?;
        let figure = |cell: &Cell, contender: usize| {
            let column = if contender == 0 { cell.absolute } else { cell.column };
            let table = source(cell.title)?;
            let figure = table.number(self.contenders[contender].1, column)?;
            let ours = table.number(self.contenders[0].1, column);
            Some(shown(figure, column, cell.shown, ours.filter(|_| contender > 0)))
        };
        let cell = |cell, contender| figure(cell, contender).unwrap_or_default();
        let contenders = 0..self.contenders.len();
        let name = |contender: usize| self.contenders[contender].0.to_owned();
        let mut rows = Vec::new();
        if self.contenders_down {
            rows.push(head(self.corner, self.cells.iter().map(|cell| cell.shown.to_owned())));
            let row = |contender| head(&name(contender), self.cells.iter().map(|each| cell(each, contender)));
            rows.extend(contenders.map(row));
        } else {
            // A contender that was not measured has no column.
            let measured =
                |&contender: &usize| self.cells.iter().any(|each| figure(each, contender).is_some());
            let contenders: Vec<_> = contenders.filter(measured).collect();
            rows.push(head(self.corner, contenders.iter().map(|&contender| name(contender))));
            let row = |each: &'static Cell| {
                head(each.shown, contenders.iter().map(|&contender| cell(each, contender)))
            };
            rows.extend(self.cells.iter().map(row));
        }
        rows.retain(|row| row[1..].iter().any(|cell| !cell.is_empty()));
        Some(Shown { date, machine: of(results), rows })
    }
}

/// A figure as it is shown: bold where a contender is ahead of `ours`.
fn shown(figure: f64, column: &str, name: &str, ours: Option<f64>) -> String {
    let is_ratio = column.starts_with("x ") || column.ends_with("striped by hand") || column == FASTER;
    let text = if is_ratio { format!("{figure:.2}") } else { grouped(figure) };
    let ahead = match ours {
        _ if is_ratio => figure < AHEAD,
        Some(ours) if column.ends_with("/s") => figure > ours / AHEAD,
        Some(ours) if name.contains("ms") || name.contains("bytes") => figure < ours * AHEAD,
        _ => false,
    };
    if ahead { format!("**{text}**") } else { text }
}

/// A figure with at most one decimal, and separators between thousands.
fn grouped(figure: f64) -> String {
    if figure < 100.0 {
        return if figure.fract() == 0.0 { format!("{figure}") } else { format!("{figure:.1}") };
    }
    thousands(figure)
}

/// A table with its date and its machine. The first row has the names of the columns.
struct Shown {
    date: String,
    machine: String,
    rows: Vec<Vec<String>>,
}

/// The column with the processor, in a table of several machines.
pub(crate) const PROCESSOR: &str = "processor";

/// One table of several machines. The rows of a name stand together, in the order of the machines. A row that is the same
/// on all machines stands once.
///
/// # Errors
///
/// Says so if the tables have different columns.
fn side_by_side(tables: &[Shown]) -> Result<Vec<Vec<String>>, String> {
    let [first, others @ ..] = tables else { return Err("no results".into()) };
    if others.is_empty() {
        return Ok(first.rows.clone());
    }
    if others.iter().any(|other| other.rows[0] != first.rows[0]) {
        return Err("the results of two machines have different columns".into());
    }
    let with = |row: &[String], processor: &str| [&row[..1], &[processor.to_owned()], &row[1..]].concat();
    let bodies = || tables.iter().flat_map(|table| table.rows[1..].iter().map(move |row| (table, row)));
    let mut rows = vec![with(&first.rows[0], PROCESSOR)];
    for (_, row) in bodies() {
        if rows.iter().any(|seen| seen[0] == row[0]) {
            continue;
        }
        let named: Vec<_> = bodies().filter(|(_, other)| other[0] == row[0]).collect();
        if named.len() == tables.len() && named.iter().all(|(_, other)| *other == row) {
            rows.push(with(row, ""));
        } else {
            rows.extend(named.into_iter().map(|(table, row)| with(row, processor(table, tables))));
        }
    }
    Ok(rows)
}

/// The name of a table's processor: its first word if no other processor of the tables begins with it.
fn processor<'a>(table: &'a Shown, tables: &[Shown]) -> &'a str {
    let maker = |table: &'a Shown| table.machine.split(' ').next().unwrap_or_default();
    let makes_others = tables.iter().filter(|other| other.machine.starts_with(maker(table))).count() > 1;
    if makes_others { table.machine.split(',').next().unwrap_or_default() } else { maker(table) }
}

fn of(results: &Results) -> String {
    format!("{}, {} cores", results.processor, results.cores)
}

fn head(first: &str, rest: impl Iterator<Item = String>) -> Vec<String> {
    [first.to_owned()].into_iter().chain(rest).collect()
}

/// Rows as a table in Markdown: words to the left and figures to the right.
fn markdown(rows: &[Vec<String>]) -> String {
    let columns: Vec<_> = (0..rows[0].len())
        .map(|column| {
            let cells = || rows.iter().map(|row| row[column].as_str());
            let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0).max(3);
            let words = |cell: &str| cell.starts_with(|first: char| first.is_alphabetic() || first == '`');
            (width, column == 0 || cells().skip(1).any(words))
        })
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        text.push('|');
        for (cell, &(width, left)) in row.iter().zip(&columns) {
            let _ = if left { write!(text, " {cell:<width$} |") } else { write!(text, " {cell:>width$} |") };
        }
        text.push('\n');
        if number == 0 {
            text.push('|');
            for &(width, left) in &columns {
                let _ = write!(text, "{}{}|", "-".repeat(width + 1), if left { '-' } else { ':' });
            }
            text.push('\n');
        }
    }
    text
}

/// Work done by 16 writers by number of stripes, with the prediction as the last row.
fn striping(machine: &Machine) -> Option<Shown> {
    let results = machine.get("comparison")?;
    let source = |title: &str| results.tables.iter().find(|table| table.title == title);
    let stripes = [1, 8, 16, 32, 64, 256];
    let labels = || stripes.iter().map(ToString::to_string).chain(["exact".to_owned()]);
    let measured = |table: &Table| {
        labels()
            .map(|label| {
                table.number(&label, "times one lock").map_or_else(String::new, |work| format!("{work:.2}"))
            })
            .collect::<Vec<_>>()
    };
    let (threads, tasks) = (source("16 sleeping threads")?, source("16 sleeping tasks")?);
    let names = stripes.iter().map(ToString::to_string).chain(["exact keys".to_owned()]);
    let predicted = stripes
        .map(|stripes| format!("{:.2}", expected_parallelism(stripes, 16) / expected_parallelism(1, 16)));
    let rows = [
        head("stripes", names),
        head("threads, `StripedMutex`", measured(threads).into_iter()),
        head("tasks, `AsyncStripedMutex`", measured(tasks).into_iter()),
        head("predicted, `expected_parallelism`", predicted.into_iter().chain([String::new()])),
    ];
    Some(Shown { date: threads.date.clone(), machine: of(results), rows: rows.to_vec() })
}

/// The promises that were missed.
fn missed(machine: &Machine) -> Option<Shown> {
    let results = machine.get("targets")?;
    let table = results.tables.iter().find(|table| table.title == "promises")?;
    let text = |label: &str, column: &str| -> Option<String> {
        let row = table.rows.iter().find(|row| row.label == label)?;
        match &row.figures[table.columns.iter().position(|name| name == column)?] {
            Figure::Text(text) => Some(text.clone()),
            Figure::Number(figure) => Some(format!("{figure:.2}")),
            Figure::Quartiles(_) => None,
        }
    };
    let missed = table
        .rows
        .iter()
        .map(|row| &row.label)
        .filter(|label| text(label, "verdict").is_some_and(|verdict| verdict == "MISSED"));
    let row =
        |label: &String| Some(head(label, [text(label, "bound")?, text(label, "measured")?].into_iter()));
    let mut rows = vec![head("promise", ["target", "measured"].map(str::to_owned).into_iter())];
    rows.extend(missed.filter_map(row));
    Some(Shown { date: table.date.clone(), machine: of(results), rows })
}

/// The table of the README, with the newest measurements of each figure: of one day, on one machine or on several.
fn alternatives(machines: &[&Machine]) -> Option<String> {
    let newest = |(bench, title, label, column): (&str, &str, &str, &str)| {
        let tables = machines
            .iter()
            .filter_map(|machine| machine.get(bench)?.tables.iter().find(|table| table.title == title));
        let figures: Vec<_> =
            tables.filter_map(|table| Some((&table.date, table.number(label, column)?))).collect();
        let day = figures.iter().map(|(date, _)| *date).max()?;
        Some(figures.iter().filter(|(date, _)| *date == day).map(|(_, figure)| *figure).collect::<Vec<_>>())
    };
    let mut rows = vec![head("work", ["compared with", "times as fast"].map(str::to_owned).into_iter())];
    for (work, others, sources) in ALTERNATIVES {
        let ratios = sources.iter().map(|source| newest(*source)).collect::<Option<Vec<_>>>()?.concat();
        let (low, high) = ratios
            .iter()
            .fold((f64::MAX, 0.0), |(low, high), &ratio| (f64::min(low, ratio), f64::max(high, ratio)));
        let digits = |ratio: f64| if ratio < 1.5 { format!("{ratio:.2}") } else { format!("{ratio:.1}") };
        let range = if digits(low) == digits(high) {
            digits(low)
        } else {
            format!("{} to {}", digits(low), digits(high))
        };
        let bold = |text: &str| if low < AHEAD { format!("**{text}**") } else { text.to_owned() };
        rows.push(vec![bold(work), (*others).to_owned(), bold(&range)]);
    }
    Some(markdown(&rows))
}

/// The text of each table by its name, for all machines that have it.
///
/// # Errors
///
/// Names the table that no machine has.
pub fn tables(machines: &[&Machine]) -> Result<BTreeMap<&'static str, String>, String> {
    let mut texts = BTreeMap::new();
    let mut add = |name, table: &dyn Fn(&Machine) -> Option<Shown>| {
        let mut shown: Vec<_> = machines.iter().filter_map(|machine| table(machine)).collect();
        shown.sort_by(|a, b| b.date.cmp(&a.date));
        let rows = side_by_side(&shown).map_err(|error| format!("the table {name}: {error}"))?;
        let machines: Vec<_> =
            shown.iter().map(|shown| format!("{}, {}", shown.machine, shown.date)).collect();
        texts.insert(name, format!("{}:\n\n{}", machines.join("; "), markdown(&rows)));
        Ok::<_, String>(())
    };
    add("striping", &striping)?;
    add("missed targets", &missed)?;
    let alternatives = alternatives(machines).ok_or("no results for the table alternatives")?;
    for spec in SPECS {
        add(spec.name, &|machine| spec.table(machine))?;
    }
    texts.insert("alternatives", alternatives);
    Ok(texts)
}

/// A document with the tables that its marks name.
///
/// # Errors
///
/// Names a mark that has no table or no end.
pub fn update(document: &str, tables: &BTreeMap<&'static str, String>) -> Result<String, String> {
    const END: &str = "<!-- end of figures -->";
    let mut parts = document.split("<!-- figures: ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->").ok_or("a mark without an end")?;
        let (_, rest) = rest.split_once(END).ok_or_else(|| format!("the table {name} has no end"))?;
        let table = tables.get(name).ok_or_else(|| format!("there is no table {name}"))?;
        let _ = write!(text, "<!-- figures: {name} -->\n{table}\n{END}{rest}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_filled_and_the_text_around_them_stays() {
        let tables = BTreeMap::from([("a", "| 1 |\n".to_owned())]);
        let text = "x\n<!-- figures: a -->\nold\n<!-- end of figures -->\ny";
        assert_eq!(
            update(text, &tables).unwrap(),
            "x\n<!-- figures: a -->\n| 1 |\n\n<!-- end of figures -->\ny"
        );
        assert!(update("<!-- figures: b -->\n<!-- end of figures -->", &tables).unwrap_err().contains('b'));
        assert!(update("<!-- figures: a -->\n", &tables).unwrap_err().contains("no end"));
    }

    #[test]
    fn rows_of_two_machines_stand_together() {
        let table = |machine: &str, rows: &[&[&str]]| Shown {
            date: String::new(),
            machine: machine.to_owned(),
            rows: rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect(),
        };
        let one = table("AMD EPYC", &[&["lock", "ns"], &["ours", "1"], &["limit", "2"]]);
        let other = table("Intel Xeon", &[&["lock", "ns"], &["std", "4"], &["ours", "3"], &["limit", "2"]]);
        let rows = side_by_side(&[one, other]).unwrap();
        let lines: Vec<_> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(lines, ["lock processor ns", "ours AMD 1", "ours Intel 3", "limit  2", "std Intel 4"]);
        let tables = [table("AMD EPYC", &[&["lock", "ns"]]), table("Intel Xeon", &[&["lock", "us"]])];
        assert!(side_by_side(&tables).unwrap_err().contains("different columns"));
    }

    #[test]
    fn two_processors_of_one_maker_have_their_whole_names() {
        let table = |machine: &str, figure: &str| Shown {
            date: String::new(),
            machine: machine.to_owned(),
            rows: [["lock", "ns"], ["ours", figure]].map(|row| row.map(str::to_owned).to_vec()).to_vec(),
        };
        let tables = [
            table("AMD EPYC, 2 cores", "1"),
            table("Intel Xeon (model 1), 2 cores", "2"),
            table("Intel Xeon (model 2), 2 cores", "3"),
        ];
        let names: Vec<_> = side_by_side(&tables).unwrap().into_iter().map(|row| row[1].clone()).collect();
        assert_eq!(names, [PROCESSOR, "AMD", "Intel Xeon (model 1)", "Intel Xeon (model 2)"]);
    }

    #[test]
    fn figures_that_lose_are_bold() {
        assert_eq!(shown(0.9, "x stripe-lock", "", Some(1.0)), "**0.90**");
        assert_eq!(shown(0.96, "x stripe-lock", "", Some(1.0)), "0.96");
        assert_eq!(shown(12_345.6, "puts/s", "", Some(10_000.0)), "**12,346**");
        assert_eq!(shown(12_345.6, "puts/s", "", None), "12,346");
        assert_eq!(shown(2.0, "ms after closing", "opening, ms", Some(4.0)), "**2**");
        assert_eq!(shown(4.25, "ns", "ns", None), "4.2");
    }
}

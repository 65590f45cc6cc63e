//! The charts of the READMEs, drawn from the tables in BENCHMARKS.md that they show.

mod bars;
mod striping;

use std::fmt::Write;

use bars::Bar;

use crate::published::PROCESSOR;

/// The file names of all charts and their contents, from the text of BENCHMARKS.md.
///
/// # Errors
///
/// Names the table or row that the text does not have.
pub fn charts(benchmarks: &str) -> Result<Vec<(String, String)>, String> {
    let table =
        |heading| Table::under(benchmarks, heading).ok_or_else(|| format!("no table under `{heading}`"));
    let striping = table("## What does striping buy?")?;
    let puts = table("## How many durable puts does the disk engine make?")?;
    let quads = table("## How do the quad stores compare?")?;

    let (_, of_sixteen) =
        puts.rows.iter().find(|(row, _)| row == "1 KiB, 16").ok_or("no row of 1 KiB by 16 writers")?;
    let engines: Vec<_> = puts.columns.iter().zip(of_sixteen).filter_map(Bar::of).collect();

    let beside = "times as fast as Oxigraph on disk";
    let beside = quads
        .columns
        .iter()
        .position(|column| column == beside)
        .ok_or_else(|| format!("no column `{beside}`"))?;
    let works = quads.rows.iter().map(|(work, figures)| (work, &figures[beside]));
    let works: Vec<_> = works.filter_map(Bar::of).map(Bar::without_unit).collect();

    let both = [("light", &LIGHT), ("dark", &DARK)].into_iter().flat_map(|(name, theme)| {
        let puts = "durable puts of 1 KiB per second, 16 writers";
        let quads = "triple-store, times as fast as Oxigraph on disk";
        [
            (format!("striping-{name}.svg"), striping::draw(&striping, theme)),
            (format!("puts-{name}.svg"), bars::draw(puts, &engines, Some("vde-store"), theme)),
            (format!("quads-{name}.svg"), bars::draw(quads, &works, None, theme)),
        ]
    });
    Ok(both.collect())
}

/// A table of figures: a name for each column and each row.
#[derive(Debug, PartialEq)]
pub struct Table {
    /// The names of the columns, without that of the row names.
    pub columns: Vec<String>,
    /// The name of each row and its figures; `None` where a cell is not a number.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table {
    /// The first table under a heading of a Markdown text. Of a table of several processors, the rows of the first one.
    pub fn under(text: &str, heading: &str) -> Option<Self> {
        let (_, section) = text.split_once(heading)?;
        let mut lines = section.lines().skip_while(|line| !line.starts_with('|'));
        let columns = cells(lines.next()?).skip(1).map(str::to_owned).collect();
        let rows = lines
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| {
                let mut cells = cells(line);
                let name = cells.next()?.replace('`', "");
                Some((name, cells.map(|cell| cell.replace([',', '*'], "").parse().ok()).collect()))
            })
            .collect();
        let mut table = Self { columns, rows };
        if table.columns.first().is_some_and(|column| column == PROCESSOR) {
            table.columns.remove(0);
            table.rows.iter_mut().for_each(|(_, figures)| _ = figures.remove(0));
            table.rows.dedup_by(|later, first| later.0 == first.0);
        }
        Some(table)
    }
}

fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim_matches('|').split('|').map(str::trim)
}

/// The colours of a chart on a light or a dark background.
struct Theme {
    text: &'static str,
    grid: &'static str,
    lines: [&'static str; 3],
}

/// For pages with a light background.
const LIGHT: Theme = Theme { text: "#334155", grid: "#e2e8f0", lines: ["#2563eb", "#0d9488", "#64748b"] };

/// For pages with a dark background.
const DARK: Theme = Theme { text: "#cbd5e1", grid: "#334155", lines: ["#60a5fa", "#2dd4bf", "#94a3b8"] };

/// The beginning of a picture, with its title for screen readers and for the eye.
fn open(width: f64, height: f64, title: &str, theme: &Theme) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"title\" font-family=\"system-ui, sans-serif\" font-size=\"14\" fill=\"{}\">\n\
         <title id=\"title\">{title}</title>\n<text x=\"10\" y=\"26\">{title}</text>\n",
        theme.text
    )
}

fn put(svg: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(svg, "{line}").expect("a string takes every text");
}

//! The report as text.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table as Grid, presets};

use super::{Report, Table};

/// The report as text for a terminal.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let machine = &report.machine;
    let _ = writeln!(
        out,
        "{}, {} cores, {}; one 4 KiB write and its sync: {:.0} us",
        machine.processor, machine.cores, machine.system, machine.sync_us
    );
    let noise = if report.quick { "; a short run, so they are noisy" } else { "" };
    let _ = writeln!(
        out,
        "Medians and quartiles of interleaved rounds{noise}. Measured in {:.0} s.",
        report.seconds
    );
    for (number, section) in (1..).zip(&report.sections) {
        let _ = writeln!(out, "\n{number}. {}\n{}", section.title, wrapped(&section.method, ""));
        for table in &section.tables {
            let _ = writeln!(out, "\n{}\n{}", table.title, grid(table));
        }
        let _ = writeln!(out);
        for finding in &section.findings {
            let _ = writeln!(out, "- {}", wrapped(finding, "  "));
        }
    }
    out
}

fn grid(table: &Table) -> Grid {
    let mut grid = Grid::new();
    grid.load_style(presets::ASCII_MARKDOWN);
    grid.set_header(["", "median", "quartiles", &format!("x {}", table.base)]);
    for row in &table.rows {
        let show = |figure| table.unit.show(figure);
        grid.add_row([
            if table.is_ahead(row) { format!("{} (faster than ours)", row.label) } else { row.label.clone() },
            show(row.value.median),
            format!("{} .. {}", show(row.value.low), show(row.value.high)),
            format!("{:.2}", row.ratio.median),
        ]);
    }
    for column in grid.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    grid
}

/// Breaks text into lines of at most 100 characters.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if line > 0 && line + 1 + length > 100 {
            out.push('\n');
            out.push_str(indent);
            line = 0;
        } else if line > 0 {
            out.push(' ');
            line += 1;
        }
        out.push_str(word);
        line += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_between_words_and_nothing_is_lost() {
        let text = "word ".repeat(100).trim_end().to_owned();
        let out = wrapped(&text, "  ");
        assert!(out.lines().all(|line| line.trim_start().chars().count() <= 100), "{out}");
        assert_eq!(out.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
    }
}

//! The report as one HTML page that loads no other file.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Colour, Form, Plot, Report, Role, Row, Section, Table, plot};
use crate::contenders::stores::Failure;

/// The report as one HTML page, for light and dark.
///
/// # Errors
///
/// Where a plot cannot be drawn.
pub fn page(report: &Report) -> Result<String, Failure> {
    let machine = &report.machine;
    let sections: Vec<_> = (1..)
        .zip(&report.sections)
        .map(|(number, section)| show(number, section))
        .collect::<Result<_, _>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "What striping buys" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { "What striping buys on this machine" }
                    p.lead {
                        "Locks by key, and two stores that use them. Each figure is the median over rounds in which all contenders took "
                        "turns; bars at the points of a chart are quartiles. A ratio is computed within each round, and shown as the median "
                        "of these."
                    }
                    p.machine {
                        (machine.processor) " · " (machine.cores) " cores · " (machine.system) " · one write of 4 KiB and its sync "
                        (format!("{:.0} µs", machine.sync_us)) " · measured in " (format!("{:.0} s", report.seconds))
                    }
                    @if report.quick {
                        p.note { "A short run (" code { "--quick" } "): the figures are noisy." }
                    }
                    nav {
                        @for section in &report.sections {
                            a.tile href={ "#" (section.id) } {
                                strong { (section.headline.figure) }
                                span { (section.headline.says) }
                            }
                        }
                    }
                }
                main { @for section in &sections { (section) } }
                footer {
                    p { "Written by " code { "cargo run --release" } ". The same figures as JSON: " code { "--json" } "." }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn show(number: usize, section: &Section) -> Result<Markup, Failure> {
    let plots: Vec<_> = section.plots.iter().map(figure).collect::<Result<_, _>>()?;
    Ok(html! {
        section id=(section.id) {
            h2 { span.number { (number) } (section.title) }
            p.method { (section.method) }
            ul.findings { @for finding in &section.findings { li { (finding) } } }
            @if !plots.is_empty() {
                div.plots { @for plot in &plots { (plot) } }
            }
            @if section.shown > 0 {
                div.tables.three[section.shown == 3] { @for table in &section.tables[..section.shown] { (rows(table)) } }
            }
            @if section.shown < section.tables.len() {
                details {
                    summary { "All figures: " (section.tables.len() - section.shown) " more tables" }
                    div.tables { @for table in &section.tables[section.shown..] { (rows(table)) } }
                }
            }
        }
    })
}

fn figure(plot: &Plot) -> Result<Markup, Failure> {
    let svg = plot::svg(plot)?;
    Ok(html! {
        figure {
            figcaption { (plot.title) }
            ul.legend {
                @for curve in &plot.curves {
                    li.(class(curve.colour)).computed[curve.form == Form::Line] { (curve.label) }
                }
            }
            div.scroll tabindex="0" role="group" aria-label={ "Chart: " (plot.title) } { (PreEscaped(svg)) }
        }
    })
}

fn class(colour: Colour) -> &'static str {
    match colour {
        Colour::Ours => "ours",
        Colour::Second => "second",
        Colour::Before => "before",
        Colour::Limit => "limit",
    }
}

/// A table with a bar in each row.
fn rows(table: &Table) -> Markup {
    // The bar of a contender that takes very much longer than ours is cut off, so that the others stay readable.
    let longest = table.rows.iter().map(|row| row.value.median).fold(f64::MIN_POSITIVE, f64::max);
    let ours = table.rows.iter().find(|row| row.role == Role::Ours).map_or(longest, |row| row.value.median);
    let full = if table.unit.less_is_better() { longest.min(6.0 * ours) } else { longest };
    let better = if table.unit.less_is_better() { "less is better" } else { "more is better" };
    html! {
        table {
            caption { (table.title) span.better { (better) } }
            thead {
                tr { th scope="col" { "contender" } th scope="col" { "median" } th scope="col" { "times " (table.base) } th.bars {} }
            }
            tbody {
                @for row in &table.rows {
                    tr.(role(row.role)).ahead[table.is_ahead(row)] {
                        th scope="row" { (row.label) @if table.is_ahead(row) { " (faster than ours)" } }
                        td title=(quartiles(table, row)) { (table.unit.show(row.value.median)) }
                        td { (format!("{:.2}", row.ratio.median)) }
                        td.bars {
                            div.bar.more[row.value.median > full]
                                style={ "width:" (format!("{:.1}", (row.value.median / full).min(1.0) * 100.0)) "%" } {}
                        }
                    }
                }
            }
        }
    }
}

fn quartiles(table: &Table, row: &Row) -> String {
    format!("quartiles {} to {}", table.unit.show(row.value.low), table.unit.show(row.value.high))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Ours => "ours",
        Role::Limit => "limit",
        Role::Peer => "peer",
        Role::Before => "before",
        Role::After => "second",
    }
}

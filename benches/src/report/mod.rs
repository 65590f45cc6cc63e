//! The report of what striping buys. This module has its contents. `measure` measures them; `terminal`, `html` and
//! `serde` (as JSON) show them.

mod html;
mod machine;
mod measure;
mod plot;
mod progress;
mod terminal;

pub use html::page;
pub use machine::Machine;
pub use measure::{Settings, measure};
use serde::Serialize;
pub use terminal::text;

use crate::{
    harness::Comparison,
    spread::{Spread, thousands},
};

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub format: u32,
    /// The machine on which it was measured.
    pub machine: Machine,
    /// Whether it was a short run.
    pub quick: bool,
    /// What was loaded into the triple store.
    pub input: String,
    /// How long it took to measure, in seconds.
    pub seconds: f64,
    /// The parts.
    pub sections: Vec<Section>,
}

/// One question, answered.
#[derive(Debug, Serialize)]
pub struct Section {
    /// A short name, for links.
    pub id: &'static str,
    /// The title.
    pub title: &'static str,
    /// How it was measured.
    pub method: String,
    /// The most important figure, and what it is.
    pub headline: Headline,
    /// What the figures say, losses included.
    pub findings: Vec<String>,
    /// The figures.
    pub tables: Vec<Table>,
    /// How many of the tables the page shows. It folds the others.
    pub shown: usize,
    /// The curves.
    pub plots: Vec<Plot>,
}

impl Section {
    /// The claims about tables that can be made. If the machine was too busy to measure a table, the reason takes the
    /// place of the claims about it.
    fn conclude(claims: Vec<(&[&Table], String)>) -> Vec<String> {
        let mut said = Vec::new();
        let mut doubts = Vec::new();
        for (tables, claim) in claims {
            match tables.iter().find_map(|table| table.doubt()) {
                None => said.push(claim),
                Some(doubt) if !doubts.contains(&doubt) => doubts.push(doubt),
                Some(_) => {}
            }
        }
        said.extend(doubts);
        said
    }
}

/// A figure to remember.
#[derive(Debug, Serialize)]
pub struct Headline {
    /// The figure.
    pub figure: String,
    /// What the figure says.
    pub says: String,
}

/// What the figures of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds for one operation: less is better.
    Nanoseconds,
    /// Operations per second: more is better.
    PerSecond,
    /// Times the base: more is better.
    Times,
}

impl Unit {
    /// A figure with its unit.
    pub fn show(self, figure: f64) -> String {
        match self {
            Self::Nanoseconds => format!("{} ns", significant(figure)),
            Self::PerSecond => format!("{}/s", significant(figure)),
            Self::Times => format!("{figure:.2} x"),
        }
    }

    /// Whether a smaller figure is the better one.
    pub fn less_is_better(self) -> bool {
        self == Self::Nanoseconds
    }
}

/// The role of a contender in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A crate of this workspace.
    Ours,
    /// A limit that no contender can beat: written by hand, or a formula.
    Limit,
    /// Another library, or a solution by hand.
    Peer,
    /// One global lock.
    Before,
    /// Stripes held over the whole operation.
    After,
}

/// The same work, done by several contenders.
#[derive(Debug, Serialize)]
pub struct Table {
    /// The work.
    pub title: String,
    /// The unit of the figures.
    pub unit: Unit,
    /// The contender to which the ratios refer.
    pub base: String,
    /// One for each contender.
    pub rows: Vec<Row>,
}

/// One contender's figures.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The name of the contender.
    pub label: String,
    /// Its role.
    pub role: Role,
    /// The figure.
    pub value: Spread,
    /// The figure divided by that of the base, round by round.
    pub ratio: Spread,
}

impl Table {
    /// The figures of a comparison, with ratios to the case called `base`.
    pub fn of(
        title: impl Into<String>,
        unit: Unit,
        result: &Comparison,
        base: &str,
        role: impl Fn(&str) -> Role,
    ) -> Self {
        let base_samples = result.of(base);
        let rows = result.samples().iter().map(|samples| {
            let (value, ratio) = match unit {
                Unit::Nanoseconds => {
                    (samples.time().map(|time| time * 1e9), samples.times_slower_than(base_samples))
                }
                Unit::PerSecond => (samples.rate(), base_samples.times_slower_than(samples)),
                Unit::Times => {
                    let gain = base_samples.times_slower_than(samples);
                    (gain, gain)
                }
            };
            Row { label: samples.label.clone(), role: role(&samples.label), value, ratio }
        });
        Self { title: title.into(), unit, base: base.to_owned(), rows: rows.collect() }
    }

    /// The same table with another name for its base.
    #[must_use]
    pub fn with_base(mut self, name: &str) -> Self {
        name.clone_into(&mut self.base);
        self
    }

    /// The same table with the best row first.
    #[must_use]
    pub fn best_first(mut self) -> Self {
        self.rows.sort_by(|a, b| a.value.median.total_cmp(&b.value.median));
        if !self.unit.less_is_better() {
            self.rows.reverse();
        }
        self
    }

    /// Why nothing should be concluded from the table: a figure of ours varies by more than a factor of two, or a
    /// limit took longer than ours.
    pub fn doubt(&self) -> Option<String> {
        let busy = |why: String| {
            format!("{}: the machine was too busy for a conclusion, because {why}.", self.title)
        };
        let varies = |row: &&Row| row.role != Role::Peer && row.value.high > 2.0 * row.value.low;
        if let Some(row) = self.rows.iter().find(varies) {
            let (low, high) = (self.unit.show(row.value.low), self.unit.show(row.value.high));
            return Some(busy(format!("{} took from {low} to {high}", row.label)));
        }
        let limit = self.rows.iter().find(|row| row.role == Role::Limit)?;
        let ours = self.rows.iter().find(|row| row.label == self.base)?;
        let absurd = self.unit.less_is_better() && limit.value.median > 1.05 * ours.value.median;
        absurd.then(|| busy(format!("{} took longer than {}, which it limits", limit.label, ours.label)))
    }

    /// A headline from the table, unless nothing should be concluded from it.
    #[must_use]
    pub fn headline(&self, figure: String, says: String) -> Headline {
        match self.doubt() {
            None => Headline { figure, says },
            Some(_) => {
                Headline { figure: "?".to_owned(), says: format!("{says}: the machine was too busy to say") }
            }
        }
    }

    /// Whether a row is of another library that did better than ours.
    pub fn is_ahead(&self, row: &Row) -> bool {
        let Some(ours) = self.rows.iter().find(|row| row.label == self.base) else { return false };
        let (figure, ours) = (row.value.median, ours.value.median);
        row.role == Role::Peer && if self.unit.less_is_better() { figure < ours } else { figure > ours }
    }

    /// The row called `label`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such row.
    pub fn row(&self, label: &str) -> &Row {
        self.rows.iter().find(|row| row.label == label).unwrap_or_else(|| panic!("no row {label}"))
    }

    /// The rows of other libraries that did better than ours, the best first.
    pub fn ahead(&self) -> Vec<&Row> {
        let mut ahead: Vec<_> = self.rows.iter().filter(|row| self.is_ahead(row)).collect();
        ahead.sort_by(|a, b| a.value.median.total_cmp(&b.value.median));
        if !self.unit.less_is_better() {
            ahead.reverse();
        }
        ahead
    }
}

/// Curves over one axis.
#[derive(Debug, Serialize)]
pub struct Plot {
    /// What is shown.
    pub title: String,
    /// The name of the horizontal axis, which is logarithmic.
    pub x: String,
    /// The name of the vertical axis.
    pub y: String,
    /// Whether the vertical axis is logarithmic as well.
    pub log_y: bool,
    /// A place on the horizontal axis with a name instead of a number.
    pub named: Option<(f64, &'static str)>,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Debug, Serialize)]
pub struct Curve {
    /// The name of the curve.
    pub label: String,
    /// Its colour.
    pub colour: Colour,
    /// How it is drawn.
    pub form: Form,
    /// Its points, in ascending order of x.
    pub points: Vec<(f64, Spread)>,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Computed: a line.
    Line,
    /// Measured: points with their quartiles, joined by a line.
    Measured,
    /// Measured: separate points with their quartiles.
    Apart,
}

/// A colour by its meaning. The page defines the colours for light and for dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Ours.
    Ours,
    /// Ours in another way.
    Second,
    /// The state before striping.
    Before,
    /// The limit.
    Limit,
}

/// Three significant digits, with separators between thousands.
pub fn significant(figure: f64) -> String {
    if figure == 0.0 || !figure.is_finite() {
        return format!("{figure}");
    }
    let magnitude = figure.abs().log10().floor() as i32;
    if magnitude < 2 {
        return format!("{figure:.*}", (2 - magnitude) as usize);
    }
    let scale = 10_f64.powi(magnitude - 2);
    thousands((figure / scale).round() * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_separators() {
        let shown = [0.012_34, 1.0, 18.46, 123.4, 999.6, 12_817.0, 1_234_567.0].map(significant);
        assert_eq!(shown, ["0.0123", "1.00", "18.5", "123", "1,000", "12,800", "1,230,000"]);
    }

    #[test]
    fn losing_rows_are_found_for_times_and_for_rates() {
        let row = |label: &str, role, value| {
            let value = Spread::exactly(value);
            Row { label: label.to_owned(), role, value, ratio: value }
        };
        let table = |unit| Table {
            title: String::new(),
            unit,
            base: "us".to_owned(),
            rows: vec![
                row("us", Role::Ours, 2.0),
                row("low", Role::Peer, 1.0),
                row("high", Role::Peer, 3.0),
                row("limit", Role::Limit, 0.5),
            ],
        };
        let ahead = |unit| table(unit).ahead().iter().map(|row| row.label.clone()).collect::<Vec<_>>();
        assert_eq!(ahead(Unit::Nanoseconds), ["low"]);
        assert_eq!(ahead(Unit::PerSecond), ["high"]);
    }

    #[test]
    fn nothing_is_concluded_from_a_table_of_a_busy_machine() {
        let row = |role, low: f64, high: f64| {
            let value = Spread { low, median: f64::midpoint(low, high), high };
            Row { label: format!("{role:?}"), role, value, ratio: value }
        };
        let table =
            |rows| Table { title: "t".to_owned(), unit: Unit::Nanoseconds, base: "Ours".to_owned(), rows };
        let ours = || row(Role::Ours, 1.0, 1.5);
        assert_eq!(table(vec![ours(), row(Role::Limit, 1.0, 1.0), row(Role::Peer, 1.0, 9.0)]).doubt(), None);
        let varies = table(vec![row(Role::Ours, 1.0, 2.5)]).doubt().unwrap();
        assert!(varies.contains("from 1.00 ns to 2.50 ns"), "{varies}");
        let absurd = table(vec![ours(), row(Role::Limit, 3.0, 3.0)]);
        assert!(absurd.doubt().unwrap().contains("which it limits"));
        let sound = table(vec![ours()]);
        let (one, both) = ([&sound], [&sound, &absurd]);
        let claims = vec![(&one[..], "a".to_owned()), (&both, "b".to_owned())];
        assert_eq!(Section::conclude(claims), ["a".to_owned(), absurd.doubt().unwrap()]);
    }
}

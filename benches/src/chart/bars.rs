//! Bars with their figures: one for each contender, or for each kind of work.

use super::{Theme, open, put};
use crate::spread::thousands;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 260.0;
const LONGEST: f64 = 380.0;
const TOP: f64 = 44.0;
const STEP: f64 = 30.0;

/// One bar.
pub(super) struct Bar {
    label: String,
    figure: f64,
}

impl Bar {
    /// None if there is no figure.
    pub(super) fn of((label, figure): (&String, &Option<f64>)) -> Option<Self> {
        Some(Self { label: label.clone(), figure: (*figure)? })
    }

    /// The label without the unit after its comma. The unit belongs to a column that the chart does not show.
    pub(super) fn without_unit(self) -> Self {
        let unit = self.label.rfind(", ").filter(|&at| self.label[at..].contains("/s"));
        Self { label: self.label[..unit.unwrap_or(self.label.len())].to_owned(), ..self }
    }
}

/// Bars from the largest figure to the smallest. The bar with the label `ours` has our colour, or each bar if `ours`
/// is `None`. A limit has the colour of a prediction, and the other bars have a third colour.
pub(super) fn draw(title: &str, bars: &[Bar], ours: Option<&str>, theme: &Theme) -> String {
    let mut sorted: Vec<_> = bars.iter().collect();
    sorted.sort_by(|one, other| other.figure.total_cmp(&one.figure));
    let most = sorted.first().map_or(1.0, |bar| bar.figure);
    let mut svg = open(WIDTH, TOP + STEP * bars.len() as f64 + 10.0, title, theme);
    let mut top = TOP;
    let [own, other, limit] = theme.lines;
    for bar in sorted {
        let colour = match ours {
            Some(name) if name == bar.label => own,
            None => own,
            Some(_) if bar.label.starts_with("limit") => limit,
            Some(_) => other,
        };
        let length = LONGEST * bar.figure / most;
        put(
            &mut svg,
            format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"20\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
                LEFT - 10.0,
                top + 15.0,
                bar.label,
                top,
                LEFT + length + 8.0,
                top + 15.0,
                grouped(bar.figure)
            ),
        );
        top += STEP;
    }
    svg.push_str("</svg>\n");
    svg
}

/// A figure with commas between thousands.
fn grouped(figure: f64) -> String {
    if figure < 1000.0 { figure.to_string() } else { thousands(figure) }
}

//! What striping buys: a curve of the work done, by number of stripes.

use super::{Table, Theme, open, put};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 300.0;
/// The highest value on the vertical axis: 16 writers can't do more than 16 times the work of one.
const HIGHEST: f64 = 17.0;
const TITLE: &str = "work done by 16 sleeping writers, times one lock";

/// Work done by 16 writers, as a multiple of one lock, by number of stripes. The last row of the table is the prediction, which
/// is drawn as a dashed line. The last column has no number of stripes and is not joined to the others.
pub(super) fn draw(table: &Table, theme: &Theme) -> String {
    let mut svg = open(WIDTH, HEIGHT, TITLE, theme);
    axes(&mut svg, table, theme);
    for (row, (name, figures)) in table.rows.iter().enumerate() {
        let colour = theme.lines[row % theme.lines.len()];
        let predicted = row + 1 == table.rows.len();
        let points: Vec<_> = figures
            .iter()
            .enumerate()
            .filter_map(|(column, figure)| Some((across(table, column), up((*figure)?), column)))
            .collect();
        let path: Vec<_> = points
            .iter()
            .filter(|point| table.columns[point.2].parse::<f64>().is_ok())
            .map(|(x, y, _)| format!("{x:.1},{y:.1}"))
            .collect();
        let dashes = if predicted { " stroke-dasharray=\"6 5\"" } else { "" };
        put(
            &mut svg,
            format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"{dashes}/>",
                path.join(" ")
            ),
        );
        for (x, y, _) in points.iter().filter(|_| !predicted) {
            put(&mut svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{colour}\"/>"));
        }
        let y = 196.0 + 17.0 * f64::from(u32::try_from(row).unwrap_or(0));
        put(
            &mut svg,
            format_args!(
                "<line x1=\"380\" y1=\"{y}\" x2=\"412\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"2.5\"{dashes}/>\n\
             <text x=\"420\" y=\"{}\">{name}</text>",
                y + 5.0
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, table: &Table, theme: &Theme) {
    for tick in [0.0, 4.0, 8.0, 12.0, 16.0] {
        let y = up(tick);
        put(
            svg,
            format_args!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"{}\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                theme.grid,
                LEFT - 10.0,
                y + 5.0
            ),
        );
    }
    for (column, name) in table.columns.iter().enumerate() {
        put(
            svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
                across(table, column),
                BOTTOM + 22.0
            ),
        );
    }
    put(
        svg,
        format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">stripes</text>",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 46.0
        ),
    );
}

/// The place of a column: by the logarithm of its number of stripes, or at the right if it has none.
fn across(table: &Table, column: usize) -> f64 {
    let stripes: Vec<f64> = table.columns.iter().filter_map(|name| name.parse().ok()).collect();
    let most = stripes.iter().copied().fold(2.0, f64::max).log2();
    match table.columns[column].parse::<f64>() {
        Ok(stripes) => LEFT + 20.0 + (RIGHT - LEFT - 150.0) * stripes.log2() / most,
        Err(_) => RIGHT - 40.0,
    }
}

fn up(figure: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * figure / HIGHEST
}

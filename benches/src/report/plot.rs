//! Curves as SVG.
//!
//! The picture has the colours for light mode, so it can be used alone. In dark mode, the page's style sheet selects
//! these colours by attribute and replaces them.

use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    },
    prelude::*,
    style::{FontDesc, FontFamily, FontStyle},
};

use crate::spread::Spread;

use super::{Colour, Curve, Form, Plot, significant};

const SIZE: (u32, u32) = (640, 360);
/// The width of the ends of the bar between the quartiles of a point.
const QUARTILES_WIDTH: u32 = 9;
const INK: RGBColor = RGBColor(0x33, 0x41, 0x55);
const GRID: RGBColor = RGBColor(0xe2, 0xe8, 0xf0);

impl Colour {
    /// The colour for light mode.
    pub(super) fn light(self) -> RGBColor {
        match self {
            Self::Ours => RGBColor(0x25, 0x63, 0xeb),
            Self::Second => RGBColor(0x0d, 0x94, 0x88),
            Self::Before => RGBColor(0xc2, 0x41, 0x0c),
            Self::Limit => RGBColor(0x94, 0xa3, 0xb8),
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The plot as one SVG element.
///
/// # Errors
///
/// If plotters cannot draw it. That happens with no plot of this report.
pub(super) fn svg(plot: &Plot) -> Result<String, Failure> {
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
        draw(plot, &area).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
    }
    // For screen readers: a picture with a name.
    let named = format!(
        "<svg role=\"img\" aria-label=\"{}\" ",
        plot.title.replace('&', "&amp;").replace('"', "&quot;")
    );
    Ok(out.replacen("<svg ", &named, 1))
}

fn draw(plot: &Plot, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Failure> {
    let points = || plot.curves.iter().flat_map(|curve| &curve.points);
    let bound =
        |f: fn(f64, f64) -> f64, part: fn(&(f64, Spread)) -> f64| points().map(part).reduce(f).unwrap_or(1.0);
    let (left, right) = (bound(f64::min, |p| p.0), bound(f64::max, |p| p.0));
    let (low, high) = (bound(f64::min, |p| p.1.low), bound(f64::max, |p| p.1.high));
    let x = (left / 1.15..right * 1.15).log_scale().base(2.0);
    if plot.log_y {
        let base = if high > 100.0 * low { 10.0 } else { 2.0 };
        chart(plot, area, x, (low / 1.3..high * 1.3).log_scale().base(base))
    } else {
        chart(plot, area, x, 0.0..high * 1.06)
    }
}

fn chart<X, Y>(plot: &Plot, area: &DrawingArea<SVGBackend<'_>, Shift>, x: X, y: Y) -> Result<(), Failure>
where
    X: AsRangedCoord<Value = f64, CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>>,
{
    let font = FontDesc::new(FontFamily::Name("system-ui, sans-serif"), 14.0, FontStyle::Normal);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(44)
        .y_label_area_size(66)
        .build_cartesian_2d(x, y)?;
    let place = |at: &f64| match plot.named {
        Some((named, name)) if (at - named).abs() < 1e-6 => name.to_owned(),
        _ => short(*at),
    };
    chart
        .configure_mesh()
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .x_labels(10)
        .y_labels(7)
        .x_label_formatter(&place)
        .y_label_formatter(&|figure| short(*figure))
        .label_style(font.clone().color(&INK))
        .axis_desc_style(font.color(&INK))
        .axis_style(INK.stroke_width(1))
        .bold_line_style(GRID.stroke_width(1))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for Curve { colour, form, points, .. } in &plot.curves {
        let colour = colour.light();
        if *form != Form::Apart {
            let medians = points.iter().map(|(x, y)| (*x, y.median));
            chart.draw_series(LineSeries::new(medians, colour.stroke_width(2)))?;
        }
        if *form != Form::Line {
            let quartiles = points.iter().map(|&(x, y)| {
                ErrorBar::new_vertical(x, y.low, y.median, y.high, colour.filled(), QUARTILES_WIDTH)
            });
            chart.draw_series(quartiles)?;
            chart.draw_series(points.iter().map(|(x, y)| Circle::new((*x, y.median), 4, colour.filled())))?;
        }
    }
    Ok(())
}

/// A figure on an axis.
fn short(figure: f64) -> String {
    match figure {
        f if f >= 1e6 => format!("{}M", trimmed(f / 1e6)),
        f if f >= 10_000.0 => format!("{}k", trimmed(f / 1e3)),
        f if f.fract().abs() < 1e-9 => format!("{f:.0}"),
        f => trimmed(f),
    }
}

fn trimmed(figure: f64) -> String {
    let text = significant(figure);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_every_curve_in_its_colour() {
        let curve = |colour, form| Curve {
            label: String::new(),
            colour,
            form,
            points: [(1.0, 1.0), (16.0, 9.0), (1024.0, 16.0)].map(|(x, y)| (x, Spread::exactly(y))).to_vec(),
        };
        let plot = Plot {
            title: "of \"A & B\"".to_owned(),
            x: "stripes".to_owned(),
            y: "times".to_owned(),
            log_y: false,
            named: Some((1024.0, "exact")),
            curves: vec![curve(Colour::Ours, Form::Measured), curve(Colour::Limit, Form::Line)],
        };
        for log_y in [false, true] {
            let svg = svg(&Plot {
                log_y,
                curves: plot
                    .curves
                    .iter()
                    .map(|c| Curve { label: String::new(), points: c.points.clone(), ..*c })
                    .collect(),
                title: plot.title.clone(),
                x: plot.x.clone(),
                y: plot.y.clone(),
                ..plot
            })
            .unwrap();
            assert!(svg.starts_with("<svg role=\"img\" aria-label=\"of &quot;A &amp; B&quot;\""), "{svg}");
            assert!(svg.contains("#2563EB") && svg.contains("#94A3B8"), "{svg}");
            assert!(svg.contains(">\nexact\n<"), "{svg}");
        }
    }

    #[test]
    fn axis_figures_are_short() {
        assert_eq!(
            [0.5, 2.0, 256.0, 10_000.0, 65_536.0, 2_500_000.0].map(short),
            ["0.5", "2", "256", "10k", "65.5k", "2.5M"]
        );
    }
}

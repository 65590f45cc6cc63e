//! A median with its quartiles, the form of every figure of this crate.

use serde::Serialize;

/// The median of some samples, with the quartiles around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The lower quartile.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The upper quartile.
    pub high: f64,
}

impl Spread {
    /// The spread of `samples`, which may come in any order.
    ///
    /// # Panics
    ///
    /// Panics if there are no samples, or if one of them is not a number.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        assert!(!sorted.is_empty(), "a spread needs at least one sample");
        sorted.sort_by(|a, b| a.partial_cmp(b).expect("samples are numbers"));
        Self { low: quantile(&sorted, 0.25), median: quantile(&sorted, 0.5), high: quantile(&sorted, 0.75) }
    }

    /// A figure that does not vary.
    pub fn exactly(figure: f64) -> Self {
        Self { low: figure, median: figure, high: figure }
    }

    /// The same spread with every figure replaced by `f` of it. If `f` is decreasing, the quartiles swap.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let (low, high) = (f(self.low), f(self.high));
        Self { low: low.min(high), median: f(self.median), high: low.max(high) }
    }
}

/// A whole figure with commas between thousands.
pub fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The `q` quantile of sorted samples, interpolated between neighbours.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated_and_order_does_not_matter() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Spread { low: 1.75, median: 2.5, high: 3.25 });
    }

    #[test]
    fn a_decreasing_map_keeps_low_below_high() {
        let spread = Spread::of([1.0, 2.0, 4.0]).map(|x| 1.0 / x);
        assert!(spread.low <= spread.median && spread.median <= spread.high, "{spread:?}");
    }

    #[test]
    #[should_panic(expected = "at least one sample")]
    fn a_spread_of_no_samples_panics() {
        Spread::of([]);
    }
}

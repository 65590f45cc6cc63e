//! The progress bar.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::harness::{Case, Comparison, Plan};

/// A bar over the expected time of everything that is going to be measured.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Milliseconds expected of the comparisons before the current one.
    before: u64,
}

impl Progress {
    /// A bar that is full after about `expected`.
    pub(super) fn new(expected: Duration) -> Self {
        let bar = ProgressBar::new(millis(expected));
        let style =
            ProgressStyle::with_template("{prefix:<14} {wide_bar:.cyan/blue} {percent:>3} %  {msg:<34.34}");
        bar.set_style(style.expect("a template that indicatif takes").progress_chars("━╸─"));
        Self { bar, before: 0 }
    }

    /// Names the part that is measured next.
    pub(super) fn part(&self, name: &'static str) {
        self.bar.set_prefix(name);
    }

    /// Measures cases while the bar moves on by the time they are expected to take.
    pub(super) fn compare(&mut self, cases: &mut [Case<'_>], plan: Plan) -> Comparison {
        let whole = millis(plan.expected(cases.len()));
        let steps = (cases.len() * (plan.rounds + 1)) as u64;
        let mut step = 0;
        let result = Comparison::measure(cases, plan, |label| {
            step += 1;
            self.bar.set_message(label.to_owned());
            self.bar.set_position(self.before + whole * step / steps);
        });
        self.before += whole;
        result
    }

    /// Removes the bar.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

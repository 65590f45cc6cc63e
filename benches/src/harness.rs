//! How everything is measured here: in interleaved rounds, after a warm-up, with a ratio for every round.
//!
//! The speed of a machine drifts: clocks change, other programs run, disks fill. If contenders are measured one after
//! the other, the drift distorts the comparison. If they take turns many times, it affects all of them alike. So a
//! [`Comparison`] takes one short sample of each case per round, in an order that rotates. A ratio is computed
//! *within* each round, and the median of these ratios is reported.

use std::time::Duration;

use crate::{
    latencies::{Latencies, Tail},
    spread::Spread,
};

/// One contender on one workload.
pub struct Case<'a> {
    label: String,
    fixed: Option<u64>,
    run: Run<'a>,
}

enum Run<'a> {
    Timed(Box<Timed<'a>>),
    Waiting(Box<Waiting<'a>>),
}

type Timed<'a> = dyn FnMut(u64) -> Duration + 'a;
type Waiting<'a> = dyn FnMut(u64, Option<&Latencies>) -> Duration + 'a;

impl<'a> Case<'a> {
    /// A case whose `run` performs as many operations as it is asked for, and returns the time they took.
    pub fn new(label: impl Into<String>, run: impl FnMut(u64) -> Duration + 'a) -> Self {
        Self { label: label.into(), fixed: None, run: Run::Timed(Box::new(run)) }
    }

    /// A case that can also measure how long each operation waits: `run` adds these times to the latencies that it
    /// gets. It gets `None` if all operations are timed together, because reading the clock takes as long as a free
    /// lock.
    pub fn waiting(
        label: impl Into<String>,
        run: impl FnMut(u64, Option<&Latencies>) -> Duration + 'a,
    ) -> Self {
        Self { label: label.into(), fixed: None, run: Run::Waiting(Box::new(run)) }
    }

    /// A case that always performs the same `operations` (loading a file, say).
    pub fn fixed(label: impl Into<String>, operations: u64, mut run: impl FnMut() -> Duration + 'a) -> Self {
        assert!(operations > 0, "a case that does nothing has no time per operation");
        Self { label: label.into(), fixed: Some(operations), run: Run::Timed(Box::new(move |_| run())) }
    }

    /// What the case is called in tables.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Performs `operations` operations and returns the time they took, as criterion's `iter_custom` needs it.
    pub fn run(&mut self, operations: u64) -> Duration {
        match &mut self.run {
            Run::Timed(run) => run(operations),
            Run::Waiting(run) => run(operations, None),
        }
    }

    /// Performs `operations` operations and returns their longest waits, if the case can measure them.
    fn waits(&mut self, operations: u64) -> Option<Tail> {
        let Run::Waiting(run) = &mut self.run else { return None };
        let latencies = Latencies::default();
        run(operations, Some(&latencies));
        Some(latencies.tail())
    }
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Samples of each case.
    pub rounds: usize,
    /// The length of one sample.
    pub sample: Duration,
}

impl Plan {
    /// The time this plan takes for `cases` cases of any length: calibration and rounds.
    pub fn expected(&self, cases: usize) -> Duration {
        self.sample * u32::try_from(cases * (self.rounds + 1)).unwrap_or(u32::MAX)
    }
}

/// The samples of one case: seconds per operation, one for each round.
#[derive(Clone, Debug)]
pub struct Samples {
    /// What the case is called.
    pub label: String,
    /// Seconds per operation.
    pub seconds: Vec<f64>,
    /// The longest waits of each round, if they were measured.
    pub waits: Vec<Tail>,
}

impl Samples {
    /// Seconds per operation.
    pub fn time(&self) -> Spread {
        Spread::of(self.seconds.iter().copied())
    }

    /// Operations per second.
    pub fn rate(&self) -> Spread {
        Spread::of(self.seconds.iter().map(|s| 1.0 / s))
    }

    /// How many times longer an operation took here than in `base`, round by round.
    ///
    /// # Panics
    ///
    /// Panics if the two do not come from one comparison, and so have no rounds in common.
    pub fn times_slower_than(&self, base: &Self) -> Spread {
        assert_eq!(self.seconds.len(), base.seconds.len(), "ratios need the rounds of one comparison");
        Spread::of(self.seconds.iter().zip(&base.seconds).map(|(ours, theirs)| ours / theirs))
    }
}

/// Every case of one workload, measured in the same rounds.
#[derive(Clone, Debug)]
pub struct Comparison {
    samples: Vec<Samples>,
}

impl Comparison {
    /// Measures `cases`; `tick` is called after each sample (and each calibration) with the label of the case.
    ///
    /// # Panics
    ///
    /// Panics if there are no rounds, or a case claims to have taken no time.
    pub fn measure(cases: &mut [Case<'_>], plan: Plan, mut tick: impl FnMut(&str)) -> Self {
        assert!(plan.rounds > 0, "a comparison needs at least one round");
        let mut samples: Vec<_> = cases
            .iter()
            .map(|case| Samples { label: case.label.clone(), seconds: Vec::new(), waits: Vec::new() })
            .collect();
        let operations: Vec<_> = cases
            .iter_mut()
            .map(|case| {
                let operations = calibrate(case, plan.sample);
                tick(&case.label);
                operations
            })
            .collect();
        for round in 0..plan.rounds {
            for turn in 0..cases.len() {
                let index = (turn + round) % cases.len();
                let case = &mut cases[index];
                let took = case.run(operations[index]).as_secs_f64();
                assert!(took > 0.0, "{} took no time", case.label);
                samples[index].seconds.push(took / operations[index] as f64);
                tick(&case.label);
            }
        }
        Self { samples }
    }

    /// Measures the longest waits of those `cases` that can measure them, in separate rounds.
    ///
    /// # Panics
    ///
    /// Panics if `cases` are not the cases of this comparison.
    pub fn measure_waits(&mut self, cases: &mut [Case<'_>], plan: Plan) {
        for round in 0..plan.rounds {
            for turn in 0..cases.len() {
                let index = (turn + round) % cases.len();
                let samples = &mut self.samples[index];
                assert_eq!(samples.label, cases[index].label, "these are the cases of another comparison");
                let operations = (plan.sample.as_secs_f64() / samples.time().median) as u64;
                samples.waits.extend(cases[index].waits(operations.max(1)));
            }
        }
    }

    /// The samples of each case, in the order of the cases.
    pub fn samples(&self) -> &[Samples] {
        &self.samples
    }

    /// The samples of the case called `label`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such case.
    pub fn of(&self, label: &str) -> &Samples {
        self.samples
            .iter()
            .find(|samples| samples.label == label)
            .unwrap_or_else(|| panic!("no case {label}"))
    }
}

/// Warms a case up and returns how many operations of it fill `sample`.
///
/// The number of operations grows until they take a quarter of a sample. That is enough to extrapolate from, and it
/// warms up caches, allocators and branch predictors.
fn calibrate(case: &mut Case<'_>, sample: Duration) -> u64 {
    if let Some(operations) = case.fixed {
        return operations;
    }
    let mut operations = 1_u64;
    loop {
        let mut took = case.run(operations);
        if took >= sample / 4 {
            // If the first of two runs was interrupted, the second one shows it.
            took = took.min(case.run(operations));
        }
        if took >= sample / 4 {
            let fill = operations as f64 * sample.as_secs_f64() / took.as_secs_f64();
            return (fill as u64).max(1);
        }
        let grow = (sample.as_secs_f64() / 3.0 / took.as_secs_f64().max(1e-9)).clamp(2.0, 64.0);
        operations = (operations as f64 * grow) as u64 + 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn plan(rounds: usize) -> Plan {
        Plan { rounds, sample: Duration::from_millis(1) }
    }

    #[test]
    fn every_round_visits_every_case_once_in_a_rotating_order() {
        let visits = RefCell::new(Vec::new());
        let case = |name: &'static str| {
            let visits = &visits;
            Case::fixed(name, 1, move || {
                visits.borrow_mut().push(name);
                Duration::from_millis(1)
            })
        };
        Comparison::measure(&mut [case("a"), case("b"), case("c")], plan(3), |_| ());
        assert_eq!(*visits.borrow(), ["a", "b", "c", "b", "c", "a", "c", "a", "b"]);
    }

    #[test]
    fn time_per_operation_does_not_depend_on_the_sample_length() {
        let cost = |nanos: u64| move |operations| Duration::from_nanos(nanos * operations);
        let mut cases = [Case::new("slow", cost(300)), Case::new("fast", cost(100))];
        let result = Comparison::measure(&mut cases, plan(5), |_| ());
        let (slow, fast) = (result.of("slow"), result.of("fast"));
        assert!((slow.time().median - 300e-9).abs() < 1e-12);
        assert!((fast.rate().median - 1e7).abs() < 1.0);
        assert!((slow.times_slower_than(fast).median - 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // Both become slower from round to round, and the ratio must not show that drift.
        let drifting = |nanos: u64| {
            let mut round = 0;
            move || {
                round += 1;
                Duration::from_nanos(nanos * round)
            }
        };
        let mut cases = [Case::fixed("x", 1, drifting(20)), Case::fixed("y", 1, drifting(10))];
        let result = Comparison::measure(&mut cases, plan(9), |_| ());
        let ratio = result.of("x").times_slower_than(result.of("y"));
        assert_eq!(ratio, Spread { low: 2.0, median: 2.0, high: 2.0 });
    }

    #[test]
    fn waits_are_measured_in_separate_rounds_of_the_cases_that_can_measure_them() {
        let waiting = Case::waiting("waits", |operations, latencies| {
            if let Some(latencies) = latencies {
                latencies.add((1..=operations).map(|wait| wait as f64).collect());
            }
            Duration::from_nanos(1000 * operations)
        });
        let mut cases = [waiting, Case::new("never waits", Duration::from_nanos)];
        let mut result = Comparison::measure(&mut cases, plan(3), |_| ());
        assert!(result.of("waits").waits.is_empty());
        result.measure_waits(&mut cases, plan(5));
        assert_eq!(result.of("waits").waits, [Tail { p999: 999.0, longest: 1000.0 }; 5]);
        assert!(result.of("never waits").waits.is_empty());
    }

    #[test]
    fn an_interrupted_run_does_not_decide_how_large_samples_are() {
        let mut runs = 0;
        let mut case = Case::new("x", |operations| {
            runs += 1;
            Duration::from_nanos(100 * operations) + Duration::from_millis(if runs == 1 { 50 } else { 0 })
        });
        let operations = calibrate(&mut case, Duration::from_millis(10));
        assert!((50_000..=100_000).contains(&operations), "{operations}");
    }

    #[test]
    fn a_sample_is_filled_whatever_an_operation_costs() {
        for nanos in [1, 1_000, 5_000_000] {
            let mut case = Case::new("x", |operations| Duration::from_nanos(nanos * operations));
            let operations = calibrate(&mut case, Duration::from_millis(10));
            let took = case.run(operations).as_secs_f64();
            assert!((0.005..=0.010_001).contains(&took), "{nanos} ns: {operations} operations took {took} s");
        }
    }
}

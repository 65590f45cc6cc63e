//! Part one: how many writers stripes let work at once.

use std::time::Duration;

use stripe_lock::expected_parallelism;

use super::{
    super::{Colour, Curve, Form, Plot, Role, Row, Section, Table, Unit, progress::Progress},
    Settings,
};
use crate::{
    harness::{Comparison, Plan},
    model::Model,
    spread::Spread,
    suites::{self, EXACT, SLEEP_STRIPES},
};

const WRITERS: usize = 16;
const SLEEP: Duration = Duration::from_millis(1);
/// The place of exact keys on the axis of stripes.
const EXACT_AT: f64 = 1024.0;

fn plan(settings: &Settings) -> Plan {
    settings.plan((5, 80), (3, 60))
}

pub(super) fn expected(settings: &Settings) -> Duration {
    // The first completions of a sample are not counted, but they take time.
    plan(settings).expected(2 * (SLEEP_STRIPES.len() + 1)) * 5 / 4
}

pub(super) fn section(settings: &Settings, progress: &mut Progress) -> Section {
    progress.part("Parallelism");
    let plan = plan(settings);
    let threads = progress.compare(&mut suites::asleep(WRITERS, SLEEP), plan);
    let tasks = progress.compare(&mut suites::asleep_awaited(WRITERS, SLEEP), plan);
    let tables = vec![
        table("16 threads, by number of stripes: work done", &threads),
        table("16 tasks over async locks, by number of stripes: work done", &tasks),
    ];
    let measured = &tables[0];
    let at = |stripes: usize| measured.row(&stripes.to_string()).value.median;
    let worst = SLEEP_STRIPES
        .iter()
        .map(|&stripes| at(stripes) / relative(stripes))
        .min_by(f64::total_cmp)
        .expect("there are stripes");
    let findings = Section::conclude(vec![
        (
            &[measured],
            format!(
                "With 64 stripes, {WRITERS} threads do {:.1} times the work of one lock. The formula predicts {:.1} times. A lock for \
                 each exact key (KeyedMutex) gives {:.1} times.",
                at(64),
                relative(64),
                measured.row(EXACT).value.median
            ),
        ),
        (
            &[measured],
            format!(
                "At every number of stripes, threads do at least {worst:.2} of the work that the formula predicts."
            ),
        ),
    ]);
    let plots = vec![curves(measured, &tables[1]), beyond()];
    Section {
        id: "parallelism",
        title: "What does striping buy?",
        method: format!(
            "{WRITERS} writers. Each locks a random key that it has not used before, sleeps for 1 ms under the lock, and starts over. \
             Figures are multiples of the work done with one lock. The formula is S(1 + m - sqrt(1 + m^2)) with m = n/S, for n writers \
             and S stripes."
        ),
        headline: measured.headline(
            format!("{:.1} x", at(64)),
            format!("the work of one lock, by {WRITERS} threads that hold keys of 64 stripes over a sleep"),
        ),
        findings,
        tables,
        shown: 0,
        plots,
    }
}

/// The work that the formula predicts, as a multiple of one stripe.
fn relative(stripes: usize) -> f64 {
    expected_parallelism(stripes, WRITERS) / expected_parallelism(1, WRITERS)
}

fn table(title: &str, result: &Comparison) -> Table {
    let mut table = Table::of(title, Unit::Times, result, "1", |_| Role::Ours).with_base("one stripe");
    // Each measured row is followed by the prediction for it.
    for stripes in SLEEP_STRIPES.into_iter().filter(|&stripes| stripes > 1) {
        let measured = table.rows.iter().position(|row| row.label == stripes.to_string());
        let place = measured.expect("every number of stripes was measured") + 1;
        let value = Spread::exactly(relative(stripes));
        table.rows.insert(
            place,
            Row { label: format!("{stripes}, by the formula"), role: Role::Limit, value, ratio: value },
        );
    }
    table
}

/// The measurements as points, beside the formula as a curve.
fn curves(threads: &Table, tasks: &Table) -> Plot {
    let measured = |label: &str, colour, table: &Table| {
        let place = |label: &str| if label == EXACT { Some(EXACT_AT) } else { label.parse().ok() };
        let points = table.rows.iter().filter_map(|row| Some((place(&row.label)?, row.value))).collect();
        Curve { label: label.to_owned(), colour, form: Form::Apart, points }
    };
    let formula = (0..=32).map(|step| {
        let stripes = 2_f64.powf(f64::from(step) / 4.0);
        let m = WRITERS as f64 / stripes;
        let work = stripes * (1.0 + m - m.hypot(1.0)) / expected_parallelism(1, WRITERS);
        (stripes, Spread::exactly(work))
    });
    let formula = Curve {
        label: "the formula".to_owned(),
        colour: Colour::Limit,
        form: Form::Line,
        points: formula.collect(),
    };
    Plot {
        title: "Work done by 16 writers, as a multiple of one lock".to_owned(),
        x: "stripes".to_owned(),
        y: "times one lock".to_owned(),
        log_y: false,
        named: Some((EXACT_AT, "exact keys")),
        curves: vec![
            formula,
            measured("threads, measured", Colour::Ours, threads),
            measured("tasks, measured", Colour::Second, tasks),
        ],
    }
}

/// The simulation of up to 10,000 writers, more than this machine can run at once.
fn beyond() -> Plot {
    let writers = [1, 4, 16, 64, 256, 1024, 4096, 10_000];
    let curve = |stripes: usize, colour| {
        let points = writers.map(|writers| {
            let sections = (4 * writers).max(4000);
            let work = Model::sleeping(writers, stripes).run(sections, 1).parallelism;
            (writers as f64, Spread::exactly(work))
        });
        Curve { label: format!("{stripes} stripes"), colour, form: Form::Line, points: points.to_vec() }
    };
    let ideal = writers.map(|writers| (writers as f64, Spread::exactly(writers as f64))).to_vec();
    Plot {
        title: "Writers that work at the same time, simulated".to_owned(),
        x: "writers".to_owned(),
        y: "working at the same time".to_owned(),
        log_y: true,
        named: None,
        curves: vec![
            Curve { label: "exact keys".to_owned(), colour: Colour::Limit, form: Form::Line, points: ideal },
            curve(65_536, Colour::Ours),
            curve(1024, Colour::Second),
            curve(64, Colour::Before),
        ],
    }
}

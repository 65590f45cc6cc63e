//! Part two: how many writers stripes let hold at once.

use std::time::Duration;

use stripe_lock::expected_parallelism;

use super::{
    super::{Colour, Curve, Headline, Plot, Role, Row, Section, Table, Unit, progress::Progress},
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
/// Where exact locks stand on an axis of stripes.
const EXACT_AT: f64 = 1024.0;

fn plan(settings: &Settings) -> Plan {
    settings.plan((5, 240), (3, 60))
}

pub(super) fn expected(settings: &Settings) -> Duration {
    // The first completions of a sample are not counted, but they take their time.
    plan(settings).expected(2 * (SLEEP_STRIPES.len() + 1)) * 5 / 4
}

pub(super) fn section(settings: &Settings, progress: &mut Progress) -> Section {
    progress.part("Parallelism");
    let plan = plan(settings);
    let threads = progress.compare(&mut suites::asleep(WRITERS, SLEEP), plan);
    let tasks = progress.compare(&mut suites::asleep_awaited(WRITERS, SLEEP), plan);
    let tables = vec![
        table("16 threads that hold a fresh random key over a sleep of 1 ms, by stripes", &threads),
        table("16 tasks that do the same over async locks", &tasks),
    ];
    let measured = &tables[0];
    let at = |stripes: usize| measured.row(&stripes.to_string()).value.median;
    let worst = SLEEP_STRIPES
        .iter()
        .map(|&stripes| at(stripes) / relative(stripes))
        .min_by(f64::total_cmp)
        .expect("there are stripes");
    let findings = vec![
        format!(
            "64 stripes let {WRITERS} writers do {:.1} times the work of one lock; {:.1} is what the form S(1 + m - sqrt(1 + m^2)), \
             m = n/S, expects, and {:.1} what locks for exact keys reach.",
            at(64),
            relative(64),
            measured.row(EXACT).value.median
        ),
        format!("The measured figures are at least {worst:.3} of the form at every number of stripes."),
        "Four times as many stripes as writers bring most of what can be had, sixteen times nearly all. A lock for each exact \
         key brings all of it, and costs several times as much to take (see part one)."
            .to_owned(),
    ];
    let plots = vec![curves(measured, &tables[1]), beyond()];
    Section {
        id: "parallelism",
        title: "Parallelism: how many writers get on at once?",
        method: format!(
            "{WRITERS} writers, each of which locks a fresh random key, holds it over a sleep of 1 ms and starts over. Figures \
             are times the work that one stripe allows."
        ),
        headline: Headline {
            figure: format!("{:.1} x", at(64)),
            says: format!("the work of one lock, by {WRITERS} writers over 64 stripes"),
        },
        findings,
        tables,
        plots,
    }
}

/// The form, in times one stripe.
fn relative(stripes: usize) -> f64 {
    expected_parallelism(stripes, WRITERS) / expected_parallelism(1, WRITERS)
}

fn table(title: &str, result: &Comparison) -> Table {
    let role = |label: &str| if label == EXACT { Role::Peer } else { Role::Ours };
    let mut table = Table::of(title, Unit::Times, result, "1", role).with_base("one stripe");
    // Each measured row is followed by what the form says of it.
    for stripes in SLEEP_STRIPES.into_iter().filter(|&stripes| stripes > 1) {
        let measured = table.rows.iter().position(|row| row.label == stripes.to_string());
        let place = measured.expect("every number of stripes was measured") + 1;
        let form = relative(stripes);
        let value = Spread { low: form, median: form, high: form };
        table.rows.insert(
            place,
            Row { label: format!("{stripes}, by the form"), role: Role::Limit, value, ratio: value },
        );
    }
    table
}

/// What was measured, beside what the form and the model expect.
fn curves(threads: &Table, tasks: &Table) -> Plot {
    let measured = |label: &str, colour, table: &Table| {
        let place = |label: &str| if label == EXACT { Some(EXACT_AT) } else { label.parse().ok() };
        let points = table.rows.iter().filter_map(|row| Some((place(&row.label)?, row.value.median)));
        Curve { label: label.to_owned(), colour, computed: false, points: points.collect() }
    };
    let form = (0..=32).map(|step| {
        let stripes = 2_f64.powf(f64::from(step) / 4.0);
        let m = WRITERS as f64 / stripes;
        (stripes, stripes * (1.0 + m - m.hypot(1.0)) / expected_parallelism(1, WRITERS))
    });
    let form =
        Curve { label: "the form".to_owned(), colour: Colour::Limit, computed: true, points: form.collect() };
    Plot {
        title: "Work done by 16 writers, in times one stripe".to_owned(),
        x: "stripes".to_owned(),
        y: "times one stripe".to_owned(),
        log_y: false,
        named: Some((EXACT_AT, EXACT)),
        curves: vec![
            form,
            measured("threads, measured", Colour::Ours, threads),
            measured("tasks, measured", Colour::Second, tasks),
        ],
    }
}

/// The model, up to numbers of writers that no machine at hand runs at once.
fn beyond() -> Plot {
    let writers = [1, 4, 16, 64, 256, 1024, 4096, 10_000];
    let curve = |stripes: usize, colour| {
        let points = writers.map(|writers| {
            let sections = (4 * writers).max(4000);
            (writers as f64, Model::sleeping(writers, stripes).run(sections, 1).parallelism)
        });
        Curve { label: format!("{stripes} stripes"), colour, computed: true, points: points.to_vec() }
    };
    let ideal = writers.map(|writers| (writers as f64, writers as f64)).to_vec();
    Plot {
        title: "Writers at work at once, simulated".to_owned(),
        x: "writers".to_owned(),
        y: "at work".to_owned(),
        log_y: true,
        named: None,
        curves: vec![
            Curve { label: "exact keys".to_owned(), colour: Colour::Limit, computed: true, points: ideal },
            curve(65_536, Colour::Ours),
            curve(1024, Colour::Second),
            curve(64, Colour::Before),
        ],
    }
}

//! Part one: what a lock by key costs.

use std::time::Duration;

use super::{
    super::{Headline, Role, Section, Table, Unit, progress::Progress},
    Settings, listed, with_ratios,
};
use crate::{
    harness::Plan,
    keys,
    suites::{self, BITMAP, CAS_PAIR, OURS, SORT_DEDUP, Sharing},
};

const BATCHES: [usize; 3] = [2, 8, 64];
/// The approximate number of cases, to estimate how long the part takes.
const CASES: usize = 69;

fn plan(settings: &Settings) -> Plan {
    settings.plan((15, 15), (5, 5))
}

pub(super) fn expected(settings: &Settings) -> Duration {
    plan(settings).expected(CASES)
}

pub(super) fn section(settings: &Settings, progress: &mut Progress) -> Section {
    progress.part("Locks");
    let plan = plan(settings);
    let ring = keys::random(keys::RING, 1);
    let strings = keys::strings(keys::RING, 1);
    let table =
        |title: &str, result: &_| Table::of(title, Unit::Nanoseconds, result, OURS, role).best_first();

    let one =
        table("One u64 key, one thread: lock and unlock", &progress.compare(&mut suites::one(&ring), plan));
    let string = table(
        "One key of 32 bytes, one thread: lock and unlock",
        &progress.compare(&mut suites::one_string(&strings), plan),
    );
    let mut tables = vec![one, string];
    for count in BATCHES {
        let result = progress.compare(&mut suites::many(&keys::batches(count)), plan);
        tables.push(table(&format!("{count} keys at once, one thread: lock and unlock all"), &result));
    }
    let awaited = progress.compare(&mut suites::awaited(&ring), plan);
    tables.push(table("One u64 key, awaited, ready at the first poll: lock and unlock", &awaited));
    for (sharing, title) in [
        (Sharing::Random, "Two threads, random keys, nothing under the lock"),
        (Sharing::Same, "Two threads, one key, nothing under the lock"),
    ] {
        let result = progress.compare(&mut suites::threaded(2, sharing, &ring, Duration::ZERO), plan);
        tables.push(table(title, &result));
    }

    let one = &tables[0];
    let cost = one.row(OURS).value.median;
    Section {
        id: "locks",
        title: "Locks: what does a lock by key cost?",
        method: format!(
            "Time of one lock and unlock over nothing, {} stripes where there are stripes. The limit is written by hand: \
             a hash, a compare-and-swap to lock and one to unlock, with our default hasher.",
            suites::STRIPES
        ),
        headline: Headline {
            figure: Unit::Nanoseconds.show(cost),
            says: format!(
                "to lock and unlock one key; the compare-and-swap pair alone takes {}",
                Unit::Nanoseconds.show(one.row(CAS_PAIR).value.median)
            ),
        },
        findings: findings(&tables),
        tables,
        plots: vec![],
    }
}

fn role(label: &str) -> Role {
    match label {
        CAS_PAIR | BITMAP => Role::Limit,
        label if label.starts_with(OURS) => Role::Ours,
        _ => Role::Peer,
    }
}

fn findings(tables: &[Table]) -> Vec<String> {
    let one = &tables[0];
    let ours = one.row(OURS).value.median;
    let mut findings = vec![format!(
        "One key costs {:.2} times the pair of compare-and-swaps that no lock by key can do without. That pair also says \
         what is out of reach: nothing can be more than {:.1} times as fast as striped-lock here, or {:.1} times as fast \
         as dashmap's get_mut.",
        ours / one.row(CAS_PAIR).value.median,
        one.row(suites::STRIPED_LOCK).value.median / one.row(CAS_PAIR).value.median,
        one.row(suites::DASHMAP).value.median / one.row(CAS_PAIR).value.median,
    )];
    let over = |other: &str, less: bool| {
        let ratios = tables[2..2 + BATCHES.len()].iter().map(|table| {
            let ratio = table.row(OURS).value.median / table.row(other).value.median;
            format!("{:.2}", if less { ratio } else { 1.0 / ratio })
        });
        ratios.collect::<Vec<_>>().join(" / ")
    };
    findings.push(format!(
        "{} keys at once cost {} times the bitmap loop by hand, and are locked {} times as fast as by sorting.",
        BATCHES.map(|count| count.to_string()).join(" / "),
        over(BITMAP, true),
        over(SORT_DEDUP, false),
    ));
    for table in tables {
        let ahead = table.ahead_of(OURS);
        if !ahead.is_empty() {
            let names = listed(&with_ratios(&ahead, table.row(OURS).value), "");
            findings.push(format!("Faster than ours in \u{201c}{}\u{201d}: {names}.", table.title));
        }
    }
    findings
}

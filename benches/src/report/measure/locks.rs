//! Part four: what a lock by key costs.

use std::time::Duration;

use super::{
    super::{Role, Section, Table, Unit, progress::Progress},
    Settings, listed, with_ratios,
};
use crate::{
    harness::Plan,
    keys,
    suites::{self, BITMAP, CAS_PAIR, OURS, SORT_DEDUP, SWAP_STORE, Sharing},
};

const BATCHES: [usize; 3] = [2, 8, 64];
/// The approximate number of cases, to estimate how long the part takes.
const CASES: usize = 69;

fn plan(settings: &Settings) -> Plan {
    settings.plan((9, 12), (5, 5))
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
        title: "What does a lock by key cost?",
        method: format!(
            "Time to lock and unlock free keys, with nothing done under the lock; {} stripes where there are stripes. The limit is \
             written by hand: a hash, an exchange to lock and a store to unlock. Locks of more crates: --features peers.",
            suites::STRIPES
        ),
        headline: one.headline(
            Unit::Nanoseconds.show(cost),
            format!(
                "to lock and unlock one free key; the limit, an exchange and a store, takes {}",
                Unit::Nanoseconds.show(one.row(SWAP_STORE).value.median)
            ),
        ),
        findings: findings(&tables),
        tables,
        shown: 1,
        plots: vec![],
    }
}

fn role(label: &str) -> Role {
    match label {
        SWAP_STORE => Role::Limit,
        label if label.starts_with(OURS) => Role::Ours,
        _ => Role::Peer,
    }
}

fn findings(tables: &[Table]) -> Vec<String> {
    let one = &tables[0];
    let many = &tables[2..2 + BATCHES.len()];
    let over = |other: &str| {
        let ratios = many.iter().map(|table| table.row(other).ratio.median);
        listed(&ratios.map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>(), "")
    };
    let all: Vec<_> = many.iter().collect();
    let mut claims = vec![
        (
            vec![one],
            format!(
                "One key takes {:.2} times the limit. A pair of compare-and-swaps, which most locks consist of, takes {:.2} times as long \
                 as ours, and dashmap's get_mut {:.2} times.",
                1.0 / one.row(SWAP_STORE).ratio.median,
                one.row(CAS_PAIR).ratio.median,
                one.row(suites::DASHMAP).ratio.median,
            ),
        ),
        (
            all,
            format!(
                "With {} keys at once, sorting by hand takes {} times as long as ours, and a loop over a bitmap, which makes no guards, \
                 {} times.",
                listed(&BATCHES.map(|count| count.to_string()), ""),
                over(SORT_DEDUP),
                over(BITMAP),
            ),
        ),
    ];
    for table in tables {
        let ahead = table.ahead();
        if !ahead.is_empty() {
            let names = listed(&with_ratios(&ahead), "");
            claims.push((
                vec![table],
                format!("Faster than ours in \u{201c}{}\u{201d}: {names}.", table.title),
            ));
        }
    }
    Section::conclude(claims.iter().map(|(tables, claim)| (&**tables, claim.clone())).collect())
}

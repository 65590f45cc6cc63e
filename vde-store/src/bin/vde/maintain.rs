//! Commands on a whole store.

use std::path::Path;

use serde_json::json;
use vde_store::{Health, Vde};

use crate::values::shown;
use crate::{Failure, busy, counting, open, print, reading, seconds, table};

pub(crate) fn stat(store: &Vde, as_json: bool) -> Result<(), Failure> {
    let stats = store.stats()?;
    let (health, reason) = match store.health()? {
        Health::Degraded { reason } => ("degraded", Some(reason)),
        Health::Critical { reason } => ("critical", Some(reason)),
        _ => ("healthy", None),
    };
    let recovery = store.recovery();
    // The index knows how many keys it has. If there are newer writes, the keys have to be counted.
    let keys = match recovery.records {
        0 => stats.keys,
        _ => store.list("").try_fold(0, |keys, entry| entry.map(|_| keys + 1))?,
    };
    let value = json!({
        "health": health,
        "reason": reason,
        "keys": keys,
        "records_since_checkpoint": recovery.records,
        "torn_at": recovery.torn_at,
        "beside_writer": recovery.beside_writer,
        "writes": stats.writes,
        "container_bytes": stats.container_bytes,
        "log_bytes": stats.log_bytes,
        "live_log_bytes": stats.live_log_bytes,
        "page_bytes": stats.page_bytes,
        "free_bytes": stats.free_bytes,
        "reclaimable_bytes": stats.reclaimable_bytes,
        "checkpoints": stats.checkpoints,
        "snapshots": stats.snapshots,
        "available_bytes": stats.available_bytes,
    });
    print(as_json, &value, &table(&value))
}

pub(crate) fn verify(store: &Vde, as_json: bool) -> Result<(), Failure> {
    let bar = counting(0);
    let report = store.verify(|progress| {
        bar.set_length(progress.total_keys);
        bar.set_position(progress.keys);
    })?;
    bar.finish_and_clear();
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    let value = json!({
        "clean": report.is_clean(),
        "keys": report.keys,
        "value_bytes": report.value_bytes,
        "pages": report.pages,
        "log_records": report.log_records,
        "problems": problems,
    });
    let mut text = format!(
        "{} keys, {} bytes, {} pages, {} log records checked: ",
        report.keys, report.value_bytes, report.pages, report.log_records
    );
    text.push_str(if report.is_clean() { "clean" } else { "damaged" });
    for problem in &problems {
        text.push_str("\n  ");
        text.push_str(problem);
    }
    print(as_json, &value, &text)?;
    if report.is_clean() { Ok(()) } else { Err(Failure::Damaged) }
}

/// Copies a store. With `salvage`, it skips damaged entries and reports each.
pub(crate) fn backup(store: &Path, path: &Path, salvage: bool, as_json: bool) -> Result<(), Failure> {
    let mut left_out = Vec::new();
    let keys = busy("copying", || {
        let store = reading().salvage(salvage).open(store)?;
        Ok(store.backup_telling(path, |key, error| {
            let what = key.map_or_else(|| "a page of the index".into(), shown);
            left_out.push(format!("{what}: {error}"));
        })?)
    })?;
    for what in &left_out {
        eprintln!("vde: left out {what}");
    }
    let text = match left_out.len() {
        0 => format!("{keys} keys copied"),
        left_out => format!("{keys} keys copied, {left_out} left out"),
    };
    print(as_json, &json!({ "keys": keys, "left_out": left_out.len() }), &text)
}

pub(crate) fn snapshot(store: &Path, name: Option<&str>, delete: bool, as_json: bool) -> Result<(), Failure> {
    match name {
        Some(name) if delete => Ok(open(store)?.delete_snapshot(name)?),
        Some(name) => {
            let taken = open(store)?.snapshot(name)?;
            print(
                as_json,
                &json!({ "name": taken.name, "keys": taken.keys }),
                &format!("{} keys", taken.keys),
            )
        }
        None => {
            for taken in reading().open(store)?.list_snapshots() {
                let value =
                    json!({ "name": taken.name, "keys": taken.keys, "created": seconds(taken.created) });
                print(as_json, &value, &format!("{}\t{} keys", shown(taken.name.as_bytes()), taken.keys))?;
            }
            Ok(())
        }
    }
}

//! A writing process is killed repeatedly. No write that it reported as durable is missing.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vde_store::{Vde, VdeOptions};

const ROLE: &str = "VDE_TEST_KILL";

fn options() -> VdeOptions {
    VdeOptions::new().segment_size(1 << 20).checkpoint_bytes(1 << 18)
}

fn value(i: u64) -> Vec<u8> {
    let len = if i.is_multiple_of(50) { 100_000 } else { (i % 1500) as usize };
    let mut value = vec![i as u8; len];
    value.extend_from_slice(&i.to_le_bytes());
    value
}

/// The code of the child process that is killed. In the test's own process, it does nothing.
#[test]
fn write_until_killed() {
    let Ok(path) = std::env::var(ROLE) else { return };
    let store = options().open(path).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4u64 {
            let store = &store;
            scope.spawn(move || {
                let key = |i: u64| format!("{writer}/{}", i % 200);
                let first = store.get(format!("next/{writer}")).unwrap();
                let mut i = first.map_or(0, |next| u64::from_le_bytes(next.try_into().unwrap()));
                loop {
                    let mut batch = store.batch();
                    batch.put(key(i), value(i)).put(format!("next/{writer}"), (i + 1).to_le_bytes());
                    batch.commit().unwrap();
                    i += 1;
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "durable {writer} {i}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

/// Starts this program as a child process that runs only `test`, and that will be killed.
fn start(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts the writer and kills it after `reports` reports of durable writes. Returns the last report of each of its
/// threads.
fn one_life(path: &Path, reports: usize) -> [u64; 4] {
    let mut child = start("write_until_killed", path);
    let out = child.stdout.take().unwrap();
    let (mut done, mut lines) = ([0; 4], 0);
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let Some((_, reported)) = line.split_once("durable ") else { continue };
        let mut numbers = reported.split(' ').filter_map(|number| number.parse::<u64>().ok());
        if let (Some(writer), Some(i)) = (numbers.next(), numbers.next()) {
            done[writer as usize] = i;
        }
        lines += 1;
        if lines == reports {
            child.kill().unwrap();
        }
    }
    assert!(lines >= reports, "the child ended before it was killed");
    child.wait().unwrap();
    done
}

#[test]
fn a_kill_loses_no_acknowledged_write() {
    let rounds = std::env::var("VDE_KILL_ROUNDS").map_or(10, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let mut total = [0; 4];
    for round in 0..rounds {
        let reported = one_life(&path, 1 + round * 137 % 300);
        let store: Vde = options().open(&path).unwrap();
        for writer in 0..4 {
            let next = store.get(format!("next/{writer}")).unwrap();
            let next = next.map_or(0, |next| u64::from_le_bytes(next.try_into().unwrap()));
            assert!(
                next >= reported[writer].max(total[writer]),
                "writer {writer}: {next} of {}",
                reported[writer]
            );
            for i in next.saturating_sub(200)..next {
                assert_eq!(store.get(format!("{writer}/{}", i % 200)).unwrap(), Some(value(i)));
            }
            total[writer] = next;
        }
        assert!(store.verify(|_| {}).unwrap().is_clean());
    }

    // If a run or a recovery had counted a record twice, its segment would never be freed.
    let store = options().open(&path).unwrap();
    for entry in store.list("") {
        store.delete(entry.unwrap().key()).unwrap();
    }
    store.checkpoint().unwrap();
    assert_eq!(store.stats().unwrap().live_log_bytes, 0);
}

/// The code of a child process that creates stores until it is killed.
#[test]
fn create_until_killed() {
    let Ok(dir) = std::env::var(ROLE) else { return };
    for i in 0.. {
        drop(VdeOptions::new().create(Path::new(&dir).join(format!("{i}.vde"))).unwrap());
    }
}

/// The code of a child process that makes backups until it is killed.
#[test]
fn back_up_until_killed() {
    let Ok(dir) = std::env::var(ROLE) else { return };
    let store = Vde::open(Path::new(&dir).join("store.vde")).unwrap();
    let copy = Path::new(&dir).join("copy.vde");
    loop {
        store.backup(&copy).unwrap();
        std::fs::remove_file(&copy).unwrap();
    }
}

/// The files in `dir` with this extension.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Starts `test` in `dir`, and kills it once there are `stores` stores and an unfinished file.
fn kill_halfway(test: &str, dir: &Path, stores: usize) {
    let mut child = start(test, dir);
    while files(dir, "vde").len() < stores || files(dir, "partial").is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended before it was killed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_process_leaves_no_incomplete_store() {
    let mut partial = 0;
    // A kill may come just too late to leave half a store.
    while partial == 0 {
        let dir = tempfile::tempdir().unwrap();
        kill_halfway("create_until_killed", dir.path(), 2);
        for path in files(dir.path(), "vde") {
            VdeOptions::new().create_if_missing(false).open(&path).unwrap().put("k", "v").unwrap();
        }
        partial += files(dir.path(), "partial").len();
    }
}

#[test]
fn a_killed_backup_does_not_hinder_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = Vde::open(dir.join("store.vde")).unwrap();
    for i in 0..20u8 {
        store.put([i], vec![i; 50_000]).unwrap();
    }
    drop(store);
    let copy = dir.join("copy.vde");
    let mut partial = 0;
    while partial == 0 {
        kill_halfway("back_up_until_killed", dir, 1);
        partial += files(dir, "partial").len();
        if copy.exists() {
            assert_eq!(Vde::open(&copy).unwrap().list("").count(), 20, "the new copy is complete");
            std::fs::remove_file(&copy).unwrap();
        }
        assert_eq!(Vde::open(dir.join("store.vde")).unwrap().backup(&copy).unwrap(), 20);
        assert!(files(dir, "partial").is_empty(), "the next backup removes the temporary file");
        std::fs::remove_file(&copy).unwrap();
    }
}

//! Readers in other processes than the writer. The space of their data is not reused until they are closed or killed.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use vde_store::testing::Bug;
use vde_store::{ReadView, Result, Vde, VdeOptions};

const ROLE: &str = "VDE_TEST_READERS";

fn options() -> VdeOptions {
    VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(64 << 10).background(false)
}

fn reading(path: &Path) -> Vde {
    options().read_only(true).open(path).unwrap()
}

/// Overwrites every key, so that the space of the previous values is reused.
fn overwrite(store: &Vde, round: u32) {
    for key in 0..60u32 {
        let len = [100, 3_000, 30_000, 150_000][key as usize % 4];
        store.put(format!("{key:02}"), [key, round].map(u32::to_le_bytes).concat().repeat(len / 8)).unwrap();
    }
    store.checkpoint().unwrap();
}

/// A digest of everything that a view shows.
fn digest(view: &ReadView) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for entry in view.list("") {
        let entry = entry?;
        hasher.write(entry.key());
        hasher.write(&entry.value()?);
    }
    Ok(hasher.finish())
}

fn tell(what: &str) {
    println!("\ntold {what}");
}

/// The code of a reading child process. In the test's own process it does nothing.
#[test]
fn read_when_asked() {
    let Ok(path) = std::env::var(ROLE) else { return };
    let store = reading(Path::new(&path));
    assert!(store.recovery().beside_writer);
    let view = store.read_view();
    let look = || tell(&digest(&view).map_or_else(|e| e.to_string(), |digest| digest.to_string()));
    look();
    for _ in std::io::stdin().lines() {
        look();
    }
}

/// The code of a writing child process.
#[test]
fn write_when_asked() {
    let Ok(path) = std::env::var(ROLE) else { return };
    let store = options().open(path).unwrap();
    overwrite(&store, 0);
    tell("done");
    for (_, round) in std::io::stdin().lines().zip(1..) {
        overwrite(&store, round);
        store.compact().unwrap();
        tell("done");
    }
}

/// This program as a child process that runs a single test.
struct Other {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn start(test: &str, path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(ROLE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, told }
    }

    fn hear(&mut self) -> String {
        let told = self.told.by_ref().find_map(|line| line.unwrap().strip_prefix("told ").map(String::from));
        told.expect("the child process is alive")
    }

    fn ask(&mut self) -> String {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.hear()
    }
}

impl Drop for Other {
    /// Kills the process, as a crash would.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    (dir, path)
}

/// Overwrites everything beside a reader. Returns whether the reader still reads the same.
fn reads_the_same(options: VdeOptions) -> bool {
    let (_dir, path) = place();
    let store = options.open(&path).unwrap();
    overwrite(&store, 0);
    let before = digest(&store.read_view()).unwrap().to_string();
    let mut reader = Other::start("read_when_asked", &path);
    assert_eq!(reader.hear(), before);
    for round in 1..6 {
        overwrite(&store, round);
        store.compact().unwrap();
    }
    let reads_the_same = reader.ask() == before;
    let mut newer = Other::start("read_when_asked", &path);
    assert_eq!(newer.hear(), digest(&store.read_view()).unwrap().to_string(), "the newest checkpoint");

    let len = || std::fs::metadata(&path).unwrap().len();
    let with_readers = len();
    drop((reader, newer));
    store.compact().unwrap();
    assert!(!reads_the_same || len() < with_readers, "the space of killed readers is free");
    assert!(store.verify(|_| {}).unwrap().is_clean());
    reads_the_same
}

#[test]
fn a_reader_reads_the_same_whatever_the_writer_does() {
    assert!(reads_the_same(options()));
    assert!(!reads_the_same(options().plant(Bug::ForgetReaders)), "the planted bug is found");
}

/// As [`reads_the_same`], with a writer that is killed and another one after it.
fn outlives_its_writer(options: VdeOptions) -> bool {
    let (_dir, path) = place();
    let mut first = Other::start("write_when_asked", &path);
    assert_eq!(first.hear(), "done");
    let reader = reading(&path);
    assert!(reader.recovery().beside_writer && reader.verify(|_| {}).unwrap().is_clean());
    let before = digest(&reader.read_view()).unwrap();
    for _ in 0..2 {
        assert_eq!(first.ask(), "done");
    }
    drop(first);
    let second = options.open(&path).unwrap();
    for round in 10..15 {
        overwrite(&second, round);
        second.compact().unwrap();
    }
    let reads_the_same = digest(&reader.read_view()).is_ok_and(|digest| digest == before);
    let len = || std::fs::metadata(&path).unwrap().len();
    let with_reader = len();
    reader.close().unwrap();
    second.compact().unwrap();
    assert!(!reads_the_same || len() < with_reader);
    assert!(second.verify(|_| {}).unwrap().is_clean());
    second.close().unwrap();
    let left = self::options().create_if_missing(false).open(&path).unwrap();
    assert!(left.verify(|_| {}).unwrap().is_clean());
    reads_the_same
}

#[test]
fn the_next_writer_knows_of_a_reader_that_outlives_its_writer() {
    assert!(outlives_its_writer(options()));
    assert!(!outlives_its_writer(options().plant(Bug::ForgetReaders)), "the planted bug is found");
}

#[test]
fn beside_a_writer_a_reader_sees_only_the_checkpoint() {
    let (_dir, path) = place();
    let store = options().open(&path).unwrap();
    let empty = reading(&path);
    store.put("k", "1").unwrap();
    store.checkpoint().unwrap();
    store.put("k", "2").unwrap();
    let reader = reading(&path);
    assert!(!empty.contains("k").unwrap());
    assert_eq!(reader.get("k").unwrap().unwrap(), b"1");
    assert!(reader.put("k", "3").is_err());
    drop((store, empty, reader));
    let alone = reading(&path);
    assert_eq!(alone.get("k").unwrap().unwrap(), b"2");
    assert!(!alone.recovery().beside_writer);
}

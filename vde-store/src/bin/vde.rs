//! The command line of vde-store.
//!
//! Exit codes: 0 done; 1 the operation failed; 2 the command line is wrong; 3 there is no such key or snapshot;
//! 4 `verify` found damage.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, CommandFactory, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use vde_store::{Durability, Error, Health, UserMetadata, Vde, VdeOptions};

/// A crash-safe store of keys and values in one file.
#[derive(Parser)]
#[command(name = "vde", version, arg_required_else_help = true)]
struct Cli {
    /// Print results as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Store a value, read from FILE or from standard input
    Put {
        store: PathBuf,
        key: String,
        /// The file to read; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
        /// User metadata as NAME=VALUE, any number of times
        #[arg(short, long, value_parser = parse_meta)]
        meta: Vec<(String, String)>,
    },
    /// Write a value to standard output or to a file
    Get {
        store: PathBuf,
        key: String,
        #[arg(short, long)]
        output: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Remove a key
    Rm { store: PathBuf, key: String },
    /// List keys in order
    Ls {
        store: PathBuf,
        #[arg(default_value = "")]
        prefix: String,
        #[command(flatten)]
        at: At,
    },
    /// Show the figures of a store, or what is known of a key
    Stat { store: PathBuf, key: Option<String> },
    /// Read and check everything
    Verify { store: PathBuf },
    /// Store every file below a directory under its relative path
    Import { store: PathBuf, dir: PathBuf },
    /// Write every value to a file below a directory
    Export {
        store: PathBuf,
        dir: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// List, take or delete named snapshots
    Snapshot {
        store: PathBuf,
        /// The snapshot to take
        name: Option<String>,
        /// Delete it instead
        #[arg(short, long, requires = "name")]
        delete: bool,
    },
    /// Persist the index, so that opening the store replays nothing
    Checkpoint { store: PathBuf },
    /// Copy the store into a new file
    Backup { store: PathBuf, path: PathBuf },
    /// Give space back to the file system
    Compact { store: PathBuf },
    /// Measure durable puts into a new store
    Bench {
        store: PathBuf,
        #[arg(long, default_value_t = 16)]
        writers: usize,
        /// Bytes of a value
        #[arg(long, default_value_t = 1024)]
        size: usize,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Acknowledge when logged, not when synced
        #[arg(long)]
        buffered: bool,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Args)]
struct At {
    /// Read from this snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    at: Option<String>,
}

impl At {
    fn view(&self, store: &Vde) -> vde_store::Result<vde_store::ReadView> {
        self.at.as_ref().map_or_else(|| Ok(store.read_view()), |name| store.open_snapshot(name))
    }
}

fn parse_meta(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

/// Why a command ended early.
enum Failure {
    Store(Error),
    /// A file, or what was being done, with the system's reason.
    Io(String, io::Error),
    Missing(String),
    Damaged,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::SnapshotNotFound { .. } => Self::Missing(error.to_string()),
            other => Self::Store(other),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let name = path.display().to_string();
    move |error| Failure::Io(name, error)
}

fn stdout(error: io::Error) -> Failure {
    Failure::Io("standard output".into(), error)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output has seen enough.
        Err(Failure::Io(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let (code, message) = match failure {
                Failure::Store(error) => (1, error.to_string()),
                Failure::Io(place, error) => (1, format!("{place}: {error}")),
                Failure::Missing(what) => (3, what),
                Failure::Damaged => return ExitCode::from(4),
            };
            eprintln!("vde: {message}");
            ExitCode::from(code)
        }
    }
}

/// Opens a store that must exist; for reading, next to other readers.
fn open(path: &Path, write: bool) -> Result<Vde, Failure> {
    Ok(VdeOptions::new().create_if_missing(false).read_only(!write).open(path)?)
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Put { store, key, file, meta } => put(store, key, file, &meta.iter().cloned().collect()),
        Command::Get { store, key, output, at } => {
            get(&at.view(&open(store, false)?)?, key, output.as_deref())
        }
        Command::Rm { store, key } if open(store, true)?.delete(key)? => Ok(()),
        Command::Rm { key, .. } => Err(Failure::Missing(format!("no such key: {key}"))),
        Command::Ls { store, prefix, at } => ls(&at.view(&open(store, false)?)?, prefix, cli.json),
        Command::Stat { store, key: None } => stat(&open(store, false)?, cli.json),
        Command::Stat { store, key: Some(key) } => stat_key(&open(store, false)?, key, cli.json),
        Command::Verify { store } => verify(&open(store, false)?, cli.json),
        Command::Import { store, dir } => import(store, dir, cli.json),
        Command::Export { store, dir, at } => export(&at.view(&open(store, false)?)?, dir, cli.json),
        Command::Snapshot { store, name, delete } => snapshot(store, name.as_deref(), *delete, cli.json),
        Command::Checkpoint { store } => Ok(open(store, true)?.checkpoint()?),
        Command::Backup { store, path } => {
            let keys = open(store, false)?.backup(path)?;
            tell(cli.json, &json!({ "keys": keys }), &format!("{keys} keys copied"))
        }
        Command::Compact { store } => {
            let bytes = open(store, true)?.compact()?;
            tell(cli.json, &json!({ "bytes": bytes }), &format!("{bytes} bytes given back"))
        }
        Command::Bench { store, writers, size, seconds, buffered } => {
            bench(store, *writers, *size, *seconds, *buffered, cli.json)
        }
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "vde", &mut io::stdout());
            Ok(())
        }
    }
}

fn tell(as_json: bool, value: &serde_json::Value, text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if as_json { writeln!(out, "{value}") } else { writeln!(out, "{text}") }.map_err(stdout)
}

fn put(store: &Path, key: &str, file: &Path, meta: &UserMetadata) -> Result<(), Failure> {
    let store = Vde::open(store)?;
    if file == Path::new("-") {
        return Ok(store.put_with(key, io::stdin().lock(), meta)?);
    }
    Ok(store.put_with(key, File::open(file).map_err(at(file))?, meta)?)
}

fn get(view: &vde_store::ReadView, key: &str, output: Option<&Path>) -> Result<(), Failure> {
    let mut reader = view.reader(key)?.ok_or_else(|| Failure::Missing(format!("no such key: {key}")))?;
    match output {
        Some(path) => {
            let mut file = File::create(path).map_err(at(path))?;
            io::copy(&mut reader, &mut file).map(drop).map_err(at(path))
        }
        None => io::copy(&mut reader, &mut io::stdout().lock()).map(drop).map_err(stdout),
    }
}

fn seconds(time: std::time::SystemTime) -> f64 {
    time.duration_since(std::time::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn ls(view: &vde_store::ReadView, prefix: &str, as_json: bool) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for entry in view.list(prefix) {
        let entry = entry?;
        if as_json {
            let key = String::from_utf8_lossy(entry.key());
            writeln!(out, "{}", json!({ "key": key, "len": entry.len() }))
        } else {
            out.write_all(entry.key()).and_then(|()| out.write_all(b"\n"))
        }
        .map_err(stdout)?;
    }
    out.flush().map_err(stdout)
}

fn stat(store: &Vde, as_json: bool) -> Result<(), Failure> {
    let stats = store.stats()?;
    let (health, reason) = match store.health()? {
        Health::Degraded { reason } => ("degraded", reason),
        Health::Critical { reason } => ("critical", reason),
        _ => ("healthy", ""),
    };
    let recovery = store.recovery();
    let value = json!({
        "health": health,
        "reason": reason,
        "keys_at_checkpoint": stats.keys,
        "records_since": recovery.records,
        "torn_at": recovery.torn_at,
        "writes": stats.writes,
        "container_bytes": stats.container_bytes,
        "log_bytes": stats.log_bytes,
        "live_log_bytes": stats.live_log_bytes,
        "page_bytes": stats.page_bytes,
        "free_bytes": stats.free_bytes,
        "checkpoints": stats.checkpoints,
        "snapshots": stats.snapshots,
        "available_bytes": stats.available_bytes,
    });
    tell(as_json, &value, &table(&value))
}

fn table(value: &serde_json::Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name:>20}  {value}")).collect::<Vec<_>>().join("\n")
}

fn stat_key(store: &Vde, key: &str, as_json: bool) -> Result<(), Failure> {
    let metadata = store.metadata(key)?.ok_or_else(|| Failure::Missing(format!("no such key: {key}")))?;
    let value = json!({
        "len": metadata.len,
        "created": seconds(metadata.created),
        "modified": seconds(metadata.modified),
        "version": metadata.version,
        "checksum": format!("{:016x}", metadata.checksum),
        "user": metadata.user,
    });
    tell(as_json, &value, &table(&value))
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}");
    let bar = ProgressBar::new(total);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn verify(store: &Vde, as_json: bool) -> Result<(), Failure> {
    let bar = bar(0);
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
    tell(as_json, &value, &text)?;
    if report.is_clean() { Ok(()) } else { Err(Failure::Damaged) }
}

/// Every file below `dir`, in no particular order.
fn files(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in std::fs::read_dir(dir).map_err(at(dir))? {
        let path = entry.map_err(at(dir))?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn import(store: &Path, dir: &Path, as_json: bool) -> Result<(), Failure> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = Vec::new();
    files(dir, &mut found)?;
    let store = Vde::open(store)?.with_durability(Durability::Buffered);
    let bar = bar(found.len() as u64);
    for path in &found {
        let key = path.strip_prefix(dir).unwrap_or(path).as_os_str().as_bytes();
        store.put_with(key, File::open(path).map_err(at(path))?, &UserMetadata::new())?;
        bar.inc(1);
    }
    store.flush()?;
    bar.finish_and_clear();
    tell(as_json, &json!({ "keys": found.len() }), &format!("{} files imported", found.len()))
}

/// Where a key's value goes below `dir`; keys that would lead out of it are refused.
fn target(dir: &Path, key: &[u8]) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let relative = Path::new(std::ffi::OsStr::from_bytes(key));
    if relative.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
        return Ok(dir.join(relative));
    }
    let name = key.escape_ascii().to_string();
    Err(Failure::Io(
        name,
        io::Error::new(io::ErrorKind::InvalidInput, "the key is no path below the directory"),
    ))
}

fn export(view: &vde_store::ReadView, dir: &Path, as_json: bool) -> Result<(), Failure> {
    let bar = ProgressBar::new_spinner();
    let mut keys = 0u64;
    for entry in view.list("") {
        let entry = entry?;
        let path = target(dir, entry.key())?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        let mut file = File::create(&path).map_err(at(&path))?;
        io::copy(&mut entry.reader()?, &mut file).map_err(at(&path))?;
        keys += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    tell(as_json, &json!({ "keys": keys }), &format!("{keys} keys exported"))
}

fn snapshot(store: &Path, name: Option<&str>, delete: bool, as_json: bool) -> Result<(), Failure> {
    match name {
        Some(name) if delete => Ok(open(store, true)?.delete_snapshot(name)?),
        Some(name) => {
            let taken = open(store, true)?.snapshot(name)?;
            tell(as_json, &json!({ "name": taken.name, "keys": taken.keys }), &format!("{} keys", taken.keys))
        }
        None => {
            for taken in open(store, false)?.list_snapshots() {
                let value =
                    json!({ "name": taken.name, "keys": taken.keys, "created": seconds(taken.created) });
                tell(as_json, &value, &format!("{}\t{} keys", taken.name, taken.keys))?;
            }
            Ok(())
        }
    }
}

fn bench(
    path: &Path,
    writers: usize,
    size: usize,
    seconds: f64,
    buffered: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let durability = if buffered { Durability::Buffered } else { Durability::Sync };
    let store = Vde::create(path)?.with_durability(durability);
    let mut value = vec![0; size];
    // Bytes that no compression can help.
    io::Read::take(&mut File::open("/dev/urandom").map_err(at(Path::new("/dev/urandom")))?, size as u64)
        .read_exact(&mut value)
        .map_err(at(Path::new("/dev/urandom")))?;
    let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(2));
    let start = Instant::now();
    let counts: Vec<vde_store::Result<u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let (store, value) = (&store, &value);
                scope.spawn(move || {
                    let mut count = 0;
                    while start.elapsed() < time {
                        store.put(format!("{writer}/{count:012}"), value)?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let puts = counts.into_iter().sum::<vde_store::Result<u64>>()?;
    let rate = puts as f64 / start.elapsed().as_secs_f64();
    let value =
        json!({ "writers": writers, "size": size, "buffered": buffered, "puts": puts, "per_second": rate });
    tell(as_json, &value, &format!("{puts} puts, {rate:.0} a second"))
}

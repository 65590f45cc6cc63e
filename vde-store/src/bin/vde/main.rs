//! The command line of vde-store.

mod bench;
mod files;
mod maintain;
mod shipping;
mod values;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, CommandFactory, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use vde_store::{Error, ReadView, Vde, VdeOptions};

/// A crash-safe store of keys and values in one file.
///
/// Keys and values are bytes. A key that a terminal or JSON cannot show as text is escaped.
///
/// Exit codes: 0 done; 1 the operation failed; 2 the command line is wrong; 3 there is no such key or snapshot; 4
/// stored bytes are damaged.
#[derive(Parser)]
#[command(name = "vde", version, arg_required_else_help = true, max_term_width = 100)]
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
        /// The container; created if it does not exist
        store: PathBuf,
        key: OsString,
        /// The file to read; `-` or `@-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
        /// User metadata as NAME=VALUE, any number of times
        #[arg(short, long, value_parser = parse_meta)]
        meta: Vec<(String, String)>,
    },
    /// Write a value to standard output or to a file
    Get {
        /// The container
        store: PathBuf,
        key: OsString,
        /// The file to write instead of standard output
        #[arg(short, long)]
        output: Option<PathBuf>,
        #[command(flatten)]
        at: At,
    },
    /// Remove a key
    Rm {
        /// The container
        store: PathBuf,
        key: OsString,
    },
    /// List keys in byte order, one per line
    Ls {
        /// The container
        store: PathBuf,
        /// List only keys that begin with this prefix
        #[arg(default_value = "")]
        prefix: OsString,
        /// End each key with a NUL instead of a newline, for keys that contain newlines
        #[arg(short = '0', long, conflicts_with = "json")]
        null: bool,
        #[command(flatten)]
        at: At,
    },
    /// Show statistics of a store, or the metadata of a key
    Stat {
        /// The container
        store: PathBuf,
        key: Option<OsString>,
        #[command(flatten)]
        at: At,
    },
    /// Read and check everything
    Verify {
        /// The container; or the URL of a shipped store, which needs the command vde-ship
        store: PathBuf,
    },
    /// Store every file below a directory under its relative path
    Import {
        /// The container; created if it does not exist
        store: PathBuf,
        dir: PathBuf,
    },
    /// Write every value to a file below a directory
    Export {
        /// The container
        store: PathBuf,
        /// The directory to write to; created if it does not exist
        dir: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// List, take or delete named snapshots
    Snapshot {
        /// The container
        store: PathBuf,
        /// The snapshot to take
        name: Option<String>,
        /// Delete the snapshot instead of taking it
        #[arg(short, long, requires = "name")]
        delete: bool,
    },
    /// Persist the index, so that opening the store does not replay the log
    Checkpoint {
        /// The container
        store: PathBuf,
    },
    /// Copy the store into a new file
    Backup {
        /// The container
        store: PathBuf,
        /// The file to create; it must not exist
        path: PathBuf,
        /// Copy everything that can still be read of a damaged store
        #[arg(long)]
        salvage: bool,
    },
    /// Give space back to the file system
    Compact {
        /// The container
        store: PathBuf,
    },
    /// Ship a store to an object store; needs the command vde-ship
    #[command(disable_help_flag = true)]
    Ship(ToShip),
    /// Restore a store that was shipped; needs the command vde-ship
    #[command(disable_help_flag = true)]
    Restore(ToShip),
    /// Follow a store that is shipped; needs the command vde-ship
    #[command(disable_help_flag = true)]
    Follow(ToShip),
    /// Measure how many puts per second a new store takes
    Bench(bench::Workload),
    /// Print a completion script for a shell
    #[command(alias = "completion")]
    Completions { shell: clap_complete::Shell },
}

/// What is passed on to `vde-ship`.
#[derive(Args)]
struct ToShip {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl Command {
    fn store(&self) -> Option<&Path> {
        match self {
            Self::Put { store, .. }
            | Self::Get { store, .. }
            | Self::Rm { store, .. }
            | Self::Ls { store, .. }
            | Self::Stat { store, .. }
            | Self::Verify { store }
            | Self::Import { store, .. }
            | Self::Export { store, .. }
            | Self::Snapshot { store, .. }
            | Self::Checkpoint { store }
            | Self::Backup { store, .. }
            | Self::Compact { store } => Some(store),
            Self::Ship(_)
            | Self::Restore(_)
            | Self::Follow(_)
            | Self::Bench(_)
            | Self::Completions { .. } => None,
        }
    }
}

#[derive(Args)]
struct At {
    /// Read from this snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    at: Option<String>,
    /// Read everything that can still be read of a damaged store
    #[arg(long)]
    salvage: bool,
}

impl At {
    /// A view of a store that must exist.
    fn open(&self, store: &Path) -> Result<ReadView, Failure> {
        let store = reading().salvage(self.salvage).open(store)?;
        Ok(self.at.as_ref().map_or_else(|| Ok(store.read_view()), |name| store.open_snapshot(name))?)
    }
}

fn parse_meta(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

/// Why a command ended early.
enum Failure {
    Store(Error),
    /// The file or the action that failed, with the system's error.
    Io(String, io::Error),
    Missing(String),
    Damaged,
    /// Another command has failed, and has said why.
    Code(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::SnapshotNotFound { .. } => Self::Missing(error.to_string()),
            other => Self::Store(other),
        }
    }
}

impl Failure {
    fn missing(key: &[u8]) -> Self {
        Self::Missing(format!("no such key: {}", key.escape_ascii()))
    }

    /// The failure of copying a value. Errors of the store come wrapped in errors of the system.
    fn copying(place: &str, error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(inner) => Self::Store(inner.clone()),
            None => Self::Io(place.into(), error),
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let name = path.display().to_string();
    move |error| Failure::copying(&name, error)
}

/// The name of the standard output in errors.
const OUTPUT: &str = "standard output";

fn stdout(error: io::Error) -> Failure {
    Failure::copying(OUTPUT, error)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let store = cli.command.store();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of the output has closed it, which is not a failure.
        Err(Failure::Io(place, error)) if place == OUTPUT && error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let (code, message) = match failure {
                Failure::Store(error @ Error::Corrupt { .. }) => (4, about(store, &error)),
                Failure::Store(error) => (1, about(store, &error)),
                Failure::Io(place, error) => (1, format!("{place}: {error}")),
                Failure::Missing(what) => (3, what),
                Failure::Damaged => return ExitCode::from(4),
                Failure::Code(code) => return ExitCode::from(code),
            };
            eprintln!("vde: {message}");
            ExitCode::from(code)
        }
    }
}

/// The message with the name of the container, if the error does not name it already.
fn about(store: Option<&Path>, error: &Error) -> String {
    let (name, message) = (store.map(|store| store.display().to_string()), error.to_string());
    match name {
        Some(name) if !message.contains(&name) => format!("{name}: {message}"),
        _ => message,
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let json = cli.json;
    match &cli.command {
        Command::Ship(to) => shipping::run("ship", &to.arguments),
        Command::Restore(to) => shipping::run("restore", &to.arguments),
        Command::Follow(to) => shipping::run("follow", &to.arguments),
        Command::Verify { store } if shipping::is_url(store) => shipping::run("verify", &[store.into()]),
        Command::Put { store, key, file, meta } => {
            values::put(store, key.as_encoded_bytes(), file, &meta.iter().cloned().collect())
        }
        Command::Get { store, key, output, at } => {
            values::get(&at.open(store)?, key.as_encoded_bytes(), output.as_deref())
        }
        Command::Rm { store, key } => values::rm(&open(store)?, key.as_encoded_bytes()),
        Command::Ls { store, prefix, null, at } => {
            values::ls(&at.open(store)?, prefix.as_encoded_bytes(), if *null { b"\0" } else { b"\n" }, json)
        }
        Command::Stat { key: None, at: At { at: Some(_), .. }, .. } => {
            Err(Error::InvalidOption { option: "--at", reason: "needs a key" }.into())
        }
        Command::Stat { store, key: None, at } => {
            maintain::stat(&reading().salvage(at.salvage).open(store)?, json)
        }
        Command::Stat { store, key: Some(key), at } => {
            values::stat(&at.open(store)?, key.as_encoded_bytes(), json)
        }
        Command::Verify { store } => maintain::verify(&reading().salvage(true).open(store)?, json),
        Command::Import { store, dir } => files::import(store, dir, json),
        Command::Export { store, dir, at } => files::export(&at.open(store)?, dir, at.salvage, json),
        Command::Snapshot { store, name, delete } => {
            maintain::snapshot(store, name.as_deref(), *delete, json)
        }
        Command::Checkpoint { store } => busy("writing the index", || Ok(open(store)?.checkpoint()?)),
        Command::Backup { store, path, salvage } => maintain::backup(store, path, *salvage, json),
        Command::Compact { store } => {
            let bytes = busy("compacting", || Ok(open(store)?.compact()?))?;
            print(json, &json!({ "bytes": bytes }), &format!("{bytes} bytes given back"))
        }
        Command::Bench(workload) => bench::run(workload, json),
        Command::Completions { shell } => {
            // `generate` panics if it cannot write, so it writes to memory.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "vde", &mut script);
            io::stdout().write_all(&script).map_err(stdout)
        }
    }
}

/// Opens a store that must exist, for writing.
fn open(path: &Path) -> Result<Vde, Failure> {
    Ok(VdeOptions::new().create_if_missing(false).open(path)?)
}

/// Options that open a store for reading; other processes may read it at the same time.
fn reading() -> VdeOptions {
    VdeOptions::new().read_only(true)
}

fn print(as_json: bool, value: &serde_json::Value, text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if as_json { writeln!(out, "{value}") } else { writeln!(out, "{text}") }.map_err(stdout)
}

/// A table with one value per line.
fn table(value: &serde_json::Value) -> String {
    let line = |(name, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::Null => format!("{name:>20}  -"),
        serde_json::Value::String(text) => format!("{name:>20}  {text}"),
        other => format!("{name:>20}  {other}"),
    };
    value.as_object().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// A progress bar, which is shown if standard error is a terminal.
fn bar(total: Option<u64>, template: &str) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A progress bar that counts to `total`.
fn counting(total: u64) -> ProgressBar {
    bar(Some(total), "{bar:40} {pos}/{len} {eta}")
}

/// A progress bar of bytes. `total` is `None` if it is unknown.
fn bytes(total: Option<u64>) -> ProgressBar {
    match total {
        Some(_) => bar(total, "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}"),
        None => bar(None, "{spinner} {bytes} {bytes_per_sec}"),
    }
}

/// Shows that work of unknown length is under way.
fn busy<T>(what: &'static str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = work();
    bar.finish_and_clear();
    done
}

//! The command line of vde-ship.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use vde_ship::{Bucket, CheckpointShipper, Error, Follower, Point};

/// Ships a vde-store to an object store, restores it, and follows it.
///
/// A URL is `file:///folder`, or with the features of this build `s3://bucket/prefix`, `gs://bucket/prefix`,
/// `az://container/prefix`. Credentials come from the environment, for example `AWS_ACCESS_KEY_ID`.
///
/// Exit codes: 0 done; 1 the operation failed; 2 the command line is wrong; 3 there is no such point; 4 what was
/// shipped is damaged.
#[derive(Parser)]
#[command(name = "vde-ship", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ship the whole store as it is now, as a new base; beside a process that writes it: its newest checkpoint
    Ship {
        /// The container
        store: PathBuf,
        /// Where to
        url: String,
        /// How many seconds to wait before shipping again, and so on: what has changed between two checkpoints
        #[arg(long, value_name = "SECONDS")]
        every: Option<u64>,
    },
    /// Restore a store into a new file
    Restore {
        /// Where from
        url: String,
        /// The file to create; it must not exist
        store: PathBuf,
        /// The newest point up to this: a version, a time like `2026-11-30T12:00:00Z`, or `@SECONDS` since 1970
        #[arg(long, default_value_t = Point::Newest)]
        at: Point,
    },
    /// Follow a shipped store until the command is interrupted
    Follow {
        /// Where from
        url: String,
        /// The follower's file; created if it does not exist
        store: PathBuf,
        /// The pause between two looks
        #[arg(long, value_name = "SECONDS", default_value_t = 1)]
        every: u64,
        /// Apply what is there, and end
        #[arg(long)]
        once: bool,
        /// Apply what is there, then make the follower an ordinary store, to continue in place of the shipped one
        #[arg(long, conflicts_with = "once")]
        promote: bool,
    },
    /// Read and check everything that was shipped
    Verify {
        /// Where
        url: String,
    },
}

async fn ship(store: &Path, bucket: Bucket, every: Option<u64>) -> Result<(), Error> {
    let mut shipper = CheckpointShipper::new(store, bucket);
    loop {
        match shipper.ship().await {
            Ok(None) => {}
            Ok(Some(point)) => {
                println!("shipped version {} as of {}", point.version, Point::Time(point.time));
            }
            Err(error) if every.is_some() && error.is_passing() => eprintln!("vde-ship: {error}"),
            Err(error) => return Err(error),
        }
        let Some(pause) = every else { return Ok(()) };
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
}

async fn follow(bucket: Bucket, store: &Path, every: u64, once: bool, promote: bool) -> Result<(), Error> {
    let mut follower = Follower::open(bucket, store).await?;
    let pause = Duration::from_secs(every);
    let mut told = None;
    follower
        .follow(pause, |follower, error| {
            if let Some(error) = error {
                eprintln!("vde-ship: {error}; {:.1} s behind", follower.lag().as_secs_f64());
            } else if told.replace(follower.version()) != Some(follower.version()) {
                println!("version {} as of {}", follower.version(), Point::Time(follower.time()));
            }
            error.is_some() || !(once || promote)
        })
        .await?;
    if promote {
        follower.promote().await?;
    }
    Ok(())
}

async fn run(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Ship { store, url, every } => ship(&store, Bucket::open(&url)?, every).await?,
        Command::Restore { url, store, at } => {
            let bucket = Bucket::open(&url)?;
            let restored = vde_ship::restore(&bucket, &store, at).await?;
            println!("restored version {} as of {}", restored.version, Point::Time(restored.time));
        }
        Command::Follow { url, store, every, once, promote } => {
            follow(Bucket::open(&url)?, &store, every, once, promote).await?;
        }
        Command::Verify { url } => {
            let verified = vde_ship::verify(&Bucket::open(&url)?).await?;
            println!("{} bases, {} entries, {} bytes", verified.bases, verified.entries, verified.bytes);
            for (name, point) in [("oldest", verified.oldest), ("newest", verified.newest)] {
                if let Some((version, time)) = point {
                    println!("{name} point: version {version} as of {}", Point::Time(time));
                }
            }
            for problem in &verified.problems {
                eprintln!("vde-ship: {problem}");
            }
            if !verified.is_clean() {
                return Ok(ExitCode::from(4));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("vde-ship: could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("vde-ship: {error}");
            ExitCode::from(match error {
                Error::NoBase => 3,
                Error::Damaged { .. } | Error::Missing { .. } => 4,
                _ => 1,
            })
        }
    }
}

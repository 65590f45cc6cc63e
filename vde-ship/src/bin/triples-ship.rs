//! `triples serve` with shipping, or as a replica of a store that is shipped.

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use clap::{Parser, Subcommand};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{sleep, timeout};
use triple_store::server::command::{self, Arguments};
use triple_store::server::{Served, Server, ServerOptions};
use triple_store::{Error, Result, TripleStore, TripleStoreOptions};
use vde_ship::{Bucket, Follower, Point, Shipper};
use vde_store::Vde;

/// How long the end of the process waits until everything is shipped.
const GRACE_PERIOD: Duration = Duration::from_secs(10);
/// The pause between two looks at what was shipped.
const PAUSE: Duration = Duration::from_secs(1);

/// `triples serve` with --ship or --follow. `triples` calls this command.
#[derive(Parser)]
#[command(name = "triples-ship", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Serve a store over HTTP until interrupted, and ship it, or follow one that is shipped
    Serve(Arguments),
}

/// An error of shipping, in the type of the server's errors.
fn of_url(url: &str) -> impl Fn(vde_ship::Error) -> Error {
    move |error| Error::Io { name: url.into(), source: io::Error::other(error) }
}

async fn ship(arguments: &Arguments, url: &str) -> Result<()> {
    let options = arguments.server_options()?;
    let vde = Vde::open(&arguments.store)?;
    let store = arguments.store_options().open_in(&vde)?;
    vde.flush()?;
    let bucket = Bucket::open(url).map_err(of_url(url))?;
    let shipper = Arc::new(Shipper::new(&vde, bucket).await.map_err(of_url(url))?);
    let (bytes, seconds, reporting) = (shipper.clone(), shipper.clone(), shipper.clone());
    let options = options
        .gauge("ship_lag_bytes", "Bytes that are not shipped yet", move || bytes.lag().bytes as f64)
        .gauge("ship_lag_seconds", "Age of the oldest change that is not shipped", move || {
            seconds.lag().age.as_secs_f64()
        })
        .health(move || {
            let lag = reporting.lag();
            let behind = format!(
                "not shipped: {} writes, {} bytes, {:.1} s",
                lag.writes,
                lag.bytes,
                lag.age.as_secs_f64()
            );
            match reporting.error() {
                Some(error) if reporting.is_ended() => Err(format!("{behind}; {error}")),
                Some(error) => Ok(format!("{behind}; {error}\n")),
                None => Ok(format!("{behind}\n")),
            }
        });
    command::run(Server::bind(store, arguments.bind, options).await?).await?;
    let late = Error::Io { name: url.into(), source: io::ErrorKind::TimedOut.into() };
    timeout(GRACE_PERIOD, shipper.wait(vde.durable())).await.map_err(|_| late)?.map_err(of_url(url))
}

/// Where a follower is.
struct Position {
    /// When it had everything that was shipped.
    current_at: Instant,
    version: u64,
    time: SystemTime,
    error: Option<vde_ship::Error>,
}

impl Position {
    fn of(follower: &Follower, error: Option<vde_ship::Error>) -> Self {
        let now = Instant::now();
        let current_at = now.checked_sub(follower.lag()).unwrap_or(now);
        Self { current_at, version: follower.version(), time: follower.time(), error }
    }

    fn lag(&self) -> f64 {
        self.current_at.elapsed().as_secs_f64()
    }

    fn report(&self) -> String {
        let time = Point::Time(self.time);
        let error = self.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        format!("version {} as of {time}, {:.1} s behind{error}\n", self.version, self.lag())
    }
}

/// A follower, and the store of what it has.
struct Replica {
    follower: Follower,
    options: TripleStoreOptions,
    store: TripleStore,
    /// What queries see: the container, and the version.
    shown: (u64, u64),
}

/// The container of a follower, and the version that it has. A follower that is restored anew has another container, in
/// which equal versions and commits may be others.
fn shown(follower: &Follower) -> (u64, u64) {
    (follower.store().identity(), follower.version())
}

impl Replica {
    /// Applies what was shipped meanwhile. Returns the error if the object store could not be reached.
    async fn catch_up(&mut self, served: &Served, url: &str) -> Result<Option<vde_ship::Error>> {
        let mut failed = None;
        let round = self.follower.follow(Duration::ZERO, |_, error| {
            failed = error.cloned();
            false
        });
        round.await.map_err(of_url(url))?;
        if self.shown != shown(&self.follower) {
            block_in_place(|| self.show(served))?;
            self.shown = shown(&self.follower);
        }
        Ok(failed)
    }

    /// Lets queries see what was applied.
    fn show(&mut self, served: &Served) -> Result<()> {
        let view = self.follower.store().read_view();
        let is_same = self.shown.0 == self.follower.store().identity();
        // A damaged commit is reported by opening the view.
        if !is_same || !self.store.advance(&view).unwrap_or(false) {
            self.store = self.options.clone().open_view(&view)?;
            served.replace(self.store.clone());
        }
        Ok(())
    }
}

async fn follow(arguments: &Arguments, url: &str) -> Result<()> {
    let options = arguments.server_options()?;
    let bucket = Bucket::open(url).map_err(of_url(url))?;
    let follower = Follower::open(bucket, &arguments.store).await.map_err(of_url(url))?;
    let position = Arc::new(Mutex::new(Position::of(&follower, None)));
    let store = arguments.store_options().open_view(&follower.store().read_view())?;
    let shown = shown(&follower);
    let mut replica = Replica { follower, options: arguments.store_options(), store, shown };
    let options = reporting(options, &position);
    let server = Server::bind(replica.store.clone(), arguments.bind, options).await?;
    let (handle, url) = (server.served(), url.to_owned());
    let following: JoinHandle<Result<()>> = tokio::spawn(async move {
        loop {
            let failed = replica.catch_up(&handle, &url).await?;
            *position.lock().unwrap_or_else(PoisonError::into_inner) =
                Position::of(&replica.follower, failed);
            sleep(PAUSE).await;
        }
    });
    tokio::select! {
        ended = command::run(server) => ended,
        failed = following => failed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())),
    }
}

/// Adds to the options that the server says how far behind it is.
fn reporting(options: ServerOptions, position: &Arc<Mutex<Position>>) -> ServerOptions {
    fn read<T>(position: &Mutex<Position>, of: impl Fn(&Position) -> T) -> T {
        of(&position.lock().unwrap_or_else(PoisonError::into_inner))
    }
    let (lag, report) = (position.clone(), position.clone());
    let help = "Time since the replica had everything that was shipped";
    options
        .gauge("follow_lag_seconds", help, move || read(&lag, Position::lag))
        .health(move || Ok(read(&report, Position::report)))
}

fn main() -> ExitCode {
    let Subcommands::Serve(arguments) = Cli::parse().command;
    let served = command::block_on(async {
        match (&arguments.ship, &arguments.follow) {
            (Some(url), _) => ship(&arguments, url).await,
            (None, Some(url)) => follow(&arguments, url).await,
            (None, None) => {
                Err(Error::Unsupported("give --ship or --follow; otherwise, call `triples serve`".into()))
            }
        }
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("triples-ship: {error}");
            ExitCode::from(if matches!(error, Error::Unsupported(_)) { 2 } else { 1 })
        }
    }
}

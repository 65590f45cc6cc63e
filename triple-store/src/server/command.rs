//! The command `triples serve`, for programs that serve a store in the same way and do more with it.
//!
//! # Examples
//!
//! ```no_run
//! use clap::Parser;
//! use triple_store::server::Server;
//! use triple_store::server::command::{self, Arguments};
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(flatten)]
//!     serve: Arguments,
//! }
//!
//! let Cli { serve } = Cli::parse();
//! command::block_on(async {
//!     let store = serve.store_options().open(&serve.store)?;
//!     command::run(Server::bind(store, serve.bind, serve.server_options()?).await?).await
//! })?;
//! # Ok::<_, triple_store::Error>(())
//! ```

use super::{Server, ServerOptions};
use crate::documents::client::HttpClient;
use crate::engine::options::TripleStoreOptions;
use crate::error::{Error, Result};
use crate::storage::durability::Durability;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

/// The arguments of `triples serve`.
///
/// # Examples
///
/// See the [module](self).
#[derive(clap::Args, Clone, Debug)]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Arguments {
    /// The file of the store. It is created if it does not exist, unless --read-only is given.
    pub store: PathBuf,
    /// Listen at this address. Port 0 means any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7878")]
    pub bind: SocketAddr,
    /// Refuse requests that would change the store.
    #[arg(long, conflicts_with = "ship")]
    pub read_only: bool,
    /// Ship every change to an object store, shortly after it is on the disk: to `file:///folder`, or with the features
    /// of the command triples-ship, which this needs, to `s3://bucket/prefix` and others.
    #[arg(long, value_name = "URL")]
    pub ship: Option<String>,
    /// Answer a write only once it is shipped: it survives the loss of the disk. Writes wait while the object store cannot
    /// be reached.
    #[arg(long, requires = "ship")]
    pub ship_wait: bool,
    /// Serve a replica of the store that is shipped to this URL; needs the command triples-ship. The store's file is
    /// created if it does not exist.
    #[arg(long, value_name = "URL", requires = "read_only", conflicts_with = "ship")]
    pub follow: Option<String>,
    /// Require the bearer token in this file for writing.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Require the token for reading too, except for /health.
    #[arg(long, requires = "token_file")]
    token_for_reads: bool,
    /// Accept requests for this host name too, such as one that a proxy passes on. May be given several times. On a
    /// loopback address, requests for other names than those of this machine get 421.
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Let web pages of this origin (`https://app.example.com`), or of any origin (`*`), use the server.
    #[arg(long, value_name = "ORIGIN")]
    cors: Option<String>,
    /// Make the union of all graphs the default graph of queries that name no dataset.
    #[arg(long)]
    union: bool,
    /// Cancel a request that takes longer than this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    timeout: f64,
    /// Close the connection of a client that keeps the server waiting for longer than this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    client_timeout: f64,
    /// Refuse request bodies that are larger than this many MiB.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    body_limit: u64,
    /// Refuse updates that change more quads than this.
    #[arg(long, value_name = "QUADS", default_value_t = 10_000_000)]
    most_changes: usize,
    /// Limit the memory of all queries, updates and bodies together to this many MiB, and that of each to half of it.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    query_memory: usize,
    /// Keep up to this many MiB of the quads that were read last in memory. Terms and recent quads are not counted.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    cache: usize,
    /// Answer 503 to further requests while this many are running.
    #[arg(long, value_name = "REQUESTS", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Close the connection that has been idle for longest when more than this many are open.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Serve the files of this folder at / instead of the built-in page.
    #[arg(long, value_name = "DIR")]
    page: Option<PathBuf>,
    /// Append a line for each request to this file, in the Combined Log Format. - is the standard error.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Let SERVICE and LOAD of clients send requests to this host. May be given several times. `example.com` allows the
    /// ports of HTTP and HTTPS, and `example.com:8080` that port.
    #[arg(long, value_name = "HOST")]
    service_allow: Vec<String>,
}

/// How long the process waits at its end for threads that still work on cancelled requests.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

impl Arguments {
    /// The options with which the store is opened.
    ///
    /// # Examples
    ///
    /// See the [module](self).
    pub fn store_options(&self) -> TripleStoreOptions {
        let options = TripleStoreOptions::new().cache(self.cache.saturating_mul(1 << 20));
        let durability = if self.ship_wait { Durability::Shipped } else { Durability::Sync };
        options.read_only(self.read_only).durability(durability)
    }

    /// The options of the server. Prints a warning to the standard error if they let clients do more than the operator
    /// may intend.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be used, [`Error::Unsupported`] for a value that makes no sense.
    ///
    /// # Examples
    ///
    /// See the [module](self).
    pub fn server_options(&self) -> Result<ServerOptions> {
        let mut options = ServerOptions::new()
            .read_only(self.read_only)
            .union_default_graph(self.union)
            .timeout(seconds(self.timeout)?)
            .client_timeout(seconds(self.client_timeout)?)
            .most_changes(self.most_changes)
            .query_memory(self.query_memory.saturating_mul(1 << 20))
            .body_limit(self.body_limit.saturating_mul(1 << 20))
            .token_for_reads(self.token_for_reads)
            .connections(self.connections.into())
            .concurrency(self.concurrency.into());
        warn(self);
        for host in &self.allow_host {
            options = options.allow_host(host);
        }
        if let Some(origin) = &self.cors {
            options = options.cors(origin);
        }
        if let Some(folder) = &self.page {
            fs::read_dir(folder).map_err(|source| io_error(folder, source))?;
            options = options.page(folder);
        }
        if let Some(path) = &self.access_log {
            options = access_log(options, path)?;
        }
        if !self.service_allow.is_empty() {
            let hosts = self.service_allow.iter().map(|host| {
                host.parse().map_err(|error| Error::Unsupported(format!("--service-allow {host}: {error}")))
            });
            options = options.remote(HttpClient::new().only(hosts.collect::<Result<Vec<_>>>()?));
        }
        if let Some(path) = &self.token_file {
            options = options.token(HttpClient::token_in(path)?);
        }
        Ok(options)
    }
}

/// Runs the work of a server's process, in a runtime of its own.
///
/// # Errors
///
/// [`Error::Io`] if no threads can be started; the errors of the work.
///
/// # Examples
///
/// See the [module](self).
pub fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Io { name: "threads".into(), source })?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(GRACE_PERIOD);
    result
}

/// Prints the address of a server to the standard error, and serves until the process gets a signal to stop.
///
/// # Errors
///
/// As [`Server::run`].
///
/// # Examples
///
/// See the [module](self).
pub async fn run(server: Server) -> Result<()> {
    say(format_args!("listening on http://{}/", server.local_addr()));
    server.run(stop_signal()?).await
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { name: path.display().to_string(), source }
}

fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| Error::Unsupported(format!("the timeout {seconds}: {error}")))
}

/// Warns if the options let clients do more than the operator may intend.
fn warn(arguments: &Arguments) {
    let Arguments { bind, token_file, token_for_reads, read_only, cors, .. } = arguments;
    if !bind.ip().is_loopback() && !token_for_reads {
        say(format_args!(
            "warning: every client that can reach {bind} can read the whole store; --token-for-reads requires the token"
        ));
    }
    if cors.as_deref() == Some("*") && token_file.is_none() && !read_only {
        say(format_args!(
            "warning: with --cors '*' and no token, any web page that is opened on this machine can write"
        ));
    }
}

/// Prints a message for the operator. The server keeps running if its log is closed.
fn say(what: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{what}");
}

fn access_log(options: ServerOptions, path: &Path) -> Result<ServerOptions> {
    if path.as_os_str() == "-" {
        return Ok(options.access_log(|line| say(format_args!("{line}"))));
    }
    let file = File::options().create(true).append(true).open(path);
    let file = file.map_err(|source| io_error(path, source))?;
    Ok(options.access_log(move |line| {
        // One write for each line, so that lines of several threads don't mix. The server keeps running if its disk is
        // full.
        let _ = (&file).write_all(format!("{line}\n").as_bytes());
    }))
}

/// Completes on the first signal to stop. A second signal ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>> {
    let signals = || -> io::Result<_> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            Ok(async move || {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            })
        }
        #[cfg(not(unix))]
        Ok(async || {
            let _ = tokio::signal::ctrl_c().await;
        })
    };
    let mut next = signals().map_err(|source| Error::Io { name: "signals".into(), source })?;
    Ok(async move {
        next().await;
        say(format_args!("stopping"));
        tokio::spawn(async move {
            next().await;
            process::exit(130);
        });
    })
}

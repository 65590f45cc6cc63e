//! `triples`: a quad store from the command line.

mod bench;
mod commands;
#[cfg(feature = "server")]
mod serve;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use triple_store::Error;

/// An RDF quad store in one file: load, query, update, dump, serve.
///
/// Exit codes: 0 success, 1 failure, 2 input that is not understood (a document, a query, or these arguments).
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load files; each is loaded whole, or, if there is an error in it, not at all.
    Load(commands::Load),
    /// Evaluate a SPARQL query and write its results to the standard output.
    Query {
        /// The store.
        store: PathBuf,
        /// The query, or @FILE to read it from there, or - for the standard input.
        sparql: String,
        /// Resolve relative IRIs against this one.
        #[arg(long, value_name = "IRI")]
        base: Option<String>,
        /// csv, tsv, json or xml for solutions; nt, ttl and so on for graphs.
        #[arg(long, short)]
        format: Option<String>,
        /// Give up after this many seconds.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<f64>,
        /// Take all graphs together for the default graph.
        #[arg(long)]
        union: bool,
        /// Write the plan with its times and row counts, as JSON, instead of the results.
        #[arg(long)]
        explain: bool,
    },
    /// Run a SPARQL update, as one transaction.
    Update {
        /// The store; it is made if it does not exist.
        store: PathBuf,
        /// The update, or @FILE to read it from there, or - for the standard input.
        sparql: String,
        /// Resolve relative IRIs against this one.
        #[arg(long, value_name = "IRI")]
        base: Option<String>,
        /// Give up after this many seconds.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<f64>,
    },
    /// Write all quads, or one graph.
    Dump {
        /// The store.
        store: PathBuf,
        /// nq, trig, jsonld for all graphs; nt, ttl, rdf and so on for one. By default what the extension of the output
        /// names, and nq on the standard output.
        #[arg(long, short)]
        format: Option<String>,
        /// This graph alone; `default` for the default graph.
        #[arg(long, value_name = "IRI")]
        graph: Option<String>,
        /// Write here and not to the standard output; compressed, if the name ends in .gz or .zst.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Serve the store over HTTP, until interrupted: SPARQL 1.1 Protocol at /query and /update, Graph Store HTTP
    /// Protocol at /store, a page to query it by at /, /health and /metrics.
    ///
    /// Whoever can reach the server may read it, and without a token also write to it; so on an address that other
    /// machines can reach it takes --token-file or --read-only.
    #[cfg(feature = "server")]
    Serve(serve::Arguments),
    /// Count quads, terms, graphs and bytes.
    Stats {
        /// The store.
        store: PathBuf,
    },
    /// Merge recent quads into the compressed run, and cut the journal off.
    Checkpoint {
        /// The store.
        store: PathBuf,
    },
    /// Copy the store into a new file, which can be opened like any other.
    Backup {
        /// The store.
        store: PathBuf,
        /// The new file.
        copy: PathBuf,
    },
    /// Read everything and check it against itself.
    Verify {
        /// The store.
        store: PathBuf,
    },
    /// Measure this machine: load, insert, look up and query generated data in a new store, and write how often a second.
    Bench(bench::Arguments),
    /// Write the completion script of a shell to the standard output.
    #[command(alias = "completions")]
    Completion {
        /// The shell.
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Load(arguments) => commands::load(arguments),
        Command::Query { store, sparql, base, format, timeout, union, explain } => {
            commands::query(&store, &sparql, format.as_deref(), base, timeout, union, explain)
        }
        Command::Update { store, sparql, base, timeout } => commands::update(&store, &sparql, base, timeout),
        Command::Dump { store, format, graph, output } => {
            commands::dump(&store, format.as_deref(), graph.as_deref(), output.as_deref())
        }
        #[cfg(feature = "server")]
        Command::Serve(arguments) => serve::run(arguments),
        Command::Stats { store } => commands::stats(&store),
        Command::Checkpoint { store } => commands::checkpoint(&store),
        Command::Backup { store, copy } => commands::backup(&store, &copy),
        Command::Verify { store } => commands::verify(&store),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "triples", &mut io::stdout());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has had enough.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("triples: {error}");
            let misunderstood = matches!(
                error,
                Error::Syntax { .. }
                    | Error::Sparql(_)
                    | Error::TooDeep { .. }
                    | Error::InvalidOption { .. }
                    | Error::UnknownFormat(_)
                    | Error::Unsupported(_)
            );
            ExitCode::from(if misunderstood { 2 } else { 1 })
        }
    }
}

//! `triples`: a quad store from the command line.

mod bench;
mod commands;
mod over_http;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod shipping;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use triple_store::Error;

/// An RDF quad store in one file: load, query, update, dump, serve.
///
/// Exit codes: 0 for success, 1 for a failure, 2 for a syntax error in a document, a query or the arguments.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// Write results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load files. A file with an error is not loaded at all.
    Load(commands::Load),
    /// Run a SPARQL query and write its results to the standard output.
    Query(commands::Query),
    /// Run a SPARQL update as one transaction.
    Update(commands::Update),
    /// Write all quads, or those of one graph.
    Dump(commands::Dump),
    /// Serve the store over HTTP until interrupted: SPARQL 1.1 Protocol at /query and /update, Graph Store HTTP
    /// Protocol at /store, a page for queries at /, and /health and /metrics.
    ///
    /// Every client that can reach the server may read, and without a token also write. So an address that other
    /// machines can reach requires --token-file or --read-only.
    #[cfg(feature = "server")]
    Serve(triple_store::server::command::Arguments),
    /// Count quads, terms, graphs and bytes.
    Stats {
        /// The file of the store.
        store: PathBuf,
    },
    /// Merge recent quads into the compressed run, and truncate the journal.
    Checkpoint {
        /// The file of the store.
        store: PathBuf,
    },
    /// Remove the terms that no quad has any more, and return free space to the file system.
    Compact {
        /// The file of the store.
        store: PathBuf,
    },
    /// Copy the store to a new file, which can be opened as a store.
    Backup {
        /// The file of the store.
        store: PathBuf,
        /// The new file.
        copy: PathBuf,
        /// Copy what can be read of a damaged store, and list what is lost. The exit code is 1 if anything is.
        #[arg(long)]
        salvage: bool,
    },
    /// Read all data and check it for inconsistencies.
    Verify {
        /// The file of the store.
        store: PathBuf,
        /// First write again what can't be read: an order of the quads from the others, and the index of terms from the
        /// terms.
        #[arg(long)]
        repair: bool,
    },
    /// Measure this machine: load, insert, look up and query generated data in a new store, and print the operations
    /// per second.
    Bench(bench::Arguments),
    /// Write the completion script of a shell to the standard output.
    #[command(alias = "completion")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let Arguments { json, command } = Arguments::parse();
    let result = match command {
        Command::Load(arguments) => commands::load(arguments, json),
        Command::Query(arguments) => commands::query(arguments, json),
        Command::Update(arguments) => commands::update(arguments, json),
        Command::Dump(arguments) => commands::dump(arguments),
        #[cfg(feature = "server")]
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Stats { store } => commands::stats(&store, json),
        Command::Checkpoint { store } => commands::checkpoint(&store),
        Command::Compact { store } => commands::compact(&store, json),
        Command::Backup { store, copy, salvage: false } => commands::backup(&store, &copy),
        Command::Backup { store, copy, salvage: true } => commands::salvage(&store, &copy, json),
        Command::Verify { store, repair } => commands::verify(&store, repair, json),
        Command::Bench(arguments) => bench::run(&arguments, json),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "triples", &mut io::stdout());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if commands::output_is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("triples: {error}");
            let misunderstood = matches!(
                error,
                Error::Syntax { .. }
                    | Error::Sparql(_)
                    | Error::TooDeep { .. }
                    | Error::TooLong(_)
                    | Error::InvalidOption { .. }
                    | Error::UnknownFormat(_)
                    | Error::Unsupported(_)
            );
            ExitCode::from(if misunderstood { 2 } else { 1 })
        }
    }
}

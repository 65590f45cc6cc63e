//! `stripe-report`: what striping buys on this machine, as a table, a page and JSON.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
};

use benches::{
    contenders::stores::Failure,
    rdf::Input,
    report::{self, Settings},
};
use clap::Parser;

/// Products of the generated shop: about 56 quads each.
const PRODUCTS: usize = 500;

/// Measures what striping buys on this machine: locks, parallelism, a disk engine, a triple store.
///
/// Prints tables, and writes a page with plots. Takes about a minute. The stores are measured in the output
/// directory, and their files are removed afterwards.
#[derive(Parser)]
#[command(name = "stripe-report", version)]
struct Options {
    /// A file of RDF to load into the triple store. Its extension names the syntax. By default, a shop is generated.
    #[arg(long, value_name = "FILE")]
    rdf: Option<PathBuf>,
    /// Take less than 20 seconds. The figures are noisy.
    #[arg(long)]
    quick: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Where to write the page, `index.html`.
    #[arg(long, value_name = "DIR", default_value = "target/stripe-report")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // The input is read before anything is measured or written, so that a wrong path or file fails at once.
    let input = match &options.rdf {
        None => Input::generated(PRODUCTS),
        Some(file) => match Input::read(file) {
            Ok(input) => input,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        },
    };
    match run(&options, input) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stripe-report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, input: Input) -> Result<(), Failure> {
    let name = |error: io::Error, path: &PathBuf| format!("{}: {error}", path.display());
    fs::create_dir_all(&options.out).map_err(|error| name(error, &options.out))?;
    let report = report::measure(&Settings { quick: options.quick, dir: options.out.clone(), input })?;
    let page = options.out.join("index.html");
    fs::write(&page, report::page(&report)?).map_err(|error| name(error, &page))?;
    let mut text = if options.json { serde_json::to_string_pretty(&report)? } else { report::text(&report) };
    text.push('\n');
    match io::stdout().write_all(text.as_bytes()) {
        // A closed pipe is no error, because its reader has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    eprintln!("The plots: {}", page.display());
    Ok(())
}

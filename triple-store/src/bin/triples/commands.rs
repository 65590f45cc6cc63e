//! The commands.

use crate::over_http::{Server, based, format_of, reader, refuse};
use indicatif::{ProgressBar, ProgressStyle};
use oxrdf::{GraphName, NamedNode};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use triple_store::{
    DumpOptions, Error, HttpClient, LoadOptions, QueryOptions, RdfFormat, Result, ResultFormat, TripleStore,
    TripleStoreOptions, UpdateOptions,
};

/// Opens an existing store read-only.
pub(crate) fn existing(path: &Path) -> Result<TripleStore> {
    existing_with(path, TripleStoreOptions::new().read_only(true))
}

/// Opens an existing store. A typing error in its name must not create an empty one.
pub(crate) fn existing_with(path: &Path, options: TripleStoreOptions) -> Result<TripleStore> {
    fs::metadata(path).map_err(|source| io_error(path, source))?;
    options.open(path)
}

pub(crate) fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { name: path.display().to_string(), source }
}

/// The name of the standard output in errors.
const OUTPUT: &str = "standard output";

pub(crate) fn output_error(source: io::Error) -> Error {
    Error::Io { name: OUTPUT.into(), source }
}

/// Whether the command failed because the reader of its standard output has closed the pipe, as `head` does. In errors
/// of the library, the writer that it was given is named `output`.
pub(crate) fn output_is_closed(error: &Error) -> bool {
    matches!(error, Error::Io { name, source }
        if [OUTPUT, "output"].contains(&name.as_str()) && source.kind() == io::ErrorKind::BrokenPipe)
}

pub(crate) fn iri(text: &str) -> Result<NamedNode> {
    NamedNode::new(text).map_err(|error| Error::Unsupported(format!("the IRI {text}: {error}")))
}

/// Writes a line to the standard output.
pub(crate) fn write_line(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}").map_err(output_error)
}

pub(crate) fn seconds(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|error| Error::Unsupported(format!("the timeout {seconds}: {error}")))
}

/// The argument itself, the content of the file that is named after an `@`, or the standard input for `-`.
fn text_or_file(argument: &str) -> Result<String> {
    let Some(name) = argument.strip_prefix('@').or((argument == STDIN).then_some(STDIN)) else {
        let is_named_so = [".rq", ".ru", ".sparql"].iter().any(|end| argument.ends_with(end));
        return if is_named_so || Path::new(argument).is_file() {
            Err(Error::Unsupported(format!(
                "the query {argument} is a file name: write @{argument} to read it"
            )))
        } else {
            Ok(argument.to_owned())
        };
    };
    let read = if name == STDIN {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(name)
    };
    read.map_err(|source| io_error(Path::new(name), source))
}

#[derive(clap::Args)]
pub(crate) struct Load {
    /// The file of the store, which is created if it does not exist; or the address of a running server, such as
    /// `http://localhost:7878`. A server limits the size of a document.
    store: PathBuf,
    /// The files to load. The extension selects the syntax: .nt .nq .ttl .trig .rdf .jsonld .n3, optionally followed by
    /// .gz or .zst. - or @- is the standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The syntax of all files, instead of that of their extension: nt, nq, ttl, trig, rdf, jsonld or n3.
    #[arg(long, short)]
    format: Option<String>,
    /// Put triples that are in no named graph into this graph.
    #[arg(long, value_name = "IRI")]
    graph: Option<String>,
    /// Resolve relative IRIs against this IRI.
    #[arg(long, value_name = "IRI")]
    base: Option<String>,
    /// Use this file as the context IRI of JSON-LD documents. Contexts are never fetched. May be given several times.
    #[arg(long, value_name = "IRI=FILE")]
    context: Vec<String>,
    /// Skip checks that are not needed to parse the documents.
    #[arg(long)]
    lenient: bool,
    /// Keep the quads before an error in a file.
    #[arg(long)]
    keep_partial: bool,
    /// Show no progress.
    #[arg(long, short)]
    quiet: bool,
    /// Send the bearer token in this file to a server.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The file name that stands for the standard input or output.
pub(crate) const STDIN: &str = "-";

pub(crate) fn is_stdin(file: &Path) -> bool {
    [STDIN, "@-"].iter().any(|name| file.as_os_str() == *name)
}

fn rdf_format(name: &str) -> Result<RdfFormat> {
    RdfFormat::from_extension(name).ok_or_else(|| unknown_format(name, "nt, nq, ttl, trig, rdf, jsonld, n3"))
}

fn unknown_format(name: &str, known: &str) -> Error {
    Error::Unsupported(format!("the format {name}; the formats are {known}"))
}

pub(crate) fn load(arguments: Load, json: bool) -> Result<()> {
    let Load { store, files, format, graph, base, context, lenient, keep_partial, quiet, token_file } =
        arguments;
    // Only files have a known size.
    let size = |file: &PathBuf| {
        if is_stdin(file) {
            return Ok(0);
        }
        fs::metadata(file).map(|data| data.len()).map_err(|error| io_error(file, error))
    };
    let total = files.iter().map(size).sum::<Result<u64>>()?;
    let format = format.map(|name| rdf_format(&name)).transpose()?;
    let graph = graph.map(|graph| iri(&graph)).transpose()?;
    if let Some(server) = Server::named(&store, token_file.as_deref(), None)? {
        refuse(&[
            ("--base", base.is_some()),
            ("--context", !context.is_empty()),
            ("--lenient", lenient),
            ("--keep-partial", keep_partial),
        ])?;
        return files.iter().try_for_each(|file| {
            server.load(reader(file)?, format_of(file, format)?, graph.as_ref())?;
            if json {
                return write_line(&json!({ "file": file.display().to_string() }).to_string());
            }
            if !quiet {
                eprintln!("{}: loaded", file.display());
            }
            Ok(())
        });
    }
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
    let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    let counter = bar.clone();
    let mut options = LoadOptions::new()
        .lenient(lenient)
        .keep_partial(keep_partial)
        .progress(move |bytes| counter.inc(bytes));
    if let Some(graph) = graph {
        options = options.graph(graph);
    }
    if let Some(base) = base {
        options = options.base_iri(base);
    }
    if let Some(format) = format {
        options = options.format(format);
    }
    for context in context {
        let Some((iri, file)) = context.rsplit_once('=') else {
            return Err(Error::Unsupported(format!("--context {context}: it must be IRI=FILE")));
        };
        options = options.context(iri, fs::read(file).map_err(|error| io_error(Path::new(file), error))?);
    }
    let store = TripleStore::open(store)?;
    for file in &files {
        bar.set_message(file.display().to_string());
        let started = Instant::now();
        let loaded = if is_stdin(file) {
            let format = format.ok_or_else(|| Error::UnknownFormat("the standard input".into()))?;
            store.load_with(io::stdin().lock(), format, "standard input", &options)
        } else {
            store.load_file_with(file, &options)
        };
        let loaded = loaded.inspect_err(|_| bar.abandon())?;
        if json {
            let value =
                json!({ "file": file.display().to_string(), "quads": loaded.quads, "added": loaded.added });
            bar.suspend(|| write_line(&value.to_string()))?;
        }
        if !quiet && !json {
            let rate = loaded.quads as f64 / started.elapsed().as_secs_f64();
            bar.suspend(|| {
                eprintln!(
                    "{}: {} quads, {} new, {rate:.0} quads/s",
                    file.display(),
                    loaded.quads,
                    loaded.added
                );
            });
        }
    }
    bar.finish_and_clear();
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct Query {
    /// The file of the store, or the address of a running server, such as `http://localhost:7878`.
    store: PathBuf,
    /// The query, @FILE to read it from a file, or - to read it from the standard input.
    sparql: String,
    /// Resolve relative IRIs against this IRI.
    #[arg(long, value_name = "IRI")]
    base: Option<String>,
    /// The syntax of the results: csv, tsv, json or xml for solutions, and nt, ttl and so on for graphs.
    #[arg(long, short)]
    format: Option<String>,
    /// Stop after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Make the union of all graphs the default graph.
    #[arg(long)]
    union: bool,
    /// Let SERVICE send requests to other servers.
    #[arg(long)]
    remote: bool,
    /// Write the plan with its times and numbers of rows as JSON, instead of the results.
    #[arg(long)]
    explain: bool,
    /// Send the bearer token in this file to a server.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(crate) fn query(arguments: Query, json: bool) -> Result<()> {
    let Query { store, sparql, base, format, timeout, union, remote, explain, token_file } = arguments;
    let format = match format.as_deref().or(json.then_some("json")) {
        None => ResultFormat::default(),
        Some(name) => ResultFormat::from_extension(name).ok_or_else(|| {
            unknown_format(name, "csv, tsv, json, xml; for graphs nt, nq, ttl, trig, rdf, jsonld")
        })?,
    };
    let timeout = timeout.map(seconds).transpose()?;
    let sparql = text_or_file(&sparql)?;
    let output = || Lines { output: BufWriter::new(io::stdout().lock()), last: b'\n' };
    if let Some(server) = Server::named(&store, token_file.as_deref(), timeout)? {
        refuse(&[("--union", union), ("--remote", remote)])?;
        let mut lines = output();
        server.show(server.query(&based(base.as_deref(), &sparql)?, format, explain)?, &mut lines)?;
        return lines.end().map_err(output_error);
    }
    let mut options = QueryOptions::new().union_default_graph(union);
    if let Some(base) = base {
        options = options.base_iri(base);
    }
    if let Some(timeout) = timeout {
        options = options.timeout(timeout);
    }
    if remote {
        options = options.remote(HttpClient::new());
    }
    let store = existing(&store)?;
    if explain {
        return write_line(&store.snapshot().explain(&sparql, &options)?);
    }
    let results = store.query_with(&sparql, &options)?;
    format.write(results, output())?.end().map_err(output_error)
}

/// A writer that adds a line break if the output does not end with one. Otherwise a shell prompt would follow on the
/// same line.
struct Lines<W> {
    output: W,
    last: u8,
}

impl<W: Write> Lines<W> {
    fn end(mut self) -> io::Result<()> {
        if self.last != b'\n' {
            self.output.write_all(b"\n")?;
        }
        self.output.flush()
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.last = bytes[..written].last().copied().unwrap_or(self.last);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[derive(clap::Args)]
pub(crate) struct Update {
    /// The file of the store, which is created if it does not exist; or the address of a running server, such as
    /// `http://localhost:7878`.
    store: PathBuf,
    /// The update, @FILE to read it from a file, or - to read it from the standard input.
    sparql: String,
    /// Resolve relative IRIs against this IRI.
    #[arg(long, value_name = "IRI")]
    base: Option<String>,
    /// Stop after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Let SERVICE and LOAD send requests to other servers.
    #[arg(long)]
    remote: bool,
    /// Send the bearer token in this file to a server.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(crate) fn update(arguments: Update, json: bool) -> Result<()> {
    let Update { store, sparql, base, timeout, remote, token_file } = arguments;
    let timeout = timeout.map(seconds).transpose()?;
    let sparql = text_or_file(&sparql)?;
    if let Some(server) = Server::named(&store, token_file.as_deref(), timeout)? {
        refuse(&[("--remote", remote)])?;
        server.update(&based(base.as_deref(), &sparql)?)?;
        // The SPARQL protocol does not return counts.
        return if json { write_line("{}") } else { Ok(()) };
    }
    let mut options = UpdateOptions::new();
    if let Some(base) = base {
        options = options.base_iri(base);
    }
    if let Some(timeout) = timeout {
        options = options.timeout(timeout);
    }
    if remote {
        options = options.remote(HttpClient::new());
    }
    let updated = TripleStore::open(store)?.update_with(&sparql, &options)?;
    if json {
        return write_line(&json!({ "added": updated.added, "removed": updated.removed }).to_string());
    }
    eprintln!("{} added, {} removed", updated.added, updated.removed);
    Ok(())
}

#[derive(clap::Args)]
pub(crate) struct Dump {
    /// The file of the store, or the address of a running server, such as `http://localhost:7878`.
    store: PathBuf,
    /// The syntax: nq, trig or jsonld for all graphs, and nt, ttl, rdf and so on for one graph. The default is the
    /// syntax of the output file's extension, and nq for the standard output.
    #[arg(long, short)]
    format: Option<String>,
    /// Write only this graph. `default` is the default graph.
    #[arg(long, value_name = "IRI")]
    graph: Option<String>,
    /// Write to this file instead of the standard output. It is compressed if the name ends in .gz or .zst.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Send the bearer token in this file to a server.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

pub(crate) fn dump(arguments: Dump) -> Result<()> {
    let Dump { store, format, graph, output, token_file } = arguments;
    let format = format.as_deref().map(rdf_format).transpose()?;
    let named = match graph.as_deref() {
        None => None,
        Some("default") => Some(GraphName::DefaultGraph),
        Some(name) => Some(GraphName::from(iri(name)?)),
    };
    if let Some(server) = Server::named(&store, token_file.as_deref(), None)? {
        refuse(&[("--output", output.is_some())])?;
        let answer = server.dump(format.unwrap_or(RdfFormat::NQuads), graph.as_deref())?;
        return server.show(answer, BufWriter::new(io::stdout().lock()));
    }
    let graph = named;
    let snapshot = existing(&store)?.snapshot();
    if let Some(path) = &output {
        let mut options = DumpOptions::new();
        if let Some(format) = format {
            options = options.format(format);
        }
        if let Some(graph) = graph {
            options = options.graph(graph);
        }
        return snapshot.dump_file_with(path, &options);
    }
    let (format, writer) = (format.unwrap_or(RdfFormat::NQuads), BufWriter::new(io::stdout().lock()));
    let mut writer = match graph {
        None => snapshot.dump(writer, format)?,
        Some(graph) => snapshot.dump_graph(writer, format, &graph)?,
    };
    writer.flush().map_err(output_error)
}

pub(crate) fn stats(path: &Path, json: bool) -> Result<()> {
    let store = existing(path)?;
    let stats = store.stats()?;
    let bytes = fs::metadata(path).map_err(|source| io_error(path, source))?.len();
    let lines = [
        ("quads", stats.quads),
        ("recent", stats.recent),
        ("terms", stats.terms),
        ("named graphs", stats.named_graphs),
        ("prefixes", store.namespaces().len() as u64),
        ("bytes", bytes),
    ];
    if json {
        let fields = lines.map(|(name, value)| (name.replace(' ', "_"), value.into()));
        return write_line(&Value::Object(fields.into_iter().collect()).to_string());
    }
    lines.iter().try_for_each(|(name, value)| write_line(&format!("{name:13} {value}")))
}

pub(crate) fn checkpoint(store: &Path) -> Result<()> {
    existing_with(store, TripleStoreOptions::new())?.checkpoint()
}

pub(crate) fn backup(store: &Path, copy: &Path) -> Result<()> {
    existing(store)?.backup(copy)
}

/// Copies what can be read of a damaged store.
pub(crate) fn salvage(store: &Path, copy: &Path, json: bool) -> Result<()> {
    let salvaged = TripleStore::salvage(store, copy)?;
    if json {
        let value =
            json!({ "quads": salvaged.quads, "lost_quads": salvaged.lost_quads, "lost": salvaged.lost });
        write_line(&value.to_string())?;
    } else {
        write_line(&format!("{} quads copied, {} lost", salvaged.quads, salvaged.lost_quads))?;
        salvaged.lost.iter().try_for_each(|what| write_line(&format!("lost: {what}")))?;
    }
    salvaged.lost.into_iter().next().map_or(Ok(()), |first| Err(Error::Corrupt(format!("lost: {first}"))))
}

pub(crate) fn compact(store: &Path, json: bool) -> Result<()> {
    let compacted = existing_with(store, TripleStoreOptions::new())?.compact()?;
    write_line(&if json {
        json!({ "terms": compacted.terms, "bytes": compacted.bytes }).to_string()
    } else {
        format!("{} terms removed, {} bytes returned", compacted.terms, compacted.bytes)
    })
}

pub(crate) fn verify(store: &Path, repair: bool, json: bool) -> Result<()> {
    if repair {
        existing_with(store, TripleStoreOptions::new())?.repair()?;
    }
    let verified = existing(store)?.verify()?;
    if json {
        let value =
            json!({ "quads": verified.quads, "terms": verified.terms, "problems": verified.problems });
        write_line(&value.to_string())?;
    } else {
        let problems = &verified.problems;
        write_line(&format!(
            "{} quads, {} terms, {} problems",
            verified.quads,
            verified.terms,
            problems.len()
        ))?;
        problems.iter().try_for_each(|problem| write_line(problem))?;
    }
    verified.problems.into_iter().next().map_or(Ok(()), |first| Err(Error::Corrupt(first)))
}

//! Commands on a running server, whose address is given in place of the file of the store.

use crate::commands::{io_error, iri, is_stdin, output_error};
use oxrdf::NamedNode;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;
use triple_store::{Error, HttpClient, QueryResultsFormat, RdfFormat, Result, ResultFormat};
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

/// The most bytes of an error response that are shown.
const SHOWN: u64 = 4096;

/// A running `triples serve`, or another server of the same protocols and paths.
pub(crate) struct Server {
    agent: Agent,
    address: String,
    token: Option<String>,
}

impl Server {
    /// The server that a command names in place of a file, or `None` for a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file of the token can't be read.
    pub(crate) fn named(
        store: &Path,
        token_file: Option<&Path>,
        timeout: Option<Duration>,
    ) -> Result<Option<Self>> {
        let Some(address) =
            store.to_str().filter(|name| ["http://", "https://"].iter().any(|s| name.starts_with(s)))
        else {
            return Ok(None);
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(timeout)
            .user_agent(concat!("triples/", env!("CARGO_PKG_VERSION")))
            .build();
        let token = token_file.map(HttpClient::token_in).transpose()?;
        Ok(Some(Self { agent: agent.into(), address: address.trim_end_matches('/').to_owned(), token }))
    }

    /// The answer to a query. The server chooses what its default graph is.
    pub(crate) fn query(&self, text: &str, format: ResultFormat, explain: bool) -> Result<impl Read> {
        let solutions = format.solutions.map(QueryResultsFormat::media_type);
        let types: Vec<_> = solutions.into_iter().chain(format.graph.map(RdfFormat::media_type)).collect();
        let path = if explain { "/query?explain" } else { "/query" };
        let accept = if explain { "application/json".to_owned() } else { types.join(", ") };
        let fields = [("Content-Type", "application/sparql-query"), ("Accept", &accept)];
        self.send("POST", path, &fields, SendBody::from_owned_reader(io::Cursor::new(text.to_owned())))
            .map(|response| response.into_body().into_reader())
    }

    /// Runs an update.
    pub(crate) fn update(&self, text: &str) -> Result<()> {
        let fields = [("Content-Type", "application/sparql-update")];
        self.send("POST", "/update", &fields, SendBody::from_owned_reader(io::Cursor::new(text.to_owned())))
            .map(drop)
    }

    /// Adds a document. If the document has an error, none of its quads are stored.
    pub(crate) fn load(&self, reader: impl Read, format: RdfFormat, graph: Option<&NamedNode>) -> Result<()> {
        let path = match graph {
            Some(graph) => format!("/store?graph={}", encoded(graph.as_str())),
            // Without a parameter, the server would store triples in a new graph.
            None if format.supports_datasets() => "/store".to_owned(),
            None => "/store?default".to_owned(),
        };
        let mut reader = reader;
        self.send("POST", &path, &[("Content-Type", format.media_type())], SendBody::from_reader(&mut reader))
            .map(drop)
    }

    /// All quads, or those of one graph.
    pub(crate) fn dump(&self, format: RdfFormat, graph: Option<&str>) -> Result<impl Read> {
        let path = match graph {
            None => "/store".to_owned(),
            Some("default") => "/store?default".to_owned(),
            Some(name) => format!("/store?graph={}", encoded(name)),
        };
        let fields = [("Accept", format.media_type())];
        self.send("GET", &path, &fields, SendBody::none()).map(|response| response.into_body().into_reader())
    }

    /// Writes an answer to the standard output.
    pub(crate) fn show(&self, mut answer: impl Read, mut output: impl Write) -> Result<()> {
        let mut block = [0; 1 << 13];
        loop {
            match answer.read(&mut block).map_err(|source| self.failed(source))? {
                0 => return output.flush().map_err(output_error),
                length => output.write_all(&block[..length]).map_err(output_error)?,
            }
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { name: self.address.clone(), source }
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: SendBody<'_>,
    ) -> Result<Response<Body>> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if method == "POST" {
            // A server that refuses the request may close the connection before it has read the body. A client that is
            // still sending would lose the response (RFC 9110, section 10.1.1).
            request = request.header("Expect", "100-continue");
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.body(body).map_err(|error| self.failed(io::Error::other(error)))?;
        let response = self.agent.run(request).map_err(|error| self.failed(error.into_io()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let mut said = String::new();
        // The body only explains the status.
        let _ = response.into_body().into_reader().take(SHOWN).read_to_string(&mut said);
        Err(self.failed(io::Error::other(format!("{status}: {}", said.trim_end()))))
    }
}

/// Refuses options that only commands on a file support.
pub(crate) fn refuse(options: &[(&str, bool)]) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(Error::Unsupported(format!("{option} with the address of a server"))),
        None => Ok(()),
    }
}

/// A reader of the file, or of the standard input. Decompresses the file by its extension.
pub(crate) fn reader(file: &Path) -> Result<Box<dyn Read>> {
    if is_stdin(file) {
        return Ok(Box::new(io::stdin().lock()));
    }
    let open = || fs::File::open(file);
    let reader: io::Result<Box<dyn Read>> = match file.extension().and_then(|name| name.to_str()) {
        #[cfg(feature = "compression")]
        Some("gz") => open().map(|file| Box::new(flate2::read::MultiGzDecoder::new(file)) as _),
        Some("zst") => open().and_then(|file| Ok(Box::new(zstd::Decoder::new(file)?) as _)),
        _ => open().map(|file| Box::new(file) as _),
    };
    reader.map_err(|source| io_error(file, source))
}

/// The syntax of a file: `format` if it is given, otherwise that of the extension.
pub(crate) fn format_of(file: &Path, format: Option<RdfFormat>) -> Result<RdfFormat> {
    let name = file.display().to_string();
    let plain = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let extension = Path::new(plain).extension().and_then(|extension| extension.to_str());
    format.or_else(|| RdfFormat::from_extension(extension?)).ok_or_else(|| {
        Error::UnknownFormat(if is_stdin(file) { "the standard input".into() } else { name.clone() })
    })
}

/// A request with a base IRI in front of its prologue.
pub(crate) fn based(base: Option<&str>, sparql: &str) -> Result<String> {
    Ok(match base {
        None => sparql.to_owned(),
        Some(base) => format!("BASE {} {sparql}", iri(base)?),
    })
}

/// Percent-encodes a value of a query string, except unreserved characters (RFC 3986, section 2.3).
fn encoded(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

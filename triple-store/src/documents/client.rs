//! HTTP, for `SERVICE` and `LOAD`.

use crate::documents::remote::{Remote, RemoteDocument};
use crate::error::{Error, Result};
use oxrdf::NamedNode;
use std::fmt::Write;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::Uri;
use ureq::http::uri::Authority;

/// The most redirects that are followed.
const REDIRECTS: usize = 5;

/// The most bytes of an error response that are shown.
const SHOWN: u64 = 200;

const RESULTS: &str = "application/sparql-results+json, application/sparql-results+xml;q=0.9";
const DOCUMENTS: &str = "text/turtle, application/n-triples, application/trig;q=0.9, application/n-quads;q=0.9, \
                         application/rdf+xml;q=0.8, application/ld+json;q=0.7, */*;q=0.1";

/// A client for `SERVICE` and `LOAD` that speaks HTTP and HTTPS.
///
/// It follows a redirect only to the same host and port. So the query and [`only`](Self::only) alone decide which
/// servers it sends requests to. It reads an answer on demand, up to a [limit](Self::limit).
///
/// # Examples
///
/// ```
/// use triple_store::{HttpClient, QueryOptions, TripleStore};
///
/// let options = QueryOptions::new().remote(HttpClient::new().only(["dbpedia.org".parse()?]));
/// let query = "SELECT * { SERVICE <http://localhost/sparql> { ?s ?p ?o } }";
/// let refused = TripleStore::in_memory().query_with(query, &options).err().expect("an error");
/// assert!(refused.to_string().contains("requests to localhost are not allowed"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a client does nothing until it is given to a query or an update"]
pub struct HttpClient {
    agent: Agent,
    only: Option<Vec<Authority>>,
    limit: u64,
    timeout: Duration,
}

impl Default for HttpClient {
    fn default() -> Self {
        let agent = Agent::config_builder()
            .max_redirects(0)
            .max_idle_connections(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("triple-store/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: agent.into(), only: None, limit: 64 << 20, timeout: Duration::from_secs(30) }
    }
}

impl HttpClient {
    /// A client that sends requests to any host, with a timeout of 30 seconds, and reads at most 64 MiB of an answer.
    ///
    /// # Examples
    ///
    /// See [`HttpClient`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends requests only to these hosts. `example.com` allows the ports of HTTP and HTTPS, and `example.com:8080`
    /// that port. The addresses to which a name resolves are not checked.
    ///
    /// # Examples
    ///
    /// See [`HttpClient`].
    pub fn only(mut self, hosts: impl IntoIterator<Item = Authority>) -> Self {
        self.only = Some(hosts.into_iter().collect());
        self
    }

    /// Limits the bytes of an answer after decompression.
    ///
    /// # Examples
    ///
    /// ```
    /// let client = triple_store::HttpClient::new().limit(1 << 20);
    /// # let _ = client;
    /// ```
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Stops waiting for a server that has not sent the whole answer after this time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let client = triple_store::HttpClient::new().timeout(Duration::from_secs(5));
    /// # let _ = client;
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The bearer token in a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, [`Error::Unsupported`] if it has no token.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir()?;
    /// let path = dir.path().join("token");
    /// std::fs::write(&path, "secret\n")?;
    /// assert_eq!(triple_store::HttpClient::token_in(&path)?, "secret");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn token_in(path: &Path) -> Result<String> {
        let read = fs::read_to_string(path);
        let text = read.map_err(|source| Error::Io { name: path.display().to_string(), source })?;
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message =
                format!("the token in {}: it must be one word of visible ASCII characters", path.display());
            return Err(Error::Unsupported(message));
        }
        Ok(token.to_owned())
    }

    fn check(&self, target: &Uri) -> io::Result<()> {
        let denied = |what: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        let Some(authority) = target.authority().filter(|_| port(target).is_some()) else {
            return denied(format!("{target} is not an HTTP address"));
        };
        if authority.as_str().contains('@') {
            return denied("an address must not contain a user name".into());
        }
        let is_named = |host: &Authority| {
            host.host().eq_ignore_ascii_case(authority.host())
                && host.port_u16().or(default_port(target)) == port(target)
        };
        match &self.only {
            Some(hosts) if !hosts.iter().any(is_named) => {
                denied(format!("requests to {authority} are not allowed"))
            }
            _ => Ok(()),
        }
    }

    fn send(
        &self,
        iri: &NamedNode,
        accept: &str,
        query: Option<&str>,
        time: Option<Duration>,
    ) -> io::Result<RemoteDocument> {
        let end = Instant::now() + time.map_or(self.timeout, |time| time.min(self.timeout));
        let mut target = uri(iri.as_str())?;
        for _ in 0..=REDIRECTS {
            self.check(&target)?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let response = if let Some(query) = query {
                let request = self.agent.post(&target).header("Accept", accept);
                request.config().timeout_global(Some(left)).build().send_form([("query", query)])
            } else {
                let request = self.agent.get(&target).header("Accept", accept);
                request.config().timeout_global(Some(left)).build().call()
            };
            let response = response.map_err(ureq::Error::into_io)?;
            let field = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
            let status = response.status();
            if status.is_redirection() {
                target = redirected(&target, &field("location").unwrap_or_default())?;
                continue;
            }
            let media_type = field("content-type").unwrap_or_default();
            let body = response.into_body().into_with_config();
            if !status.is_success() {
                let mut said = Vec::new();
                // The body only explains the status.
                let _ = body.limit(self.limit).reader().take(SHOWN).read_to_end(&mut said);
                let said = String::from_utf8_lossy(&said);
                let said = said.lines().next().unwrap_or_default();
                return Err(io::Error::other(format!("it answers {status}: {said}")));
            }
            return Ok(RemoteDocument::new(media_type, body.limit(self.limit).reader()));
        }
        Err(io::Error::other(format!("it redirects more than {REDIRECTS} times")))
    }
}

impl Remote for HttpClient {
    fn query(&self, endpoint: &NamedNode, query: &str, time: Option<Duration>) -> io::Result<RemoteDocument> {
        self.send(endpoint, RESULTS, Some(query), time)
    }

    fn fetch(&self, source: &NamedNode, time: Option<Duration>) -> io::Result<RemoteDocument> {
        self.send(source, DOCUMENTS, None, time)
    }
}

/// The port of an address. `None` if it is not an HTTP address.
fn port(target: &Uri) -> Option<u16> {
    let default = default_port(target)?;
    Some(target.port_u16().unwrap_or(default))
}

fn default_port(target: &Uri) -> Option<u16> {
    match target.scheme_str()? {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The target of a redirect: the same host and port, or from HTTP to HTTPS of the same host.
fn redirected(from: &Uri, location: &str) -> io::Result<Uri> {
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let absolute = if is_path {
        format!(
            "{}://{}{location}",
            from.scheme_str().unwrap_or_default(),
            from.authority().map_or("", Authority::as_str)
        )
    } else {
        location.to_owned()
    };
    let to = uri(&absolute)?;
    let is_same_host = match (from.host(), to.host()) {
        (Some(from), Some(to)) => from.eq_ignore_ascii_case(to),
        _ => false,
    };
    let is_same_port = port(from) == port(&to) && from.scheme() == to.scheme();
    if is_same_host && (is_same_port || (port(from), port(&to)) == (Some(80), Some(443))) {
        return Ok(to);
    }
    Err(io::Error::other(format!("it redirects to {location}, which is not followed")))
}

fn uri(iri: &str) -> io::Result<Uri> {
    let invalid = |error| {
        io::Error::new(io::ErrorKind::PermissionDenied, format!("{iri} is not an HTTP address: {error}"))
    };
    encoded(iri).parse().map_err(invalid)
}

/// An IRI as a URI (RFC 3987, section 3.1), without its fragment.
fn encoded(iri: &str) -> String {
    let mut uri = String::with_capacity(iri.len());
    for byte in iri.split('#').next().unwrap_or_default().bytes() {
        if byte.is_ascii_graphic() {
            uri.push(byte.into());
        } else {
            write!(uri, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        super::uri(text).unwrap()
    }

    #[test]
    fn requests_go_only_to_allowed_hosts() {
        let hosts = ["dbpedia.org", "example.com:8080", "[::1]:80"].map(|host| host.parse().unwrap());
        let client = HttpClient::new().only(hosts);
        for (target, allowed) in [
            ("http://dbpedia.org/sparql", true),
            ("https://DBpedia.org/sparql?x=1#y", true),
            ("http://dbpedia.org:80/", true),
            ("http://dbpedia.org:22/", false),
            ("http://dbpedia.org.evil.example/", false),
            ("http://evil.example/dbpedia.org", false),
            ("http://dbpedia.org@evil.example/", false),
            ("http://user@dbpedia.org/", false),
            ("http://example.com:8080/", true),
            ("https://example.com:8080/", true),
            ("http://example.com/", false),
            ("http://[::1]/", true),
            ("http://127.0.0.1/", false),
            ("ftp://dbpedia.org/", false),
        ] {
            assert_eq!(client.check(&uri(target)).is_ok(), allowed, "{target}");
        }
        assert!(HttpClient::new().only([]).check(&uri("http://localhost/")).is_err());
        assert!(HttpClient::new().check(&uri("http://localhost/")).is_ok());
        assert!(
            super::uri("file:///etc/passwd").and_then(|target| HttpClient::new().check(&target)).is_err()
        );
    }

    #[test]
    fn redirects_stay_on_the_host() {
        for (from, location, expected) in [
            ("http://a.example/x", "/y?z", Some("http://a.example/y?z")),
            ("http://a.example/x", "https://A.example/y", Some("https://A.example/y")),
            ("http://a.example:81/x", "/y", Some("http://a.example:81/y")),
            ("http://a.example:81/x", "https://a.example/y", None),
            ("https://a.example/x", "http://a.example/x", None),
            ("http://a.example/x", "//b.example/x", None),
            ("http://a.example/x", "http://127.0.0.1/", None),
            ("http://a.example/x", "http://a.example:6379/", None),
            ("http://a.example/x", "file:///etc/passwd", None),
            ("http://a.example/x", "", None),
        ] {
            let to = redirected(&uri(from), location).ok().map(|to| to.to_string());
            assert_eq!(to.as_deref(), expected, "{from} {location}");
        }
        assert_eq!(encoded("http://a.example/ä b#c"), "http://a.example/%C3%A4%20b");
    }
}

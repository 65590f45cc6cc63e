//! The options of a server.

use super::access::Access;
use super::access_log::AccessLog;
use super::reports::Reports;
use crate::documents::remote::Remote;
use axum::http::uri::Authority;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The options of a server: which clients may write, and how much of its resources a client may use.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use triple_store::server::ServerOptions;
///
/// let options = ServerOptions::new().token("from a secret place").timeout(Duration::from_secs(10));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a server is bound with them"]
pub struct ServerOptions {
    pub(super) access: Access,
    pub(super) body_limit: u64,
    pub(super) timeout: Duration,
    pub(super) client_timeout: Duration,
    pub(super) concurrency: usize,
    pub(super) connections: usize,
    pub(super) union_default_graph: bool,
    pub(super) most_changes: usize,
    pub(super) query_memory: usize,
    pub(super) page: Option<PathBuf>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) remote: Option<Arc<dyn Remote>>,
    pub(super) reports: Reports,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            access: Access::default(),
            body_limit: 64 << 20,
            timeout: Duration::from_mins(1),
            client_timeout: Duration::from_secs(30),
            concurrency: 64,
            connections: 1024,
            union_default_graph: false,
            most_changes: 10_000_000,
            query_memory: 1 << 30,
            page: None,
            access_log: None,
            remote: None,
            reports: Reports::default(),
        }
    }
}

impl ServerOptions {
    /// The defaults: writes from this machine, no other origins, bodies of at most 64 MiB, 60 seconds for a request,
    /// 64 requests at the same time, 10 million changes in an update.
    ///
    /// # Examples
    ///
    /// See [`ServerOptions`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses every request that would change the store, with 403.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().read_only(true);
    /// # let _ = options;
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.access.read_only = read_only;
        self
    }

    /// Requires this bearer token (RFC 6750) for writing. Requests without it get 401. The comparison takes constant
    /// time.
    ///
    /// # Examples
    ///
    /// See [`ServerOptions`].
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.access.token = Some(token.into());
        self
    }

    /// Requires the [token](Self::token) for reading too, on all routes except `/health`. Without this, every client
    /// that can reach the server can read everything.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().token("secret").token_for_reads(true);
    /// # let _ = options;
    /// ```
    pub fn token_for_reads(mut self, required: bool) -> Self {
        self.access.token_for_reads = required;
        self
    }

    /// Accepts requests for this host name, such as the name that a proxy passes on. A server that listens on a
    /// loopback address answers 421 to requests for other hosts than `localhost` and loopback addresses, because a web
    /// page on another site could make its own host name point to this machine.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().allow_host("data.example.com");
    /// # let _ = options;
    /// ```
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.access.hosts.push(host.into());
        self
    }

    /// The error in these options, if there is one.
    pub(super) fn fault(&self) -> Option<String> {
        if self.timeout.is_zero() || self.client_timeout.is_zero() {
            return Some("the timeout is 0 seconds, so no request could be answered".into());
        }
        if self.access.token_for_reads && self.access.token.is_none() {
            return Some("a token is required for reads, but no token is set".into());
        }
        let origin = self.access.origin.as_ref().filter(|origin| !is_origin(origin))?;
        Some(format!(
            "the origin {origin}: it must be *, or a scheme, a host and optionally a port, such as https://example.com"
        ))
    }

    /// Lets web pages of this origin (`https://app.example.com`), or of any origin (`*`), use the server. CORS
    /// headers are sent for it, and its pages may write if no [`token`](Self::token) is required.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().cors("https://app.example.com");
    /// # let _ = options;
    /// ```
    pub fn cors(mut self, origin: impl Into<String>) -> Self {
        self.access.origin = Some(origin.into());
        self
    }

    /// Refuses request bodies that are longer than this many bytes after decompression, with 413. While a request runs,
    /// its body, as it was sent, counts towards the [memory of queries](Self::query_memory) and may take half of that
    /// memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().body_limit(1 << 30);
    /// # let _ = options;
    /// ```
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Cancels a request that takes longer than this, from its head to the last byte of its response. The response is
    /// 408 while the body is received, and 503 after that. If a part of the response was sent already, the connection
    /// is closed. A cancelled request changes nothing.
    ///
    /// # Examples
    ///
    /// See [`ServerOptions`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Closes connections of slow clients: those that don't send the head of a request within this time, that send the
    /// body at less than 1 KiB/s on average after this time (408), that read nothing of the response for this time, or
    /// that are idle for longer. The server can't detect whether a client that has closed its sending side still waits
    /// for an answer, so such a client has this time too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let options = triple_store::server::ServerOptions::new().client_timeout(Duration::from_secs(5));
    /// # let _ = options;
    /// ```
    pub fn client_timeout(mut self, timeout: Duration) -> Self {
        self.client_timeout = timeout;
        self
    }

    /// How many requests may use the store at the same time. Each has a thread. Further requests get 503.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().concurrency(8);
    /// # let _ = options;
    /// ```
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Refuses updates that change more quads than this, and documents with more quads, with 413. Until the commit,
    /// changed quads are held in memory, at about 150 bytes each.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().most_changes(1_000_000);
    /// # let _ = options;
    /// ```
    pub fn most_changes(mut self, quads: usize) -> Self {
        self.most_changes = quads;
        self
    }

    /// How many bytes of memory the evaluation of all queries and updates may take together. The default is 1 GiB. A
    /// query that needs more than half of that gets 413, and one for which too little is left gets 503.
    /// [`QueryOptions::memory`](crate::QueryOptions::memory) says what is counted.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().query_memory(256 << 20);
    /// # let _ = options;
    /// ```
    pub fn query_memory(mut self, bytes: usize) -> Self {
        self.query_memory = bytes;
        self
    }

    /// How many connections may be open at the same time. For one more, the server closes the connection that has been
    /// idle for longest. If all have a running request, a few more connections may ask for `/health`, and get 503 for
    /// anything else.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().connections(100);
    /// # let _ = options;
    /// ```
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Makes the union of all graphs the default graph of queries that name no dataset.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().union_default_graph(true);
    /// # let _ = options;
    /// ```
    pub fn union_default_graph(mut self, union: bool) -> Self {
        self.union_default_graph = union;
        self
    }

    /// Serves the files of this folder instead of the built-in page, with `index.html` at `/`. Every client that can
    /// reach the server can read them, and links are followed. The other routes of the server have precedence.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().page("yasgui");
    /// # let _ = options;
    /// ```
    pub fn page(mut self, folder: impl Into<PathBuf>) -> Self {
        self.page = Some(folder.into());
        self
    }

    /// Calls `log` with a line for each request after its response, in the Combined Log Format of web servers. The
    /// line contains the text of queries sent by GET, but no bodies and no tokens.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::server::ServerOptions::new().access_log(|line| eprintln!("{line}"));
    /// # let _ = options;
    /// ```
    pub fn access_log(mut self, log: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.access_log = Some(AccessLog::new(log));
        self
    }

    /// Lets `SERVICE` and `LOAD` send requests to other servers through this client. Every client of this server can
    /// then make it send such requests, so restrict the hosts.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::HttpClient;
    /// use triple_store::server::ServerOptions;
    ///
    /// let options = ServerOptions::new().remote(HttpClient::new().only(["dbpedia.org".parse()?]));
    /// # let _ = options;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn remote(mut self, remote: impl Remote + 'static) -> Self {
        self.remote = Some(Arc::new(remote));
        self
    }
}

/// Whether this is `*` or has the form in which browsers send the origin of a page.
fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let is_host = |host: &str| {
        let host = host.parse::<Authority>().ok().filter(|parsed| parsed.as_str() == host);
        host.is_some_and(|host| !host.host().is_empty() && !host.as_str().contains(['@', '*']))
    };
    origin == "*" || host.is_some_and(is_host)
}

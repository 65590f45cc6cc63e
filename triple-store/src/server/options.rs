//! How a server is run.

use super::access::Access;
use super::access_log::AccessLog;
use crate::documents::remote::Remote;
use axum::http::uri::Authority;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a server is run: which clients may write, and how much a client may use.
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
        }
    }
}

impl ServerOptions {
    /// The defaults: writes from this machine, no other origins, 64 MiB a body, 60 seconds a request, 64 requests at
    /// once, ten million changes an update.
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

    /// Requires this bearer token (RFC 6750) for writing; other requests get 401. It is compared in constant time.
    ///
    /// # Examples
    ///
    /// See [`ServerOptions`].
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.access.token = Some(token.into());
        self
    }

    /// Requires the [token](Self::token) for reading as well, of all routes but `/health`. Without this, every client that can reach the server reads
    /// everything.
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

    /// Answers requests for this host, as of a proxy that passes on the name it is known by. A server that listens on a loopback
    /// address answers others with 421 unless they are for `localhost` or a loopback address: a web page from elsewhere could
    /// make its own name point to this machine.
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

    /// What is wrong with these options, if something is.
    pub(super) fn fault(&self) -> Option<String> {
        if self.timeout.is_zero() || self.client_timeout.is_zero() {
            return Some("a timeout of 0 seconds: no request could be answered".into());
        }
        if self.access.token_for_reads && self.access.token.is_none() {
            return Some("a token for reads, without a token".into());
        }
        let origin = self.access.origin.as_ref().filter(|origin| !is_origin(origin))?;
        Some(format!(
            "the origin {origin}: it is * or a scheme, a host and maybe a port, like https://example.com"
        ))
    }

    /// Lets pages of this origin (`https://app.example.com`) use the server, or of any (`*`): CORS headers are sent
    /// for it, and pages of it may write if no [`token`](Self::token) is required.
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

    /// Refuses the bodies of requests that are longer than this many bytes once they are decompressed, with 413. A body is
    /// held as it is sent, in the [memory of queries](Self::query_memory), and may take half of that.
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

    /// Cancels a request that takes longer than this, from its head to the last byte of its response: with 408 while its
    /// body comes, then with 503, or, where a part of the response is sent, by breaking the connection off. What was cancelled
    /// changes nothing.
    ///
    /// # Examples
    ///
    /// See [`ServerOptions`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives up on clients that don't send the head of a request within this time, or the body at a kibibyte a
    /// second on average after it (408), or take nothing of the response for it; and on connections that are idle
    /// for longer. A client that has closed its side of the connection may wait so long for its answer: whether it does can't be known.
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

    /// How many requests may use the store at once. Each has a thread; one more gets 503.
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

    /// Refuses an update that changes more quads than this, and documents with more, with 413: until it is committed they are held in memory, at
    /// about 150 bytes each.
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

    /// How many bytes of memory all queries and updates may take together for their evaluation, one gibibyte unless this is
    /// called. One that needs more than half of that is refused with 413, and one that finds too little left with 503: see
    /// [`QueryOptions::memory`](crate::QueryOptions::memory) for what is counted.
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

    /// How many connections may be open at once. For one more, the one is closed that the store has worked for the longest time
    /// ago; while it works for all of them, a few more may ask for `/health`, and get 503 for anything else.
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

    /// Takes the union of all graphs for the default graph of queries that name no dataset.
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

    /// Serves the files of this folder in place of the page that comes with the server, `index.html` at `/`. A file is
    /// served to every client that can reach the server, and links are followed. The other routes of the server come first.
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

    /// Calls this with a line for each request once its response was sent, in the Combined Log Format that web servers
    /// write. The text of queries that come by GET is in it; bodies and tokens are not.
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

    /// Lets `SERVICE` and `LOAD` send requests to other servers, by this client. Every client of this server can then make it send
    /// such requests: restrict the hosts.
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

/// Whether browsers send this as the origin of a page, or it is `*`.
fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let is_host = |host: &str| {
        let host = host.parse::<Authority>().ok().filter(|parsed| parsed.as_str() == host);
        host.is_some_and(|host| !host.host().is_empty() && !host.as_str().contains(['@', '*']))
    };
    origin == "*" || host.is_some_and(is_host)
}

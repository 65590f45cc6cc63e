//! How a server is run.

use super::access::Access;
use super::access_log::AccessLog;
use crate::remote::Remote;
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

    /// Refuses the bodies of requests that are longer than this many bytes once they are decompressed, with 413. A query or an update is held
    /// in memory as it is sent; a document is parsed while it comes.
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

    /// Cancels a query, an update or a dump that takes longer than this, from its request to the last byte of its
    /// response: with 503, or, where a part of the response is sent, by breaking the connection off. A document that
    /// is sent to the store may take longer.
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
    /// for longer.
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

    /// Refuses an update that changes more quads than this, with 413: until it is committed they are held in memory, at
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

    /// How many connections may be open at once. Others wait until one is closed.
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

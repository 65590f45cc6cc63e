//! A client that sends exactly the bytes of a test, and a server in this process.

use flate2::read::GzDecoder;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;
use triple_store::TripleStore;
use triple_store::server::{Server, ServerOptions};

/// A server in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) store: TripleStore,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new(options: ServerOptions) -> Self {
        Self::with_store(TripleStore::in_memory(), options)
    }

    pub(crate) fn with_store(store: TripleStore, options: ServerOptions) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let shared = store.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let server = Server::bind(shared, "127.0.0.1:0".parse().unwrap(), options).await.unwrap();
                bound.send(server.local_addr()).unwrap();
                server.run(async { _ = stopped.await }).await.unwrap();
            });
        });
        Self { address: address.recv().unwrap(), store, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells the server to stop, without waiting for it.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the server to end.
    pub(crate) fn join(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn get(&self, target: &str, fields: &[&str]) -> Answer {
        self.send("GET", target, fields, "")
    }

    pub(crate) fn post(&self, target: &str, media_type: &str, body: &str) -> Answer {
        self.send("POST", target, &[&format!("Content-Type: {media_type}")], body)
    }

    pub(crate) fn update(&self, update: &str) -> Answer {
        self.post("/update", "application/sparql-update", update)
    }

    /// The answer to a query, as CSV.
    pub(crate) fn query(&self, query: &str) -> String {
        let fields = ["Content-Type: application/sparql-query", "Accept: text/csv"];
        let answer = self.send("POST", "/query", &fields, query);
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body
    }

    pub(crate) fn send(&self, method: &str, target: &str, fields: &[&str], body: impl AsRef<[u8]>) -> Answer {
        let mut connection = self.connect();
        connection.send(method, target, fields, body);
        connection.answer(method)
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::new(self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.join();
        }
    }
}

pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let is_it = |line: &&str| line.split(':').next().unwrap().eq_ignore_ascii_case(name);
        Some(self.head.lines().find(is_it)?.split_once(':')?.1.trim())
    }
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::try_new(address).expect("the server listens")
    }

    pub(crate) fn try_new(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        // The timeout keeps the test from hanging if the server hangs.
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream.set_nodelay(true).unwrap();
        Some(Self { reader: BufReader::new(stream) })
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    pub(crate) fn send(&mut self, method: &str, target: &str, fields: &[&str], body: impl AsRef<[u8]>) {
        self.try_send(method, target, fields, body).expect("the server takes what is sent");
    }

    pub(crate) fn try_send(
        &mut self,
        method: &str,
        target: &str,
        fields: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Option<()> {
        let body = body.as_ref();
        let line = |field: &&str| format!("{field}\r\n");
        let fields: String = fields.iter().map(line).collect();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n"
        );
        self.write([head.as_bytes(), body].concat()).ok()
    }

    /// The status of the next answer, unless the connection ends first.
    pub(crate) fn try_status(&mut self) -> Option<u16> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }

    /// Closes the sending side.
    pub(crate) fn finish(&mut self) {
        let _ = self.reader.get_ref().shutdown(Shutdown::Write);
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = self.reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the server closed the connection without an answer.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.reader.read(&mut [0]), Ok(0) | Err(_))
    }

    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.reader.read_line(&mut head).unwrap(), 0, "the connection ended after {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new(), whole: true };
        if method == "HEAD" || status == 204 {
            return answer;
        }
        let mut body = Vec::new();
        if answer.field("transfer-encoding") == Some("chunked") {
            answer.whole = self.chunks(&mut body).is_some();
        } else {
            let length = answer.field("content-length").unwrap().parse().unwrap();
            body.resize(length, 0);
            self.reader.read_exact(&mut body).unwrap();
        }
        if answer.field("content-encoding") == Some("gzip") {
            let mut unpacked = Vec::new();
            // A truncated body ends too early.
            answer.whole &= GzDecoder::new(&*body).read_to_end(&mut unpacked).is_ok();
            body = unpacked;
        }
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).ok()?;
            let start = body.len();
            body.resize(start + length + 2, 0);
            let result = self.reader.read_exact(&mut body[start..]);
            body.truncate(start + length);
            result.ok()?;
            if length == 0 {
                return Some(());
            }
        }
    }
}

/// Percent-encodes a text for an address.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

/// So many triples that a product of three patterns can't be computed.
pub(crate) fn many_triples() -> TripleStore {
    let store = TripleStore::in_memory();
    let line = |i| format!("<http://example.com/s{i}> <http://example.com/p> <http://example.com/o{i}> .\n");
    let text: String = (0..3000).map(line).collect();
    store.load(text.as_bytes(), triple_store::RdfFormat::NTriples, "many.nt").unwrap();
    store
}

/// Has 27 billion solutions over [`many_triples`].
pub(crate) const ENDLESS: &str = "SELECT * WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }";

//! Reading what a client sends, no further than it may and no longer than it should.

use super::failure::Failure;
use super::options::ServerOptions;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use std::io::{self, Read};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// Bytes a second that a client has to send on average, once its time of grace is over. It bounds those that stall
/// and those that trickle by one rule, and does not bound the size.
const SLOWEST: u64 = 1024;

/// The body of a request.
pub(super) struct Incoming {
    body: Body,
    limit: u64,
    received: u64,
    started: Instant,
    grace: Duration,
}

impl Incoming {
    /// # Errors
    ///
    /// 413 if the client says that it will send too much; 415 for a content coding.
    pub(super) fn new(headers: &HeaderMap, body: Body, options: &ServerOptions) -> Result<Self, Failure> {
        let (limit, grace) = (options.body_limit, options.client_timeout);
        let coding = headers.get(header::CONTENT_ENCODING);
        if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let message = "send the body without a content coding";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Self { body, limit, received: 0, started: Instant::now(), grace })
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let deadline = self.started + self.grace + Duration::from_secs(self.received / SLOWEST);
            let frame = timeout_at(deadline, self.body.frame()).await.map_err(|_| {
                Failure::new(StatusCode::REQUEST_TIMEOUT, "the body of the request came too slowly")
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| Failure::bad_request("the body of the request broke off"))?;
            // Trailers say nothing that we want to know.
            let Ok(data) = frame.into_data() else { continue };
            self.received += data.len() as u64;
            if self.received > self.limit {
                return Err(too_large(self.limit));
            }
            return Ok(Some(data));
        }
    }

    /// All of it, as text.
    pub(super) async fn text(mut self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        while let Some(data) = self.next().await? {
            bytes.extend_from_slice(&data);
        }
        String::from_utf8(bytes)
            .map_err(|error| Failure::bad_request(format!("the body is not UTF-8: {}", error.utf8_error())))
    }

    /// The body for a thread that may block. What goes wrong comes as an I/O error with the [`Failure`] in it.
    pub(super) fn into_reader(self) -> Reader {
        Reader { incoming: self, data: Bytes::new(), runtime: Handle::current() }
    }
}

fn too_large(limit: u64) -> Failure {
    let message = format!("the body is larger than {limit} bytes, the most this server takes");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// See [`Incoming::into_reader`].
pub(super) struct Reader {
    incoming: Incoming,
    data: Bytes,
    runtime: Handle,
}

impl Reader {
    /// The next bytes as they came; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        self.runtime.block_on(self.incoming.next())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.data.is_empty() {
            match self.next().map_err(io::Error::other)? {
                None => return Ok(0),
                Some(data) => self.data = data,
            }
        }
        let taken = self.data.split_to(buffer.len().min(self.data.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

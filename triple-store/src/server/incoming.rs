//! Reading what a client sends, no further than it may and no longer than it should.

use super::failure::Failure;
use super::options::ServerOptions;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use std::io::{self, Read, Write};
use std::mem;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// Bytes a second that a client has to send on average, once its time of grace is over. It bounds those that stall
/// and those that trickle by one rule, and does not bound the size.
const SLOWEST: u64 = 1024;

/// Bytes that are decompressed at once, to at most about a thousand times as many.
const PIECE: usize = 1 << 10;

/// The body of a request, decompressed.
pub(super) struct Incoming {
    body: Body,
    packed: Option<Packed>,
    /// How much of it may come out, and how much did.
    limit: u64,
    read: u64,
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
        let coding =
            headers.get(header::CONTENT_ENCODING).map_or(&b"identity"[..], |coding| coding.as_bytes());
        let is_packed = coding.eq_ignore_ascii_case(b"gzip");
        if !is_packed && !coding.eq_ignore_ascii_case(b"identity") {
            let message = "send the body as it is or compressed by gzip";
            let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
            return Err(failure.with(header::ACCEPT_ENCODING, "gzip"));
        }
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit) {
            return Err(too_large(limit));
        }
        let packed = is_packed.then(Packed::new);
        Ok(Self { body, packed, limit, read: 0, received: 0, started: Instant::now(), grace })
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let data = match self.packed.as_mut().filter(|packed| !packed.rest.is_empty()) {
                Some(packed) => packed.unpack()?,
                None => match (self.receive().await?, &mut self.packed) {
                    (Some(data), None) => data,
                    (None, None) => return Ok(None),
                    (Some(data), Some(packed)) => {
                        packed.rest = data;
                        continue;
                    }
                    (None, Some(packed)) => {
                        let last = packed.finish()?;
                        self.packed = None;
                        last
                    }
                },
            };
            self.read += data.len() as u64;
            if self.read > self.limit {
                return Err(too_large(self.limit));
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    /// The next bytes as they were sent; `None` at the end.
    async fn receive(&mut self) -> Result<Option<Bytes>, Failure> {
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

/// What was compressed by gzip, in one member or in several.
struct Packed {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What has come and is not decompressed.
    rest: Bytes,
}

impl Packed {
    fn new() -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()), rest: Bytes::new() }
    }

    fn unpack(&mut self) -> Result<Bytes, Failure> {
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        self.decoder.write_all(&piece).map_err(|error| broken(&error))?;
        Ok(mem::take(self.decoder.get_mut()).into())
    }

    fn finish(&mut self) -> Result<Bytes, Failure> {
        self.decoder.try_finish().map_err(|error| broken(&error))?;
        Ok(mem::take(self.decoder.get_mut()).into())
    }
}

fn broken(error: &io::Error) -> Failure {
    Failure::bad_request(format!("the body is not compressed by gzip: {error}"))
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

//! Receiving request bodies, with limits of size and time.
//!
//! A body is received completely before the store works on it, so that a slow client occupies no thread. While it is
//! held, it takes memory from the budget that queries share.

use super::Shared;
use super::failure::Failure;
use crate::sparql::memory::Taken;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How many bytes per second a client has to send on average after the client timeout. This one rule covers clients
/// that stop and clients that send slowly, and it does not limit the size of a body.
const SLOWEST: u64 = 1024;

/// How many bytes are decompressed at a time. They expand to at most about 1,000 times as many.
const PIECE: usize = 1 << 10;

/// The body of a request. It is held as it was sent, and decompressed while it is read.
pub(super) struct Incoming {
    pieces: VecDeque<Bytes>,
    packed: Option<Packed>,
    /// The most bytes after decompression, and how many were read so far.
    limit: u64,
    read: u64,
    taken: Taken,
}

impl Incoming {
    /// Receives a body before the deadline.
    ///
    /// # Errors
    ///
    /// 413 for a body that is too long, before it is received if its length is given. 415 for an unknown content
    /// coding, 408 for a body that arrives too slowly, and 503 if there is no memory for it.
    pub(super) async fn receive(
        headers: &HeaderMap,
        mut body: Body,
        shared: &Shared,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let limit = shared.options.body_limit.min(shared.memory_of_one() as u64);
        let is_packed = is_packed(headers)?;
        let length =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit) {
            return Err(too_large(limit));
        }
        let (started, grace) = (Instant::now(), shared.options.client_timeout);
        let mut taken = Taken::of(Some(Arc::clone(&shared.memory)));
        let (mut pieces, mut received) = (VecDeque::new(), 0);
        loop {
            let slowest = started + grace + Duration::from_secs(received / SLOWEST);
            let frame = timeout_at(slowest.min(deadline), body.frame()).await.map_err(|_| {
                Failure::new(StatusCode::REQUEST_TIMEOUT, "the body of the request arrived too slowly")
            })?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| Failure::bad_request("the body of the request ends too early"))?;
            // Trailers are ignored.
            let Ok(data) = frame.into_data() else { continue };
            received += data.len() as u64;
            if received > limit {
                return Err(too_large(limit));
            }
            taken.at_least(received as usize)?;
            pieces.push_back(data);
        }
        let packed = is_packed.then(Packed::new);
        Ok(Self { pieces, packed, limit, read: 0, taken })
    }

    /// The next bytes. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let data = match self.packed.as_mut().filter(|packed| !packed.rest.is_empty()) {
                Some(packed) => packed.unpack()?,
                None => match (self.pieces.pop_front(), &mut self.packed) {
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

    /// The whole body as text, and the memory that it takes.
    pub(super) fn text(mut self) -> Result<(String, Taken), Failure> {
        let mut bytes = Vec::new();
        while let Some(data) = self.next()? {
            self.taken.at_least(bytes.len() + data.len())?;
            bytes.extend_from_slice(&data);
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            Failure::bad_request(format!("the body is not UTF-8: {}", error.utf8_error()))
        })?;
        Ok((text, self.taken))
    }
}

/// Whether a body is compressed by gzip.
///
/// # Errors
///
/// 415 for any other coding, or several.
fn is_packed(headers: &HeaderMap) -> Result<bool, Failure> {
    let fields = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    let codings = codings
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
    match &codings.collect::<Vec<_>>()[..] {
        [] => Ok(false),
        [coding] if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") => {
            Ok(true)
        }
        _ => {
            let message = "send the body uncompressed, or compressed with gzip";
            let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
            Err(failure.with(header::ACCEPT_ENCODING, "gzip"))
        }
    }
}

/// A gzip stream of one or several members.
struct Packed {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// Bytes that were received and not yet decompressed.
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
    let message = format!("the body is larger than {limit} bytes, the limit of this server");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// A reader of a body. Its errors are I/O errors that contain the [`Failure`].
pub(super) struct Reader {
    incoming: Incoming,
    data: Bytes,
}

impl Reader {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming, data: Bytes::new() }
    }

    /// The next bytes as they were received. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        self.incoming.next()
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

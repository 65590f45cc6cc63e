//! `multipart/form-data`: several documents in one body.
//!
//! A form takes no more memory than one document, however fast its client sends. The parser by itself would read
//! everything that has arrived. So it gets one piece of the body at a time, and the next piece only when it needs more.

use super::failure::Failure;
use super::incoming::Reader;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use futures_util::{Stream, stream};
use multer::{Field, Multipart};
use oxrdfio::RdfFormat;
use std::convert::Infallible;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::sync::mpsc::{self, UnboundedSender};

/// The longest head of a part, in bytes.
const HEAD: usize = 8 << 10;

/// A form that is being received.
pub(super) struct Form {
    parts: Multipart<'static>,
    feed: Feed,
}

/// The input of the parser of a form.
struct Feed {
    body: Reader,
    /// `None` once the body has ended.
    pieces: Option<UnboundedSender<Bytes>>,
}

impl Form {
    /// The form in a body, whose parts are separated by `boundary`.
    pub(super) fn new(boundary: String, body: Reader) -> Self {
        let (pieces, mut fed) = mpsc::unbounded_channel();
        let fed = stream::poll_fn(move |context| {
            fed.poll_recv(context).map(|piece| piece.map(Ok::<_, Infallible>))
        });
        Self { parts: Multipart::new(fed, boundary), feed: Feed { body, pieces: Some(pieces) } }
    }

    /// The next part. `None` at the end. The previous part must have been read to its end.
    ///
    /// # Errors
    ///
    /// 400 for a body that is not a form, 413 for a head that is too long, and the errors of the
    /// [body](super::incoming).
    pub(super) fn next(&mut self) -> Result<Option<Part<'_>>, Failure> {
        let Self { parts, feed } = self;
        let field = feed.until_ready(|context| parts.poll_next_field(context))?;
        Ok(field.map(|field| Part { field, feed, data: Bytes::new() }))
    }
}

impl Feed {
    /// Gives the parser pieces until it returns a result.
    fn until_ready<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<multer::Result<T>>,
    ) -> Result<T, Failure> {
        let mut fed = 0;
        loop {
            if let Poll::Ready(result) = poll(&mut Context::from_waker(Waker::noop())) {
                return result.map_err(|error| Failure::bad_request(format!("the form is broken: {error}")));
            }
            if fed > HEAD {
                let message = format!("the head of a part is larger than {HEAD} bytes");
                return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            let Some(pieces) = &self.pieces else {
                return Err(Failure::bad_request("the form ends too early"));
            };
            match self.body.next()? {
                Some(piece) => {
                    fed += piece.len();
                    // Sending fails only if the parser was dropped, and then there are no more results.
                    _ = pieces.send(piece);
                }
                None => self.pieces = None,
            }
        }
    }
}

/// A document in a form.
pub(super) struct Part<'a> {
    field: Field<'static>,
    feed: &'a mut Feed,
    data: Bytes,
}

impl Part<'_> {
    /// Its name in error messages.
    pub(super) fn name(&self) -> String {
        self.field.file_name().or(self.field.name()).unwrap_or("a part of the form").to_owned()
    }

    /// The syntax of its media type, or else that of its file name's extension, because many clients send RDF as
    /// `application/octet-stream`.
    pub(super) fn format(&self) -> Option<RdfFormat> {
        let media_type = self.field.headers().get(header::CONTENT_TYPE);
        let by_type = media_type.and_then(|value| RdfFormat::from_media_type(value.to_str().ok()?));
        by_type
            .or_else(|| RdfFormat::from_extension(Path::new(self.field.file_name()?).extension()?.to_str()?))
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { field, feed, data } = self;
        while data.is_empty() {
            let next =
                |context: &mut Context<'_>| Pin::new(&mut *field).poll_next(context).map(Option::transpose);
            match feed.until_ready(next).map_err(io::Error::other)? {
                None => return Ok(0),
                Some(piece) => *data = piece,
            }
        }
        let taken = data.split_to(buffer.len().min(data.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

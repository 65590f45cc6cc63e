//! Error responses.

use crate::error::Error;
use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use std::fmt;
use std::io::{self, Write};

/// A status, a sentence for the client, and at most one header for the status.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// All slots are taken.
    pub(super) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests are running; try again")
            .with(header::RETRY_AFTER, "1")
    }

    /// A request reached its time limit.
    pub(super) fn timed_out() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the request was cancelled because it took too long")
    }

    /// The store accepts no more writes.
    pub(super) fn unhealthy(error: &dyn fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }

    /// The response says that the server failed. The cause goes to the log.
    pub(super) fn internal(cause: &dyn fmt::Display) -> Self {
        // The log may be closed. The server continues.
        let _ = writeln!(io::stderr(), "triples: {cause}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed; its log says more")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use spareval::QueryEvaluationError as Evaluation;
        match error {
            // An error of the server's own readers and writers is returned by the store unchanged.
            Error::Io { name, source } => {
                source.downcast::<Self>().unwrap_or_else(|source| Self::internal(&Error::Io { name, source }))
            }
            Error::Remote { ref source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::new(StatusCode::FORBIDDEN, error.to_string())
            }
            Error::Remote { .. } => Self::new(StatusCode::BAD_GATEWAY, error.to_string()),
            Error::Cancelled => Self::timed_out(),
            Error::Failed(_) | Error::ReadOnly | Error::Storage(vde_store::Error::NotShipped { .. }) => {
                Self::unhealthy(&error)
            }
            Error::MemoryInUse(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).with(header::RETRY_AFTER, "1")
            }
            Error::TooManyChanges(_) | Error::TooMuchMemory(_) | Error::TooLong(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())
            }
            Error::Evaluation(Evaluation::Dataset(_) | Evaluation::Unexpected(_))
            | Error::Storage(_)
            | Error::Corrupt(_)
            | Error::InUse(_)
            | Error::OutsideTransaction
            | Error::InvalidOption { .. } => Self::internal(&error),
            Error::Syntax { .. }
            | Error::UnknownFormat(_)
            | Error::Sparql(_)
            | Error::TooDeep { .. }
            | Error::Evaluation(_)
            | Error::UnknownGraph(_)
            | Error::Unsupported(_) => Self::bad_request(error.to_string()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (self.status, text, self.header.map(|header| [header]), format!("{}\n", self.message)).into_response()
    }
}

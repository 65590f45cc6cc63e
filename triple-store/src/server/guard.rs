//! Checks that apply to every request.

use super::Shared;
use super::connections::Connection;
use super::failure::Failure;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The route that every client that can reach the server may use.
const HEALTH: &str = "/health";

/// Rejects requests that must not reach a route.
pub(super) async fn check(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match checked(&shared, &request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn checked(shared: &Shared, request: &Request) -> Result<(), Failure> {
    let (headers, access) = (request.headers(), &shared.options.access);
    let host = host(headers, request.uri())?;
    if !access.is_own(&host) {
        return Err(Failure::new(
            StatusCode::MISDIRECTED_REQUEST,
            format!("this server is not {host}; --allow-host makes it answer to that name"),
        ));
    }
    let codings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    if !codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        let message = "chunked is the only transfer coding that this server supports";
        return Err(Failure::new(StatusCode::NOT_IMPLEMENTED, message));
    }
    if request.uri().path() == HEALTH {
        return Ok(());
    }
    if request.extensions().get::<Arc<Connection>>().is_some_and(|connection| connection.is_extra) {
        return Err(Failure::busy().with(header::CONNECTION, "close"));
    }
    access.may_read(headers)
}

/// The host that a request is for.
///
/// # Errors
///
/// 400 unless it names one (RFC 9112, section 3.2).
fn host(headers: &HeaderMap, uri: &Uri) -> Result<Authority, Failure> {
    let mut fields = headers.get_all(header::HOST).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(Failure::bad_request("a request must have one Host field"));
    };
    let named = field.to_str().ok().and_then(|field| field.parse::<Authority>().ok());
    let named = named.filter(|host| !host.as_str().contains('@') && !host.host().is_empty());
    let named = named.ok_or_else(|| Failure::bad_request("the Host field names no host"))?;
    // The request line has precedence.
    Ok(uri.authority().cloned().unwrap_or(named))
}

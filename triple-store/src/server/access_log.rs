//! The access log: a line for each request, in the Combined Log Format.

use super::Shared;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The function that is called with each line.
#[derive(Clone)]
pub(super) struct AccessLog(Arc<dyn Fn(&str) + Send + Sync>);

impl AccessLog {
    pub(super) fn new(log: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(log))
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog")
    }
}

/// The client of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) SocketAddr);

/// A line that is written when the response ends, because all of it was sent or the client has disconnected.
struct Line {
    log: AccessLog,
    begin: String,
    status: u16,
    bytes: u64,
    end: String,
}

impl Line {
    /// A line for a new request.
    fn new(log: AccessLog, request: &Request) -> Self {
        let client = request.extensions().get::<Client>().map(|client| client.0.ip().to_string());
        let time = date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()));
        let asked = quoted(&format!("{} {} {:?}", request.method(), request.uri(), request.version()));
        let field = |name| quoted(text(request.headers(), &name));
        Self {
            log,
            begin: format!("{} - - [{time}] {asked}", client.as_deref().unwrap_or("-")),
            status: 0,
            bytes: 0,
            end: format!("{} {}", field(header::REFERER), field(header::USER_AGENT)),
        }
    }

    fn count(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Self { log, begin, status, bytes, end } = self;
        (log.0)(&format!("{begin} {status} {bytes} {end}"));
    }
}

/// Logs a request and its response.
pub(super) async fn note(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(log) = shared.options.access_log.clone() else { return next.run(request).await };
    let mut line = Line::new(log, &request);
    let response = next.run(request).await;
    line.status = response.status().as_u16();
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            line.count(frame.data_ref().map_or(0, axum::body::Bytes::len));
            frame
        }))
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-")
}

/// A field in which quotes and control characters are escaped, so that a client can't forge other fields.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|char| match char {
            '"' | '\\' => format!("\\{char}"),
            ' '..='~' => char.into(),
            _ => format!("\\x{:02x}", u32::from(char)),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// A time in seconds since 1970, as `29/Nov/2026:21:03:26 +0000`.
fn date(seconds: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000", days + 1, MONTHS[month])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (951_782_400, "29/Feb/2000:00:00:00 +0000"),
            (1_709_251_199, "29/Feb/2024:23:59:59 +0000"),
            (1_795_986_206, "29/Nov/2026:21:03:26 +0000"),
            (4_107_542_400, "01/Mar/2100:00:00:00 +0000"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn no_client_can_forge_a_line() {
        assert_eq!(quoted("a\"b\\c\nd\u{7f}\u{e9}"), "\"a\\\"b\\\\c\\x0ad\\x7f\\xe9\"");
    }
}

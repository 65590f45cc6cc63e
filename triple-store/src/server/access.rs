//! Which requests may read and write.

use super::failure::Failure;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// The conditions under which a request may read or write.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    pub(super) read_only: bool,
    pub(super) token: Option<String>,
    /// Whether the token is required for reading too.
    pub(super) token_for_reads: bool,
    /// The origin whose pages may use the server, or `*`.
    pub(super) origin: Option<String>,
    /// Host names of the server, in addition to those of the loopback interface.
    pub(super) hosts: Vec<String>,
    /// Whether only programs on this machine can reach the server.
    pub(super) is_local: bool,
}

impl Access {
    /// Whether the server may be reachable from other machines.
    pub(super) fn is_guarded(&self) -> bool {
        self.read_only || self.token.is_some()
    }

    /// Checks whether a request may write.
    ///
    /// Without a token, the server trusts every program on this machine, and no other client can reach it. It does not
    /// trust web pages in a browser on this machine: a browser sends the origin of a page that writes, and a foreign
    /// origin is refused.
    pub(super) fn may_write(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.read_only {
            return Err(Failure::new(StatusCode::FORBIDDEN, "the server is read-only"));
        }
        match &self.token {
            Some(token) => check_token(token, headers, "writing"),
            None if self.is_foreign(headers) => {
                Err(Failure::new(StatusCode::FORBIDDEN, "pages of this origin may not write here"))
            }
            None => Ok(()),
        }
    }

    /// Checks whether a request may read.
    pub(super) fn may_read(&self, headers: &HeaderMap) -> Result<(), Failure> {
        match &self.token {
            Some(token) if self.token_for_reads => check_token(token, headers, "reading"),
            _ => Ok(()),
        }
    }

    /// Whether a request for this host is for this server. If only programs on this machine can reach the server,
    /// another host name may be a DNS rebinding attack by a foreign web page.
    pub(super) fn is_own(&self, host: &Authority) -> bool {
        !self.is_local || is_loopback(host.as_str()) || self.is_allowed(host.host())
    }

    fn is_allowed(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn is_foreign(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return false };
        let Ok(origin) = origin.to_str() else { return true };
        if self.origin.as_deref().is_some_and(|allowed| allowed == "*" || allowed == origin) {
            return false;
        }
        // Every resolver resolves a loopback name to this machine. Another name may be that of a foreign web page whose
        // DNS entry points here (DNS rebinding).
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let Some(host) = host else { return true };
        let is_own = |scheme: &str| origin.strip_prefix(scheme).is_some_and(|page| host == *page);
        let is_here = is_own("http://") && is_loopback(host.as_str());
        !(is_here || self.is_allowed(host.host()) && (is_own("http://") || is_own("https://")))
    }
}

/// Whether the host of an authority (`host` or `host:port`) is this machine by definition.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn check_token(token: &str, headers: &HeaderMap, what: &str) -> Result<(), Failure> {
    let refuse = |message: String, challenge| {
        Err(Failure::new(StatusCode::UNAUTHORIZED, message).with(header::WWW_AUTHENTICATE, challenge))
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match shown {
        None => refuse(format!("{what} requires a bearer token"), "Bearer realm=\"triples\""),
        Some(shown) if bool::from(shown.as_bytes().ct_eq(token.as_bytes())) => Ok(()),
        Some(_) => {
            refuse("the bearer token is wrong".into(), "Bearer realm=\"triples\", error=\"invalid_token\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(header::HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn status(access: &Access, fields: &[(header::HeaderName, &str)]) -> u16 {
        access.may_write(&headers(fields)).map_or_else(|failure| failure.status.as_u16(), |()| 200)
    }

    #[test]
    fn a_token_is_required_and_compared_to_its_end() {
        let access = Access { token: Some("correct horse".into()), ..Access::default() };
        for (shown, expected) in [
            ("Bearer correct horse", 200),
            ("bearer   correct horse ", 200),
            ("Bearer correct", 401),
            ("Bearer correct horses", 401),
            ("Bearer ", 401),
            ("Basic correct horse", 401),
            ("correct horse", 401),
        ] {
            assert_eq!(status(&access, &[(header::AUTHORIZATION, shown)]), expected, "{shown}");
        }
        assert_eq!(status(&access, &[]), 401);
        let read_only = Access { read_only: true, ..access };
        assert_eq!(status(&read_only, &[(header::AUTHORIZATION, "Bearer correct horse")]), 403);
    }

    #[test]
    fn without_a_token_pages_of_foreign_origins_cannot_write() {
        let access = Access { origin: Some("https://app.example".into()), ..Access::default() };
        for (origin, host, expected) in [
            ("http://localhost:7878", "localhost:7878", 200),
            ("http://127.0.0.1:7878", "127.0.0.1:7878", 200),
            ("http://[::1]:7878", "[::1]:7878", 200),
            ("https://app.example", "127.0.0.1:7878", 200),
            ("http://evil.example", "127.0.0.1:7878", 403),
            ("http://evil.example:7878", "evil.example:7878", 403),
            ("http://localhost:8000", "localhost:7878", 403),
            ("http://localhost.evil.example", "localhost.evil.example", 403),
            ("null", "localhost:7878", 403),
        ] {
            let fields = [(header::ORIGIN, origin), (header::HOST, host)];
            assert_eq!(status(&access, &fields), expected, "{origin}");
        }
        assert_eq!(status(&access, &[(header::HOST, "evil.example")]), 200, "not from a page");
    }
}

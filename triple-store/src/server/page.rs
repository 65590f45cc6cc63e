//! The page for queries, which needs no other server, or a page of your own from a folder.

use super::Shared;
use crate::terms::prefixes::WELL_KNOWN;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeader;

const INDEX: &str = include_str!("../../assets/index.html");
const STYLE: &str = include_str!("../../assets/page.css");
const SCRIPT: &str = include_str!("../../assets/page.js");

/// The page loads nothing from other servers and sends them no requests, whatever a result contains.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The same for your own page, whose libraries may use inline styles, images and workers.
const POLICY_OF_OTHERS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
     font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

pub(super) fn router(folder: Option<&Path>) -> Router<Arc<Shared>> {
    let router = Router::new().route("/prefixes", get(prefixes));
    if let Some(folder) = folder {
        let files = SetResponseHeader::overriding(
            ServeDir::new(folder),
            header::CONTENT_SECURITY_POLICY,
            POLICY_OF_OTHERS,
        );
        return router.fallback_service(files);
    }
    let file = |media_type: &'static str, text: &'static str| {
        let fields: [(HeaderName, HeaderValue); 4] = [
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        get(move || async move { (fields, text) })
    };
    router
        .route("/", file("text/html; charset=utf-8", INDEX))
        .route("/page.css", file("text/css; charset=utf-8", STYLE))
        .route("/page.js", file("text/javascript; charset=utf-8", SCRIPT))
}

/// `GET /prefixes`: those of the store and the well-known ones, as a Turtle document without triples.
async fn prefixes(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut prefixes: BTreeMap<_, _> =
        WELL_KNOWN.iter().map(|(prefix, iri)| ((*prefix).to_owned(), (*iri).to_owned())).collect();
    prefixes.extend(shared.store().namespaces());
    let mut document = String::new();
    for (prefix, iri) in prefixes {
        writeln!(document, "PREFIX {prefix}: <{iri}>").expect("writing to a string does not fail");
    }
    ([(header::CONTENT_TYPE, "text/turtle; charset=utf-8")], document)
}

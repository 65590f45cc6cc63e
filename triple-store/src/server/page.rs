//! The page to write queries on: YASGUI, packaged, so that it works without a network.

use super::Shared;
use axum::Router;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use std::io::Read;
use std::sync::Arc;

const INDEX: &str = include_str!("../../assets/index.html");
const SCRIPT: &str = include_str!("../../assets/page.js");
const YASGUI_SCRIPT: &[u8] = include_bytes!("../../assets/yasgui/yasgui.min.js.gz");
const YASGUI_STYLE: &[u8] = include_bytes!("../../assets/yasgui/yasgui.min.css.gz");

/// The page loads nothing from elsewhere and talks to nobody else, whatever a result makes it show.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// For files whose names change with their content, or nearly so.
const A_DAY: &str = "public, max-age=86400";

pub(super) fn router() -> Router<Arc<Shared>> {
    let plain = |media_type: &'static str, text: &'static str| {
        let fields = [
            (header::CONTENT_TYPE, media_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        get(move || async move { (fields, text) })
    };
    let packed = |media_type, bytes| {
        get(move |headers: HeaderMap| async move { unpack_unless_understood(&headers, media_type, bytes) })
    };
    Router::new()
        .route("/", plain("text/html; charset=utf-8", INDEX))
        .route("/page.js", plain("text/javascript; charset=utf-8", SCRIPT))
        .route("/yasgui-4.6.2.min.js", packed("text/javascript; charset=utf-8", YASGUI_SCRIPT))
        .route("/yasgui-4.6.2.min.css", packed("text/css; charset=utf-8", YASGUI_STYLE))
}

/// A packed file, as it is for clients that can unpack it.
fn unpack_unless_understood(
    headers: &HeaderMap,
    media_type: &'static str,
    packed: &'static [u8],
) -> Response {
    let fields = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, A_DAY),
        (header::VARY, "accept-encoding"),
    ];
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    if codings.flat_map(|codings| codings.split(',')).any(|coding| coding.trim() == "gzip") {
        return (fields, [(header::CONTENT_ENCODING, "gzip")], packed).into_response();
    }
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut unpacked).expect("what is packaged is whole");
    (fields, unpacked).into_response()
}

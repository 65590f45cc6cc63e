//! Which syntax a client gets, by its `Accept` header (RFC 9110, section 12.5.1).

use super::failure::Failure;
use axum::http::{HeaderMap, StatusCode, header};
use oxrdfio::{JsonLdProfileSet, RdfFormat};
use sparesults::QueryResultsFormat;

/// The media types that the server offers, in the order of its preference.
pub(super) type Offers<T> = [(&'static str, T)];

/// For the results of `SELECT` and `ASK`.
pub(super) const SOLUTIONS: &Offers<QueryResultsFormat> = &[
    ("application/sparql-results+json", QueryResultsFormat::Json),
    ("application/json", QueryResultsFormat::Json),
    ("application/sparql-results+xml", QueryResultsFormat::Xml),
    ("application/xml", QueryResultsFormat::Xml),
    ("text/xml; charset=utf-8", QueryResultsFormat::Xml),
    ("text/csv; charset=utf-8", QueryResultsFormat::Csv),
    ("text/tab-separated-values; charset=utf-8", QueryResultsFormat::Tsv),
];

const JSON_LD: RdfFormat = RdfFormat::JsonLd { profile: JsonLdProfileSet::empty() };

/// For one graph.
pub(super) const GRAPH: &Offers<RdfFormat> = &[
    ("text/turtle; charset=utf-8", RdfFormat::Turtle),
    ("application/n-triples", RdfFormat::NTriples),
    ("application/rdf+xml", RdfFormat::RdfXml),
    ("application/xml", RdfFormat::RdfXml),
    ("text/xml; charset=utf-8", RdfFormat::RdfXml),
    ("application/ld+json", JSON_LD),
    ("application/json", JSON_LD),
    ("application/trig", RdfFormat::TriG),
    ("application/n-quads", RdfFormat::NQuads),
    ("text/n3; charset=utf-8", RdfFormat::N3),
    ("text/plain; charset=utf-8", RdfFormat::NTriples),
];

/// For all graphs.
pub(super) const DATASET: &Offers<RdfFormat> = &[
    ("application/n-quads", RdfFormat::NQuads),
    ("application/trig", RdfFormat::TriG),
    ("application/ld+json", JSON_LD),
    ("application/json", JSON_LD),
    ("text/plain; charset=utf-8", RdfFormat::NQuads),
];

/// The offer that the client prefers. If it prefers several equally, the first of them. If it has no preference, the
/// first offer.
///
/// # Errors
///
/// 406 with the list of offers, if it accepts none.
pub(super) fn choose<T: Copy>(headers: &HeaderMap, offers: &Offers<T>) -> Result<(&'static str, T), Failure> {
    let fields: Vec<_> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<_> = fields.iter().flat_map(|field| field.split(',')).filter_map(Range::parse).collect();
    if ranges.is_empty() {
        return Ok(offers[0]);
    }
    let mut best: Option<(f32, &(&'static str, T))> = None;
    for offer in offers {
        let quality = quality(&ranges, offer.0);
        if quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((quality, offer));
        }
    }
    best.map(|(_, offer)| *offer).ok_or_else(|| {
        let types: Vec<_> = offers.iter().map(|(media_type, _)| essence(media_type)).collect();
        let message = format!("available are {}", types.join(", "));
        Failure::new(StatusCode::NOT_ACCEPTABLE, message)
    })
}

/// A media type without its parameters.
pub(super) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// The quality of a media type: that of the most specific range that matches it.
fn quality(ranges: &[Range<'_>], media_type: &str) -> f32 {
    let (kind, subtype) = essence(media_type).split_once('/').unwrap_or_default();
    let matches = |range: &&Range<'_>| {
        (range.kind == "*" || range.kind.eq_ignore_ascii_case(kind))
            && (range.subtype == "*" || range.subtype.eq_ignore_ascii_case(subtype))
    };
    let specific = |range: &&Range<'_>| u8::from(range.kind != "*") + u8::from(range.subtype != "*");
    ranges.iter().filter(matches).max_by_key(specific).map_or(0.0, |range| range.quality)
}

/// One element of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
}

impl<'a> Range<'a> {
    /// `None` for an invalid range, which is ignored.
    fn parse(text: &'a str) -> Option<Self> {
        let (kind, subtype) = essence(text).split_once('/')?;
        let weight = text.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        let quality = match weight {
            None => 1.0,
            Some(weight) => weight.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        };
        Some(Self { kind, subtype, quality })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QueryResultsFormat::{Csv, Json, Tsv, Xml};

    fn chosen(accept: &[&str]) -> Option<QueryResultsFormat> {
        let fields = accept.iter().map(|field| (header::ACCEPT, field.parse().unwrap()));
        choose(&fields.collect(), SOLUTIONS).ok().map(|(_, format)| format)
    }

    #[test]
    fn the_client_chooses_by_quality_and_specificity() {
        for (accept, expected) in [
            (&[][..], Some(Json)),
            (&["*/*"], Some(Json)),
            (&["text/csv"], Some(Csv)),
            (&["TEXT/CSV ; header=present"], Some(Csv)),
            (&["text/csv;q=0.5, application/xml;q=0.8"], Some(Xml)),
            (&["text/csv;q=0.5", "application/xml; Q=0.4"], Some(Csv)),
            (&["text/*"], Some(Xml)),
            (&["text/*;q=0.3, text/tab-separated-values"], Some(Tsv)),
            (&["*/*;q=0.1, application/sparql-results+xml"], Some(Xml)),
            (&["*/*, application/sparql-results+json;q=0, application/json;q=0"], Some(Xml)),
            (&["text/html"], None),
            (&["*/*;q=0"], None),
            (&["text/csv;q=0"], None),
            (&["nonsense"], Some(Json)),
            (&["text/csv;q=high"], Some(Json)),
            (&[""], Some(Json)),
        ] {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn every_offered_media_type_is_parsed_as_its_syntax() {
        for (media_type, format) in GRAPH.iter().chain(DATASET) {
            let read = RdfFormat::from_media_type(media_type).unwrap();
            // These media types belong to several syntaxes. Which one is meant depends on the results.
            if !["application/json", "text/plain", "text/xml"].contains(&essence(media_type)) {
                assert_eq!(read, *format, "{media_type}");
            }
        }
        for (media_type, format) in SOLUTIONS {
            assert_eq!(QueryResultsFormat::from_media_type(media_type), Some(*format), "{media_type}");
        }
    }
}

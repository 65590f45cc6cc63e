//! SPARQL 1.1 Protocol: parsing requests.

use super::failure::Failure;
use crate::sparql::without_graph;
use axum::http::{HeaderMap, StatusCode, header};
use oxrdf::{GraphName, NamedNode};
use percent_encoding::percent_decode_str;

/// rdflib's name of the default graph of a `Dataset`. rdflib names this graph in each request, and wraps the patterns
/// of an update in it.
const RDFLIB: &str = "urn:x-rdflib:default";

/// The operation that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Query { text: String, dataset: Option<Dataset> },
    Update { text: String, dataset: Option<Dataset> },
}

/// The graphs that a request names for its operation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dataset {
    pub(super) default: Vec<NamedNode>,
    pub(super) named: Vec<NamedNode>,
}

impl Dataset {
    pub(super) fn default_graphs(&self) -> Vec<GraphName> {
        self.default.iter().cloned().map(GraphName::from).collect()
    }
}

/// The meaning of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Form,
    Query,
    Update,
}

impl Content {
    /// # Errors
    ///
    /// 415 for a type that the protocol does not name, and for text that is not UTF-8.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let refuse = |message: &str| Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        let value =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parts = value.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let charset = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"'))
        });
        if charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
            return refuse("send the body as UTF-8");
        }
        match &*essence {
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "application/sparql-query" => Ok(Self::Query),
            "application/sparql-update" => Ok(Self::Update),
            _ => refuse(
                "the body must be application/sparql-query, application/sparql-update or \
                 application/x-www-form-urlencoded",
            ),
        }
    }
}

/// The parameters of a query string or a form. Text that is not UTF-8 is refused. HTML lets browsers replace invalid
/// text, but that would change the query.
///
/// # Errors
///
/// 400 for text that is not UTF-8.
pub(super) fn parameters(encoded: &str) -> Result<Vec<(String, String)>, Failure> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8().map(String::from);
        decoded.map_err(|error| Failure::bad_request(format!("a parameter is not UTF-8: {error}")))
    };
    let pairs = encoded.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Ok((decode(name)?, decode(value)?)))
        .collect()
}

/// The operation that parameters name, or that is sent as the body.
///
/// # Errors
///
/// 400 unless there is exactly one operation, with a dataset of its kind.
pub(super) fn operation(
    parameters: Vec<(String, String)>,
    body: Option<(Content, String)>,
) -> Result<Operation, Failure> {
    let (mut queries, mut updates) = (Vec::new(), Vec::new());
    let (mut from, mut using) = (None, None);
    match body {
        Some((Content::Query, text)) => queries.push(text),
        Some((Content::Update, text)) => updates.push(text),
        _ => {}
    }
    let dataset = |slot: &mut Option<Dataset>| slot.take().unwrap_or_default();
    for (name, value) in parameters {
        match &*name {
            "query" => queries.push(value),
            "update" => updates.push(value),
            "default-graph-uri" | "using-graph-uri" if value == RDFLIB => {}
            "default-graph-uri" | "named-graph-uri" | "using-graph-uri" | "using-named-graph-uri" => {
                let graph = graph(&name, &value)?;
                let slot = if name.starts_with("using") { &mut using } else { &mut from };
                let mut graphs = dataset(slot);
                if name.contains("named") { &mut graphs.named } else { &mut graphs.default }.push(graph);
                *slot = Some(graphs);
            }
            // `explain` is read elsewhere. The others name a syntax, and clients that send them send `Accept` too.
            "explain" | "format" | "output" | "results" => {}
            _ => return Err(unknown(&name)),
        }
    }
    let text = |text: String| without_graph(&text, RDFLIB).into_owned();
    let mismatch = "default-graph-uri and named-graph-uri go with a query, using-graph-uri and \
                    using-named-graph-uri with an update";
    match (queries.pop(), updates.pop(), queries.is_empty() && updates.is_empty()) {
        (Some(operation), None, true) if using.is_none() => {
            Ok(Operation::Query { text: text(operation), dataset: from })
        }
        (None, Some(operation), true) if from.is_none() => {
            Ok(Operation::Update { text: text(operation), dataset: using })
        }
        (Some(_), None, true) | (None, Some(_), true) => Err(Failure::bad_request(mismatch)),
        _ => Err(Failure::bad_request("a request must have exactly one query or update")),
    }
}

/// The error for an unknown parameter. If the server ignored the parameter, it would do something else than the client
/// asked for.
pub(super) fn unknown(name: &str) -> Failure {
    Failure::bad_request(format!("there is no parameter {name}"))
}

/// The graph that a parameter names.
///
/// # Errors
///
/// 400 if it is not an absolute IRI.
pub(super) fn graph(parameter: &str, iri: &str) -> Result<NamedNode, Failure> {
    NamedNode::new(iri).map_err(|error| {
        Failure::bad_request(format!("{parameter}: <{iri}> is not an absolute IRI: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(encoded: &str) -> Result<Operation, u16> {
        parameters(encoded).and_then(|pairs| operation(pairs, None)).map_err(|f| f.status.as_u16())
    }

    #[test]
    fn a_request_has_one_operation_and_a_dataset_of_its_kind() {
        let node = |iri| NamedNode::new_unchecked(iri);
        assert_eq!(
            asked("query=ASK+%7B%7D&default-graph-uri=urn:a&named-graph-uri=urn:b&default-graph-uri=urn:c"),
            Ok(Operation::Query {
                text: "ASK {}".into(),
                dataset: Some(Dataset {
                    default: vec![node("urn:a"), node("urn:c")],
                    named: vec![node("urn:b")]
                })
            })
        );
        assert_eq!(
            asked("update=CLEAR%20ALL&using-named-graph-uri=urn%3Ab&format=json"),
            Ok(Operation::Update {
                text: "CLEAR ALL".into(),
                dataset: Some(Dataset { default: vec![], named: vec![node("urn:b")] })
            })
        );
        for bad in [
            "",
            "other=1",
            "query=a&other=1",
            "query=a&defualt-graph-uri=urn:a",
            "update=a&using-grpah-uri=urn:a",
            "query=a&query=b",
            "update=a&update=b",
            "query=a&update=b",
            "query=%FF",
            "query=a&using-graph-uri=urn:a",
            "update=a&default-graph-uri=urn:a",
            "query=a&default-graph-uri=relative",
        ] {
            assert_eq!(asked(bad), Err(400), "{bad}");
        }
        let direct = |content| operation(parameters("query=a").unwrap(), Some((content, "b".into())));
        assert!(direct(Content::Update).is_err() && direct(Content::Query).is_err());
    }

    #[test]
    fn only_the_types_of_the_protocol_are_read() {
        for (value, expected) in [
            ("application/sparql-query", Ok(Content::Query)),
            ("Application/SPARQL-Update; charset=UTF-8", Ok(Content::Update)),
            ("application/x-www-form-urlencoded;charset=\"utf-8\"", Ok(Content::Form)),
            ("application/sparql-query; charset=utf-16", Err(415)),
            ("text/plain", Err(415)),
            ("", Err(415)),
        ] {
            let headers = [(header::CONTENT_TYPE, value.parse().unwrap())].into_iter().collect();
            assert_eq!(Content::of(&headers).map_err(|f| f.status.as_u16()), expected, "{value}");
        }
    }
}

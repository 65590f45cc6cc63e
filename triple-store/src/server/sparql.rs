//! The endpoints of the SPARQL 1.1 Protocol.

use super::failure::Failure;
use super::incoming::Incoming;
use super::negotiate::{GRAPH, SOLUTIONS, choose};
use super::protocol::{self, Content, Dataset, Operation};
use super::work::Slot;
use super::{Shared, request_iri};
use crate::error::Error;
use crate::sparql::memory::Taken;
use crate::sparql::{QueryOptions, ResultFormat};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oxrdf::vocab::rdf;
use oxrdf::{NamedNode, TripleRef};
use oxrdfio::RdfSerializer;
use spareval::QueryResults;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

/// The vocabulary of SPARQL 1.1 Service Description.
const SD: &str = "http://www.w3.org/ns/sparql-service-description#";

/// The operations that an endpoint accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Query,
    Update,
    Either,
}

/// `GET` and `POST` of an endpoint.
pub(super) async fn handle(
    shared: &Shared,
    endpoint: Endpoint,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let encoded = parts.uri.query().unwrap_or_default();
    let by_get = parts.method != Method::POST;
    if by_get && encoded.is_empty() && endpoint != Endpoint::Update {
        return describe(shared, endpoint, &parts);
    }
    let deadline = shared.deadline();
    let mut parameters = protocol::parameters(encoded)?;
    let (mut sent, mut taken) = (None, Taken::default());
    if endpoint == Endpoint::Update {
        shared.options.access.may_write(&parts.headers)?;
    }
    if !by_get {
        let content = Content::of(&parts.headers)?;
        if content == Content::Update {
            shared.options.access.may_write(&parts.headers)?;
        }
        let (text, memory) = Incoming::receive(&parts.headers, body, shared, deadline).await?.text()?;
        taken = memory;
        match content {
            Content::Form => parameters.extend(protocol::parameters(&text)?),
            Content::Query | Content::Update => sent = Some((content, text)),
        }
    }
    let slot = shared.slot(&parts, deadline)?.holding(taken);
    let explains = parameters.iter().any(|(name, _)| name == "explain");
    let operation = protocol::operation(parameters, sent)?;
    match operation {
        Operation::Query { text, dataset } if endpoint != Endpoint::Update => {
            query(shared, slot, parts, text, dataset, explains).await
        }
        Operation::Update { text, dataset } if endpoint != Endpoint::Query && !by_get => {
            update(shared, slot, &parts, text, dataset).await
        }
        Operation::Query { .. } => Err(Failure::bad_request("this endpoint accepts only updates")),
        Operation::Update { .. } if by_get => Err(Failure::bad_request("an update must be sent by POST")),
        Operation::Update { .. } => Err(Failure::bad_request("this endpoint accepts only queries")),
    }
}

async fn query(
    shared: &Shared,
    slot: Slot,
    parts: Parts,
    text: String,
    dataset: Option<Dataset>,
    explains: bool,
) -> Result<Response, Failure> {
    let mut options = QueryOptions::new()
        .base_iri(request_iri(&parts))
        .cancellation(slot.cancellation())
        .memory(shared.memory_of_one())
        .shared_memory(&shared.memory);
    options = match dataset {
        None => options.union_default_graph(shared.options.union_default_graph),
        Some(dataset) => {
            let named = dataset.named.iter().cloned().map(Into::into).collect();
            options.dataset(dataset.default_graphs(), named)
        }
    };
    if let Some(remote) = &shared.options.remote {
        options = options.remote(Arc::clone(remote));
    }
    let store = shared.store();
    slot.respond(move |output| {
        if explains {
            output.media_type = "application/json";
            let plan = store.snapshot().explain(&text, &options)?;
            output.write_all(plan.as_bytes()).map_err(|source| Error::Io { name: "plan".into(), source })?;
            return Ok(());
        }
        let results = store.query_with(&text, &options)?;
        let format = if matches!(results, QueryResults::Graph(_)) {
            let (media_type, format) = choose(&parts.headers, GRAPH)?;
            output.media_type = media_type;
            ResultFormat { solutions: None, graph: Some(format) }
        } else {
            let (media_type, format) = choose(&parts.headers, SOLUTIONS)?;
            output.media_type = media_type;
            ResultFormat { solutions: Some(format), graph: None }
        };
        format.write(results, output)?;
        Ok(())
    })
    .await
}

async fn update(
    shared: &Shared,
    slot: Slot,
    parts: &Parts,
    text: String,
    dataset: Option<Dataset>,
) -> Result<Response, Failure> {
    shared.options.access.may_write(&parts.headers)?;
    let mut options = shared.update_options(&slot).base_iri(request_iri(parts));
    if let Some(dataset) = dataset {
        options = options.dataset(dataset.default, dataset.named);
    }
    let store = shared.store();
    slot.run(move || Ok(store.update_with(&text, &options)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The endpoint's features, in the vocabulary of SPARQL 1.1 Service Description.
fn describe(shared: &Shared, endpoint: Endpoint, parts: &Parts) -> Result<Response, Failure> {
    let (media_type, format) = choose(&parts.headers, GRAPH)?;
    let service = protocol::graph("the address", &request_iri(parts))?;
    let term = |name: &str| NamedNode::new_unchecked(format!("{SD}{name}"));
    let mut statements = vec![(rdf::TYPE.into_owned(), term("Service")), (term("endpoint"), service.clone())];
    statements.push((term("supportedLanguage"), term("SPARQL11Query")));
    if endpoint == Endpoint::Either && !shared.options.access.read_only {
        statements.push((term("supportedLanguage"), term("SPARQL11Update")));
    }
    if shared.options.union_default_graph {
        statements.push((term("feature"), term("UnionDefaultGraph")));
    }
    let (solutions, graphs) = (SOLUTIONS.iter().map(|(_, f)| f.iri()), GRAPH.iter().map(|(_, f)| f.iri()));
    for format in solutions.chain(graphs).collect::<BTreeSet<_>>() {
        statements.push((term("resultFormat"), NamedNode::new_unchecked(format)));
    }
    let mut serializer = RdfSerializer::from_format(format).for_writer(Vec::new());
    let written = statements
        .iter()
        .try_for_each(|(predicate, object)| {
            serializer.serialize_triple(TripleRef::new(&service, predicate, object))
        })
        .and_then(|()| serializer.finish());
    let document = written.map_err(|error| Failure::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, media_type)], document).into_response())
}

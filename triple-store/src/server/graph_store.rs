//! SPARQL 1.1 Graph Store HTTP Protocol: graphs as resources.

use super::failure::Failure;
use super::incoming::Incoming;
use super::negotiate::{DATASET, GRAPH, choose};
use super::protocol;
use super::{Shared, request_iri};
use crate::load::LoadOptions;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oxrdf::{BlankNode, GraphName, GraphNameRef, NamedNode};
use oxrdfio::RdfFormat;
use std::sync::Arc;
use std::time::Duration;

/// What documents of clients are called in errors.
const NAME: &str = "body";

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Graph(GraphName),
    /// All graphs: not of the standard, and common.
    Everything,
}

impl Target {
    /// The graph that a parameter names; with a path below the store's, the graph of that IRI.
    fn of(parts: &Parts) -> Result<Self, Failure> {
        let mut target = match parts.uri.path().strip_prefix("/store/") {
            Some(path) if !path.is_empty() => {
                Some(Self::Graph(protocol::graph("the address", &request_iri(parts))?.into()))
            }
            _ => None,
        };
        for (name, value) in protocol::parameters(parts.uri.query().unwrap_or_default())? {
            let graph = match &*name {
                "default" => GraphName::DefaultGraph,
                "graph" => protocol::graph("graph", &value)?.into(),
                _ => continue,
            };
            if target.replace(Self::Graph(graph)).is_some() {
                return Err(Failure::bad_request("a request is about one graph"));
            }
        }
        Ok(target.unwrap_or(Self::Everything))
    }

    /// What relative IRIs of a document resolve against.
    fn base(&self, parts: &Parts) -> String {
        match self {
            Self::Graph(GraphName::NamedNode(graph)) => graph.as_str().to_owned(),
            _ => request_iri(parts),
        }
    }
}

/// Every method of `/store`.
pub(super) async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let target = Target::of(&parts)?;
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return read(&shared, &parts, target).await;
    }
    shared.options.access.may_write(&parts.headers)?;
    match parts.method {
        Method::DELETE => delete(&shared, target).await,
        _ => write(&shared, &parts, target, body).await,
    }
}

/// `GET` and `HEAD`.
async fn read(shared: &Shared, parts: &Parts, target: Target) -> Result<Response, Failure> {
    let offers = if target == Target::Everything { DATASET } else { GRAPH };
    let (media_type, format) = choose(&parts.headers, offers)?;
    let snapshot = shared.store.snapshot();
    let slot = shared.slot(shared.options.timeout)?;
    slot.respond(move |output| {
        output.media_type = media_type;
        match target {
            Target::Everything => snapshot.dump(output, format)?,
            Target::Graph(graph) => {
                if !snapshot.has_graph(graph.as_ref()) {
                    return Err(absent());
                }
                snapshot.dump_graph(output, format, &graph)?
            }
        };
        Ok(())
    })
    .await
}

/// `PUT` and `POST`.
async fn write(shared: &Shared, parts: &Parts, target: Target, body: Body) -> Result<Response, Failure> {
    let format = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| RdfFormat::from_media_type(value.to_str().ok()?))
        .ok_or_else(|| {
            Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be RDF in a syntax that has a media type",
            )
        })?;
    let replaces = parts.method == Method::PUT;
    let (target, created) = match target {
        // Triples that are posted to no graph get one of their own.
        Target::Everything if !replaces && !format.supports_datasets() => {
            let name = BlankNode::default();
            let graph =
                NamedNode::new(format!("{}/{}", request_iri(parts).trim_end_matches('/'), name.as_str()));
            let graph = graph.map_err(|error| Failure::bad_request(error.to_string()))?;
            (Target::Graph(graph.clone().into()), Some(graph))
        }
        target => (target, None),
    };
    let mut options = LoadOptions::new().base_iri(target.base(parts));
    if let Target::Graph(graph) = &target {
        options = options.graph(graph.clone()).one_graph(true);
    }
    // How long it takes is up to the client, whose pace is watched.
    let slot = shared.slot(Duration::MAX)?;
    let reader = Incoming::new(&parts.headers, body, &shared.options)?.into_reader();
    let store = shared.store.clone();
    let existed = slot
        .run(move || {
            let existed = match &target {
                Target::Graph(graph) => store.snapshot().has_graph(graph.as_ref()),
                Target::Everything => true,
            };
            if replaces {
                store.replace_with(reader, format, NAME, &options)?;
            } else {
                store.load_with(reader, format, NAME, &options)?;
            }
            Ok(existed)
        })
        .await?;
    Ok(match created {
        Some(graph) => (StatusCode::CREATED, [(header::LOCATION, graph.into_string())]).into_response(),
        None if existed => StatusCode::NO_CONTENT.into_response(),
        None => StatusCode::CREATED.into_response(),
    })
}

async fn delete(shared: &Shared, target: Target) -> Result<Response, Failure> {
    let store = shared.store.clone();
    let slot = shared.slot(Duration::MAX)?;
    slot.run(move || match target {
        Target::Everything => Ok(store.remove_matching(None, None, None, None)?),
        Target::Graph(graph) => match store.clear(graph.as_ref())? {
            0 if graph.as_ref() != GraphNameRef::DefaultGraph => Err(absent()),
            removed => Ok(removed),
        },
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn absent() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is no such graph")
}

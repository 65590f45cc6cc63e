//! SPARQL 1.1 Graph Store HTTP Protocol: graphs as resources.

use super::failure::Failure;
use super::form::Form;
use super::incoming::{Incoming, Reader};
use super::negotiate::{DATASET, GRAPH, choose};
use super::protocol::{self, Content};
use super::{Shared, request_iri};
use crate::faces::load::LoadOptions;
use crate::faces::store::TripleStore;
use crate::terms::quad::EncodedQuad;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oxrdf::{BlankNode, GraphName, GraphNameRef, NamedNode};
use oxrdfio::RdfFormat;
use spareval::CancellationToken;
use std::io::Read;
use std::sync::Arc;

/// The name of clients' documents in error messages.
const NAME: &str = "body";

/// The media type of a patch.
const PATCHES: &str = "application/sparql-update";

/// The target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Graph(GraphName),
    /// All graphs. This is not in the standard, but common.
    Everything,
}

impl Target {
    /// The target that the parameters name. If the path is below `/store/`, the target is the graph whose IRI is the
    /// request's address.
    fn of(parts: &Parts) -> Result<Self, Failure> {
        let mut target = match parts.uri.path().strip_prefix("/store/") {
            Some(path) if !path.is_empty() => {
                Some(Self::Graph(protocol::graph("the address", &request_iri(parts))?.into()))
            }
            _ => None,
        };
        for (name, value) in protocol::parameters(parts.uri.query().unwrap_or_default())? {
            let named = match &*name {
                "default" => Self::Graph(GraphName::DefaultGraph),
                "graph" => Self::Graph(protocol::graph("graph", &value)?.into()),
                "all" => Self::Everything,
                _ => return Err(protocol::unknown(&name)),
            };
            if target.replace(named).is_some() {
                return Err(Failure::bad_request("a request names one graph, or all graphs"));
            }
        }
        // A request that removes quads must name its target, so that a mistake does not empty the store.
        match target {
            None if matches!(parts.method, Method::DELETE | Method::PUT) => Err(Failure::bad_request(
                "the request must name its target: ?graph=IRI, ?default, or ?all for all graphs",
            )),
            target => Ok(target.unwrap_or(Self::Everything)),
        }
    }

    /// The base IRI of a document.
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
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if !reads {
        shared.options.access.may_write(&parts.headers)?;
    }
    let target = Target::of(&parts)?;
    match parts.method {
        _ if reads => read(&shared, &parts, target).await,
        Method::DELETE => delete(&shared, &parts, target).await,
        Method::PATCH => patch(&shared, &parts, target, body).await,
        _ => write(&shared, &parts, target, body).await,
    }
}

/// `GET` and `HEAD`.
async fn read(shared: &Shared, parts: &Parts, target: Target) -> Result<Response, Failure> {
    let offers = if target == Target::Everything { DATASET } else { GRAPH };
    let (media_type, format) = choose(&parts.headers, offers)?;
    let snapshot = shared.store().snapshot();
    let slot = shared.slot(parts, shared.deadline())?;
    slot.respond(move |output| {
        output.media_type = media_type;
        match target {
            Target::Everything => snapshot.dump(output, format)?,
            Target::Graph(graph) => {
                if !snapshot.has_graph(graph.as_ref())? {
                    return Err(absent());
                }
                snapshot.dump_graph(output, format, &graph)?
            }
        };
        Ok(())
    })
    .await
}

/// The form of a body with data to store.
enum Sent {
    Document(RdfFormat),
    /// A form, whose parts this separates.
    Form(String),
}

impl Sent {
    /// # Errors
    ///
    /// 415 for a type that is neither RDF nor a form.
    fn of(parts: &Parts) -> Result<Self, Failure> {
        let value = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let value = value.unwrap_or_default();
        if let Some(format) = RdfFormat::from_media_type(value) {
            return Ok(Self::Document(format));
        }
        match multer::parse_boundary(value) {
            Ok(boundary) => Ok(Self::Form(boundary)),
            Err(multer::Error::NoBoundary) => Err(Failure::bad_request("the form names no boundary")),
            Err(_) => Err(unsupported("the body")),
        }
    }
}

/// Documents that are stored in one target, all of them or none.
struct Documents<'a> {
    store: &'a TripleStore,
    target: &'a Target,
    base: String,
    /// The new graph for triples that are sent without the name of a graph.
    fresh: Option<&'a NamedNode>,
    is_fresh_used: bool,
    quads: Vec<EncodedQuad>,
    cancellation: CancellationToken,
    /// The most quads of all documents together.
    most: usize,
}

impl Documents<'_> {
    fn read(&mut self, reader: impl Read, format: RdfFormat, name: &str) -> Result<(), Failure> {
        let most = self.most - self.quads.len();
        let mut options =
            LoadOptions::new().cancellation(self.cancellation.clone()).most_quads(most, self.most);
        options = match (self.target, self.fresh) {
            (Target::Graph(graph), _) => options.base_iri(&self.base).graph(graph.clone()).one_graph(true),
            (Target::Everything, Some(fresh)) if !format.supports_datasets() => {
                self.is_fresh_used = true;
                options.base_iri(fresh.as_str()).graph(fresh.clone()).one_graph(true)
            }
            (Target::Everything, _) => options.base_iri(&self.base),
        };
        self.quads.append(&mut self.store.encode_whole(reader, format, name, &options)?);
        Ok(())
    }

    fn read_all(&mut self, sent: Sent, mut body: Reader) -> Result<(), Failure> {
        match sent {
            Sent::Document(format) => self.read(&mut body, format, NAME),
            Sent::Form(boundary) => {
                let mut form = Form::new(boundary, body);
                while let Some(mut part) = form.next()? {
                    let name = part.name();
                    let format = part.format().ok_or_else(|| unsupported(&name))?;
                    self.read(&mut part, format, &name)?;
                }
                Ok(())
            }
        }
    }
}

/// `PUT` and `POST`.
async fn write(shared: &Shared, parts: &Parts, target: Target, body: Body) -> Result<Response, Failure> {
    let sent = Sent::of(parts)?;
    let replaces = parts.method == Method::PUT;
    // Triples that are posted without the name of a graph get a new graph.
    let fresh = (target == Target::Everything && !replaces).then(|| fresh_graph(parts)).transpose()?;
    let base = target.base(parts);
    let deadline = shared.deadline();
    let reader = Reader::new(Incoming::receive(&parts.headers, body, shared, deadline).await?);
    let slot = shared.slot(parts, deadline)?;
    let (store, cancellation, most) = (shared.store(), slot.cancellation(), shared.options.most_changes);
    let work = move || {
        let existed = match &target {
            Target::Graph(graph) => store.snapshot().has_graph(graph.as_ref())?,
            Target::Everything => true,
        };
        let _terms = store.engine.hold_terms();
        let mut documents = Documents {
            store: &store,
            target: &target,
            base,
            fresh: fresh.as_ref(),
            is_fresh_used: false,
            quads: Vec::new(),
            cancellation,
            most,
        };
        documents.read_all(sent, reader)?;
        let Documents { is_fresh_used, quads, cancellation, .. } = documents;
        if cancellation.is_cancelled() {
            return Err(Failure::timed_out());
        }
        match &target {
            _ if !replaces => _ = store.engine.add_all(quads)?,
            Target::Graph(graph) => _ = store.replace(Some(graph), quads)?,
            Target::Everything => _ = store.replace(None, quads)?,
        }
        Ok((existed, fresh.filter(|_| is_fresh_used)))
    };
    Ok(match slot.run(work).await? {
        (_, Some(graph)) => (StatusCode::CREATED, [(header::LOCATION, graph.into_string())]).into_response(),
        (true, None) => StatusCode::NO_CONTENT.into_response(),
        (false, None) => StatusCode::CREATED.into_response(),
    })
}

/// A new graph below the address of the request, with a name that is not used yet.
fn fresh_graph(parts: &Parts) -> Result<NamedNode, Failure> {
    let name = BlankNode::default();
    NamedNode::new(format!("{}/{}", request_iri(parts).trim_end_matches('/'), name.as_str()))
        .map_err(|error| Failure::bad_request(error.to_string()))
}

fn unsupported(what: &str) -> Failure {
    let message = format!("{what} must be RDF, and its media type that of an RDF syntax");
    Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
}

/// `PATCH`: an update of the graph (SPARQL 1.1 Graph Store HTTP Protocol, 5.7).
async fn patch(shared: &Shared, parts: &Parts, target: Target, body: Body) -> Result<Response, Failure> {
    if !matches!(Content::of(&parts.headers), Ok(Content::Update)) {
        let message = format!("a patch must be {PATCHES} in UTF-8");
        let failure = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        return Err(failure.with(HeaderName::from_static("accept-patch"), PATCHES));
    }
    let deadline = shared.deadline();
    let (text, taken) = Incoming::receive(&parts.headers, body, shared, deadline).await?.text()?;
    let slot = shared.slot(parts, deadline)?.holding(taken);
    let mut options = shared.update_options(&slot).base_iri(target.base(parts));
    if let Target::Graph(graph) = target {
        options = options.within(graph);
    }
    let store = shared.store();
    slot.run(move || Ok(store.update_with(&text, &options)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn delete(shared: &Shared, parts: &Parts, target: Target) -> Result<Response, Failure> {
    let store = shared.store();
    let slot = shared.slot(parts, shared.deadline())?;
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

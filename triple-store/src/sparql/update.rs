//! Updates. Each request is one serializable transaction.

mod options;
mod whole;

use super::dataset::Dataset;
use super::depth::Room;
use super::fetch::{self, Loaded};
use super::measure::Measure;
use super::plan;
use super::query::Prepared;
use super::rules::Rules;
use super::scope;
use super::service::Services;
use super::text;
use super::within::within;
use crate::documents::blank::Scope;
use crate::documents::nesting;
use crate::error::{Error, Result};
use crate::faces::store::{TripleStore, Updated};
use crate::faces::transaction::{Isolation, Transaction};
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::quad::EncodedQuad;
use crate::terms::term::TermId;
use oxrdf::{GraphName, NamedOrBlankNode, Quad, Term};
use spareval::{CancellationToken, DeleteInsertIter, DeleteInsertQuad};
use spargebra::GraphUpdateOperation;
use spargebra::Update;
use spargebra::algebra::{GraphPattern, GraphTarget, QueryDataset};
use spargebra::term::{GraphNamePattern, GroundTerm, GroundTriple, NamedNodePattern, QuadPattern};
use std::time::Instant;

pub use options::UpdateOptions;

impl TripleStore {
    /// Runs a SPARQL 1.1 Update request as one serializable transaction: all of its operations take effect at once,
    /// or none does.
    ///
    /// If the text names every subject that the update reads or writes, the update holds only the stripes of these
    /// subjects, from before it reads until it is logged. Otherwise it is evaluated on a snapshot, beside other writers, and
    /// evaluated again if one of them changed what it had read. After four times, it holds all stripes while it is evaluated.
    ///
    /// A single `CLEAR`, `DROP`, `COPY`, `MOVE`, `ADD` or `DELETE` of everything that matches one triple pattern holds the
    /// stripes only to publish, and takes a bounded amount of memory, if it concerns more than 65,536 quads. So it may be used
    /// for graphs that are larger than memory.
    ///
    /// # Errors
    ///
    /// [`Error::Sparql`] if it has a syntax error, [`Error::TooDeep`] as for a [query](crate::Snapshot::query),
    /// [`Error::Evaluation`], [`Error::Unsupported`] for `LOAD` without a [client](UpdateOptions::remote). Otherwise
    /// as [`insert`](Self::insert). Nothing is changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::TripleStore;
    ///
    /// let store = TripleStore::in_memory();
    /// store.update("INSERT DATA { <urn:counter> <urn:value> 0 }")?;
    /// let increment = "DELETE { <urn:counter> <urn:value> ?n } INSERT { <urn:counter> <urn:value> ?next }
    ///                  WHERE { <urn:counter> <urn:value> ?n BIND(?n + 1 AS ?next) }";
    /// std::thread::scope(|scope| {
    ///     let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| store.update(increment))).collect();
    ///     threads.into_iter().try_for_each(|thread| thread.join().expect("no panic").map(drop))
    /// })?;
    /// let expected = oxrdf::Literal::from(4);
    /// assert_eq!(store.quads_for_pattern(None, None, Some(expected.as_ref().into()), None).count(), 1);
    /// assert_eq!(store.len(), 1);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn update(&self, update: &str) -> Result<Updated> {
        self.update_with(update, &UpdateOptions::new())
    }

    /// [`update`](Self::update) with options.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update), and [`Error::TooManyChanges`].
    ///
    /// # Examples
    ///
    /// See [`UpdateOptions`].
    pub fn update_with(&self, update: &str, options: &UpdateOptions) -> Result<Updated> {
        Room::of(update)?.run(|| self.run_update(update, options))
    }

    fn run_update(&self, update: &str, options: &UpdateOptions) -> Result<Updated> {
        let update = parse(update, options)?;
        let _terms = self.engine.hold_terms();
        if let Some(updated) = self.change_graphs(&update, options)? {
            return Ok(updated);
        }
        let documents = self.documents(&update, &options.query)?;
        let subjects = scope::subjects(&update.operations).map(|subjects| {
            let intern =
                |subject: &NamedOrBlankNode| Ok(self.engine.dictionary.intern(subject.as_ref().into())?.0);
            subjects.iter().map(intern).collect::<Result<_>>()
        });
        let subjects = subjects.transpose()?;
        let started = Instant::now();
        let run = |transaction: &mut Transaction| transaction.run(&update, options, &documents, started);
        let exclusive = subjects.map(|subjects| self.exclusive(Some(subjects), run));
        let ((), outcome) = match exclusive {
            // The evaluator read a subject that the text of the update does not name.
            None | Some(Err(Error::OutsideTransaction)) => self.optimistic(Isolation::Serializable, run),
            Some(result) => result,
        }?;
        Ok(Updated { added: outcome.added, removed: outcome.removed })
    }
}

impl Transaction {
    /// Runs a SPARQL 1.1 Update request as a part of the transaction.
    ///
    /// # Errors
    ///
    /// As [`TripleStore::update`], and [`Error::OutsideTransaction`]. If it fails, its earlier operations stay a part
    /// of the transaction, so return the error.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStore::in_memory();
    /// store.transaction(|tx| {
    ///     tx.update("INSERT DATA { <urn:s> <urn:p> 1 }")?;
    ///     tx.update("DELETE { ?s ?p 1 } INSERT { ?s ?p 2 } WHERE { ?s ?p 1 }")
    /// })?;
    /// assert_eq!(store.len(), 1);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn update(&mut self, update: &str) -> Result<()> {
        let options = UpdateOptions::new();
        let started = Instant::now();
        Room::of(update)?.run(|| self.run(&parse(update, &options)?, &options, &[], started))
    }

    /// Runs an update with the fetched documents of its `LOAD`s.
    fn run(
        &mut self,
        update: &Update,
        options: &UpdateOptions,
        documents: &[Loaded],
        started: Instant,
    ) -> Result<()> {
        let mut documents = documents.iter();
        for operation in &update.operations {
            if options.query.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let GraphUpdateOperation::Load { silent, source, .. } = operation {
                let document = match documents.next() {
                    Some(document) => document,
                    None if *silent => continue,
                    None => return Err(fetch::refused(source)),
                };
                for quad in document {
                    self.change(*quad, true)?;
                    self.check_size(options)?;
                }
            } else {
                self.operation(operation, update, options, started)?;
            }
        }
        Ok(())
    }

    fn operation(
        &mut self,
        operation: &GraphUpdateOperation,
        update: &Update,
        options: &UpdateOptions,
        started: Instant,
    ) -> Result<()> {
        match operation {
            GraphUpdateOperation::InsertData { data } => {
                for quad in data {
                    let (subject, predicate) = (quad.subject.clone(), quad.predicate.clone());
                    self.insert(&Quad::new(
                        subject,
                        predicate,
                        quad.object.clone(),
                        graph(&quad.graph_name),
                    ))?;
                    self.check_size(options)?;
                }
            }
            GraphUpdateOperation::DeleteData { data } => {
                for quad in data {
                    let object = ground(&quad.object);
                    let (subject, predicate) = (quad.subject.clone(), quad.predicate.clone());
                    self.remove(&Quad::new(subject, predicate, object, graph(&quad.graph_name)))?;
                    self.check_size(options)?;
                }
            }
            GraphUpdateOperation::DeleteInsert { insert, pattern, .. } if asks_for_source(insert) => {
                self.check_source(pattern)?;
            }
            GraphUpdateOperation::DeleteInsert { delete, insert, using, pattern } => {
                let mut pattern = GraphPattern::clone(pattern);
                Services::new(&options.query, &self.source, using.clone(), started).answer(&mut pattern)?;
                let mut rules = Rules::of(&mut pattern, &options.query.custom);
                let measure = Measure::of(&mut pattern, &mut rules);
                let plan = plan::improve(&mut pattern, &self.source, &rules.steps, using.is_none());
                let mut prepared = options.query.evaluator(rules, &self.source, started, &measure);
                let context = options.query.context(&self.source, &prepared, using.clone());
                prepared.set_plan(plan, &context);
                let Prepared { evaluator, token, failure, watchdog, terms, steps, meter } = prepared;
                let (delete, insert) = (delete.clone(), insert.clone());
                let base = update.base_iri.clone();
                let mut prepared =
                    evaluator.prepare_delete_insert(delete, insert, base, using.clone(), &pattern);
                let dataset = Dataset::new(
                    self.source.clone(),
                    terms,
                    &steps,
                    prepared.dataset_mut(),
                    token.clone(),
                    watchdog,
                )?;
                let changes = meter.run(|| {
                    let changes = prepared.execute(dataset)?;
                    self.changes(changes, &token, options)
                });
                failure.check()?;
                let (removed, added) = changes??;
                // All removals come first, then all additions. Both were computed before.
                for quad in removed {
                    self.change(quad, false)?;
                }
                for quad in added {
                    self.change(quad, true)?;
                }
                self.check_size(options)?;
            }
            GraphUpdateOperation::Clear { graph, .. } | GraphUpdateOperation::Drop { graph, .. } => {
                let graphs = match graph {
                    GraphTarget::DefaultGraph => Graphs::One(TermId::DEFAULT_GRAPH),
                    GraphTarget::NamedNode(node) => {
                        Graphs::One(self.source.engine.dictionary.intern(node.as_ref().into())?)
                    }
                    GraphTarget::NamedGraphs => Graphs::Named,
                    GraphTarget::AllGraphs => Graphs::All,
                };
                self.remove_graphs(graphs)?;
                self.check_size(options)?;
            }
            // A graph exists while it has a quad, so there is nothing to create.
            GraphUpdateOperation::Create { .. } | GraphUpdateOperation::Load { .. } => {}
        }
        Ok(())
    }

    /// Checks that the graph that the next operation copies exists. The default graph always exists.
    fn check_source(&self, pattern: &GraphPattern) -> Result<()> {
        let GraphPattern::Graph { name: NamedNodePattern::NamedNode(graph), .. } = pattern else {
            return Ok(());
        };
        let id = self.source.engine.dictionary.intern(graph.as_ref().into())?;
        let quads = Pattern { graphs: Graphs::One(id), ..Pattern::ALL };
        match self.source.scan(&quads)?.next().transpose()? {
            Some(_) => Ok(()),
            None => Err(Error::UnknownGraph(graph.clone().into_string())),
        }
    }

    /// The quads that an operation removes and adds.
    fn changes(
        &self,
        changes: DeleteInsertIter<'_>,
        token: &CancellationToken,
        options: &UpdateOptions,
    ) -> Result<(Vec<EncodedQuad>, Vec<EncodedQuad>)> {
        let (mut removed, mut added): (Vec<EncodedQuad>, Vec<EncodedQuad>) = Default::default();
        let dictionary = &self.source.engine.dictionary;
        for change in changes {
            if token.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match change? {
                DeleteInsertQuad::Delete(quad) => removed.extend(dictionary.lookup_quad(quad.as_ref())?),
                DeleteInsertQuad::Insert(quad) => {
                    added.push(dictionary.intern_quad(nesting::checked(quad.as_ref())?)?);
                }
            }
            let found = removed.len() + added.len();
            options
                .most_changes
                .filter(|most| found > 2 * most)
                .map_or(Ok(()), |most| Err(Error::TooManyChanges(most)))?;
        }
        Ok((removed, added))
    }

    fn check_size(&self, options: &UpdateOptions) -> Result<()> {
        match options.most_changes {
            Some(most) if self.size() > most => Err(Error::TooManyChanges(most)),
            _ => Ok(()),
        }
    }
}

fn parse(update: &str, options: &UpdateOptions) -> Result<Update> {
    let text = text::readable(update);
    let mut update = if let Ok(update) =
        options.query.parser()?.parse_update(&text::with_sources(&text::with_new_names(&text)))
    {
        update
    } else {
        // The error has the position in the original text.
        let parsed = options.query.parser()?.parse_update(&text);
        parsed.map_err(|error| options.query.misunderstood(&text, &error))?
    };
    update.operations.iter_mut().for_each(freshen);
    if let Some(dataset) = &options.using {
        update.operations.iter_mut().try_for_each(|operation| use_dataset(operation, dataset))?;
    }
    if let Some(graph) = &options.graph {
        update.operations.iter_mut().try_for_each(|operation| within(operation, graph))?;
    }
    Ok(update)
}

fn asks_for_source(insert: &[QuadPattern]) -> bool {
    matches!(insert, [QuadPattern { graph_name: GraphNamePattern::NamedNode(graph), .. }] if text::is_source(graph))
}

/// Sets the dataset of the request in an operation.
fn use_dataset(operation: &mut GraphUpdateOperation, dataset: &QueryDataset) -> Result<()> {
    match operation {
        GraphUpdateOperation::DeleteInsert { using: Some(_), .. } => Err(Error::Unsupported(
            "an update that names a dataset (USING or WITH), in a request that names one".into(),
        )),
        GraphUpdateOperation::DeleteInsert { using, .. } => {
            *using = Some(dataset.clone());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Gives the blank nodes of an `INSERT DATA` new names.
fn freshen(operation: &mut GraphUpdateOperation) {
    let GraphUpdateOperation::InsertData { data } = operation else { return };
    let scope = Scope::default();
    for quad in data {
        scope.rename_subject(&mut quad.subject);
        scope.rename_term(&mut quad.object);
    }
}

pub(super) fn graph(name: &spargebra::term::GraphName) -> GraphName {
    match name {
        spargebra::term::GraphName::NamedNode(node) => node.clone().into(),
        spargebra::term::GraphName::DefaultGraph => GraphName::DefaultGraph,
    }
}

fn ground(term: &GroundTerm) -> Term {
    match term {
        GroundTerm::NamedNode(node) => node.clone().into(),
        GroundTerm::Literal(literal) => literal.clone().into(),
        GroundTerm::Triple(triple) => {
            let GroundTriple { subject, predicate, object } = &**triple;
            oxrdf::Triple::new(subject.clone(), predicate.clone(), ground(object)).into()
        }
    }
}

//! The patterns of `EXISTS` that are [evaluated once](super::plan::Once) for a query.

use super::dataset::Dataset;
use super::exact::{Terms, revealed};
use super::meter::{ENTRY, keep, text_length};
use super::paths::Step;
use super::plan::{Once, argument};
use super::query::QueryOptions;
use super::values::{Comparison, NOTHING, Values};
use crate::engine::source::Source;
use crate::error::{Error, Result};
use oxrdf::{Literal, Term, Variable};
use parking_lot::Mutex;
use spareval::{CancellationToken, QueryEvaluator, QueryResults};
use spargebra::Query;
use spargebra::algebra::{GraphPattern, QueryDataset};
use std::collections::HashMap;
use std::sync::Arc;

/// The context for another evaluation in the same query.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) source: Source,
    pub(super) terms: Arc<Terms>,
    pub(super) steps: Arc<[Vec<Step>]>,
    pub(super) token: CancellationToken,
    pub(super) failure: Failure,
    /// The options, for the dataset.
    pub(super) options: QueryOptions,
    pub(super) dataset: Option<QueryDataset>,
}

/// The error that ended an inner evaluation. A function can't return an error to the evaluator.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    pub(super) fn note(&self, error: Error) {
        self.0.lock().get_or_insert(error);
    }

    /// The error, if there is one.
    pub(super) fn check(&self) -> Result<()> {
        self.0.lock().take().map_or(Ok(()), Err)
    }
}

/// Registers the functions that look up the patterns.
pub(super) fn register(onces: Vec<Once>, mut evaluator: QueryEvaluator, context: &Context) -> QueryEvaluator {
    for once in onces {
        let name = once.name.clone();
        // A pattern may use the patterns before it.
        let asked = Asked {
            once,
            evaluator: evaluator.clone(),
            context: context.clone(),
            known: Mutex::default(),
            looked_up: Mutex::default(),
        };
        evaluator = evaluator.with_custom_function(name, move |arguments| {
            let found = asked.answer(arguments);
            found
                .map(|found| Literal::from(found).into())
                .map_err(|error| asked.context.failure.note(error))
                .ok()
        });
    }
    evaluator
}

/// The values of the compared variable, for each row of the common variables.
type Known = HashMap<Vec<Term>, Values, ahash::RandomState>;

struct Asked {
    once: Once,
    evaluator: QueryEvaluator,
    context: Context,
    known: Mutex<Option<Known>>,
    /// The cache of lookups.
    looked_up: Mutex<HashMap<Vec<Term>, bool, ahash::RandomState>>,
}

/// The bytes for a term in a table.
fn size(term: &Term) -> usize {
    ENTRY + text_length(term)
}

impl Asked {
    fn answer(&self, arguments: &[Term]) -> Result<bool> {
        let (common, others) = arguments.split_at(self.once.common.len());
        let is_nothing = |term: &Term| matches!(term, Term::NamedNode(node) if node.as_str() == NOTHING);
        // A comparison with an error is an error, so no row matches.
        if others.iter().any(is_nothing) {
            return Ok(false);
        }
        let common: Vec<_> = common.iter().cloned().map(revealed).collect();
        let comparisons = self.once.compared.as_ref().map_or(&[][..], |(_, comparisons)| comparisons);
        if !common.iter().any(is_nothing) {
            let mut known = self.known.lock();
            let known = match &mut *known {
                Some(known) => known,
                none => none.insert(self.evaluate(comparisons)?),
            };
            match known.get(&common) {
                None => return Ok(false),
                Some(_) if comparisons.is_empty() => return Ok(true),
                Some(values) => {
                    if let Some(found) = values.any(comparisons, others) {
                        return Ok(found);
                    }
                }
            }
        }
        let key: Vec<_> = common.iter().chain(others).cloned().collect();
        if let Some(found) = self.looked_up.lock().get(&key) {
            return Ok(*found);
        }
        let found = self.look_up(&common, others)?;
        keep(ENTRY + key.iter().map(size).sum::<usize>());
        self.looked_up.lock().insert(key, found);
        Ok(found)
    }

    fn evaluate(&self, comparisons: &[Comparison]) -> Result<Known> {
        let (mut known, mut count) = (Known::default(), 0_usize);
        let compared = self.once.compared.as_ref().map(|(variable, _)| variable);
        if compared.is_none() && self.once.common.is_empty() {
            if self.ask(&self.once.pattern, Vec::new())? {
                known.insert(Vec::new(), Values::default());
            }
            return Ok(known);
        }
        let variables: Vec<Variable> = self.once.common.iter().chain(compared).cloned().collect();
        let pattern = GraphPattern::Project { inner: self.once.pattern.clone().into(), variables };
        let query = Query::Select { dataset: self.context.dataset.clone(), pattern, base_iri: None };
        self.run(&query, Vec::new(), |results| {
            let QueryResults::Solutions(rows) = results else { return Ok(()) };
            for row in rows {
                let row = row?;
                count += 1;
                if count.is_multiple_of(1024) && self.context.token.is_cancelled() {
                    return Err(Error::Cancelled);
                }
                let key: Option<Vec<_>> =
                    self.once.common.iter().map(|name| row.get(name).cloned()).collect();
                if let Some(key) = key {
                    keep(key.iter().chain(compared.and_then(|name| row.get(name))).map(size).sum());
                    let values = known.entry(key).or_default();
                    if let Some(value) = compared.and_then(|name| row.get(name)) {
                        values.add(value.clone(), comparisons);
                    }
                }
            }
            Ok(())
        })?;
        known.values_mut().for_each(Values::finish);
        Ok(known)
    }

    /// Whether the pattern has a row with these values.
    fn look_up(&self, common: &[Term], others: &[Term]) -> Result<bool> {
        let is_nothing = |term: &Term| matches!(term, Term::NamedNode(node) if node.as_str() == NOTHING);
        let common = self.once.common.iter().cloned().zip(common.iter().cloned());
        let bound = common.filter(|(_, term)| !is_nothing(term));
        let others = others.iter().cloned().enumerate().map(|(number, term)| (argument(number), term));
        let values: Vec<_> = bound.chain(others).collect();
        // The evaluator accepts values only for variables that the optimizer keeps in the pattern. It keeps those of a
        // projection.
        let variables = values.iter().map(|(variable, _)| variable.clone()).collect();
        self.ask(&GraphPattern::Project { inner: self.once.whole.clone().into(), variables }, values)
    }

    fn ask(&self, pattern: &GraphPattern, values: Vec<(Variable, Term)>) -> Result<bool> {
        let dataset = self.context.dataset.clone();
        let query = Query::Ask { dataset, pattern: pattern.clone(), base_iri: None };
        let mut found = false;
        self.run(&query, values, |results| {
            found = matches!(results, QueryResults::Boolean(true));
            Ok(())
        })?;
        Ok(found)
    }

    fn run(
        &self,
        query: &Query,
        values: Vec<(Variable, Term)>,
        read: impl FnOnce(QueryResults<'_>) -> Result<()>,
    ) -> Result<()> {
        let Context { source, terms, steps, token, options, .. } = &self.context;
        let mut prepared = options.prepare(&self.evaluator, query);
        for (variable, term) in values {
            prepared = prepared.substitute_variable(variable, term);
        }
        let dataset = Dataset::new(
            source.clone(),
            Arc::clone(terms),
            steps,
            prepared.dataset_mut(),
            token.clone(),
            None,
        )?;
        read(prepared.execute(dataset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::source::Reads;
    use crate::faces::store::TripleStore;
    use oxrdf::NamedNode;
    use spargebra::SparqlParser;
    use spargebra::algebra::{Expression, Function};

    /// An error that ends the evaluation of the pattern is returned unchanged, and cancels nothing.
    #[test]
    fn an_error_is_returned() {
        let store = TripleStore::in_memory();
        let mut source = store.snapshot().source;
        source.reads = Some(Arc::new(Mutex::new(Reads::Within(Vec::new()))));
        let Ok(Query::Ask { pattern, .. }) = SparqlParser::new().parse_query("ASK { ?s ?p ?o }") else {
            panic!("the query is one")
        };
        let name = NamedNode::new_unchecked("once");
        let call = Expression::FunctionCall(Function::Custom(name.clone()), Vec::new());
        let expr = Expression::Not(call.into());
        let once = Once { name, whole: pattern.clone(), pattern, common: Vec::new(), compared: None };
        let context = Context {
            terms: Arc::new(Terms::new(Arc::clone(&source.engine), Failure::default())),
            source,
            steps: Arc::default(),
            token: CancellationToken::new(),
            failure: Failure::default(),
            options: QueryOptions::new(),
            dataset: None,
        };
        let evaluator = register(vec![once], QueryEvaluator::new(), &context);
        let pattern = GraphPattern::Filter { expr, inner: GraphPattern::default().into() };
        let query = Query::Ask { dataset: None, pattern, base_iri: None };
        let empty = oxrdf::Dataset::new();
        let result = evaluator.prepare(&query).execute(&empty);
        assert!(matches!(result, Ok(QueryResults::Boolean(false))));
        assert!(matches!(context.failure.check(), Err(Error::OutsideTransaction)));
        assert!(!context.token.is_cancelled());
    }
}

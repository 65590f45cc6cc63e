//! Functions and aggregates of the caller. They get terms in their stored form, and their results keep their form: see
//! [`exact`](super::exact).

use super::exact::{disguised, revealed};
use oxrdf::{NamedNode, Term};
use spareval::{AggregateFunctionAccumulator, QueryEvaluator};
use spargebra::SparqlParser;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

type Function = Arc<dyn Fn(&[Term]) -> Option<Term> + Send + Sync>;
type Accumulator = Box<dyn AggregateFunctionAccumulator + Send + Sync>;
type Aggregate = Arc<dyn Fn() -> Accumulator + Send + Sync>;

/// The prefix of a function's name if its exact term is needed instead of its value.
pub(super) const EXACTLY: &str = " exactly ";

/// The functions and aggregates of some options.
#[derive(Clone, Default)]
pub(super) struct Custom {
    functions: HashMap<NamedNode, Function>,
    aggregates: HashMap<NamedNode, Aggregate>,
}

impl Custom {
    pub(super) fn add_function(
        &mut self,
        name: NamedNode,
        function: impl Fn(&[Term]) -> Option<Term> + Send + Sync + 'static,
    ) {
        self.functions.insert(name, Arc::new(function));
    }

    pub(super) fn add_aggregate(
        &mut self,
        name: NamedNode,
        new: impl Fn() -> Accumulator + Send + Sync + 'static,
    ) {
        self.aggregates.insert(name, Arc::new(new));
    }

    /// Adds the names of the aggregates to a parser. Otherwise the parser could not distinguish them from functions.
    pub(super) fn add_aggregates(&self, parser: SparqlParser) -> SparqlParser {
        self.aggregates.keys().cloned().fold(parser, SparqlParser::with_custom_aggregate_function)
    }

    /// Whether a parser needs the names of the aggregates.
    pub(super) fn concern_parser(&self) -> bool {
        !self.aggregates.is_empty()
    }

    fn function(&self, name: &NamedNode) -> Option<Function> {
        self.functions.get(name).cloned().or_else(|| geometric(name))
    }
}

/// The custom functions and aggregates that a query calls.
pub(super) struct Calls<'a> {
    custom: &'a Custom,
    functions: BTreeSet<NamedNode>,
}

impl<'a> Calls<'a> {
    pub(super) fn of(custom: &'a Custom) -> Self {
        Self { custom, functions: BTreeSet::new() }
    }

    /// Whether there is a function with this name. It is then recorded as called.
    pub(super) fn has(&mut self, name: &NamedNode) -> bool {
        let is_known = self.custom.functions.contains_key(name) || geometric(name).is_some();
        if is_known {
            self.functions.insert(name.clone());
        }
        is_known
    }

    /// The name of the function that returns the exact term.
    pub(super) fn exactly(name: &NamedNode) -> NamedNode {
        NamedNode::new_unchecked(format!("{EXACTLY}{}", name.as_str()))
    }

    /// Registers them with an evaluator.
    pub(super) fn register(&self, mut evaluator: QueryEvaluator) -> QueryEvaluator {
        for name in &self.functions {
            let Some(function) = self.custom.function(name) else { continue };
            let call = move |arguments: &[Term]| {
                let arguments: Vec<_> = arguments.iter().cloned().map(revealed).collect();
                function(&arguments)
            };
            evaluator = evaluator.with_custom_function(name.clone(), call.clone());
            let exactly = move |arguments: &[Term]| call(arguments).map(disguised);
            evaluator = evaluator.with_custom_function(Self::exactly(name), exactly);
        }
        for (name, new) in &self.custom.aggregates {
            let new = Arc::clone(new);
            let new = move || -> Accumulator { Box::new(Revealing(new())) };
            evaluator = evaluator.with_custom_aggregate_function(name.clone(), new);
        }
        evaluator
    }
}

/// An aggregate that gets terms in their stored form.
struct Revealing(Accumulator);

impl AggregateFunctionAccumulator for Revealing {
    fn accumulate(&mut self, element: Term) {
        self.0.accumulate(revealed(element));
    }

    fn finish(&mut self) -> Option<Term> {
        self.0.finish().map(disguised)
    }
}

/// A function on geometries.
#[cfg(feature = "geosparql")]
fn geometric(name: &NamedNode) -> Option<Function> {
    let (_, function) =
        spargeo::GEOSPARQL_EXTENSION_FUNCTIONS.iter().find(|(known, _)| *known == name.as_ref())?;
    Some(Arc::new(*function))
}

#[cfg(not(feature = "geosparql"))]
fn geometric(_: &NamedNode) -> Option<Function> {
    None
}

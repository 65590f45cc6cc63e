//! The algebra, operator by operator: section 18 of SPARQL 1.1 Query. It is evaluated by nested loops, without a plan.

use crate::aggregate;
use oxrdf::{GraphName, NamedNode, NamedOrBlankNode, Quad, Term, Variable};
use spargebra::algebra::{AggregateExpression, GraphPattern, QueryDataset};
use spargebra::term::{GroundTerm, NamedNodePattern, TermPattern, TriplePattern};
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

/// A solution. Blank nodes of patterns are variables whose names begin with `_:`.
pub(crate) type Row = BTreeMap<String, Term>;

pub(crate) fn name(variable: &Variable) -> String {
    variable.as_str().to_owned()
}

/// The context of an evaluation: a dataset, its active graph, and the bindings that `EXISTS` substitutes for variables
/// (18.6).
#[derive(Clone)]
pub(crate) struct Evaluation<'a> {
    pub(crate) data: &'a [Quad],
    pub(crate) active: GraphName,
    pub(crate) outer: Row,
    /// How many more pairs of solutions may be tried. At 0, the answer is incomplete and not compared.
    pub(crate) budget: &'a Cell<usize>,
}

/// The term that stands in a pattern, or the name of the variable.
pub(crate) enum Place {
    Term(Term),
    Variable(String),
}

impl Place {
    /// The solution that matches this place with a term. `None` if the place has another term.
    pub(crate) fn bind(&self, term: &Term) -> Option<Row> {
        match self {
            Self::Term(own) => (own == term).then(Row::new),
            Self::Variable(name) => Some(Row::from([(name.clone(), term.clone())])),
        }
    }
}

/// 18.3: two solutions are compatible if they agree on the variables that both bind.
pub(crate) fn merged(a: &Row, b: &Row) -> Option<Row> {
    let agree = a.iter().all(|(name, value)| b.get(name).is_none_or(|other| other == value));
    agree.then(|| a.iter().chain(b).map(|(name, value)| (name.clone(), value.clone())).collect())
}

pub(crate) fn distinct<T: Clone + Eq + std::hash::Hash>(rows: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::new();
    rows.into_iter().filter(|row| seen.insert(row.clone())).collect()
}

/// 13.2: the dataset that `FROM` and `FROM NAMED`, or `USING` and `WITH`, describe.
pub(crate) fn of_dataset(data: &[Quad], dataset: Option<&QueryDataset>) -> Vec<Quad> {
    let Some(dataset) = dataset else { return data.to_vec() };
    let is_in = |quad: &Quad, graphs: &[NamedNode]| {
        graphs.iter().any(|graph| quad.graph_name == graph.clone().into())
    };
    let of_default = data.iter().filter(|quad| is_in(quad, &dataset.default));
    let merged = of_default.cloned().map(|quad| Quad { graph_name: GraphName::DefaultGraph, ..quad });
    let mut quads = distinct(merged.collect());
    quads.extend(
        data.iter()
            .filter(|quad| match &dataset.named {
                Some(named) => is_in(quad, named),
                None => !quad.graph_name.is_default_graph(),
            })
            .cloned(),
    );
    quads
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(data: &'a [Quad], budget: &'a Cell<usize>) -> Self {
        Self { data, active: GraphName::DefaultGraph, outer: Row::new(), budget }
    }

    fn joined(&self, left: &[Row], right: &[Row]) -> Vec<Row> {
        self.budget.set(self.budget.get().saturating_sub(left.len() * right.len()));
        if self.budget.get() == 0 {
            return Vec::new();
        }
        left.iter().flat_map(|a| right.iter().filter_map(move |b| merged(a, b))).collect()
    }

    /// The triples of the active graph.
    pub(crate) fn triples(&self) -> impl Iterator<Item = [Term; 3]> {
        let triple =
            |quad: &Quad| [quad.subject.clone().into(), quad.predicate.clone().into(), quad.object.clone()];
        self.data.iter().filter(|quad| quad.graph_name == self.active).map(triple)
    }

    fn variable(&self, name: String) -> Place {
        match self.outer.get(&name) {
            Some(term) => Place::Term(term.clone()),
            None => Place::Variable(name),
        }
    }

    pub(crate) fn place(&self, pattern: &TermPattern) -> Place {
        match pattern {
            TermPattern::NamedNode(node) => Place::Term(node.clone().into()),
            TermPattern::Literal(literal) => Place::Term(literal.clone().into()),
            TermPattern::BlankNode(node) => Place::Variable(node.to_string()),
            TermPattern::Variable(variable) => self.variable(name(variable)),
            TermPattern::Triple(_) => panic!("the generator writes no triple terms"),
        }
    }

    fn named(&self, pattern: &NamedNodePattern) -> Place {
        match pattern {
            NamedNodePattern::NamedNode(node) => Place::Term(node.clone().into()),
            NamedNodePattern::Variable(variable) => self.variable(name(variable)),
        }
    }

    fn triple_pattern(&self, pattern: &TriplePattern) -> Vec<Row> {
        let places =
            [self.place(&pattern.subject), self.named(&pattern.predicate), self.place(&pattern.object)];
        let row = |triple: [Term; 3]| {
            places
                .iter()
                .zip(&triple)
                .try_fold(Row::new(), |row, (place, term)| merged(&row, &place.bind(term)?))
        };
        self.triples().filter_map(row).collect()
    }

    /// The names of the named graphs, each of which holds a triple.
    fn graphs(&self) -> Vec<NamedNode> {
        let named = self.data.iter().filter_map(|quad| match &quad.graph_name {
            GraphName::NamedNode(node) => Some(node.clone()),
            _ => None,
        });
        distinct(named.collect())
    }

    /// The solutions of a pattern over a named graph. `place` is the graph's name in the query.
    fn of_graph(&self, graph: &NamedNode, place: &Place, inner: &GraphPattern) -> Vec<Row> {
        let own = Self { active: graph.clone().into(), ..self.clone() };
        match place.bind(&graph.clone().into()) {
            Some(row) => self.joined(&own.pattern(inner), &[row]),
            None => Vec::new(),
        }
    }

    /// 18.5.1: one solution for each group of solutions that agree on the keys. Without keys there is one group.
    fn grouped(
        &self,
        rows: Vec<Row>,
        keys: &[Variable],
        aggregates: &[(Variable, AggregateExpression)],
    ) -> Vec<Row> {
        let mut groups: Vec<(Row, Vec<Row>)> = Vec::new();
        if keys.is_empty() {
            groups.push((Row::new(), Vec::new()));
        }
        for row in rows {
            let bound = |key| Some((name(key), row.get(&name(key))?.clone()));
            let key: Row = keys.iter().filter_map(bound).collect();
            match groups.iter_mut().find(|(other, _)| *other == key) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        let result = |(mut row, rows): (Row, Vec<Row>)| {
            for (variable, aggregate) in aggregates {
                if let Some(value) = aggregate::value(self, aggregate, &rows) {
                    row.insert(name(variable), value);
                }
            }
            row
        };
        groups.into_iter().map(result).collect()
    }

    /// 18.6: the multiset of solutions of a pattern.
    pub(crate) fn pattern(&self, pattern: &GraphPattern) -> Vec<Row> {
        match pattern {
            GraphPattern::Bgp { patterns } => patterns
                .iter()
                .fold(vec![Row::new()], |rows, pattern| self.joined(&rows, &self.triple_pattern(pattern))),
            GraphPattern::Path { subject, path, object } => {
                let (subject, object) = (self.place(subject), self.place(object));
                let pairs = self.path(path, subject.term(), object.term());
                let row = |(a, b): (Term, Term)| merged(&subject.bind(&a)?, &object.bind(&b)?);
                pairs.into_iter().filter_map(row).collect()
            }
            GraphPattern::Join { left, right } => self.joined(&self.pattern(left), &self.pattern(right)),
            GraphPattern::LeftJoin { left, right, expression } => {
                let (left, right) = (self.pattern(left), self.pattern(right));
                self.joined(&left, &right);
                let extended = |a: &Row| {
                    let all = right.iter().filter_map(|b| merged(a, b));
                    let holds = |row: &Row| expression.as_ref().is_none_or(|e| self.holds(e, row));
                    let rows: Vec<_> = all.filter(holds).collect();
                    if rows.is_empty() { vec![a.clone()] } else { rows }
                };
                left.iter().flat_map(extended).collect()
            }
            GraphPattern::Filter { expr, inner } => {
                let mut rows = self.pattern(inner);
                rows.retain(|row| self.holds(expr, row));
                rows
            }
            GraphPattern::Union { left, right } => {
                let mut rows = self.pattern(left);
                rows.extend(self.pattern(right));
                rows
            }
            GraphPattern::Graph { name, inner } => {
                let place = self.named(name);
                self.graphs().iter().flat_map(|graph| self.of_graph(graph, &place, inner)).collect()
            }
            GraphPattern::Extend { inner, variable, expression } => {
                let extended = |mut row: Row| {
                    if let Some(value) = self.expression(expression, &row) {
                        row.insert(name(variable), value);
                    }
                    row
                };
                self.pattern(inner).into_iter().map(extended).collect()
            }
            GraphPattern::Minus { left, right } => {
                let right = self.pattern(right);
                let mut rows = self.pattern(left);
                rows.retain(|a| {
                    let removes =
                        |b: &Row| b.keys().any(|name| a.contains_key(name)) && merged(a, b).is_some();
                    !right.iter().any(removes)
                });
                rows
            }
            GraphPattern::Values { variables, bindings } => {
                let row = |values: &Vec<Option<GroundTerm>>| {
                    let bound = variables
                        .iter()
                        .zip(values)
                        .filter_map(|(variable, value)| Some((name(variable), Term::from(value.clone()?))));
                    bound.collect::<Row>()
                };
                bindings.iter().map(row).collect()
            }
            // The order of rows is not compared.
            GraphPattern::OrderBy { inner, .. } => self.pattern(inner),
            GraphPattern::Project { inner, variables } => {
                let kept: HashSet<String> = variables.iter().map(name).collect();
                let mut rows = self.pattern(inner);
                for row in &mut rows {
                    row.retain(|name, _| kept.contains(name));
                }
                rows
            }
            GraphPattern::Distinct { inner } | GraphPattern::Reduced { inner } => {
                distinct(self.pattern(inner))
            }
            GraphPattern::Slice { inner, start, length } => {
                let rows = self.pattern(inner).into_iter().skip(*start);
                rows.take(length.unwrap_or(usize::MAX)).collect()
            }
            GraphPattern::Group { inner, variables, aggregates } => {
                self.grouped(self.pattern(inner), variables, aggregates)
            }
            GraphPattern::Lateral { .. } | GraphPattern::Service { .. } => {
                panic!("the generator writes no {pattern}")
            }
        }
    }
}

/// The subject of a quad.
pub(crate) fn subject(term: Term) -> Option<NamedOrBlankNode> {
    match term {
        Term::NamedNode(node) => Some(node.into()),
        Term::BlankNode(node) => Some(node.into()),
        Term::Literal(_) | Term::Triple(_) => None,
    }
}

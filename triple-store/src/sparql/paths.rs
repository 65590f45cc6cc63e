//! Property paths (SPARQL 1.1 Query, 9 and 18.4), rewritten to a form that the evaluator handles correctly.
//!
//! The evaluator treats each path as a set of pairs. That is right inside `*`, `+` and `?`. Outside, a sequence is a
//! join and an alternative is a union, which keep duplicates. Also, for the evaluator a path of length zero connects a
//! term of the query with itself only if the term occurs in the data.

use super::rules::Rules;
use oxrdf::{BlankNode, NamedNode, Variable};
use spargebra::algebra::{Expression, GraphPattern, PropertyPathExpression as Path};
use spargebra::term::{GroundTerm, TermPattern, TriplePattern};

/// One of the alternatives for which a predicate stands.
pub(super) enum Step {
    One(NamedNode),
    NoneOf(Vec<NamedNode>),
    /// A `+` or `*`.
    Closure(Path),
}

/// The prefix of predicates that stand for alternatives. No IRI of a query begins with it.
const PATH: &str = " path ";

/// The predicate that stands for some alternatives, in the order in which they were found.
pub(super) fn predicate(at: usize) -> NamedNode {
    NamedNode::new_unchecked(format!("{PATH}{at}"))
}

/// Whether a predicate stands for alternatives.
pub(super) fn is_path(predicate: &NamedNode) -> bool {
    predicate.as_str().starts_with(PATH)
}

/// The alternatives for which a predicate stands, if it does.
pub(super) fn steps<'s>(predicate: &NamedNode, all: &'s [Vec<Step>]) -> Option<&'s [Step]> {
    let at: usize = predicate.as_str().strip_prefix(PATH)?.parse().ok()?;
    all.get(at).map(Vec::as_slice)
}

impl Rules<'_> {
    pub(super) fn path_pattern(&mut self, pattern: &mut GraphPattern) {
        if let GraphPattern::Path { subject, path, object } = std::mem::take(pattern) {
            self.starts.extend([&subject, &object].into_iter().filter_map(variable).cloned());
            *pattern = self.path(subject, path, object);
        }
    }

    fn path(&mut self, subject: TermPattern, path: Path, object: TermPattern) -> GraphPattern {
        match path {
            Path::NamedNode(predicate) => triple(subject, predicate, object),
            Path::NegatedPropertySet(nodes) => {
                let predicate = self.predicate(vec![Step::NoneOf(nodes)]);
                triple(subject, predicate, object)
            }
            Path::Reverse(path) => self.path(object, *path, subject),
            Path::Sequence(first, second) => {
                let middle = TermPattern::from(BlankNode::default());
                let (left, right) =
                    (self.path(subject, *first, middle.clone()), self.path(middle, *second, object));
                match (left, right) {
                    (GraphPattern::Bgp { patterns: mut left }, GraphPattern::Bgp { patterns: right }) => {
                        left.extend(right);
                        GraphPattern::Bgp { patterns: left }
                    }
                    (left, right) => GraphPattern::Join { left: left.into(), right: right.into() },
                }
            }
            Path::Alternative(..) => self.alternatives(&subject, path, &object),
            // If the inner path may have zero steps, `+` is the same as `*`.
            Path::OneOrMore(path) if is_nullable(&path) => {
                self.zero_length(subject, Path::ZeroOrMore(path), object)
            }
            Path::OneOrMore(_) => self.closure(subject, path, object),
            Path::ZeroOrMore(_) | Path::ZeroOrOne(_) => self.zero_length(subject, path, object),
        }
    }

    /// A union. Alternatives that are single steps in the same direction become one predicate, which the dataset
    /// evaluates.
    fn alternatives(&mut self, subject: &TermPattern, path: Path, object: &TermPattern) -> GraphPattern {
        let (mut all, mut rest, mut forwards, mut backwards) =
            (vec![path], Vec::new(), Vec::new(), Vec::new());
        while let Some(path) = all.pop() {
            match path {
                Path::Alternative(a, b) => all.extend([*b, *a]),
                path => match step(&path) {
                    Some((step, false)) => forwards.push(step),
                    Some((step, true)) => backwards.push(step),
                    None => rest.push(path),
                },
            }
        }
        let mut union: Vec<_> =
            rest.into_iter().map(|path| self.path(subject.clone(), path, object.clone())).collect();
        for (steps, from, to) in [(forwards, subject, object), (backwards, object, subject)] {
            if !steps.is_empty() {
                union.push(triple(from.clone(), self.predicate(steps), to.clone()));
            }
        }
        let both = |left: GraphPattern, right: GraphPattern| GraphPattern::Union {
            left: left.into(),
            right: right.into(),
        };
        union.into_iter().reduce(both).unwrap_or_default()
    }

    /// A `+` or `*` becomes a predicate, which the dataset evaluates.
    fn closure(&mut self, subject: TermPattern, path: Path, object: TermPattern) -> GraphPattern {
        if !matches!(path, Path::ZeroOrMore(_) | Path::OneOrMore(_)) {
            return GraphPattern::Path { subject, path, object };
        }
        let predicate = self.predicate(vec![Step::Closure(path)]);
        triple(subject, predicate, object)
    }

    fn predicate(&mut self, mut steps: Vec<Step>) -> NamedNode {
        if let [Step::One(_)] = &steps[..]
            && let Some(Step::One(node)) = steps.pop()
        {
            return node;
        }
        self.steps.push(steps);
        predicate(self.steps.len() - 1)
    }

    /// A path that may have zero steps: what it reaches from a term, and the term itself.
    fn zero_length(&mut self, subject: TermPattern, path: Path, object: TermPattern) -> GraphPattern {
        let (term, other) = match (ground(&subject), ground(&object)) {
            (Some(a), Some(b)) if a == b => return GraphPattern::default(),
            (Some(term), None) => (term, object.clone()),
            (None, Some(term)) => (term, subject.clone()),
            (Some(_), Some(_)) => return self.closure(subject, path, object),
            (None, None) => {
                let steps = self.closure(subject.clone(), path, object.clone());
                return self.with_terms_of_the_row(steps, &subject, &object);
            }
        };
        let Some((variable, expression)) = self.end(&other).zip(expression(&term)) else {
            return self.closure(subject, path, object);
        };
        let is_term = Expression::SameTerm(Box::new(variable.clone().into()), expression.into());
        let steps = GraphPattern::Filter {
            expr: Expression::Not(is_term.into()),
            inner: self.closure(subject, path, object).into(),
        };
        let none = GraphPattern::Values { variables: vec![variable], bindings: vec![vec![Some(term)]] };
        GraphPattern::Union { left: steps.into(), right: none.into() }
    }

    /// The variable at the end of a path. A blank node becomes a variable.
    pub(super) fn end(&mut self, end: &TermPattern) -> Option<Variable> {
        match end {
            TermPattern::Variable(variable) => Some(variable.clone()),
            TermPattern::BlankNode(node) => {
                if !self.blanks.contains_key(node) {
                    let variable = self.variable();
                    self.blanks.insert(node.clone(), variable);
                }
                self.blanks.get(node).cloned()
            }
            _ => None,
        }
    }

    /// Replaces blank nodes by their variables.
    pub(super) fn name_blanks(&self, pattern: &mut GraphPattern) {
        if !self.blanks.is_empty() {
            super::rename::terms(pattern, &mut |term| {
                if let TermPattern::BlankNode(node) = term
                    && let Some(variable) = self.blanks.get(node)
                {
                    *term = variable.clone().into();
                }
            });
        }
    }
}

fn triple(subject: TermPattern, predicate: NamedNode, object: TermPattern) -> GraphPattern {
    GraphPattern::Bgp { patterns: vec![TriplePattern { subject, predicate: predicate.into(), object }] }
}

/// The single step of a path, if it is one, and whether it goes from object to subject.
fn step(path: &Path) -> Option<(Step, bool)> {
    match path {
        Path::NamedNode(node) => Some((Step::One(node.clone()), false)),
        Path::NegatedPropertySet(nodes) => Some((Step::NoneOf(nodes.clone()), false)),
        Path::Reverse(path) => step(path).map(|(step, backwards)| (step, !backwards)),
        _ => None,
    }
}

fn variable(term: &TermPattern) -> Option<&Variable> {
    match term {
        TermPattern::Variable(variable) => Some(variable),
        _ => None,
    }
}

fn is_nullable(path: &Path) -> bool {
    match path {
        Path::ZeroOrMore(_) | Path::ZeroOrOne(_) => true,
        Path::Reverse(path) | Path::OneOrMore(path) => is_nullable(path),
        Path::Sequence(a, b) => is_nullable(a) && is_nullable(b),
        Path::Alternative(a, b) => is_nullable(a) || is_nullable(b),
        Path::NamedNode(_) | Path::NegatedPropertySet(_) => false,
    }
}

fn ground(term: &TermPattern) -> Option<GroundTerm> {
    match term {
        TermPattern::NamedNode(node) => Some(node.clone().into()),
        TermPattern::Literal(literal) => Some(literal.clone().into()),
        TermPattern::BlankNode(_) | TermPattern::Variable(_) | TermPattern::Triple(_) => None,
    }
}

fn expression(term: &GroundTerm) -> Option<Expression> {
    match term {
        GroundTerm::NamedNode(node) => Some(node.clone().into()),
        GroundTerm::Literal(literal) => Some(literal.clone().into()),
        GroundTerm::Triple(_) => None,
    }
}

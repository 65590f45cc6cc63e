//! Property paths: sections 9 and 18.4 of SPARQL 1.1 Query.

use crate::algebra::{Evaluation, Place, distinct};
use oxrdf::{NamedNode, Term};
use spargebra::algebra::PropertyPathExpression as Path;

type Pairs = Vec<(Term, Term)>;

impl Place {
    pub(crate) fn term(&self) -> Option<&Term> {
        match self {
            Self::Term(term) => Some(term),
            Self::Variable(_) => None,
        }
    }
}

impl Evaluation<'_> {
    /// The pairs that a path connects. If an end is given, only pairs with this end.
    pub(crate) fn path(&self, path: &Path, from: Option<&Term>, to: Option<&Term>) -> Pairs {
        let fits = |a: &Term, b: &Term| from.is_none_or(|term| term == a) && to.is_none_or(|term| term == b);
        let by = |wanted: &dyn Fn(&Term) -> bool| -> Pairs {
            let pairs = self.triples().filter(|[_, predicate, _]| wanted(predicate)).map(|[a, _, b]| (a, b));
            pairs.filter(|(a, b)| fits(a, b)).collect()
        };
        let is = |node: &NamedNode, term: &Term| *term == Term::from(node.clone());
        match path {
            Path::NamedNode(node) => by(&|predicate| is(node, predicate)),
            Path::NegatedPropertySet(nodes) => by(&|predicate| !nodes.iter().any(|node| is(node, predicate))),
            Path::Reverse(path) => self.path(path, to, from).into_iter().map(|(a, b)| (b, a)).collect(),
            // A join over a variable that no other pattern uses.
            Path::Sequence(first, second) => {
                let (first, second) = (self.path(first, from, None), self.path(second, None, to));
                let ends = |(a, middle): &(Term, Term)| -> Pairs {
                    let after = second.iter().filter(|(b, _)| b == middle);
                    after.map(|(_, c)| (a.clone(), c.clone())).collect()
                };
                first.iter().flat_map(ends).collect()
            }
            // A union, which keeps duplicates.
            Path::Alternative(a, b) => {
                let mut pairs = self.path(a, from, to);
                pairs.extend(self.path(b, from, to));
                pairs
            }
            Path::ZeroOrOne(path) => {
                let mut pairs = self.zero_length(from, to);
                pairs.extend(self.path(path, from, to));
                distinct(pairs)
            }
            Path::ZeroOrMore(path) => self.closure(path, from, to, true),
            Path::OneOrMore(path) => self.closure(path, from, to, false),
        }
    }

    /// A path of length zero connects every node of the graph with itself, and also a term of the query that is not a
    /// node.
    fn zero_length(&self, from: Option<&Term>, to: Option<&Term>) -> Pairs {
        let ends = match (from, to) {
            (Some(a), Some(b)) if a != b => Vec::new(),
            (Some(end), _) | (_, Some(end)) => vec![end.clone()],
            (None, None) => distinct(self.triples().flat_map(|[a, _, b]| [a, b]).collect()),
        };
        ends.into_iter().map(|end| (end.clone(), end)).collect()
    }

    fn closure(&self, path: &Path, from: Option<&Term>, to: Option<&Term>, zero: bool) -> Pairs {
        match (from, to) {
            // From the end backwards.
            (None, Some(end)) => {
                let back = Path::Reverse(Box::new(path.clone()));
                self.closure(&back, Some(end), None, zero).into_iter().map(|(a, b)| (b, a)).collect()
            }
            (None, None) => {
                let starts = self.zero_length(None, None);
                starts.iter().flat_map(|(start, _)| self.closure(path, Some(start), None, zero)).collect()
            }
            (Some(start), _) => {
                let mut seen = Vec::new();
                if zero {
                    self.reach(path, start, &mut seen);
                } else {
                    for (_, next) in self.path(path, Some(start), None) {
                        self.reach(path, &next, &mut seen);
                    }
                }
                let ends = seen.into_iter().filter(|end| to.is_none_or(|term| term == end));
                ends.map(|end| (start.clone(), end)).collect()
            }
        }
    }

    /// The function ALP.
    fn reach(&self, path: &Path, term: &Term, seen: &mut Vec<Term>) {
        if !seen.contains(term) {
            seen.push(term.clone());
            for (_, next) in self.path(path, Some(term), None) {
                self.reach(path, &next, seen);
            }
        }
    }
}

//! Lists of constants of `IN` that are searched by hash. The evaluator would compare them one by one.

use spareval::{ExpressionTerm, QueryEvaluator};
use spargebra::algebra::{Expression, Function, GraphPattern};
use spargebra::term::{GroundTerm, Literal, NamedNode, Term};
use std::collections::HashSet;
use std::sync::Arc;

/// The most members that are compared one by one.
const FEW: usize = 8;

type Set<T> = HashSet<T, ahash::RandomState>;

/// The lists of a query. Each list has a function that searches it.
#[derive(Default)]
pub(in super::super) struct Lists(Vec<(NamedNode, Arc<List>)>);

/// Constants that are compared by their values. The order of the members does not matter: a list contains a term if one
/// of its members is equal to it.
#[derive(Default)]
struct List {
    nodes: Set<NamedNode>,
    strings: Set<String>,
    integers: Set<i64>,
}

impl Lists {
    /// Makes `x IN (...)` search most of the members by hash.
    pub(super) fn take(&mut self, expression: &mut Expression) {
        let Expression::In(sought, members) = expression else { return };
        if members.len() <= FEW {
            return;
        }
        let mut list = List::default();
        let others: Vec<_> =
            std::mem::take(members).into_iter().filter_map(|member| list.add(member)).collect();
        // An IRI in a query contains no space, so no other function has this name.
        let name = NamedNode::new_unchecked(format!("is one of {} terms: {}", list.len(), self.0.len() + 1));
        let sought = std::mem::replace(&mut **sought, Expression::Literal(false.into()));
        let found = Expression::FunctionCall(Function::Custom(name.clone()), vec![sought.clone()]);
        *expression = if others.is_empty() {
            found
        } else {
            Expression::Or(found.into(), Expression::In(sought.into(), others).into())
        };
        self.0.push((name, Arc::new(list)));
    }

    /// Registers the functions that search the lists.
    pub(in super::super) fn register(self, evaluator: QueryEvaluator) -> QueryEvaluator {
        self.0.into_iter().fold(evaluator, |evaluator, (name, list)| {
            evaluator.with_custom_function(name, move |arguments| {
                let [sought] = arguments else { return None };
                list.holds(sought.clone()).map(|holds| Literal::from(holds).into())
            })
        })
    }
}

impl List {
    /// Adds a constant. Returns the member if it is not a constant, or is compared in another way.
    fn add(&mut self, member: Expression) -> Option<Expression> {
        match member {
            Expression::NamedNode(node) => _ = self.nodes.insert(node),
            Expression::Literal(literal) => match ExpressionTerm::from(Term::from(literal.clone())) {
                ExpressionTerm::StringLiteral(text) => _ = self.strings.insert(text),
                ExpressionTerm::IntegerLiteral(number) => _ = self.integers.insert(number.into()),
                _ => return Some(Expression::Literal(literal)),
            },
            other => return Some(other),
        }
        None
    }

    fn len(&self) -> usize {
        self.nodes.len() + self.strings.len() + self.integers.len()
    }

    /// Whether a member equals the term. `None` if none does and one of them can't be compared with it.
    fn holds(&self, term: Term) -> Option<bool> {
        let mut integers = self.integers.iter();
        match ExpressionTerm::from(term) {
            ExpressionTerm::NamedNode(node) => Some(self.nodes.contains(&node)),
            ExpressionTerm::StringLiteral(text) => Some(self.strings.contains(&text)),
            ExpressionTerm::IntegerLiteral(number) => Some(self.integers.contains(&number.into())),
            ExpressionTerm::DecimalLiteral(number) => Some(integers.any(|n| number == (*n).into())),
            ExpressionTerm::FloatLiteral(number) => {
                Some(integers.any(|n| number == oxsdatatypes::Integer::from(*n).into()))
            }
            ExpressionTerm::DoubleLiteral(number) => {
                Some(integers.any(|n| number == oxsdatatypes::Integer::from(*n).into()))
            }
            ExpressionTerm::OtherTypedLiteral { .. } => {
                let comparable = self.strings.is_empty() && self.integers.is_empty();
                comparable.then_some(false)
            }
            _ => Some(false),
        }
    }
}

/// The values that a condition allows for a variable, as `VALUES`. `None` unless they are nodes and `fits` holds for
/// the variable.
pub(super) fn nodes(condition: &Expression, fits: impl Fn(&String) -> bool) -> Option<GraphPattern> {
    let (variable, members) = match condition {
        Expression::In(sought, members) => (&**sought, members.iter().collect()),
        Expression::Equal(a, b) | Expression::SameTerm(a, b) => match (&**a, &**b) {
            (Expression::NamedNode(_), variable) => (variable, vec![&**a]),
            (variable, node) => (variable, vec![node]),
        },
        _ => return None,
    };
    let Expression::Variable(variable) = variable else { return None };
    let mut seen = Set::default();
    let mut bindings = Vec::new();
    for member in &members {
        let Expression::NamedNode(node) = member else { return None };
        if seen.insert(node) {
            bindings.push(vec![Some(GroundTerm::NamedNode(node.clone()))]);
        }
    }
    (fits(&variable.to_string()) && !members.is_empty())
        .then(|| GraphPattern::Values { variables: vec![variable.clone()], bindings })
}

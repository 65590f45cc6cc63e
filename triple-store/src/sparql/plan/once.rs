//! `EXISTS` that is answered from a pattern evaluated once, instead of anew for each row.
//!
//! A row asks an `EXISTS` for the values of the variables that both have in common, and by the conditions that compare a
//! value of the pattern with one of the row, as in `FILTER NOT EXISTS { ?other :price ?p FILTER(?p > ?price) }`. Where that
//! is all, the pattern is evaluated once; of each value of the common variables is kept what the comparisons need. That of
//! one-sided ones is the least or the greatest value.

use super::condition::{conjuncts, holds_a_pattern, is_settled, is_settled_pattern};
use super::names::{Names, variable};
use super::variables::{Scope, fits, mentioned, mentioned_in_expression};
use super::{In, Planner};
use crate::sparql::functions::{KEEP, LESS, LESS_OR_EQUAL, PLAIN};
use crate::sparql::values::{Comparison, NOTHING};
use oxrdf::{NamedNode, Variable};
use spargebra::algebra::{Expression, Function, GraphPattern};
use spargebra::term::NamedNodePattern;

/// Rows for which a pattern is looked up more quickly than evaluated.
const FEW: f64 = 4.0;
/// Rows that are evaluated and kept while one is looked up.
const PER_LOOKUP: f64 = 0.25;

/// A pattern that is evaluated once, under the name of the function that is asked.
pub(in super::super) struct Once {
    pub(in super::super) name: NamedNode,
    /// What is evaluated.
    pub(in super::super) pattern: GraphPattern,
    /// The variables that it has in common with the row.
    pub(in super::super) common: Vec<Variable>,
    /// The variable of it that is compared, and how.
    pub(in super::super) compared: Option<(Variable, Vec<Comparison>)>,
    /// The pattern with its comparisons, where the row's values are those of [`argument`].
    pub(in super::super) whole: GraphPattern,
}

/// The variable that stands for the row's value in a comparison.
pub(in super::super) fn argument(number: usize) -> Variable {
    Variable::new_unchecked(format!(" argument {number}"))
}

impl Planner<'_> {
    /// The call that stands for `EXISTS` of a pattern, if that is better evaluated once, where these variables are bound
    /// in so many rows.
    pub(super) fn once(&self, pattern: &GraphPattern, bound: &Names, rows: f64) -> Option<Expression> {
        // That reads only what each row asks for.
        if self.source.reads_some_subjects() {
            return None;
        }
        let one_row = Names::default();
        let (conditions, inner) = match pattern {
            GraphPattern::Filter { expr, inner } => (conjuncts(expr.clone()), &**inner),
            pattern => (Vec::new(), pattern),
        };
        let scope = Scope::of(inner);
        let common: Names = scope.all.intersection(bound).cloned().collect();
        let mut used = Names::default();
        mentioned(inner, &mut used);
        let is_alone = used.iter().all(|name| common.contains(name) || !bound.contains(name));
        if !is_alone || !common.is_subset(&scope.certain) || !common.is_empty() && !fits(inner, &common) {
            return None;
        }
        if !is_settled_pattern(inner) || !conditions.iter().all(is_settled) {
            return None;
        }
        let (mut own, mut compared, mut arguments) = (Vec::new(), None, Vec::new());
        let mut replaced = Vec::new();
        for condition in conditions {
            let mut used = Names::default();
            mentioned_in_expression(&condition, &mut used);
            if used.iter().all(|name| scope.certain.contains(name) || !bound.contains(name)) {
                own.push(condition);
                continue;
            }
            let (of_pattern, comparison, of_row) = comparison(&condition, &scope)?;
            let (variable, comparisons) = compared.get_or_insert_with(|| (of_pattern.clone(), Vec::new()));
            if *variable != of_pattern {
                return None;
            }
            replaced.push(comparison.expression(&of_pattern, &argument(arguments.len())));
            comparisons.push(comparison);
            arguments.push(of_row);
        }
        if !self.is_worth_it(inner, &common, compared.is_some(), rows) {
            return None;
        }
        let common: Vec<_> = common.iter().map(|name| variable(name)).collect::<Option<_>>()?;
        let kept = common.iter().map(|name| call(KEEP, vec![Expression::Variable(name.clone())]));
        let nothing = || Expression::from(NamedNode::new_unchecked(NOTHING));
        let asked = kept.chain(arguments).map(|asked| Expression::Coalesce(vec![asked, nothing()])).collect();
        let filtered = |conditions: Vec<Expression>, inner: GraphPattern| match conditions
            .into_iter()
            .reduce(|a, b| Expression::And(a.into(), b.into()))
        {
            Some(expr) => GraphPattern::Filter { expr, inner: inner.into() },
            None => inner,
        };
        let mut pattern = self.of_graph(filtered(own, inner.clone()));
        let alone = Self { in_exists: false, simple: false, graph: In::One, times: 1.0, ..*self };
        alone.visit(&mut pattern, &one_row);
        let whole = filtered(replaced, pattern.clone());
        let mut onces = self.onces.borrow_mut();
        let name = NamedNode::new_unchecked(format!("exists once {}", onces.len()));
        onces.push(Once { name: name.clone(), pattern, common, compared, whole });
        Some(Expression::FunctionCall(Function::Custom(name), asked))
    }

    /// Whether looking up a pattern for each row reads more than evaluating it once.
    fn is_worth_it(&self, pattern: &GraphPattern, common: &Names, compares: bool, rows: f64) -> bool {
        if matches!(self.graph, In::Each(_) | In::Hidden) {
            return false;
        }
        if common.is_empty() && !compares {
            return true;
        }
        let of_a_row = self.rows_per_row(pattern, common).max(1.0);
        // The first row that is found decides, if nothing is compared.
        let read = if compares { of_a_row } else { 1.0 };
        rows > FEW && rows * read * PER_LOOKUP > self.rows_per_row(pattern, &Names::default())
    }

    /// The pattern in the graph where it is looked up.
    fn of_graph(&self, pattern: GraphPattern) -> GraphPattern {
        match self.graph {
            In::Named(node) => {
                let name = NamedNodePattern::NamedNode(node.clone());
                GraphPattern::Graph { name, inner: pattern.into() }
            }
            In::One | In::Each(_) | In::Hidden => pattern,
        }
    }
}

fn call(name: &str, arguments: Vec<Expression>) -> Expression {
    Expression::FunctionCall(Function::Custom(NamedNode::new_unchecked(name)), arguments)
}

/// The variable of a pattern that a condition compares with something of the row.
fn comparison(condition: &Expression, scope: &Scope) -> Option<(Variable, Comparison, Expression)> {
    let (a, comparison, b) = match condition {
        Expression::Less(a, b) => (&**a, Comparison::Less, &**b),
        Expression::LessOrEqual(a, b) => (&**a, Comparison::LessOrEqual, &**b),
        Expression::Greater(a, b) => (&**b, Comparison::Less, &**a),
        Expression::GreaterOrEqual(a, b) => (&**b, Comparison::LessOrEqual, &**a),
        Expression::FunctionCall(Function::Custom(name), arguments) => {
            match (name.as_str(), &arguments[..]) {
                (LESS, [a, b]) => (a, Comparison::Less, b),
                (LESS_OR_EQUAL, [a, b]) => (a, Comparison::LessOrEqual, b),
                _ => return None,
            }
        }
        _ => return None,
    };
    let of_pattern = |side: &Expression| {
        match side {
            Expression::Variable(variable) => Some(variable.clone()),
            Expression::FunctionCall(Function::Custom(name), arguments) if name.as_str() == PLAIN => {
                match &arguments[..] {
                    [Expression::Variable(variable)] => Some(variable.clone()),
                    _ => None,
                }
            }
            _ => None,
        }
        .filter(|variable| scope.certain.contains(&variable.to_string()))
    };
    let of_row = |side: &Expression| {
        let mut used = Names::default();
        mentioned_in_expression(side, &mut used);
        used.is_disjoint(&scope.all) && !holds_a_pattern(side)
    };
    match (of_pattern(a), of_pattern(b)) {
        (Some(variable), None) if of_row(b) => Some((variable, comparison, b.clone())),
        (None, Some(variable)) if of_row(a) => Some((variable, comparison.reversed(), a.clone())),
        _ => None,
    }
}

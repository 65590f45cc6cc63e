//! `EXISTS` whose pattern is evaluated once instead of for each row.
//!
//! A row affects an `EXISTS` by the variables that both share, and by conditions that compare a value of the pattern
//! with one of the row, as in `FILTER NOT EXISTS { ?other :price ?p FILTER(?p > ?price) }`. If it has no other effect,
//! the pattern is evaluated once. For each value of the shared variables, the values that the comparisons need are
//! stored. For one-sided comparisons, this is the least or the greatest value.

use super::condition::{conjuncts, holds_a_pattern, is_deterministic, is_deterministic_pattern};
use super::names::{Names, variable};
use super::variables::{Scope, fits, mentioned, mentioned_in_expression};
use super::{In, Planner};
use crate::sparql::functions::{KEEP, LESS, LESS_OR_EQUAL, PLAIN};
use crate::sparql::graphs::binds_the_graph;
use crate::sparql::values::{Comparison, NOTHING};
use oxrdf::{NamedNode, Variable};
use spargebra::algebra::{Expression, Function, GraphPattern};
use spargebra::term::NamedNodePattern;

/// The most rows for which lookups are faster than one evaluation.
const FEW: f64 = 4.0;
/// How many rows are evaluated and stored in the time of one lookup.
const PER_LOOKUP: f64 = 0.25;

/// A pattern that is evaluated once, with the name of the function that looks it up.
pub(in super::super) struct Once {
    pub(in super::super) name: NamedNode,
    /// The pattern to evaluate.
    pub(in super::super) pattern: GraphPattern,
    /// The variables that it shares with the row.
    pub(in super::super) common: Vec<Variable>,
    /// The variable that is compared, and its comparisons.
    pub(in super::super) compared: Option<(Variable, Vec<Comparison>)>,
    /// The pattern with its comparisons. The row's values are the variables of [`argument`].
    pub(in super::super) whole: GraphPattern,
}

/// The variable that stands for the row's value in a comparison.
pub(in super::super) fn argument(number: usize) -> Variable {
    Variable::new_unchecked(format!(" argument {number}"))
}

impl Planner<'_> {
    /// The call that replaces `EXISTS` of a pattern, if evaluating it once is better. `bound` are the variables of the
    /// rows, and `rows` is their number.
    pub(super) fn once(&self, pattern: &GraphPattern, bound: &Names, rows: f64) -> Option<Expression> {
        // A transaction on some subjects may read only the data that each row needs.
        if self.source.reads_some_subjects() {
            return None;
        }
        let one_row = Names::default();
        let (conditions, inner) = match pattern {
            GraphPattern::Filter { expr, inner } => (conjuncts(expr.clone()), &**inner),
            pattern => (Vec::new(), pattern),
        };
        let mut common = asked_for(inner, bound)?;
        let is_alone = common.is_empty();
        match self.graph {
            In::One | In::Named(_) => {}
            // The row has the name of its graph.
            In::Each(name) if binds_the_graph(inner) => _ = common.insert(name.to_string()),
            In::Each(_) | In::Hidden => return None,
        }
        let scope = Scope::of(inner);
        if !is_deterministic_pattern(inner) || !conditions.iter().all(is_deterministic) {
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
        // If something is compared, or a row shares at most its graph, a lookup may read all that it finds.
        let reads_all = compared.is_some() || is_alone && !own.is_empty();
        let asks_once = compared.is_none() && common.is_empty();
        if !asks_once && !self.is_worth_it(inner, &common, reads_all, rows) {
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

    /// Whether looking up a pattern for each row reads more than evaluating it once. Unless a lookup reads all rows that
    /// it finds, the first one decides.
    fn is_worth_it(&self, pattern: &GraphPattern, common: &Names, reads_all: bool, rows: f64) -> bool {
        let read = if reads_all { self.rows_per_row(pattern, common).max(1.0) } else { 1.0 };
        rows > FEW && rows * read * PER_LOOKUP > self.rows_per_row(pattern, &Names::default())
    }

    /// The pattern in its graph.
    fn of_graph(&self, pattern: GraphPattern) -> GraphPattern {
        let name = match self.graph {
            In::One | In::Hidden => return pattern,
            In::Named(node) => NamedNodePattern::NamedNode(node.clone()),
            In::Each(name) => NamedNodePattern::Variable(name.clone()),
        };
        GraphPattern::Graph { name, inner: pattern.into() }
    }
}

/// The variables by which rows look up a pattern. `None` unless the solutions for a row are all solutions joined with
/// that row.
///
/// `EXISTS` substitutes the values of a row everywhere in its pattern, so conditions, `OPTIONAL`, `MINUS` and
/// sub-queries see them early. This makes no difference if each variable of the row that occurs in the pattern is bound
/// in every solution of it, and [before](fits) it is used.
fn asked_for(pattern: &GraphPattern, bound: &Names) -> Option<Names> {
    let mut common = Names::default();
    mentioned(pattern, &mut common);
    common.retain(|name| bound.contains(name));
    let is_certain = common.is_subset(&Scope::of(pattern).certain);
    (is_certain && (common.is_empty() || fits(pattern, &common))).then_some(common)
}

fn call(name: &str, arguments: Vec<Expression>) -> Expression {
    Expression::FunctionCall(Function::Custom(NamedNode::new_unchecked(name)), arguments)
}

/// The variable of a pattern that a condition compares with a value of the row.
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

#[cfg(test)]
mod tests {
    use super::*;
    use spargebra::{Query, SparqlParser};

    /// The variables by which a row that binds `?a`, `?b` and `?c` looks up a group.
    fn asked_for(group: &str) -> Option<String> {
        let query = format!("SELECT * {{ FILTER EXISTS {{ {group} }} }}").replace(':', "urn:");
        let query = SparqlParser::new().parse_query(&query).unwrap();
        let Query::Select { pattern: GraphPattern::Project { inner, .. }, .. } = query else {
            panic!("{group}")
        };
        let GraphPattern::Filter { expr: Expression::Exists(pattern), .. } = *inner else {
            panic!("{group}")
        };
        let bound = ["?a", "?b", "?c"].map(str::to_owned).into_iter().collect();
        let mut names: Vec<_> = super::asked_for(&pattern, &bound)?.into_iter().collect();
        names.sort();
        Some(names.concat())
    }

    #[test]
    fn patterns_that_bind_the_row_s_variables_first_can_be_evaluated_once() {
        for (group, expected) in [
            ("?x <:p> ?y", ""),
            ("?a <:p> ?x . ?x <:p> ?b", "?a?b"),
            ("?a <:p> ?x OPTIONAL { ?x <:p> ?y FILTER(?y > ?x) } FILTER(!BOUND(?y))", "?a"),
            ("?a <:p> ?x OPTIONAL { ?x <:p> ?a }", "?a"),
            ("?a <:p> ?x FILTER(?a != ?x)", "?a"),
            ("?a <:p> ?x FILTER NOT EXISTS { ?a <:p> ?a }", "?a"),
            ("{ ?a <:p> ?x } UNION { ?x <:p> ?a }", "?a"),
            ("?x <:p> ?y MINUS { ?y <:p> ?x }", ""),
            ("{ SELECT DISTINCT ?a { ?a <:p> ?x } }", "?a"),
            ("{ SELECT (COUNT(*) AS ?n) { ?x <:p> ?y } }", ""),
            ("VALUES ?a { 1 2 }", "?a"),
            ("?a <:p> ?x BIND(?a + 1 AS ?y) ?x <:p> ?y", "?a"),
        ] {
            assert_eq!(asked_for(group).as_deref(), Some(expected), "{group}");
        }
    }

    #[test]
    fn patterns_that_may_see_an_unbound_variable_are_evaluated_for_each_row() {
        for group in [
            // The variable is unbound in some solutions.
            "?x <:p> ?y OPTIONAL { ?x <:p> ?a }",
            "{ ?x <:p> ?a } UNION { ?x <:p> ?y }",
            "VALUES ?a { 1 UNDEF }",
            "GRAPH ?a { ?x <:p> ?y }",
            "BIND(1 AS ?a)",
            "{ SELECT (SUM(?x) AS ?a) { ?x <:p> ?y } }",
            // A condition uses the variable before it is bound, or where it never is.
            "?x <:p> ?y FILTER(?y > ?a)",
            "?x <:p> ?y FILTER(!BOUND(?a))",
            "?x <:p> ?y FILTER EXISTS { ?a <:p> ?y }",
            "?x <:p> ?y BIND(?a AS ?z)",
            "?a <:p> ?x . { ?x <:p> ?y FILTER(?y = ?a) }",
            "?a <:p> ?x . { ?x <:p> ?y OPTIONAL { ?y <:p> ?a } FILTER(!BOUND(?a)) }",
            "?a <:p> ?x OPTIONAL { ?x <:p> ?y FILTER(?b = 1) }",
            "?a <:p> ?x OPTIONAL { ?x <:p> ?b } FILTER(!BOUND(?b))",
            // An `OPTIONAL` has other solutions with the variable bound.
            "?x <:p> ?y OPTIONAL { ?x <:p> ?a } . ?y <:p> ?a",
            // `MINUS` removes other solutions.
            "?a <:p> ?x MINUS { ?x <:p> ?y }",
            "?x <:p> ?y MINUS { ?x <:p> ?a }",
            // A sub-query has another variable with that name, or another number of solutions.
            "{ SELECT ?x { ?x <:p> ?a } }",
            "?a <:p> ?x . { SELECT ?x { ?x <:p> ?a } }",
            "{ SELECT ?a (COUNT(*) AS ?n) { ?a <:p> ?x } GROUP BY ?a }",
            "{ SELECT ?a { ?a <:p> ?x } LIMIT 1 }",
            "{ SELECT ?x { ?x <:p> ?y } ORDER BY ?a }",
        ] {
            assert_eq!(asked_for(group), None, "{group}");
        }
    }
}

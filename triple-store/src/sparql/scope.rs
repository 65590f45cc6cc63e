//! Which subjects an update accesses, by its text. The update then holds only their stripes.

use super::walk::children;
use oxrdf::NamedOrBlankNode;
use spargebra::GraphUpdateOperation;
use spargebra::algebra::{AggregateExpression, Expression, GraphPattern, OrderExpression};
use spargebra::term::{GroundTermPattern, TermPattern};
use std::collections::HashSet;

/// The subjects that the operations read and write. `None` if they may be any.
pub(super) fn subjects(operations: &[GraphUpdateOperation]) -> Option<HashSet<NamedOrBlankNode>> {
    let mut scope = Scope::default();
    for operation in operations {
        scope.operation(operation);
    }
    (!scope.anything).then_some(scope.subjects)
}

#[derive(Default)]
struct Scope {
    subjects: HashSet<NamedOrBlankNode>,
    anything: bool,
}

impl Scope {
    fn add(&mut self, subject: Option<NamedOrBlankNode>) {
        match subject {
            Some(subject) => _ = self.subjects.insert(subject),
            None => self.anything = true,
        }
    }

    fn operation(&mut self, operation: &GraphUpdateOperation) {
        match operation {
            GraphUpdateOperation::InsertData { data } => {
                for quad in data {
                    self.add(Some(quad.subject.clone()));
                }
            }
            GraphUpdateOperation::DeleteData { data } => {
                for quad in data {
                    self.add(Some(quad.subject.clone().into()));
                }
            }
            GraphUpdateOperation::DeleteInsert { delete, insert, using: _, pattern } => {
                for quad in delete {
                    self.add(match &quad.subject {
                        GroundTermPattern::NamedNode(node) => Some(node.clone().into()),
                        _ => None,
                    });
                }
                for quad in insert {
                    self.term(&quad.subject);
                }
                self.pattern(pattern);
            }
            GraphUpdateOperation::Create { .. } => {}
            GraphUpdateOperation::Load { .. }
            | GraphUpdateOperation::Clear { .. }
            | GraphUpdateOperation::Drop { .. } => self.anything = true,
        }
    }

    fn term(&mut self, subject: &TermPattern) {
        self.add(match subject {
            TermPattern::NamedNode(node) => Some(node.clone().into()),
            _ => None,
        });
    }

    fn pattern(&mut self, pattern: &GraphPattern) {
        match pattern {
            GraphPattern::Bgp { patterns } => {
                for triple in patterns {
                    self.term(&triple.subject);
                }
            }
            GraphPattern::Values { .. } => {}
            // A path leads to other subjects, and the results of a service are unknown.
            GraphPattern::Path { .. } | GraphPattern::Service { .. } => self.anything = true,
            GraphPattern::Graph { inner, .. } => match &**inner {
                // Without a triple pattern, it reads the list of all graphs.
                GraphPattern::Bgp { patterns } if !patterns.is_empty() => self.pattern(inner),
                _ => self.anything = true,
            },
            GraphPattern::Join { left, right }
            | GraphPattern::Lateral { left, right }
            | GraphPattern::Union { left, right }
            | GraphPattern::Minus { left, right } => {
                self.pattern(left);
                self.pattern(right);
            }
            GraphPattern::LeftJoin { left, right, expression } => {
                self.pattern(left);
                self.pattern(right);
                self.expressions(expression);
            }
            GraphPattern::Filter { expr, inner } => {
                self.expression(expr);
                self.pattern(inner);
            }
            GraphPattern::Extend { inner, expression, .. } => {
                self.expression(expression);
                self.pattern(inner);
            }
            GraphPattern::OrderBy { inner, expression } => {
                for order in expression {
                    let (OrderExpression::Asc(expression) | OrderExpression::Desc(expression)) = order;
                    self.expression(expression);
                }
                self.pattern(inner);
            }
            GraphPattern::Group { inner, aggregates, .. } => {
                for (_, aggregate) in aggregates {
                    if let AggregateExpression::FunctionCall { expr, .. } = aggregate {
                        self.expression(expr);
                    }
                }
                self.pattern(inner);
            }
            GraphPattern::Project { inner, .. }
            | GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner }
            | GraphPattern::Slice { inner, .. } => self.pattern(inner),
        }
    }

    fn expressions<'a>(&mut self, expressions: impl IntoIterator<Item = &'a Expression>) {
        for expression in expressions {
            self.expression(expression);
        }
    }

    fn expression(&mut self, expression: &Expression) {
        if let Expression::Exists(pattern) = expression {
            self.pattern(pattern);
        }
        self.expressions(children(expression));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spargebra::SparqlParser;

    fn scope(update: &str) -> Option<usize> {
        subjects(&SparqlParser::new().parse_update(update).unwrap().operations).map(|subjects| subjects.len())
    }

    #[test]
    fn named_subjects_are_found_in_every_position() {
        for (update, expected) in [
            ("INSERT DATA { <urn:a> <urn:p> 1 . <urn:b> <urn:p> 1 }", Some(2)),
            ("DELETE DATA { <urn:a> <urn:p> 1 }; INSERT DATA { <urn:a> <urn:p> 2 }", Some(1)),
            ("DELETE { <urn:a> ?p ?o } INSERT { <urn:b> ?p ?o } WHERE { <urn:c> ?p ?o }", Some(3)),
            ("DELETE WHERE { GRAPH <urn:g> { <urn:a> ?p ?o } }", Some(1)),
            ("INSERT { <urn:a> <urn:p> ?x } WHERE { <urn:b> <urn:p> ?o BIND(?o + 1 AS ?x) }", Some(2)),
            ("INSERT { <urn:a> <urn:p> 1 } WHERE { FILTER NOT EXISTS { <urn:b> <urn:p> ?o } }", Some(2)),
            (
                "INSERT { <urn:a> <urn:p> 1 } WHERE { OPTIONAL { <urn:b> ?p ?o FILTER EXISTS { <urn:c> ?p ?o } } }",
                Some(3),
            ),
            ("INSERT { <urn:a> <urn:p> ?n } WHERE { SELECT (COUNT(*) AS ?n) { <urn:b> ?p ?o } }", Some(2)),
            ("CREATE GRAPH <urn:g>", Some(0)),
        ] {
            assert_eq!(scope(update), expected, "{update}");
        }
    }

    #[test]
    fn updates_that_may_access_any_subject_hold_all_stripes() {
        for update in [
            "DELETE WHERE { ?s <urn:p> ?o }",
            "INSERT { ?s <urn:p> 1 } WHERE { <urn:a> <urn:p> ?s }",
            "INSERT { [] <urn:p> 1 } WHERE { <urn:a> <urn:p> ?s }",
            "INSERT { <urn:a> <urn:p> 1 } WHERE { <urn:a> <urn:p>+ <urn:b> }",
            "INSERT { <urn:a> <urn:p> 1 } WHERE { FILTER NOT EXISTS { ?s <urn:p> ?o } }",
            "INSERT { <urn:a> <urn:p> 1 } WHERE { FILTER(1 + IF(EXISTS { ?s <urn:p> ?o }, 1, 2) = 2) }",
            "INSERT { <urn:a> <urn:p> 1 } WHERE { GRAPH <urn:g> { } }",
            "INSERT { <urn:a> <urn:p> 1 } WHERE { GRAPH ?g { } }",
            "CLEAR GRAPH <urn:g>",
            "DROP ALL",
        ] {
            assert_eq!(scope(update), None, "{update}");
        }
    }
}

//! Renaming the variables of a pattern.

use super::walk::{Part, parts_of_expression, parts_of_pattern};
use oxrdf::Variable;
use spargebra::algebra::{Expression, GraphPattern};
use spargebra::term::{NamedNodePattern, TermPattern, TriplePattern};

/// Calls `each` with each variable of a pattern, wherever it occurs.
pub(super) fn variables(pattern: &mut GraphPattern, each: &mut dyn FnMut(&mut Variable)) {
    match pattern {
        GraphPattern::Bgp { patterns } => patterns.iter_mut().for_each(|triple| in_triple(triple, each)),
        GraphPattern::Path { subject, object, .. } => {
            in_term(subject, each);
            in_term(object, each);
        }
        GraphPattern::Graph { name, .. } | GraphPattern::Service { name, .. } => in_node(name, each),
        GraphPattern::Extend { variable, .. } => each(variable),
        GraphPattern::Values { variables, .. } | GraphPattern::Project { variables, .. } => {
            variables.iter_mut().for_each(&mut *each);
        }
        GraphPattern::Group { variables, aggregates, .. } => {
            variables.iter_mut().for_each(&mut *each);
            for (variable, _) in aggregates {
                each(variable);
            }
        }
        _ => {}
    }
    parts_of_pattern(pattern, |part| match part {
        Part::Pattern(part) => variables(part, each),
        Part::Expression(part) => in_expression(part, each),
    });
}

pub(super) fn in_expression(expression: &mut Expression, each: &mut dyn FnMut(&mut Variable)) {
    if let Expression::Variable(variable) | Expression::Bound(variable) = expression {
        each(variable);
    }
    parts_of_expression(expression, |part| match part {
        Part::Pattern(part) => variables(part, each),
        Part::Expression(part) => in_expression(part, each),
    });
}

fn in_triple(triple: &mut TriplePattern, each: &mut dyn FnMut(&mut Variable)) {
    in_term(&mut triple.subject, each);
    in_node(&mut triple.predicate, each);
    in_term(&mut triple.object, each);
}

fn in_term(term: &mut TermPattern, each: &mut dyn FnMut(&mut Variable)) {
    match term {
        TermPattern::Variable(variable) => each(variable),
        TermPattern::Triple(triple) => in_triple(triple, each),
        TermPattern::NamedNode(_) | TermPattern::BlankNode(_) | TermPattern::Literal(_) => {}
    }
}

fn in_node(node: &mut NamedNodePattern, each: &mut dyn FnMut(&mut Variable)) {
    if let NamedNodePattern::Variable(variable) = node {
        each(variable);
    }
}

/// Calls `each` with each term of the triple patterns and paths.
pub(super) fn terms(pattern: &mut GraphPattern, each: &mut dyn FnMut(&mut TermPattern)) {
    match pattern {
        GraphPattern::Bgp { patterns } => patterns.iter_mut().for_each(|triple| terms_of(triple, each)),
        GraphPattern::Path { subject, object, .. } => {
            each(subject);
            each(object);
        }
        _ => {}
    }
    parts_of_pattern(pattern, |part| match part {
        Part::Pattern(part) => terms(part, each),
        Part::Expression(part) => terms_in(part, each),
    });
}

fn terms_in(expression: &mut Expression, each: &mut dyn FnMut(&mut TermPattern)) {
    parts_of_expression(expression, |part| match part {
        Part::Pattern(part) => terms(part, each),
        Part::Expression(part) => terms_in(part, each),
    });
}

fn terms_of(triple: &mut TriplePattern, each: &mut dyn FnMut(&mut TermPattern)) {
    for term in [&mut triple.subject, &mut triple.object] {
        each(term);
        if let TermPattern::Triple(triple) = term {
            terms_of(triple, each);
        }
    }
}

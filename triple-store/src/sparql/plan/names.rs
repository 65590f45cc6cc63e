//! Names of variables. Blank nodes are variables here too.

use spargebra::term::{NamedNodePattern, TermPattern, TriplePattern, Variable};
use std::collections::HashSet;

pub(in super::super) type Names = HashSet<String, ahash::RandomState>;

/// The text that `to_string` returns. `to_string` takes several times as long.
fn name(sign: &str, name: &str) -> String {
    [sign, name].concat()
}

pub(super) fn of_term(term: &TermPattern) -> Option<String> {
    match term {
        TermPattern::Variable(variable) => Some(name("?", variable.as_str())),
        TermPattern::BlankNode(node) => Some(name("_:", node.as_str())),
        TermPattern::NamedNode(_) | TermPattern::Literal(_) | TermPattern::Triple(_) => None,
    }
}

/// The variable with this name. `None` if it is the name of a blank node.
pub(super) fn variable(name: &str) -> Option<Variable> {
    name.strip_prefix('?').map(Variable::new_unchecked)
}

/// The names of subject, predicate and object, if they are variables.
pub(in super::super) fn names(pattern: &TriplePattern) -> [Option<String>; 3] {
    let predicate = match &pattern.predicate {
        NamedNodePattern::Variable(variable) => Some(name("?", variable.as_str())),
        NamedNodePattern::NamedNode(_) => None,
    };
    [of_term(&pattern.subject), predicate, of_term(&pattern.object)]
}

/// Whether it has no quoted triple.
pub(in super::super) fn is_flat(pattern: &TriplePattern) -> bool {
    !matches!(pattern.subject, TermPattern::Triple(_)) && !matches!(pattern.object, TermPattern::Triple(_))
}

//! Blank nodes are local to the document or request that names them. Here they get new names.

use oxrdf::{BlankNode, GraphName, NamedOrBlankNode, Quad, Term};
use std::hash::{BuildHasher, RandomState};

/// The names of one document's blank nodes. A label gets the same name in the whole document and in every thread, and
/// another name in another document. A name is 128 bits of two hashes with random keys, so names of two labels are
/// equal as rarely as two random numbers of 128 bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    high: RandomState,
    low: RandomState,
}

impl Scope {
    fn name(&self, node: &BlankNode) -> BlankNode {
        let bits = |state: &RandomState| u128::from(state.hash_one(node.as_str()));
        // The first digit is a letter, because RDF/XML requires it.
        BlankNode::new_from_unique_id(bits(&self.high) << 64 | bits(&self.low) | 0xa << 124)
    }

    pub(crate) fn rename(&self, quad: &mut Quad) {
        self.rename_subject(&mut quad.subject);
        self.rename_term(&mut quad.object);
        if let GraphName::BlankNode(node) = &mut quad.graph_name {
            *node = self.name(node);
        }
    }

    pub(crate) fn rename_term(&self, term: &mut Term) {
        match term {
            Term::BlankNode(node) => *node = self.name(node),
            Term::Triple(triple) => {
                self.rename_subject(&mut triple.subject);
                self.rename_term(&mut triple.object);
            }
            Term::NamedNode(_) | Term::Literal(_) => {}
        }
    }

    pub(crate) fn rename_subject(&self, subject: &mut NamedOrBlankNode) {
        if let NamedOrBlankNode::BlankNode(node) = subject {
            *node = self.name(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxrdf::{NamedNode, Triple};

    #[test]
    fn a_label_is_one_node_in_its_document_and_another_elsewhere() {
        let p = NamedNode::new_unchecked("urn:p");
        let b = |label: &str| BlankNode::new_unchecked(label);
        let quad = Quad::new(b("a"), p.clone(), Triple::new(b("a"), p, b("b")), b("a"));
        let (scope, other) = (Scope::default(), Scope::default());
        let (mut here, mut again, mut there) = (quad.clone(), quad.clone(), quad);
        scope.rename(&mut here);
        scope.clone().rename(&mut again);
        other.rename(&mut there);
        assert_eq!(here, again);
        assert_ne!(here.subject, there.subject);
        let Term::Triple(triple) = &here.object else { panic!() };
        assert_eq!(triple.subject, here.subject, "the same label");
        assert_ne!(triple.object, Term::from(b("b")));
        assert_eq!(here.graph_name, GraphName::from(here.subject.clone()));
        assert!(
            here.subject.to_string().starts_with(['_'])
                && here.subject.to_string()[2..].starts_with(|c: char| c.is_ascii_lowercase())
        );
    }
}

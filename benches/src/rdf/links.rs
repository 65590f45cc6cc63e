//! Nodes that link to each other.

use std::fmt::Write;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// The namespace of the nodes and their properties.
pub const LINKS: &str = "http://links.example/";

/// `nodes` nodes as N-Triples, with five triples for each: the next node, one of ten types, a number, a name, and a
/// link to a random node. There is also a ring of 1,500 nodes, or of `nodes` nodes if that is fewer. The same seed
/// gives the same text, byte for byte.
pub fn links(nodes: usize, seed: u64) -> String {
    let (mut rng, mut text) = (SmallRng::seed_from_u64(seed), String::new());
    let mut add = |subject: &str, predicate: &str, object: &str| {
        writeln!(text, "<{LINKS}{subject}> <{LINKS}{predicate}> {object} .")
            .expect("strings take all writes");
    };
    let node = |name: &str, number: usize| format!("<{LINKS}{name}{number}>");
    for number in 0..nodes {
        let subject = format!("n{number}");
        let value = format!("\"{}\"^^<http://www.w3.org/2001/XMLSchema#integer>", number * 7919 % nodes);
        add(&subject, "next", &node("n", number + 1));
        add(&subject, "type", &node("T", number % 10));
        add(&subject, "val", &value);
        add(&subject, "name", &format!("\"name number {} of item\"", number * 31 % nodes));
        add(&subject, "link", &node("n", rng.random_range(0..nodes)));
    }
    let length = nodes.min(1500);
    for number in 0..length {
        add(&format!("r{number}"), "ring", &node("r", (number + 1) % length));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_five_triples_each_and_repeat() {
        let text = links(2_000, 1);
        assert_eq!(text.lines().count(), 5 * 2_000 + 1_500);
        assert_eq!(text, links(2_000, 1));
    }
}

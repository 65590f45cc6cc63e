//! The transitive closure of a relation.

use super::closure::Set;
use super::meter::Kept;
use crate::terms::term::TermId;
use std::collections::HashMap;

/// A relation between numbers, indexed by the start.
struct Links {
    /// Where the ends of each number begin.
    begins: Vec<usize>,
    ends: Vec<usize>,
}

impl Links {
    fn new(nodes: usize, pairs: impl Iterator<Item = (usize, usize)> + Clone) -> Self {
        let mut begins = vec![0; nodes + 1];
        for (from, _) in pairs.clone() {
            begins[from + 1] += 1;
        }
        for node in 0..nodes {
            begins[node + 1] += begins[node];
        }
        let mut free = begins.clone();
        let mut ends = vec![0; begins[nodes]];
        for (from, to) in pairs {
            ends[free[from]] = to;
            free[from] += 1;
        }
        Self { begins, ends }
    }

    fn of(&self, node: usize) -> &[usize] {
        &self.ends[self.begins[node]..self.begins[node + 1]]
    }

    /// The nodes that are reached from a node by one or more steps through nodes for which `fits` holds. The node
    /// itself is included if it is on a cycle.
    fn reached(&self, node: usize, found: &mut Marks, fits: impl Fn(usize) -> bool) -> Vec<usize> {
        found.clear();
        let (mut reached, mut next) = (Vec::new(), 0);
        let mut node = Some(node);
        while let Some(from) = node {
            for to in self.of(from) {
                if fits(*to) && found.add(*to) {
                    reached.push(*to);
                }
            }
            node = reached.get(next).copied();
            next += 1;
        }
        reached
    }
}

/// A set of numbers that is cleared in constant time.
struct Marks {
    rounds: Vec<usize>,
    round: usize,
}

impl Marks {
    fn new(numbers: usize) -> Self {
        Self { rounds: vec![0; numbers], round: 0 }
    }

    fn clear(&mut self) {
        self.round += 1;
    }

    fn contains(&self, number: usize) -> bool {
        self.rounds[number] == self.round
    }

    /// Adds a number. Returns whether it is new.
    fn add(&mut self, number: usize) -> bool {
        std::mem::replace(&mut self.rounds[number], self.round) != self.round
    }
}

/// All pairs of nodes that one or more steps connect, or zero or more. Nodes on one cycle reach the same nodes, so
/// they are searched only once.
pub(super) struct AllPairs {
    nodes: Vec<TermId>,
    along: Links,
    against: Links,
    or_none: bool,
    found: Marks,
    found_back: Marks,
    done: Vec<bool>,
    next: usize,
    /// Nodes that reach the same nodes.
    from: Vec<usize>,
    /// The nodes that they reach.
    to: Vec<usize>,
    /// The positions of the next pair in `from` and `to`.
    place: (usize, usize),
    _kept: Kept,
}

impl AllPairs {
    /// The pairs of a relation, and the pair of each of these nodes with itself. The memory for both is counted.
    pub(super) fn new(steps: Vec<(TermId, TermId)>, with: Set, kept: Kept) -> Self {
        let or_none = !with.is_empty();
        let mut nodes: Vec<_> = with.into_iter().collect();
        let mut numbers: HashMap<TermId, usize, ahash::RandomState> =
            nodes.iter().copied().enumerate().map(|(number, node)| (node, number)).collect();
        let mut number = |node| {
            *numbers.entry(node).or_insert_with(|| {
                nodes.push(node);
                nodes.len() - 1
            })
        };
        let pairs: Vec<_> = steps.into_iter().map(|(from, to)| (number(from), number(to))).collect();
        let along = Links::new(nodes.len(), pairs.iter().copied());
        let against = Links::new(nodes.len(), pairs.iter().map(|(from, to)| (*to, *from)));
        Self {
            along,
            against,
            or_none,
            found: Marks::new(nodes.len()),
            found_back: Marks::new(nodes.len()),
            done: vec![false; nodes.len()],
            nodes,
            next: 0,
            from: Vec::new(),
            to: Vec::new(),
            place: (0, 0),
            _kept: kept,
        }
    }

    /// Moves to the next nodes. Returns `false` after the last.
    fn advance(&mut self) -> bool {
        while self.done.get(self.next) == Some(&true) {
            self.next += 1;
        }
        if self.next == self.nodes.len() {
            return false;
        }
        let node = self.next;
        self.to = self.along.reached(node, &mut self.found, |_| true);
        self.from = if self.found.contains(node) {
            self.against.reached(node, &mut self.found_back, |other| self.found.contains(other))
        } else {
            if self.or_none {
                self.to.push(node);
            }
            vec![node]
        };
        self.from.iter().for_each(|from| self.done[*from] = true);
        self.place = (0, 0);
        true
    }
}

impl Iterator for AllPairs {
    type Item = (TermId, TermId);

    fn next(&mut self) -> Option<(TermId, TermId)> {
        loop {
            let (from, to) = self.place;
            match (self.from.get(from), self.to.get(to)) {
                (Some(from), Some(to)) => {
                    self.place.1 += 1;
                    return Some((self.nodes[*from], self.nodes[*to]));
                }
                (Some(_), None) if !self.to.is_empty() => self.place = (from + 1, 0),
                _ => {
                    if !self.advance() {
                        return None;
                    }
                }
            }
        }
    }
}

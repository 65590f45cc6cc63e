//! The order of a join.
//!
//! A basic graph pattern, or a join of such patterns with others, becomes a chain of lateral joins. This is the same
//! join in an order that the optimizer keeps. Each step takes the pattern with the lowest estimate of rows for each
//! row so far. A pattern that can't be looked up row by row is evaluated once and joined by a hash table.

use super::Planner;
use super::estimate::Expected;
use super::names::{Names, is_flat, names};
use super::variables::{Scope, fits};
use spargebra::algebra::GraphPattern;
use spargebra::term::TriplePattern;

/// The most rows for each of which a small unconnected pattern is looked up again.
const FEW: f64 = 64.0;
/// The most values that are compared one by one with each row.
const FEW_VALUES: usize = 8;

/// A pattern in a join that is not a join itself.
#[derive(Clone, Copy)]
pub(super) enum Leaf<'p> {
    Triple(&'p TriplePattern),
    Other(&'p GraphPattern),
}

/// The patterns that a pattern joins.
pub(super) fn leaves(pattern: &GraphPattern) -> Vec<Leaf<'_>> {
    let (mut leaves, mut rest) = (Vec::new(), vec![pattern]);
    while let Some(pattern) = rest.pop() {
        match pattern {
            GraphPattern::Join { left, right } => rest.extend([&**right, &**left]),
            GraphPattern::Bgp { patterns } if !patterns.is_empty() && patterns.iter().all(is_flat) => {
                leaves.extend(patterns.iter().map(Leaf::Triple));
            }
            other => leaves.push(Leaf::Other(other)),
        }
    }
    leaves
}

/// A leaf, its variables, and its estimate.
pub(super) enum Part<'p> {
    Triple { names: [Option<String>; 3], expected: Expected },
    Other { pattern: &'p GraphPattern, names: Names },
}

/// A step of a join: the number of the leaf, whether it begins a chain that shares no variable with those before it,
/// and the estimated rows after it.
pub(super) struct Step {
    leaf: usize,
    begins: bool,
    pub(super) rows: f64,
}

impl Step {
    /// Whether a chain begins with this leaf.
    pub(super) fn begins_with(&self, leaf: usize) -> bool {
        self.begins && self.leaf == leaf
    }
}

impl<'p> Part<'p> {
    pub(super) fn new(leaf: Leaf<'p>, expected: impl FnOnce(&TriplePattern) -> Expected) -> Self {
        match leaf {
            Leaf::Triple(pattern) => Self::Triple { names: names(pattern), expected: expected(pattern) },
            Leaf::Other(pattern) => Self::Other { pattern, names: Scope::of(pattern).all },
        }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        let (of_triple, of_other): (&[Option<String>], Option<&Names>) = match self {
            Self::Triple { names, .. } => (names, None),
            Self::Other { names, .. } => (&[], Some(names)),
        };
        of_triple.iter().flatten().chain(of_other.into_iter().flatten())
    }

    /// Whether it shares a variable with the bound ones, or has no variables.
    fn is_connected(&self, bound: &Names) -> bool {
        let mut names = self.names().peekable();
        names.peek().is_none() || names.any(|name| bound.contains(name))
    }
}

impl Planner<'_> {
    /// The order in which to join the parts if these variables are bound.
    pub(super) fn order(&self, parts: &[Part<'_>], bound: &Names) -> Vec<Step> {
        let rows_per_row = |part: &Part<'_>, bound: &Names| match part {
            Part::Triple { names, expected } => expected.rows_per_row(names, bound),
            Part::Other { pattern, .. } => self.rows_per_row(pattern, bound),
        };
        let mut bound = bound.clone();
        let mut costs: Vec<_> = parts.iter().map(|part| rows_per_row(part, &bound)).collect();
        let (mut rest, mut steps): (Vec<usize>, Vec<Step>) = ((0..parts.len()).collect(), Vec::new());
        let (mut begins, mut rows, mut before) = (true, 1.0, 1.0);
        while !rest.is_empty() {
            let cheapest = |connected: bool| {
                let able = (0..rest.len()).filter(|n| !connected || parts[rest[*n]].is_connected(&bound));
                able.min_by(|a, b| costs[rest[*a]].total_cmp(&costs[rest[*b]]))
            };
            // A pattern that shares no variable with the chain is added to it if both have few rows. The patterns of
            // a constant subject are of this kind.
            let next = cheapest(true).filter(|_| !begins).or_else(|| {
                cheapest(false).filter(|next: &usize| begins || f64::max(rows, costs[rest[*next]]) <= FEW)
            });
            let Some(next) = next else {
                (begins, before, rows) = (true, before * rows, 1.0);
                continue;
            };
            let leaf = rest.swap_remove(next);
            rows *= costs[leaf];
            steps.push(Step { leaf, begins, rows: before * rows });
            begins = false;
            let is_new: Vec<_> = parts[leaf].names().filter(|name| !bound.contains(*name)).cloned().collect();
            bound.extend(is_new.iter().cloned());
            for part in &rest {
                if parts[*part].names().any(|name| is_new.contains(name)) {
                    costs[*part] = rows_per_row(&parts[*part], &bound);
                }
            }
        }
        steps
    }

    /// The parts of a pattern, joined in the planned order.
    pub(super) fn join(&self, pattern: &GraphPattern, bound: &Names) -> GraphPattern {
        let leaves = leaves(pattern);
        let parts: Vec<_> = leaves.iter().map(|leaf| self.part(*leaf)).collect();
        let has_others = leaves.iter().any(|leaf| matches!(leaf, Leaf::Other(_)));
        let (mut whole, mut chain): (Option<GraphPattern>, Vec<GraphPattern>) = (None, Vec::new());
        // The variables that the rows bind, and those that the chain has added.
        let (mut bound, outer, mut added, mut rows) = (bound.clone(), bound, Names::default(), 1.0);
        let mut before = 1.0;
        for step in self.order(&parts, &bound) {
            if step.begins {
                before = f64::max(rows, f64::MIN_POSITIVE);
                whole = joined(whole, close(std::mem::take(&mut chain)));
                added.clear();
            }
            match leaves[step.leaf] {
                Leaf::Triple(pattern) => {
                    self.estimate(pattern, step.rows / before);
                    chain.push(GraphPattern::Bgp { patterns: vec![pattern.clone()] });
                }
                Leaf::Other(pattern) => {
                    let mut pattern = pattern.clone();
                    let row_by_row = chain.is_empty() || fits(&pattern, &added);
                    if row_by_row {
                        self.each_time(|| rows / before).visit(&mut pattern, &bound);
                    } else {
                        self.visit(&mut pattern, outer);
                    }
                    // Otherwise many values would be compared one by one with each row.
                    let is_table = matches!(&pattern, GraphPattern::Values { bindings, .. }
                        if !chain.is_empty() && bindings.len() > FEW_VALUES && !self.in_exists);
                    if row_by_row && !is_table {
                        chain.push(pattern);
                    } else {
                        // The optimizer may look up either side.
                        let names = Scope::of(&pattern).all;
                        let alone = |left| if fits(&left, &names) { left } else { self.alone(left) };
                        let left = close(chain).map(alone);
                        chain = joined(left, Some(self.alone(pattern))).into_iter().collect();
                    }
                }
            }
            rows = step.rows;
            // Triple patterns don't need to know what is bound.
            if has_others {
                added.extend(parts[step.leaf].names().cloned());
                bound.extend(parts[step.leaf].names().cloned());
            }
        }
        joined(whole, close(chain)).unwrap_or_default()
    }
}

/// The patterns as lateral joins. The optimizer infers the types of the left side of each join again, so short left
/// sides are faster.
fn close(chain: Vec<GraphPattern>) -> Option<GraphPattern> {
    let lateral = |rest: GraphPattern, next: GraphPattern| GraphPattern::Lateral {
        left: next.into(),
        right: rest.into(),
    };
    chain.into_iter().rev().reduce(lateral)
}

fn joined(left: Option<GraphPattern>, right: Option<GraphPattern>) -> Option<GraphPattern> {
    match (left, right) {
        (Some(left), Some(right)) => Some(GraphPattern::Join { left: left.into(), right: right.into() }),
        (left, right) => left.or(right),
    }
}

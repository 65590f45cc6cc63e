//! Queries with a projection.

use super::{Generator, VARIABLES};

impl Generator {
    /// A query with a projection. `dataset` stands before its group.
    pub(crate) fn select(&mut self, depth: usize, dataset: &str) -> String {
        let group = self.group(depth);
        let query = match self.below(9) {
            0 => {
                let (aggregate, variable) = self.aggregate();
                self.keep(&variable);
                format!("SELECT ({aggregate} AS {variable}) {dataset}{{ {group} }}")
            }
            1 => {
                let key = self.one(&["?x", "?y", "?g"]);
                let (aggregate, variable) = self.aggregate();
                let (sample, having) = (self.new_variable('a'), self.having());
                format!(
                    "SELECT {key} ({aggregate} AS {variable}) (SAMPLE({key}) AS {sample}) {dataset}{{ {group} }} GROUP BY {key} {having}"
                )
            }
            2 => {
                let (part, variable) = (self.expression(2), self.unused(&format!("?x {group}"), 'a'));
                self.keep(&variable);
                format!("SELECT ?x ({part} AS {variable}) {dataset}{{ {group} }}")
            }
            3 => format!("SELECT DISTINCT ?x ?y {dataset}{{ {group} }}"),
            4 => {
                let depth = self.below(2);
                let (mut part, key) = (self.expression(depth), self.unused(&format!("?y {group}"), 'a'));
                // The parser alone does not know `GROUP BY (?x AS ?y)`.
                if part.starts_with('?') {
                    part = format!("COALESCE({part})");
                }
                let (aggregate, variable) = self.aggregate();
                let having = self.having();
                self.keep(&key);
                format!(
                    "SELECT {key} ({aggregate} AS {variable}) {dataset}{{ {group} }} GROUP BY ({part} AS {key}) ?y {having}"
                )
            }
            5 => {
                let ((a, _), (b, _)) = (self.aggregate(), self.aggregate());
                let variable = self.new_variable('c');
                format!(
                    "SELECT ?z (COALESCE({a}, STR({b})) AS {variable}) {dataset}{{ {group} }} GROUP BY ?z"
                )
            }
            // Another variable takes the place of one in the group.
            6 => {
                let (from, to) = (self.variable(), self.unused(&group, 'a'));
                format!("SELECT ({from} AS {to}) {dataset}{{ {group} }}")
            }
            // Which rows are kept is open, but not their number.
            7 => {
                let limit = self.one(&["LIMIT 2", "LIMIT 1", "OFFSET 1", "LIMIT 3 OFFSET 1"]);
                let (distinct, variable) = (self.one(&["", "DISTINCT "]), self.new_variable('a'));
                format!(
                    "SELECT (COUNT(*) AS {variable}) {dataset}{{ {{ SELECT {distinct}?x ?z {{ {group} }} {limit} }} }}"
                )
            }
            _ => format!("SELECT ?x ?z ?g {dataset}{{ {group} }}"),
        };
        match self.below(8) {
            0 if !query.contains("COUNT(*)") => format!("{query} ORDER BY ?x"),
            _ => query,
        }
    }

    fn having(&mut self) -> String {
        match self.below(4) {
            0 => {
                let (aggregate, _) = self.aggregate();
                format!("HAVING({aggregate} {} {})", self.one(&["=", ">", "!="]), self.literal())
            }
            1 => "HAVING(COUNT(*) > 1)".to_owned(),
            _ => String::new(),
        }
    }

    /// A variable that a text does not use.
    pub(super) fn unused(&mut self, text: &str, kind: char) -> String {
        let from = self.below(8);
        match VARIABLES.get(from) {
            Some(variable) if !text.contains(variable) => (*variable).to_owned(),
            _ => self.new_variable(kind),
        }
    }

    /// From here on, patterns and expressions may use a computed variable, unless its value has no defined order.
    pub(super) fn keep(&mut self, variable: &str) {
        if !variable.starts_with("?c") {
            self.computed.push(variable.to_owned());
        }
    }
}

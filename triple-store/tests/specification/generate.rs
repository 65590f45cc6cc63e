//! Data, queries and updates, from a seed.

mod expressions;
mod selects;
mod updates;

pub(crate) const PREFIXES: &str = "PREFIX : <urn:> PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>\n";

const LITERALS: [&str; 35] = [
    "1",
    "\"01\"^^xsd:integer",
    "\"+1\"^^xsd:integer",
    "\"1\"^^xsd:int",
    "\"1\"^^xsd:byte",
    "\"2\"^^xsd:long",
    "2",
    "-3",
    "1.0",
    "1.50",
    "1.5",
    "\"01.5\"^^xsd:decimal",
    "\"1\"^^xsd:decimal",
    "1.5e0",
    "\"1.5\"^^xsd:double",
    "\"15E-1\"^^xsd:double",
    "\"-0.0\"^^xsd:double",
    "\"NaN\"^^xsd:double",
    "\"1.5\"^^xsd:float",
    "\"1\"^^xsd:boolean",
    "true",
    "false",
    "\"0\"^^xsd:boolean",
    "\"x\"",
    "\"x\"@en",
    "\"\"",
    "\"abc\"^^xsd:integer",
    "\"yes\"^^xsd:boolean",
    "\"2020-01-01T00:00:00Z\"^^xsd:dateTime",
    "\"2020-01-01T01:00:00+01:00\"^^xsd:dateTime",
    "\"2020-01-01T00:00:00.000Z\"^^xsd:dateTime",
    "\"2020-01-01Z\"^^xsd:date",
    "\"2020-01-01+00:00\"^^xsd:date",
    "\"u\"^^:datatype",
    "\" 7 \"",
];

const VARIABLES: [&str; 4] = ["?x", "?y", "?z", "?w"];

/// Generates text from the numbers of a xorshift generator.
pub(crate) struct Generator {
    state: u64,
    /// Variables made so far, each of which is bound in one place.
    fresh: usize,
    computed: Vec<String>,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, fresh: 0, computed: Vec::new() }
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as usize % n
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn literal(&mut self) -> String {
        self.one(&LITERALS).to_owned()
    }

    fn node(&mut self) -> String {
        self.one(&[":a", ":b", ":c", ":d"]).to_owned()
    }

    fn predicate(&mut self) -> String {
        self.one(&[":p", ":q", ":r"]).to_owned()
    }

    fn object(&mut self) -> String {
        if self.below(5) < 2 { self.literal() } else { self.node() }
    }

    fn triple_of_data(&mut self) -> String {
        format!("{} {} {} . ", self.node(), self.predicate(), self.object())
    }

    /// A triple with a blank node or the name of a graph.
    fn special_triple(&mut self) -> String {
        let node = self.one(&["_:m", ":g"]);
        match self.below(2) {
            0 => format!("{node} {} {} . ", self.predicate(), self.object()),
            _ => format!("{} {} {node} . ", self.node(), self.predicate()),
        }
    }

    /// A document in `TriG`.
    pub(crate) fn data(&mut self) -> String {
        let mut text = PREFIXES.to_owned();
        for graph in ["", ":g", ":h"] {
            let mut triples: String = (0..6 + self.below(8)).map(|_| self.triple_of_data()).collect();
            if self.below(3) == 0 {
                triples += &self.special_triple();
            }
            text.extend([graph, " { ", &triples, " }\n"]);
        }
        text
    }

    fn variable(&mut self) -> String {
        self.one(&VARIABLES).to_owned()
    }

    fn new_variable(&mut self, kind: char) -> String {
        self.fresh += 1;
        format!("?{kind}{}", self.fresh)
    }

    fn graph(&mut self) -> String {
        self.one(&["?g", "?g", "?h", "?x", ":g", ":h", ":none"]).to_owned()
    }

    fn end(&mut self, node: bool) -> String {
        match self.below(16) {
            0 => format!("_:b{}", self.fresh),
            1 => self.node(),
            2 if !node => self.literal(),
            2 => ":nothere".to_owned(),
            3 | 4 => self.computed.last().cloned().unwrap_or_else(|| self.variable()),
            _ => self.variable(),
        }
    }

    fn path(&mut self, depth: usize) -> String {
        let inner = |own: &mut Self| own.path(depth - 1);
        match self.below(if depth == 0 { 2 } else { 9 }) {
            0 | 1 => self.predicate(),
            2 => format!("^({})", inner(self)),
            3 => format!("({}/{})", inner(self), inner(self)),
            4 => format!("({}|{})", inner(self), inner(self)),
            5 => format!("({})*", inner(self)),
            6 => format!("({})+", inner(self)),
            7 => format!("({})?", inner(self)),
            _ => self.one(&["!:p", "!(:p|:q)", "!(:p|^:q)", "!(^:r)"]).to_owned(),
        }
    }

    fn triple(&mut self) -> String {
        let predicate = match self.below(12) {
            0 => self.variable(),
            1..4 => self.path(2),
            _ => self.predicate(),
        };
        let (from, to) = match self.below(3) {
            0 => (self.end(true), self.end(false)),
            1 => (self.variable(), self.end(false)),
            // Two different variables.
            _ => self.one_pair(),
        };
        format!("{from} {predicate} {to} . ")
    }

    fn one_pair(&mut self) -> (String, String) {
        let from = self.below(4);
        let to = (from + 1 + self.below(3)) % 4;
        (VARIABLES[from].to_owned(), VARIABLES[to].to_owned())
    }

    fn exists(&mut self) -> String {
        let not = self.one(&["", "NOT "]);
        let triple = |own: &mut Self| {
            let predicate = if own.below(8) == 0 { own.path(2) } else { own.predicate() };
            format!("{} {predicate} {}", own.variable(), own.end(false))
        };
        self.fresh += 1;
        let triples: Vec<_> = (0..=self.below(2)).map(|_| triple(self)).collect();
        let filter = match self.below(3) {
            0 => format!("FILTER({})", self.expression(1)),
            1 => {
                let operator = self.one(&["=", "<", "<=", ">", ">="]);
                format!("FILTER({} {operator} {})", self.variable(), self.variable())
            }
            _ => String::new(),
        };
        // In these parts, an expression may use a variable of the outer row before the pattern binds the variable.
        let [a, b] = [(); 2].map(|()| {
            self.fresh += 1;
            triple(self)
        });
        let part = match self.below(8) {
            0 => format!("OPTIONAL {{ {a} . {b} }}"),
            1 => format!("OPTIONAL {{ {a} }} FILTER(!BOUND({}))", self.variable()),
            2 => format!("{{ {a} }} UNION {{ {b} FILTER({}) }}", self.expression(1)),
            3 => format!("{{ {a} FILTER({}) }}", self.expression(1)),
            4 => format!("FILTER EXISTS {{ {a} FILTER({}) }}", self.expression(1)),
            5 => format!("{a} BIND({} AS {})", self.expression(1), self.new_variable('e')),
            6 => format!("GRAPH {} {{ {a} }}", self.graph()),
            _ => String::new(),
        };
        format!("FILTER {not}EXISTS {{ {} . {part} {filter} }}", triples.join(" . "))
    }

    pub(crate) fn group(&mut self, depth: usize) -> String {
        let mut text = String::new();
        // Most groups begin with a pattern that has matches.
        if self.below(4) > 0 {
            let (from, to) = self.one_pair();
            text = format!("{from} {} {to} . ", self.predicate());
        }
        for _ in 0..=self.below(2) {
            let element = self.element(depth, &text);
            text.extend([element.as_str(), " "]);
        }
        text
    }

    /// An element of a group. `before` are the elements before it.
    fn element(&mut self, depth: usize, before: &str) -> String {
        match self.below(if depth == 0 { 13 } else { 24 }) {
            0..4 => {
                // A blank node is a variable of these triples only.
                self.fresh += 1;
                (0..=self.below(2)).map(|_| self.triple()).collect()
            }
            4 => format!("FILTER({})", self.expression(2)),
            5 => self.exists(),
            6 | 7 => {
                let depth = self.below(3);
                let (part, variable) = (self.expression(depth), self.unused(before, 'b'));
                self.keep(&variable);
                format!("BIND({part} AS {variable})")
            }
            8 | 9 => self.values(),
            10 | 11 => format!("FILTER({})", self.condition()),
            12 => {
                self.fresh += 1;
                format!("OPTIONAL {{ {} }} FILTER(!BOUND({}))", self.triple(), self.variable())
            }
            13..16 => format!("OPTIONAL {{ {} }}", self.group(depth - 1)),
            16 => format!("{{ {} }} UNION {{ {} }}", self.group(depth - 1), self.group(depth - 1)),
            17 => format!("MINUS {{ {} }}", self.group(depth - 1)),
            18..21 => format!("GRAPH {} {{ {} }}", self.graph(), self.group(depth - 1)),
            _ => format!("{{ {} }}", self.select(depth - 1, "")),
        }
    }

    fn values(&mut self) -> String {
        match self.below(3) {
            0 => {
                let (a, b) = (self.one(&["?x", "?y"]), self.one(&["?z", "?g"]));
                format!(
                    "VALUES ({a} {b}) {{ ({} UNDEF) (UNDEF {}) (UNDEF UNDEF) }}",
                    self.node(),
                    self.object()
                )
            }
            // The same term may stand there twice.
            1 => {
                let variable = self.variable();
                format!("VALUES {variable} {{ {} {} :nothere {} }}", self.node(), self.object(), self.node())
            }
            _ => {
                let (a, b) = self.one_pair();
                format!(
                    "VALUES ({a} {b}) {{ ({} {}) ({} {}) }}",
                    self.node(),
                    self.object(),
                    self.node(),
                    self.object()
                )
            }
        }
    }

    /// A query, whose results are compared.
    pub(crate) fn query(&mut self) -> String {
        let depth = self.below(3);
        let dataset = match self.below(10) {
            0 => "FROM :g FROM NAMED :h ",
            1 => self.one(&["FROM :g ", "FROM :g FROM :h ", "FROM NAMED :g "]),
            _ => "",
        };
        let query = match self.below(3) {
            0 => format!("SELECT * {dataset}{{ {} }}", self.group(depth)),
            _ => self.select(depth, dataset),
        };
        format!("{PREFIXES}{query}")
    }
}

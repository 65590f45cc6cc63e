//! Data, queries and updates, from a seed.

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

    /// A document in `TriG`.
    pub(crate) fn data(&mut self) -> String {
        let mut text = PREFIXES.to_owned();
        for graph in ["", ":g", ":h"] {
            let triples: String = (0..6 + self.below(8)).map(|_| self.triple_of_data()).collect();
            text.extend([graph, " { ", &triples, " }\n"]);
        }
        text
    }

    fn variable(&mut self) -> String {
        self.one(&["?x", "?y", "?z", "?w"]).to_owned()
    }

    fn new_variable(&mut self, kind: char) -> String {
        self.fresh += 1;
        format!("?{kind}{}", self.fresh)
    }

    fn graph(&mut self) -> String {
        self.one(&["?g", "?g", "?h", ":g", ":h", ":none"]).to_owned()
    }

    fn end(&mut self, node: bool) -> String {
        match self.below(16) {
            0 => format!("_:b{}", self.fresh),
            1 => self.node(),
            2 if !node => self.literal(),
            2 => ":nothere".to_owned(),
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
        let variables = ["?x", "?y", "?z", "?w"];
        let from = self.below(4);
        let to = (from + 1 + self.below(3)) % 4;
        (variables[from].to_owned(), variables[to].to_owned())
    }

    pub(crate) fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.below(10) {
                0..3 => self.literal(),
                3 => self.node(),
                4 if !self.computed.is_empty() => {
                    let at = self.below(self.computed.len());
                    self.computed[at].clone()
                }
                _ => self.variable(),
            };
        }
        let part = |own: &mut Self| own.expression(depth - 1);
        let pair = |own: &mut Self| (part(own), part(own));
        match self.below(24) {
            0..2 => part(self),
            2..4 => {
                let operator = self.one(&["+", "-", "*", "/"]);
                let (a, b) = pair(self);
                format!("({a} {operator} {b})")
            }
            4..8 => {
                let operator = self.one(&["=", "!=", "<", "<=", ">", ">="]);
                let (a, b) = pair(self);
                format!("({a} {operator} {b})")
            }
            8 => {
                let operator = self.one(&["&&", "||"]);
                let (a, b) = pair(self);
                format!("({a} {operator} {b})")
            }
            9 => format!("(!{})", part(self)),
            10 => format!("IF({}, {}, {})", part(self), part(self), part(self)),
            11 => format!("COALESCE({}, {})", part(self), part(self)),
            12 => format!("BOUND({})", self.variable()),
            13 => {
                let operator = self.one(&["IN", "NOT IN"]);
                format!("({} {operator} ({}, {}))", part(self), part(self), part(self))
            }
            14 => format!("sameTerm({}, {})", part(self), part(self)),
            15 | 16 => format!("STR({})", part(self)),
            17 => format!("DATATYPE({})", part(self)),
            18 => {
                let function = self.one(&["LANG", "isIRI", "isBLANK", "isLITERAL", "isNUMERIC"]);
                format!("{function}({})", part(self))
            }
            19 => {
                let function = self.one(&["ABS", "CEIL", "STRLEN", "UCASE"]);
                format!("{function}({})", part(self))
            }
            20 => {
                let function = self.one(&["CONCAT", "CONTAINS", "STRSTARTS"]);
                format!("{function}({}, {})", part(self), part(self))
            }
            21 => {
                let cast = self.one(&["integer", "decimal", "double", "boolean", "string"]);
                format!("xsd:{cast}({})", part(self))
            }
            22 => {
                let datatype = self.one(&["integer", "decimal", "boolean", "int"]);
                format!("STRDT(STR({}), xsd:{datatype})", part(self))
            }
            _ => format!("STRLANG(STR({}), 'en')", part(self)),
        }
    }

    /// An aggregate, and a variable for its value.
    fn aggregate(&mut self) -> (String, String) {
        let distinct = self.one(&["", "", "DISTINCT "]);
        match self.below(8) {
            0 => (format!("COUNT({distinct}*)"), self.new_variable('a')),
            1 => {
                let part = self.expression(0);
                (format!("GROUP_CONCAT({distinct}{part}; SEPARATOR='|')"), self.new_variable('c'))
            }
            _ => {
                let function = self.one(&["COUNT", "SUM", "AVG", "MIN", "MAX", "MIN", "MAX"]);
                let depth = self.below(2);
                let part = self.expression(depth);
                (format!("{function}({distinct}{part})"), self.new_variable('a'))
            }
        }
    }

    /// A query with a projection. Its own variables are new.
    pub(crate) fn select(&mut self, depth: usize) -> String {
        let group = self.group(depth);
        match self.below(5) {
            0 => {
                let (aggregate, variable) = self.aggregate();
                format!("SELECT ({aggregate} AS {variable}) {{ {group} }}")
            }
            1 => {
                let key = self.one(&["?x", "?y", "?g"]);
                let (aggregate, variable) = self.aggregate();
                let sample = self.new_variable('a');
                format!(
                    "SELECT {key} ({aggregate} AS {variable}) (SAMPLE({key}) AS {sample}) {{ {group} }} GROUP BY {key}"
                )
            }
            2 => {
                let (part, variable) = (self.expression(2), self.new_variable('a'));
                format!("SELECT ?x ({part} AS {variable}) {{ {group} }}")
            }
            3 => format!("SELECT DISTINCT ?x ?y {{ {group} }}"),
            _ => format!("SELECT ?x ?z ?g {{ {group} }}"),
        }
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
            _ => String::new(),
        };
        format!("FILTER {not}EXISTS {{ {} . {part} {filter} }}", triples.join(" . "))
    }

    pub(crate) fn group(&mut self, depth: usize) -> String {
        let mut elements: Vec<_> = (0..=self.below(2)).map(|_| self.element(depth)).collect();
        // Most groups begin with a pattern that has matches.
        if self.below(4) > 0 {
            let (from, to) = self.one_pair();
            elements.insert(0, format!("{from} {} {to} . ", self.predicate()));
        }
        elements.join(" ")
    }

    fn element(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 9 } else { 20 }) {
            0..4 => {
                // A blank node is a variable of these triples only.
                self.fresh += 1;
                (0..=self.below(2)).map(|_| self.triple()).collect()
            }
            4 => format!("FILTER({})", self.expression(2)),
            5 => self.exists(),
            6 | 7 => {
                let (part, variable) = (self.expression(2), self.new_variable('b'));
                self.computed.push(variable.clone());
                format!("BIND({part} AS {variable})")
            }
            8 => {
                let (a, b) = (self.one(&["?x", "?y"]), self.one(&["?z", "?g"]));
                format!(
                    "VALUES ({a} {b}) {{ ({} UNDEF) (UNDEF {}) (UNDEF UNDEF) }}",
                    self.node(),
                    self.object()
                )
            }
            9..12 => format!("OPTIONAL {{ {} }}", self.group(depth - 1)),
            12 => format!("{{ {} }} UNION {{ {} }}", self.group(depth - 1), self.group(depth - 1)),
            13 => format!("MINUS {{ {} }}", self.group(depth - 1)),
            14..17 => format!("GRAPH {} {{ {} }}", self.graph(), self.group(depth - 1)),
            _ => format!("{{ {} }}", self.select(depth - 1)),
        }
    }

    /// A query, whose results are compared.
    pub(crate) fn query(&mut self) -> String {
        let depth = self.below(3);
        let query = match self.below(3) {
            0 => format!("SELECT * {{ {} }}", self.group(depth)),
            _ => self.select(depth),
        };
        format!("{PREFIXES}{query}")
    }

    fn template(&mut self) -> String {
        let subject = if self.below(2) == 0 { self.variable() } else { self.node() };
        let computed = self.computed.last().cloned();
        let object = match self.below(4) {
            0 => self.object(),
            1 | 2 if computed.is_some() => computed.unwrap_or_default(),
            _ => self.variable(),
        };
        let triple = format!("{subject} {} {object} . ", self.predicate());
        match self.below(3) {
            0 => format!("GRAPH {} {{ {triple} }}", self.one(&[":g", ":h", "?g"])),
            _ => triple,
        }
    }

    /// A request of some operations.
    pub(crate) fn update(&mut self) -> String {
        let operation = |own: &mut Self| match own.below(8) {
            0 => format!("INSERT DATA {{ {} }}", own.triple_of_data()),
            1 => format!("DELETE DATA {{ GRAPH :g {{ {} }} }}", own.triple_of_data()),
            2 => {
                let (operation, from, to) = (
                    own.one(&["COPY", "MOVE", "ADD"]),
                    own.one(&[":g", ":h", "DEFAULT"]),
                    own.one(&[":g", ":h", "DEFAULT"]),
                );
                format!("{operation} SILENT {from} TO {to}")
            }
            3 => format!("CLEAR {}", own.one(&["SILENT GRAPH :g", "DEFAULT", "NAMED"])),
            _ => {
                let group = own.group(1);
                let (delete, insert) = (own.template(), own.template());
                match own.below(3) {
                    0 => format!("INSERT {{ {insert} }} WHERE {{ {group} }}"),
                    _ => format!("DELETE {{ {delete} }} INSERT {{ {insert} }} WHERE {{ {group} }}"),
                }
            }
        };
        let operations: Vec<_> = (0..=self.below(3)).map(|_| operation(self)).collect();
        format!("{PREFIXES}{}", operations.join(";\n"))
    }
}

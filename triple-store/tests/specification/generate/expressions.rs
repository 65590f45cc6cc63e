//! Expressions, conditions and aggregates.

use super::Generator;

impl Generator {
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
        match self.below(26) {
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
            23 => format!("STRLANG(STR({}), 'en')", part(self)),
            24 => format!("IRI(STR({}))", part(self)),
            _ => format!("IRI(CONCAT('urn:', STR({})))", part(self)),
        }
    }

    /// An aggregate, and a variable for its value.
    pub(super) fn aggregate(&mut self) -> (String, String) {
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

    /// A comparison of the forms that the planner knows.
    pub(super) fn condition(&mut self) -> String {
        let (a, b) = self.one_pair();
        match self.below(10) {
            0 | 1 => format!("{a} = {b}"),
            2 => format!("{a} = {}", self.object()),
            3 => format!("{a} != {}", self.object()),
            4 => format!("STR({a}) = STR({b})"),
            5 => format!("sameTerm({a}, {b})"),
            6 => {
                // Long lists are searched in another way than short ones.
                let (operator, length) = (self.one(&["IN", "NOT IN"]), self.below(12));
                let members: Vec<_> = (0..length).map(|_| self.object()).collect();
                format!("{a} {operator} ({})", members.join(", "))
            }
            7 => format!("{a} {} {}", self.one(&["<", ">=", "<=", ">"]), self.literal()),
            8 => format!("{a} = {b} || {a} = {}", self.object()),
            _ => format!("BOUND({a}) && {b} != {}", self.object()),
        }
    }
}

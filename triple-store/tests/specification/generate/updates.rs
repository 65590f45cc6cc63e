//! Updates.

use super::{Generator, PREFIXES};

impl Generator {
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
                let with = own.one(&["", "", "", "WITH :g "]);
                let using = own.one(&["", "", "", "USING :h ", "USING :g USING :h ", "USING NAMED :g "]);
                match own.below(3) {
                    0 => format!("{with}INSERT {{ {insert} }} {using}WHERE {{ {group} }}"),
                    _ => format!(
                        "{with}DELETE {{ {delete} }} INSERT {{ {insert} }} {using}WHERE {{ {group} }}"
                    ),
                }
            }
        };
        let operations: Vec<_> = (0..=self.below(3)).map(|_| operation(self)).collect();
        format!("{PREFIXES}{}", operations.join(";\n"))
    }
}

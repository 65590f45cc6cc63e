//! Rewriting queries so that the evaluator's deviations from the specification have no effect.
//!
//! Expressions are rewritten here, and [paths](super::paths) and [`GRAPH`](super::graphs) in modules of their own. An
//! expression is needed either by its *value*, as an operand, or *exactly*, as a term of a solution. The evaluator is
//! right about values. It is wrong about terms, because it writes values in their canonical form: see
//! [`exact`](super::exact).

use super::custom::{Calls, Custom};
use super::exact::is_canonical;
use super::functions::{self, Used};
use super::operators;
use super::outer::Outer;
use super::paths::Step;
use super::walk::{Part, parts_of_expression, parts_of_pattern};
use oxrdf::vocab::xsd;
use oxrdf::{BlankNode, Literal, NamedNode, Variable};
use spargebra::algebra::{Expression, Function, GraphPattern, OrderExpression};
use std::collections::{HashMap, HashSet};

/// The rules, and what the rewritten query needs.
pub(super) struct Rules<'a> {
    pub(super) used: Used,
    pub(super) calls: Calls<'a>,
    /// The alternatives for which the predicates of [paths](super::paths) stand.
    pub(super) steps: Vec<Vec<Step>>,
    /// Blank nodes that have to become variables.
    pub(super) blanks: HashMap<BlankNode, Variable>,
    /// Variables at the start of paths, and those that `BIND` gives their values. The optimizer assumes that these are
    /// not literals, and so replaces `=` by `sameTerm`.
    pub(super) starts: HashSet<Variable>,
    /// Variables of blank nodes that are different in each solution.
    own_nodes: HashSet<Variable>,
    /// In `EXISTS`, the variables that the outer rows bind.
    pub(super) outer: Outer,
    fresh: usize,
}

impl<'a> Rules<'a> {
    /// Rewrites a pattern, which may call the functions in `custom`.
    pub(super) fn of(pattern: &mut GraphPattern, custom: &'a Custom) -> Self {
        let mut rules = Self {
            used: Used::default(),
            calls: Calls::of(custom),
            steps: Vec::new(),
            blanks: HashMap::new(),
            starts: HashSet::new(),
            own_nodes: HashSet::new(),
            outer: Outer::default(),
            fresh: 0,
        };
        rules.separate(pattern);
        rules.pattern(pattern);
        rules.name_blanks(pattern);
        rules
    }

    /// A variable that no query can name.
    pub(super) fn variable(&mut self) -> Variable {
        self.fresh += 1;
        Variable::new_unchecked(format!(" {}", self.fresh))
    }

    pub(super) fn pattern(&mut self, pattern: &mut GraphPattern) {
        let outer = self.outer.clone();
        if let GraphPattern::Graph { .. } = pattern {
            self.outer = outer.in_another_graph();
        }
        parts_of_pattern(pattern, |part| {
            if let Part::Pattern(part) = part {
                self.pattern(part);
            }
        });
        self.outer = outer.clone();
        self.outer.add_row_of(pattern);
        self.expressions(pattern);
        self.outer = outer;
    }

    fn expressions(&mut self, pattern: &mut GraphPattern) {
        match pattern {
            GraphPattern::Path { .. } => self.path_pattern(pattern),
            GraphPattern::Graph { .. } => self.graph(pattern),
            GraphPattern::Filter { expr, .. } | GraphPattern::LeftJoin { expression: Some(expr), .. } => {
                self.condition(expr);
            }
            GraphPattern::Extend { inner, expression, variable } => {
                self.blank_nodes(expression, inner);
                if self.may_be_start(expression) {
                    self.starts.insert(variable.clone());
                }
                self.term(expression);
            }
            GraphPattern::OrderBy { expression, .. } => {
                for order in expression {
                    let (OrderExpression::Asc(expression) | OrderExpression::Desc(expression)) = order;
                    self.value(expression);
                }
            }
            GraphPattern::Group { inner, aggregates, .. } => {
                for (_, aggregate) in aggregates {
                    self.aggregate(aggregate, inner);
                }
            }
            _ => {}
        }
    }

    /// 17.4.2.9: `BNODE` of a text is the same blank node within a solution, and another one in each other solution. So
    /// its call gets an additional argument, a blank node that is different in each solution.
    fn blank_nodes(&mut self, expression: &mut Expression, inner: &mut GraphPattern) {
        if let Expression::FunctionCall(function @ Function::BNode, arguments) = expression
            && let [_] = arguments[..]
        {
            let own = self.own_node(inner);
            *function = Function::Custom(self.used.name(functions::BNODE));
            arguments.push(own.into());
        }
        parts_of_expression(expression, |part| {
            if let Part::Expression(part) = part {
                self.blank_nodes(part, inner);
            }
        });
    }

    /// The variable of the solution's blank node. It is bound before everything that is computed for the solution.
    fn own_node(&mut self, inner: &mut GraphPattern) -> Variable {
        match inner {
            GraphPattern::Extend { variable, .. } if self.own_nodes.contains(variable) => variable.clone(),
            GraphPattern::Extend { inner, .. } => self.own_node(inner),
            _ => {
                let variable = self.variable();
                self.own_nodes.insert(variable.clone());
                let expression = Expression::FunctionCall(Function::BNode, Vec::new());
                let rows = std::mem::take(inner).into();
                *inner = GraphPattern::Extend { inner: rows, variable: variable.clone(), expression };
                variable
            }
        }
    }

    pub(super) fn call(&mut self, name: &'static str, arguments: Vec<Expression>) -> Expression {
        Expression::FunctionCall(Function::Custom(self.used.name(name)), arguments)
    }

    fn wrap(&mut self, expression: &mut Expression, name: &'static str) {
        let inner = take(expression);
        *expression = self.call(name, vec![inner]);
    }

    /// Rewrites an expression whose boolean value is needed.
    fn condition(&mut self, expression: &mut Expression) {
        match expression {
            Expression::Or(a, b) | Expression::And(a, b) => {
                self.condition(a);
                self.condition(b);
            }
            Expression::Not(a) => self.condition(a),
            _ => {
                let is_boolean = is_boolean(expression);
                self.value(expression);
                if !is_boolean {
                    self.wrap(expression, functions::TRUTH);
                }
            }
        }
    }

    /// Rewrites an expression whose value is needed.
    pub(super) fn value(&mut self, expression: &mut Expression) {
        match expression {
            Expression::Or(..) | Expression::And(..) | Expression::Not(_) => self.condition(expression),
            Expression::If(test, then, other) => {
                self.condition(test);
                self.value(then);
                self.value(other);
            }
            Expression::Exists(pattern) => self.pattern(pattern),
            Expression::SameTerm(a, b) => {
                self.term(a);
                self.term(b);
            }
            Expression::Equal(a, b) => {
                self.operand(a);
                self.operand(b);
            }
            Expression::In(a, list) => {
                self.operand(a);
                for part in list {
                    self.operand(part);
                }
                operators::without_members(expression);
            }
            Expression::Less(..)
            | Expression::LessOrEqual(..)
            | Expression::Greater(..)
            | Expression::GreaterOrEqual(..) => self.comparison(expression),
            Expression::FunctionCall(function, arguments) => {
                let exact = match function {
                    Function::Str => Some((functions::STR_OF, functions::STR)),
                    Function::Datatype => Some((functions::DATATYPE_OF, functions::DATATYPE)),
                    _ => None,
                };
                match exact {
                    Some((of_variable, _)) if matches!(arguments[..], [Expression::Variable(_)]) => {
                        *function = Function::Custom(self.used.name(of_variable));
                    }
                    Some((_, of_any)) if loses_form(&arguments[0]) => {
                        self.exactly(&mut arguments[0]);
                        *function = Function::Custom(self.used.name(of_any));
                    }
                    _ => self.function(expression),
                }
            }
            _ => {
                self.parts(expression);
                operators::as_difference(expression);
            }
        }
    }

    pub(super) fn parts(&mut self, expression: &mut Expression) {
        parts_of_expression(expression, |part| {
            if let Part::Expression(part) = part {
                self.value(part);
            }
        });
    }

    /// Rewrites an operand of `=`.
    fn operand(&mut self, expression: &mut Expression) {
        let is_start = self.may_be_start(expression);
        self.value(expression);
        if is_start {
            self.wrap(expression, functions::PLAIN);
        }
    }

    /// Whether the value may be the start of a path.
    fn may_be_start(&self, expression: &Expression) -> bool {
        match expression {
            Expression::Variable(variable) => self.starts.contains(variable),
            Expression::If(_, then, other) => self.may_be_start(then) || self.may_be_start(other),
            Expression::Coalesce(list) => list.iter().any(|part| self.may_be_start(part)),
            _ => false,
        }
    }

    fn function(&mut self, expression: &mut Expression) {
        let Expression::FunctionCall(function, arguments) = expression else { return };
        let is_custom = matches!(function, Function::Custom(name) if self.calls.has(name));
        for (at, argument) in arguments.iter_mut().enumerate() {
            match function {
                Function::Triple if at == 2 => self.exactly(argument),
                Function::Custom(_) if is_custom => self.exactly(argument),
                _ => self.value(argument),
            }
        }
        match function {
            Function::Object => self.wrap(expression, functions::PLAIN),
            // XPath has back-references, which the evaluator's patterns don't support.
            Function::Regex if may_refer_back(arguments) => {
                *function = Function::Custom(self.used.name(functions::REGEX));
            }
            Function::Concat => *function = Function::Custom(self.used.name(functions::CONCAT)),
            Function::EncodeForUri => self.wrap(expression, functions::ENCODED),
            Function::Replace => *function = Function::Custom(self.used.name(functions::REPLACE)),
            Function::Custom(name) if arguments.len() == 1 && is_cast(name) => {
                if *name == xsd::DECIMAL {
                    *name = self.used.name(functions::DECIMAL);
                } else {
                    self.wrap(&mut arguments[0], functions::TRIM);
                }
            }
            _ => {}
        }
    }

    /// Rewrites an expression whose exact term is needed for a solution. If the expression only passes terms on, the
    /// evaluator keeps them. Otherwise the term is disguised.
    pub(super) fn term(&mut self, expression: &mut Expression) {
        if is_internal(expression) {
            self.conditions(expression);
        } else {
            self.exactly(expression);
        }
    }

    /// Rewrites the conditions of an expression that only passes terms on.
    fn conditions(&mut self, expression: &mut Expression) {
        match expression {
            Expression::If(test, then, other) => {
                self.condition(test);
                self.conditions(then);
                self.conditions(other);
            }
            Expression::Coalesce(list) => {
                for part in list {
                    self.conditions(part);
                }
            }
            _ => {}
        }
    }

    /// Rewrites an expression whose exact term is needed. It is disguised if its value could be another term.
    pub(super) fn exactly(&mut self, expression: &mut Expression) {
        match expression {
            Expression::Variable(_) => self.wrap(expression, functions::KEEP),
            // This is a call, not a disguised literal. If the optimizer can evaluate the other parts of the
            // expression, such as `BOUND`, only a constant is left, and the evaluator would pass on a disguised
            // literal unchanged.
            Expression::Literal(literal) if !is_canonical(literal) => {
                let datatype = literal.datatype().into_owned();
                let text = Literal::new_simple_literal(literal.value());
                *expression = self.call(functions::STRDT, vec![text.into(), datatype.into()]);
            }
            Expression::If(test, then, other) => {
                self.condition(test);
                self.exactly(then);
                self.exactly(other);
            }
            Expression::Coalesce(list) => {
                for part in list {
                    self.exactly(part);
                }
            }
            Expression::FunctionCall(function @ Function::StrDt, arguments) => {
                *function = Function::Custom(self.used.name(functions::STRDT));
                for argument in arguments {
                    self.value(argument);
                }
            }
            Expression::FunctionCall(Function::Custom(name), _) if self.calls.has(name) => {
                let exactly = Calls::exactly(name);
                self.function(expression);
                if let Expression::FunctionCall(function, _) = expression {
                    *function = Function::Custom(exactly);
                }
            }
            // The object is disguised already: see `exact::expression_term`.
            Expression::FunctionCall(Function::Object, arguments) => {
                for argument in arguments {
                    self.value(argument);
                }
            }
            _ => self.value(expression),
        }
    }
}

pub(super) fn take(expression: &mut Expression) -> Expression {
    std::mem::replace(expression, Expression::Coalesce(Vec::new()))
}

/// Whether the evaluator passes terms on unchanged.
pub(super) fn is_internal(expression: &Expression) -> bool {
    match expression {
        Expression::NamedNode(_) | Expression::Literal(_) | Expression::Variable(_) => true,
        Expression::Coalesce(list) => list.iter().all(is_internal),
        Expression::If(_, then, other) => is_internal(then) && is_internal(other),
        _ => false,
    }
}

/// Whether the value of an expression may be a literal that is not in its canonical form.
fn loses_form(expression: &Expression) -> bool {
    match expression {
        Expression::Literal(literal) => !is_canonical(literal),
        Expression::Variable(_)
        | Expression::If(..)
        | Expression::Coalesce(_)
        | Expression::FunctionCall(Function::StrDt | Function::Object, _) => true,
        Expression::FunctionCall(Function::Custom(name), _) => !is_cast(name),
        _ => false,
    }
}

/// Whether the value of an expression is always a boolean or an error.
fn is_boolean(expression: &Expression) -> bool {
    match expression {
        Expression::Or(..)
        | Expression::And(..)
        | Expression::Not(_)
        | Expression::Equal(..)
        | Expression::SameTerm(..)
        | Expression::Less(..)
        | Expression::LessOrEqual(..)
        | Expression::Greater(..)
        | Expression::GreaterOrEqual(..)
        | Expression::In(..)
        | Expression::Exists(_)
        | Expression::Bound(_) => true,
        Expression::FunctionCall(function, _) => matches!(
            function,
            Function::LangMatches
                | Function::StrStarts
                | Function::StrEnds
                | Function::Contains
                | Function::IsIri
                | Function::IsBlank
                | Function::IsLiteral
                | Function::IsNumeric
                | Function::IsTriple
                | Function::HasLang
                | Function::HasLangDir
                | Function::Regex
        ),
        _ => false,
    }
}

/// Whether the pattern of a `REGEX` may have a back-reference.
fn may_refer_back(arguments: &[Expression]) -> bool {
    match arguments.get(1) {
        Some(Expression::Literal(pattern)) => {
            let bytes = pattern.value().as_bytes();
            bytes.windows(2).any(|pair| pair[0] == b'\\' && matches!(pair[1], b'1'..=b'9'))
        }
        _ => true,
    }
}

/// Whether a function is one of the casts of strings (17.5), which trim their argument.
fn is_cast(name: &NamedNode) -> bool {
    [
        xsd::BOOLEAN,
        xsd::DOUBLE,
        xsd::FLOAT,
        xsd::DECIMAL,
        xsd::INTEGER,
        xsd::DATE_TIME,
        xsd::DATE,
        xsd::TIME,
        xsd::DURATION,
        xsd::YEAR_MONTH_DURATION,
        xsd::DAY_TIME_DURATION,
    ]
    .contains(&name.as_ref())
}

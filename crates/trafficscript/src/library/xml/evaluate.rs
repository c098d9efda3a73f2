//! A query evaluated on a document (3), with every node and byte that is looked at counted against the run of the rule.

use std::{borrow::Cow, cmp::Ordering};

use super::{
    core,
    node::{Place, Tree},
    syntax::{Binary, Expr, From, Function, Step},
};
use crate::meter::{Meter, Reached};

/// Bytes that a node which was found counts for.
const NODE: usize = 16;
/// Nodes that are looked at for one instruction: some 20 ns each.
const NODES_PER_INSTRUCTION: u32 = 8;

/// What an expression gives.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nodes, each once, in the order of the document.
    Nodes(Vec<Place>),
    Boolean(bool),
    Number(f64),
    Text(String),
}

/// Why an evaluation has ended without a value.
#[derive(Debug)]
pub(super) enum Fault {
    /// The query asks for something that is not there.
    Query(&'static str),
    /// A limit of the run.
    Limit(Reached),
}

impl std::convert::From<Reached> for Fault {
    fn from(limit: Reached) -> Self {
        Self::Limit(limit)
    }
}

/// A node, and where it is among those that a predicate looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) node: Place,
    pub(super) position: usize,
    pub(super) size: usize,
}

/// Evaluates expressions on one document.
pub(super) struct Evaluation<'d, 'i, 'm> {
    pub(super) tree: Tree<'d, 'i>,
    pub(super) meter: &'m mut Meter,
    looked_at: u32,
}

const NO_NODES: Fault = Fault::Query("it needs nodes where it has a value");

impl<'d, 'i, 'm> Evaluation<'d, 'i, 'm> {
    pub(super) fn new(tree: Tree<'d, 'i>, meter: &'m mut Meter) -> Self {
        Self { tree, meter, looked_at: 0 }
    }

    /// The whole document as context.
    pub(super) fn context(&self) -> Context {
        Context { node: self.tree.root(), position: 1, size: 1 }
    }

    /// What an expression gives in a context.
    pub(super) fn value(&mut self, expr: &Expr<'_>, context: Context) -> Result<Value, Fault> {
        self.meter.step()?;
        Ok(match expr {
            Expr::Number(number) => Value::Number(*number),
            Expr::Literal(text) => Value::Text(self.made(text)?),
            Expr::Path { from, steps } => {
                let start = match from {
                    From::Context => vec![context.node],
                    From::Root => vec![self.tree.root()],
                    From::Expr(expr) => self.nodes(expr, context)?,
                };
                Value::Nodes(self.path(start, steps)?)
            }
            Expr::Filter(expr, predicates) => {
                let mut nodes = self.nodes(expr, context)?;
                for predicate in predicates {
                    nodes = self.filter(nodes, predicate)?;
                }
                Value::Nodes(nodes)
            }
            Expr::Binary(operator, left, right) => self.binary(*operator, left, right, context)?,
            Expr::Negative(expr) => Value::Number(-self.number(expr, context)?),
            Expr::Call(function, arguments) => self.call(*function, arguments, context)?,
        })
    }

    /// The nodes that an expression gives.
    pub(super) fn nodes(&mut self, expr: &Expr<'_>, context: Context) -> Result<Vec<Place>, Fault> {
        match self.value(expr, context)? {
            Value::Nodes(nodes) => Ok(nodes),
            _ => Err(NO_NODES),
        }
    }

    /// What an expression gives, as string.
    pub(super) fn text(&mut self, expr: &Expr<'_>, context: Context) -> Result<String, Fault> {
        let value = self.value(expr, context)?;
        self.text_of(value)
    }

    /// What an expression gives, as number.
    pub(super) fn number(&mut self, expr: &Expr<'_>, context: Context) -> Result<f64, Fault> {
        let value = self.value(expr, context)?;
        self.number_of(value)
    }

    /// A value as string (4.2).
    pub(super) fn text_of(&mut self, value: Value) -> Result<String, Fault> {
        Ok(match value {
            Value::Text(text) => text,
            Value::Number(number) => core::number_text(number),
            Value::Boolean(truth) => truth.to_string(),
            Value::Nodes(nodes) => nodes.first().map_or(Ok(String::new()), |&first| self.text_at(first))?,
        })
    }

    /// A value as number (4.4).
    pub(super) fn number_of(&mut self, value: Value) -> Result<f64, Fault> {
        Ok(match value {
            Value::Number(number) => number,
            Value::Boolean(truth) => f64::from(u8::from(truth)),
            value => core::number(&self.text_of(value)?),
        })
    }

    /// The string-value of a node.
    pub(super) fn text_at(&mut self, place: Place) -> Result<String, Fault> {
        let mut text = String::new();
        let tree = self.tree;
        tree.text(place, |piece| -> Result<(), Fault> {
            self.room(text.len() + piece.len())?;
            self.look()?;
            self.meter.made(piece.len())?;
            text.push_str(piece);
            Ok(())
        })?;
        Ok(text)
    }

    /// A string of its own.
    pub(super) fn made(&mut self, text: &str) -> Result<String, Fault> {
        self.meter.charge(text.len())?;
        Ok(text.to_owned())
    }

    /// Whether a string may be so long.
    pub(super) fn room(&self, length: usize) -> Result<(), Fault> {
        let limit = self.meter.limits().string;
        if length > limit { Err(Reached::String(limit).into()) } else { Ok(()) }
    }

    /// One more node is looked at.
    fn look(&mut self) -> Result<(), Fault> {
        self.looked_at += 1;
        if self.looked_at == NODES_PER_INSTRUCTION {
            self.looked_at = 0;
            self.meter.step()?;
        }
        Ok(())
    }

    /// In the order of the document, each once.
    fn in_order(&mut self, mut nodes: Vec<Place>) -> Result<Vec<Place>, Fault> {
        self.meter.work(nodes.len().saturating_mul(NODE))?;
        nodes.sort_unstable();
        nodes.dedup();
        Ok(nodes)
    }

    fn path(&mut self, mut nodes: Vec<Place>, steps: &[Step<'_>]) -> Result<Vec<Place>, Fault> {
        for step in steps {
            let mut found = Vec::new();
            for &node in &nodes {
                self.step(node, step, &mut found)?;
            }
            nodes = self.in_order(found)?;
        }
        Ok(nodes)
    }

    fn step(&mut self, from: Place, step: &Step<'_>, into: &mut Vec<Place>) -> Result<(), Fault> {
        let mut found = Vec::new();
        let tree = self.tree;
        tree.walk(from, step.axis, |place| -> Result<(), Fault> {
            self.look()?;
            if tree.passes(place, step.axis, step.test) {
                self.meter.made(NODE)?;
                found.push(place);
            }
            Ok(())
        })?;
        for predicate in &step.predicates {
            found = self.filter(found, predicate)?;
        }
        into.append(&mut found);
        Ok(())
    }

    /// Nodes that pass a predicate (2.4). They are in the order of their axis.
    fn filter(&mut self, nodes: Vec<Place>, predicate: &Expr<'_>) -> Result<Vec<Place>, Fault> {
        let size = nodes.len();
        let mut passed = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let context = Context { node, position: index + 1, size };
            let passes = match self.value(predicate, context)? {
                #[expect(
                    clippy::float_cmp,
                    reason = "positions are whole numbers, which doubles hold exactly"
                )]
                Value::Number(number) => number == context.position as f64,
                value => core::truth(&value),
            };
            if passes {
                passed.push(node);
            }
        }
        Ok(passed)
    }

    fn binary(
        &mut self,
        operator: Binary,
        left: &Expr<'_>,
        right: &Expr<'_>,
        context: Context,
    ) -> Result<Value, Fault> {
        Ok(match operator {
            Binary::Or | Binary::And => {
                let left = core::truth(&self.value(left, context)?);
                let decided = left == (operator == Binary::Or);
                Value::Boolean(if decided { left } else { core::truth(&self.value(right, context)?) })
            }
            Binary::Union => {
                let mut nodes = self.nodes(left, context)?;
                nodes.append(&mut self.nodes(right, context)?);
                Value::Nodes(self.in_order(nodes)?)
            }
            Binary::Plus | Binary::Minus | Binary::Times | Binary::Divide | Binary::Modulo => {
                let (left, right) = (self.number(left, context)?, self.number(right, context)?);
                Value::Number(match operator {
                    Binary::Plus => left + right,
                    Binary::Minus => left - right,
                    Binary::Times => left * right,
                    Binary::Divide => left / right,
                    _ => left % right,
                })
            }
            comparison => {
                let (left, right) = (self.value(left, context)?, self.value(right, context)?);
                Value::Boolean(self.compare(comparison, left, right)?)
            }
        })
    }

    /// Compares values (3.4): a set of nodes compares as one of its nodes does.
    fn compare(&mut self, operator: Binary, left: Value, right: Value) -> Result<bool, Fault> {
        match (left, right) {
            (Value::Nodes(nodes), Value::Boolean(truth)) => {
                Ok(simple(operator, &Value::Boolean(!nodes.is_empty()), &Value::Boolean(truth)))
            }
            (Value::Boolean(truth), Value::Nodes(nodes)) => {
                Ok(simple(operator, &Value::Boolean(truth), &Value::Boolean(!nodes.is_empty())))
            }
            (Value::Nodes(left), Value::Nodes(right)) => {
                let right = right
                    .into_iter()
                    .map(|place| self.text_at(place).map(Value::Text))
                    .collect::<Result<Vec<_>, _>>()?;
                for place in left {
                    let text = Value::Text(self.text_at(place)?);
                    for other in &right {
                        self.meter.step()?;
                        if simple(operator, &text, other) {
                            return Ok(true);
                        }
                    }
                }
                Ok(false)
            }
            (Value::Nodes(nodes), other) => {
                for place in nodes {
                    if simple(operator, &Value::Text(self.text_at(place)?), &other) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (other, Value::Nodes(nodes)) => {
                for place in nodes {
                    if simple(operator, &other, &Value::Text(self.text_at(place)?)) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            (left, right) => Ok(simple(operator, &left, &right)),
        }
    }

    fn call(&mut self, function: Function, arguments: &[Expr<'_>], context: Context) -> Result<Value, Fault> {
        // The node that a function is about: the first of an argument, or the context node.
        let about = |this: &mut Self| match arguments.first() {
            None => Ok(Some(context.node)),
            Some(argument) => this.nodes(argument, context).map(|nodes| nodes.first().copied()),
        };
        Ok(match function {
            Function::Last => Value::Number(context.size as f64),
            Function::Position => Value::Number(context.position as f64),
            Function::True => Value::Boolean(true),
            Function::False => Value::Boolean(false),
            Function::LocalName => {
                let name = about(self)?.and_then(|place| self.tree.name(place));
                Value::Text(self.made(name.map_or("", |(_, local)| local))?)
            }
            Function::NamespaceUri => {
                let name = about(self)?.and_then(|place| self.tree.name(place));
                Value::Text(self.made(name.and_then(|(namespace, _)| namespace).unwrap_or_default())?)
            }
            Function::Name => {
                let name = about(self)?.map(|place| self.tree.qualified_name(place)).unwrap_or_default();
                Value::Text(self.made(&name)?)
            }
            Function::Lang => {
                let wanted = self.argument(arguments, 0, context)?;
                let language = self.tree.language(context.node).unwrap_or_default();
                let rest = language
                    .get(..wanted.len())
                    .filter(|start| start.eq_ignore_ascii_case(&wanted))
                    .and_then(|_| language.get(wanted.len()..));
                Value::Boolean(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
            }
            Function::Count | Function::Sum => {
                let argument = arguments.first().ok_or(NO_NODES)?;
                let nodes = self.nodes(argument, context)?;
                if function == Function::Count {
                    return Ok(Value::Number(nodes.len() as f64));
                }
                let mut sum = 0.0;
                for place in nodes {
                    sum += core::number(&self.text_at(place)?);
                }
                Value::Number(sum)
            }
            Function::Boolean | Function::Not => {
                let argument = arguments.first().ok_or(NO_NODES)?;
                let truth = core::truth(&self.value(argument, context)?);
                Value::Boolean(truth == (function == Function::Boolean))
            }
            Function::Number | Function::Floor | Function::Ceiling | Function::Round => {
                let number = match arguments.first() {
                    Some(argument) => self.number(argument, context)?,
                    None => core::number(&self.text_at(context.node)?),
                };
                Value::Number(match function {
                    Function::Floor => number.floor(),
                    Function::Ceiling => number.ceil(),
                    // Halves go up (4.4).
                    Function::Round => (number + 0.5).floor(),
                    _ => number,
                })
            }
            _ => self.of_text(function, arguments, context)?,
        })
    }

    /// The functions of strings.
    fn of_text(
        &mut self,
        function: Function,
        arguments: &[Expr<'_>],
        context: Context,
    ) -> Result<Value, Fault> {
        Ok(match function {
            Function::String | Function::StringLength | Function::NormalizeSpace => {
                let text = match arguments.first() {
                    Some(argument) => self.text(argument, context)?,
                    None => self.text_at(context.node)?,
                };
                self.meter.work(text.len())?;
                match function {
                    Function::StringLength => Value::Number(text.chars().count() as f64),
                    Function::NormalizeSpace => Value::Text(core::normalized(&text)),
                    _ => Value::Text(text),
                }
            }
            Function::Concat => {
                let mut joined = String::new();
                for argument in arguments {
                    let text = self.text(argument, context)?;
                    self.room(joined.len() + text.len())?;
                    self.meter.charge(text.len())?;
                    joined.push_str(&text);
                }
                Value::Text(joined)
            }
            Function::Substring => {
                let text = self.argument(arguments, 0, context)?;
                let from = arguments.get(1).map_or(Ok(1.0), |argument| self.number(argument, context))?;
                let length = match arguments.get(2) {
                    Some(argument) => self.number(argument, context)?,
                    None => f64::INFINITY,
                };
                self.meter.work(text.len())?;
                Value::Text(core::substring(&text, from, length))
            }
            Function::Translate => {
                let text = self.argument(arguments, 0, context)?;
                let (from, to) =
                    (self.argument(arguments, 1, context)?, self.argument(arguments, 2, context)?);
                // Each character is looked for among those that are replaced.
                self.meter.work(text.len().saturating_mul(from.len().max(1)))?;
                let translated = core::translated(&text, &from, &to);
                Value::Text(self.made(&translated)?)
            }
            Function::StartsWith
            | Function::Contains
            | Function::SubstringBefore
            | Function::SubstringAfter => {
                let (text, part) =
                    (self.argument(arguments, 0, context)?, self.argument(arguments, 1, context)?);
                self.meter.work(text.len() + part.len())?;
                let cut = |after: bool| {
                    let (before, behind) = text.split_once(&*part).unwrap_or_default();
                    Value::Text(if after { behind } else { before }.to_owned())
                };
                match function {
                    Function::StartsWith => Value::Boolean(text.starts_with(&*part)),
                    Function::Contains => Value::Boolean(text.contains(&*part)),
                    Function::SubstringBefore => cut(false),
                    _ => cut(true),
                }
            }
            _ => Value::Text(String::new()),
        })
    }

    fn argument<'t>(
        &mut self,
        arguments: &[Expr<'_>],
        index: usize,
        context: Context,
    ) -> Result<Cow<'t, str>, Fault> {
        match arguments.get(index) {
            Some(argument) => self.text(argument, context).map(Cow::Owned),
            None => Ok(Cow::Borrowed("")),
        }
    }
}

/// Compares two values of which none is a set of nodes.
fn simple(operator: Binary, left: &Value, right: &Value) -> bool {
    let equal = match (left, right) {
        (Value::Boolean(_), _) | (_, Value::Boolean(_)) => {
            (core::truth(left) == core::truth(right)).then_some(Ordering::Equal)
        }
        (Value::Number(_), _) | (_, Value::Number(_)) => {
            core::plain_number(left).partial_cmp(&core::plain_number(right))
        }
        (Value::Text(left), Value::Text(right)) => (left == right).then_some(Ordering::Equal),
        (Value::Nodes(_), _) | (_, Value::Nodes(_)) => None,
    } == Some(Ordering::Equal);
    match operator {
        Binary::Equal => equal,
        Binary::NotEqual => !equal,
        _ => {
            let order = core::plain_number(left).partial_cmp(&core::plain_number(right));
            match operator {
                Binary::Less => order == Some(Ordering::Less),
                Binary::LessEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                Binary::Greater => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }
        }
    }
}

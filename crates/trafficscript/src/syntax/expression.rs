//! Expressions, by precedence climbing. An assignment may stand wherever an operand may, so that
//! `!$port = f()` and `$a && $b = f()` mean what people write them for.

use super::{
    Binary, Expression, Id, MAX_NESTING, Unary, foreign,
    lexer::Kind,
    parser::{Parsed, Parser, span},
    statement::miscased,
};

/// Most elements of a literal, arguments of a call.
const MAX_LIST: usize = 65_000;

/// How an operator with two operands is built.
enum Operator {
    Plain(Binary),
    Both,
    Either,
}

/// Operators with their precedence, higher binds tighter.
fn operator(symbol: &str) -> Option<(u8, Operator)> {
    Some(match symbol {
        "||" => (1, Operator::Either),
        "&&" => (2, Operator::Both),
        "|" => (3, Operator::Plain(Binary::Or)),
        "^" => (4, Operator::Plain(Binary::Xor)),
        "&" => (5, Operator::Plain(Binary::And)),
        "==" => (6, Operator::Plain(Binary::Equal)),
        "!=" => (6, Operator::Plain(Binary::NotEqual)),
        "<" => (7, Operator::Plain(Binary::Less)),
        "<=" => (7, Operator::Plain(Binary::LessEqual)),
        ">" => (7, Operator::Plain(Binary::Greater)),
        ">=" => (7, Operator::Plain(Binary::GreaterEqual)),
        "<<" => (8, Operator::Plain(Binary::ShiftLeft)),
        ">>" => (8, Operator::Plain(Binary::ShiftRight)),
        "+" => (9, Operator::Plain(Binary::Add)),
        "-" => (9, Operator::Plain(Binary::Subtract)),
        "." => (9, Operator::Plain(Binary::Concatenate)),
        "*" => (10, Operator::Plain(Binary::Multiply)),
        "/" => (10, Operator::Plain(Binary::Divide)),
        "%" => (10, Operator::Plain(Binary::Remainder)),
        _ => return None,
    })
}

/// Operators of assignment; the inner value is that of a compound one.
#[expect(clippy::option_option, reason = "no operator of assignment, `=`, a compound one: three things")]
fn assignment(symbol: &str) -> Option<Option<Binary>> {
    Some(match symbol {
        "=" => None,
        "+=" => Some(Binary::Add),
        "-=" => Some(Binary::Subtract),
        "*=" => Some(Binary::Multiply),
        "/=" => Some(Binary::Divide),
        "%=" => Some(Binary::Remainder),
        ".=" => Some(Binary::Concatenate),
        "&=" => Some(Binary::And),
        "|=" => Some(Binary::Or),
        "^=" => Some(Binary::Xor),
        "<<=" => Some(Binary::ShiftLeft),
        ">>=" => Some(Binary::ShiftRight),
        _ => return None,
    })
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Id> {
        self.nested(|parser| {
            let condition = parser.binary(0)?;
            let place = parser.token().place;
            if !parser.take("?") {
                return Ok(condition);
            }
            let yes = parser.expression()?;
            parser.expect(":", "between the two values of `?`")?;
            let no = parser.expression()?;
            Ok(parser.node(place, Expression::Choice(condition, yes, no)))
        })
    }

    /// Operators that bind tighter than `above`.
    fn binary(&mut self, above: u8) -> Parsed<Id> {
        let mut left = self.unary()?;
        loop {
            let token = self.token();
            match token.kind {
                Kind::Symbol(symbol) => {
                    let Some((precedence, operator)) = operator(symbol) else { return Ok(left) };
                    if precedence <= above {
                        return Ok(left);
                    }
                    self.advance();
                    let right = self.nested(|parser| parser.binary(precedence))?;
                    let expression = match operator {
                        Operator::Plain(operator) => Expression::Binary(operator, left, right),
                        Operator::Both => Expression::Both(left, right),
                        Operator::Either => Expression::Either(left, right),
                    };
                    left = self.node(token.place, expression);
                }
                Kind::Name => {
                    let Some(hint) = foreign::operator(self.word(token)) else { return Ok(left) };
                    let message = format!("`{}` is no operator", self.word(token));
                    return Err(self.fault(token.place, message, Some(hint.to_owned())));
                }
                _ => return Ok(left),
            }
        }
    }

    fn unary(&mut self) -> Parsed<Id> {
        let token = self.token();
        let operator = match token.kind {
            Kind::Symbol("!") => Unary::Not,
            Kind::Symbol("~") => Unary::Flip,
            Kind::Symbol("-") => Unary::Negate,
            Kind::Symbol(symbol @ ("++" | "--")) => {
                self.advance();
                let place = self.nested(Self::unary)?;
                self.expect_place(place, symbol)?;
                let by = if symbol == "++" { 1 } else { -1 };
                return Ok(self.node(token.place, Expression::Step(place, by, true)));
            }
            _ => return self.operand(),
        };
        self.advance();
        let operand = self.nested(Self::unary)?;
        Ok(self.node(token.place, Expression::Unary(operator, operand)))
    }

    /// A value with what stands behind it: subscripts, `++`, an assignment.
    fn operand(&mut self) -> Parsed<Id> {
        let mut value = self.primary()?;
        let mut subscripts = 0;
        while self.is("[") {
            let place = self.token().place;
            subscripts += 1;
            if subscripts > MAX_NESTING {
                return Err(self.fault(place, format!("more than {MAX_NESTING} subscripts"), None));
            }
            self.advance();
            let key = self.expression()?;
            self.expect("]", "behind a subscript")?;
            value = self.node(place, Expression::Index(value, key));
        }
        let token = self.token();
        let Kind::Symbol(symbol) = token.kind else { return Ok(value) };
        if let "++" | "--" = symbol {
            self.expect_place(value, symbol)?;
            self.advance();
            let by = if symbol == "++" { 1 } else { -1 };
            return Ok(self.node(token.place, Expression::Step(value, by, false)));
        }
        let Some(operator) = assignment(symbol) else { return Ok(value) };
        self.expect_place(value, symbol)?;
        self.advance();
        if matches!(self.token().kind, Kind::Symbol("~"))
            && symbol == "="
            && self.token().place.at == token.end
        {
            let hint = "patterns are matched by string.regexmatch()";
            return Err(self.fault(token.place, "`=~` is no operator", Some(hint.to_owned())));
        }
        let right = self.expression()?;
        Ok(self.node(token.place, Expression::Assign(value, operator, right)))
    }

    /// Whether something can be assigned to.
    fn expect_place(&mut self, id: Id, symbol: &str) -> Parsed<()> {
        let place = self.token().place;
        match self.expression_of(id) {
            Some(Expression::Variable(_) | Expression::Capture(_)) => Ok(()),
            Some(Expression::Index(base, _)) => {
                let mut base = *base;
                while let Some(Expression::Index(next, _)) = self.expression_of(base) {
                    base = *next;
                }
                match self.expression_of(base) {
                    Some(Expression::Variable(_) | Expression::Capture(_)) => Ok(()),
                    _ => Err(self.fault(place, format!("`{symbol}` needs a variable"), None)),
                }
            }
            _ => {
                let hint = (symbol == "=").then(|| "to compare, use ==".to_owned());
                Err(self.fault(place, format!("`{symbol}` needs a variable"), hint))
            }
        }
    }

    fn primary(&mut self) -> Parsed<Id> {
        let token = self.token();
        let expression = match token.kind {
            Kind::Variable => Expression::Variable(span(token)),
            Kind::Capture(number) => Expression::Capture(number),
            Kind::Text(index) => Expression::Text(index),
            Kind::Int(number) => Expression::Int(number),
            Kind::Double(number) => Expression::Double(number),
            Kind::Name => return self.named(),
            Kind::Symbol("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")", "behind an expression")?;
                return Ok(inner);
            }
            Kind::Symbol("[") => return self.container(),
            Kind::Symbol(_) | Kind::End => {
                let (found, hint) = (self.found(), self.instead_of_value());
                return Err(self.fault(token.place, format!("a value expected, found {found}"), hint));
            }
        };
        self.advance();
        Ok(self.node(token.place, expression))
    }

    /// A call, `true` or `false`.
    fn named(&mut self) -> Parsed<Id> {
        let token = self.advance();
        if self.is("(") {
            self.advance();
            let mut arguments = Vec::new();
            while !self.take(")") {
                if !arguments.is_empty() {
                    self.expect(",", "between the arguments of a call or `)` behind them")?;
                }
                if arguments.len() >= MAX_LIST {
                    return Err(self.fault(token.place, "too many arguments", None));
                }
                arguments.push(self.expression()?);
            }
            return Ok(self.node(token.place, Expression::Call(span(token), arguments.into())));
        }
        let flag = match self.word(token) {
            "true" => 1,
            "false" => 0,
            word => {
                let message = format!("unexpected word `{word}`");
                let hint = miscased(word).or_else(|| self.foreign_word(token)).unwrap_or_else(|| {
                    format!("a variable is written ${word}, a string \"{word}\", a call {word}()")
                });
                return Err(self.fault(token.place, message, Some(hint)));
            }
        };
        Ok(self.node(token.place, Expression::Int(flag)))
    }

    /// `[ a, b ]`, `[ k => v ]`.
    fn container(&mut self) -> Parsed<Id> {
        let place = self.advance().place;
        let mut items = Vec::new();
        let mut hash = None;
        while !self.take("]") {
            if !items.is_empty() {
                self.expect(",", "between the elements of an array or `]` behind them")?;
                if self.take("]") {
                    break;
                }
            }
            if items.len() >= MAX_LIST {
                return Err(self.fault(place, format!("more than {MAX_LIST} elements"), None));
            }
            items.push(self.expression()?);
            let arrow = self.token().place;
            let keyed = self.take("=>");
            if *hash.get_or_insert(keyed) != keyed {
                let message = "either all elements have a key or none";
                return Err(self.fault(arrow, message, None));
            }
            if keyed {
                items.push(self.expression()?);
            }
        }
        let items = items.into();
        let expression = if hash == Some(true) { Expression::Hash(items) } else { Expression::Array(items) };
        Ok(self.node(place, expression))
    }
}

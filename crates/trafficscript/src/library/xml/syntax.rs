//! XPath 1.0 as text becoming a tree (<https://www.w3.org/TR/1999/REC-xpath-19991116>, section numbers below are of it).
//!
//! In: a query and the prefixes it may use. Out: an [`Expr`], or what is wrong with the query for people. Not there:
//! variables, the namespace axis, `id()`.

/// Longest query in bytes.
const MAX_QUERY: usize = 4096;
/// Most parts of a query: operators, calls, steps, predicates. Evaluation nests no deeper.
const MAX_PARTS: usize = 256;
/// Most levels of brackets.
const MAX_NESTING: usize = 32;

/// A prefix and the namespace it stands for.
pub(super) type Prefixes<'q> = [(&'q str, &'q str)];

/// An expression (3).
#[derive(Debug)]
pub(super) enum Expr<'q> {
    Number(f64),
    Literal(&'q str),
    /// Steps from the root of the document, from what an expression gives, or (neither) from the context node.
    Path {
        from: From<'q>,
        steps: Vec<Step<'q>>,
    },
    /// Nodes that pass predicates, in the order of the document.
    Filter(Box<Self>, Vec<Self>),
    Binary(Binary, Box<Self>, Box<Self>),
    Negative(Box<Self>),
    Call(Function, Vec<Self>),
}

/// Where a path begins.
#[derive(Debug)]
pub(super) enum From<'q> {
    Context,
    Root,
    Expr(Box<Expr<'q>>),
}

/// A location step (2.1).
#[derive(Debug)]
pub(super) struct Step<'q> {
    pub(super) axis: Axis,
    pub(super) test: Test<'q>,
    pub(super) predicates: Vec<Expr<'q>>,
}

/// An axis (2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Ancestor,
    AncestorOrSelf,
    Attribute,
    Child,
    Descendant,
    DescendantOrSelf,
    Following,
    FollowingSibling,
    Parent,
    Preceding,
    PrecedingSibling,
    Itself,
}

/// A node test (2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test<'q> {
    /// `node()`
    Any,
    /// `text()`
    Text,
    /// `comment()`
    Comment,
    /// `processing-instruction()`, of a target
    Instruction(Option<&'q str>),
    /// Namespace (`None` = of any, `""` = of none) and local name (`None` = any).
    Name(Option<&'q str>, Option<&'q str>),
}

/// An operator with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    Union,
}

/// A function of the core library (4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Last,
    Position,
    Count,
    LocalName,
    NamespaceUri,
    Name,
    String,
    Concat,
    StartsWith,
    Contains,
    SubstringBefore,
    SubstringAfter,
    Substring,
    StringLength,
    NormalizeSpace,
    Translate,
    Boolean,
    Not,
    True,
    False,
    Lang,
    Number,
    Sum,
    Floor,
    Ceiling,
    Round,
}

/// Names of functions, with the fewest and most arguments.
const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("last", Function::Last, 0, 0),
    ("position", Function::Position, 0, 0),
    ("count", Function::Count, 1, 1),
    ("local-name", Function::LocalName, 0, 1),
    ("namespace-uri", Function::NamespaceUri, 0, 1),
    ("name", Function::Name, 0, 1),
    ("string", Function::String, 0, 1),
    ("concat", Function::Concat, 2, MAX_PARTS),
    ("starts-with", Function::StartsWith, 2, 2),
    ("contains", Function::Contains, 2, 2),
    ("substring-before", Function::SubstringBefore, 2, 2),
    ("substring-after", Function::SubstringAfter, 2, 2),
    ("substring", Function::Substring, 2, 3),
    ("string-length", Function::StringLength, 0, 1),
    ("normalize-space", Function::NormalizeSpace, 0, 1),
    ("translate", Function::Translate, 3, 3),
    ("boolean", Function::Boolean, 1, 1),
    ("not", Function::Not, 1, 1),
    ("true", Function::True, 0, 0),
    ("false", Function::False, 0, 0),
    ("lang", Function::Lang, 1, 1),
    ("number", Function::Number, 0, 1),
    ("sum", Function::Sum, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("ceiling", Function::Ceiling, 1, 1),
    ("round", Function::Round, 1, 1),
];

const AXES: &[(&str, Axis)] = &[
    ("ancestor", Axis::Ancestor),
    ("ancestor-or-self", Axis::AncestorOrSelf),
    ("attribute", Axis::Attribute),
    ("child", Axis::Child),
    ("descendant", Axis::Descendant),
    ("descendant-or-self", Axis::DescendantOrSelf),
    ("following", Axis::Following),
    ("following-sibling", Axis::FollowingSibling),
    ("parent", Axis::Parent),
    ("preceding", Axis::Preceding),
    ("preceding-sibling", Axis::PrecedingSibling),
    ("self", Axis::Itself),
];

/// Operators by how tightly they bind, loosest first. All associate to the left.
const LEVELS: &[&[(Token<'static>, Binary)]] = &[
    &[(Token::Operator("or"), Binary::Or)],
    &[(Token::Operator("and"), Binary::And)],
    &[(Token::Operator("="), Binary::Equal), (Token::Operator("!="), Binary::NotEqual)],
    &[
        (Token::Operator("<"), Binary::Less),
        (Token::Operator("<="), Binary::LessEqual),
        (Token::Operator(">"), Binary::Greater),
        (Token::Operator(">="), Binary::GreaterEqual),
    ],
    &[(Token::Operator("+"), Binary::Plus), (Token::Operator("-"), Binary::Minus)],
    &[
        (Token::Operator("*"), Binary::Times),
        (Token::Operator("div"), Binary::Divide),
        (Token::Operator("mod"), Binary::Modulo),
    ],
];

/// A token (3.7).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'q> {
    /// Brackets, `.`, `..`, `@`, `,`, `::`, `$`.
    Mark(&'q str),
    /// What stands between two expressions, `/` and `//` among them.
    Operator(&'q str),
    /// A name without prefix, or `*` as a name.
    Name(&'q str),
    /// `prefix:name` or `prefix:*`.
    Prefixed(&'q str, &'q str),
    Literal(&'q str),
    Number(f64),
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{b7}') || ('\u{300}'..='\u{36f}').contains(&c)
}

/// The name at the beginning of a text, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    text.chars().next().filter(|&c| is_name_start(c))?;
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    text.split_at_checked(end)
}

fn tokens(query: &str) -> Result<Vec<Token<'_>>, String> {
    const MARKS: &[&str] = &["::", "..", "(", ")", "[", "]", "@", ",", "$"];
    const OPERATORS: &[&str] = &["//", "!=", "<=", ">=", "/", "|", "+", "-", "=", "<", ">"];
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        // Whether a name or `*` here has something in front that it can be an operator behind.
        let behind_operand = tokens.last().is_some_and(|token| {
            !matches!(token, Token::Operator(_) | Token::Mark("@" | "::" | "(" | "[" | "," | "$"))
        });
        let starts_number = first.is_ascii_digit()
            || (first == '.' && rest.get(1..2).is_some_and(|next| next.as_bytes()[0].is_ascii_digit()));
        let (token, behind) = if starts_number {
            let whole = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let end = match rest.get(whole..) {
                Some(tail) if tail.starts_with('.') => {
                    let digits = tail.get(1..).unwrap_or_default();
                    whole + 1 + digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())
                }
                _ => whole,
            };
            let (digits, behind) = rest.split_at(end);
            (Token::Number(digits.parse().unwrap_or(f64::NAN)), behind)
        } else if matches!(first, '"' | '\'') {
            let text = rest.get(1..).unwrap_or_default();
            let Some((literal, behind)) = text.split_once(first) else {
                return Err("a string in the query has no end".to_owned());
            };
            (Token::Literal(literal), behind)
        } else if let Some((mark, behind)) =
            MARKS.iter().find_map(|mark| Some((*mark, rest.strip_prefix(mark)?)))
        {
            (Token::Mark(mark), behind)
        } else if let Some(behind) = rest.strip_prefix('.') {
            (Token::Mark("."), behind)
        } else if let Some((operator, behind)) =
            OPERATORS.iter().find_map(|operator| Some((*operator, rest.strip_prefix(operator)?)))
        {
            (Token::Operator(operator), behind)
        } else if let Some(behind) = rest.strip_prefix('*') {
            (if behind_operand { Token::Operator("*") } else { Token::Name("*") }, behind)
        } else if let Some((word, behind)) = name(rest) {
            if behind_operand {
                let operator = ["or", "and", "div", "mod"].into_iter().find(|known| *known == word);
                let Some(operator) = operator else {
                    return Err(format!("`{word}` stands where an operator should"));
                };
                (Token::Operator(operator), behind)
            } else {
                let local = behind.strip_prefix(':').filter(|behind| !behind.starts_with(':'));
                match local.map(|local| (local.strip_prefix('*'), name(local))) {
                    Some((Some(behind), _)) => (Token::Prefixed(word, "*"), behind),
                    Some((None, Some((local, behind)))) => (Token::Prefixed(word, local), behind),
                    Some((None, None)) => return Err(format!("no name follows `{word}:`")),
                    None => (Token::Name(word), behind),
                }
            }
        } else {
            return Err(format!("`{first}` does not belong in a query"));
        };
        tokens.push(token);
        rest = behind.trim_start();
    }
    Ok(tokens)
}

/// Parses a query.
pub(super) fn parse<'q>(query: &'q str, prefixes: &Prefixes<'q>) -> Result<Expr<'q>, String> {
    if query.len() > MAX_QUERY {
        return Err(format!("the query is longer than {MAX_QUERY} bytes"));
    }
    let tokens = tokens(query)?;
    let mut parser = Parser { tokens: &tokens, at: 0, prefixes, parts: 0, nesting: 0 };
    let expr = parser.expression()?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(format!("{} is not expected there", shown(token))),
    }
}

fn shown(token: Token<'_>) -> String {
    match token {
        Token::Mark(text) | Token::Operator(text) | Token::Name(text) => format!("`{text}`"),
        Token::Prefixed(prefix, name) => format!("`{prefix}:{name}`"),
        Token::Literal(text) => format!("the string `{text}`"),
        Token::Number(number) => format!("the number {number}"),
    }
}

struct Parser<'t, 'q> {
    tokens: &'t [Token<'q>],
    at: usize,
    prefixes: &'t Prefixes<'q>,
    parts: usize,
    nesting: usize,
}

impl<'q> Parser<'_, 'q> {
    fn peek(&self) -> Option<Token<'q>> {
        self.tokens.get(self.at).copied()
    }

    fn takes(&mut self, token: Token<'_>) -> bool {
        let is_next = self.peek() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn expects(&mut self, mark: &'static str) -> Result<(), String> {
        if self.takes(Token::Mark(mark)) {
            return Ok(());
        }
        Err(match self.peek() {
            Some(token) => format!("`{mark}` is expected in front of {}", shown(token)),
            None => format!("`{mark}` is missing at the end"),
        })
    }

    fn part(&mut self) -> Result<(), String> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(format!("the query has more than {MAX_PARTS} parts"));
        }
        Ok(())
    }

    fn expression(&mut self) -> Result<Expr<'q>, String> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(format!("brackets are nested more than {MAX_NESTING} levels deep"));
        }
        let expr = self.level(LEVELS)?;
        self.nesting -= 1;
        Ok(expr)
    }

    fn level(&mut self, levels: &[&[(Token<'static>, Binary)]]) -> Result<Expr<'q>, String> {
        let Some((operators, tighter)) = levels.split_first() else { return self.negative() };
        let mut left = self.level(tighter)?;
        while let Some((_, operator)) = operators.iter().find(|(token, _)| self.peek() == Some(*token)) {
            self.at += 1;
            self.part()?;
            let right = self.level(tighter)?;
            left = Expr::Binary(*operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    /// `-` in front of a union of paths.
    fn negative(&mut self) -> Result<Expr<'q>, String> {
        let mut signs = 0;
        while self.takes(Token::Operator("-")) {
            self.part()?;
            signs += 1;
        }
        let mut expr = self.path()?;
        while self.takes(Token::Operator("|")) {
            self.part()?;
            expr = Expr::Binary(Binary::Union, Box::new(expr), Box::new(self.path()?));
        }
        // Of many, only whether they are even or odd counts; the first makes a number of it.
        for _ in 0..if signs == 0 { 0 } else { 2 - signs % 2 } {
            expr = Expr::Negative(Box::new(expr));
        }
        Ok(expr)
    }

    fn path(&mut self) -> Result<Expr<'q>, String> {
        let mut steps = Vec::new();
        let from = match self.peek() {
            Some(Token::Operator("/")) => {
                self.at += 1;
                if !self.is_step() {
                    return Ok(Expr::Path { from: From::Root, steps });
                }
                From::Root
            }
            Some(Token::Operator("//")) => {
                self.at += 1;
                self.part()?;
                steps.push(everywhere());
                From::Root
            }
            _ if self.is_primary() => {
                let primary = self.primary()?;
                let predicates = self.predicates()?;
                let filtered =
                    if predicates.is_empty() { primary } else { Expr::Filter(Box::new(primary), predicates) };
                match self.peek() {
                    Some(Token::Operator("/")) => self.at += 1,
                    Some(Token::Operator("//")) => {
                        self.at += 1;
                        self.part()?;
                        steps.push(everywhere());
                    }
                    _ => return Ok(filtered),
                }
                From::Expr(Box::new(filtered))
            }
            _ => From::Context,
        };
        loop {
            steps.push(self.step()?);
            match self.peek() {
                Some(Token::Operator("/")) => self.at += 1,
                Some(Token::Operator("//")) => {
                    self.at += 1;
                    self.part()?;
                    steps.push(everywhere());
                }
                _ => return Ok(Expr::Path { from, steps }),
            }
        }
    }

    fn is_step(&self) -> bool {
        matches!(self.peek(), Some(Token::Mark("." | ".." | "@") | Token::Name(_) | Token::Prefixed(..)))
    }

    /// Whether something follows that is no path: a value, a bracket, a call.
    fn is_primary(&self) -> bool {
        match self.peek() {
            Some(Token::Literal(_) | Token::Number(_) | Token::Mark("(" | "$")) => true,
            Some(Token::Name(name)) => {
                let is_test = matches!(name, "node" | "text" | "comment" | "processing-instruction");
                self.tokens.get(self.at + 1) == Some(&Token::Mark("(")) && !is_test
            }
            _ => false,
        }
    }

    fn primary(&mut self) -> Result<Expr<'q>, String> {
        self.part()?;
        let token = self.peek();
        self.at += 1;
        match token {
            Some(Token::Literal(text)) => Ok(Expr::Literal(text)),
            Some(Token::Number(number)) => Ok(Expr::Number(number)),
            Some(Token::Mark("(")) => {
                let expr = self.expression()?;
                self.expects(")")?;
                Ok(expr)
            }
            Some(Token::Name(name)) => self.call(name),
            _ => Err("there are no variables in queries: join the query with `.`".to_owned()),
        }
    }

    fn call(&mut self, name: &str) -> Result<Expr<'q>, String> {
        let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        let Some((_, function, fewest, most)) = known else {
            return Err(format!("there is no function {name}()"));
        };
        self.expects("(")?;
        let mut arguments = Vec::new();
        if !self.takes(Token::Mark(")")) {
            loop {
                arguments.push(self.expression()?);
                if !self.takes(Token::Mark(",")) {
                    break;
                }
            }
            self.expects(")")?;
        }
        if !(*fewest..=*most).contains(&arguments.len()) {
            return Err(format!("{name}() does not take {} arguments", arguments.len()));
        }
        Ok(Expr::Call(*function, arguments))
    }

    fn step(&mut self) -> Result<Step<'q>, String> {
        self.part()?;
        let node = |axis| Step { axis, test: Test::Any, predicates: Vec::new() };
        if self.takes(Token::Mark(".")) {
            return Ok(node(Axis::Itself));
        }
        if self.takes(Token::Mark("..")) {
            return Ok(node(Axis::Parent));
        }
        let mut axis = Axis::Child;
        if self.takes(Token::Mark("@")) {
            axis = Axis::Attribute;
        } else if let (Some(Token::Name(name)), Some(Token::Mark("::"))) =
            (self.peek(), self.tokens.get(self.at + 1))
        {
            let known = AXES.iter().find(|(known, _)| *known == name);
            axis = known.ok_or_else(|| format!("there is no axis {name}::"))?.1;
            self.at += 2;
        }
        let test = self.test()?;
        Ok(Step { axis, test, predicates: self.predicates()? })
    }

    fn test(&mut self) -> Result<Test<'q>, String> {
        let token = self.peek();
        self.at += 1;
        match token {
            Some(Token::Name(name)) if self.takes(Token::Mark("(")) => {
                let test = match name {
                    "node" => Test::Any,
                    "text" => Test::Text,
                    "comment" => Test::Comment,
                    "processing-instruction" => {
                        let Some(Token::Literal(target)) = self.peek() else {
                            self.expects(")")?;
                            return Ok(Test::Instruction(None));
                        };
                        self.at += 1;
                        Test::Instruction(Some(target))
                    }
                    _ => return Err(format!("{name}() cannot stand in a path")),
                };
                self.expects(")")?;
                Ok(test)
            }
            Some(Token::Name("*")) => Ok(Test::Name(None, None)),
            Some(Token::Name(name)) => Ok(Test::Name(Some(""), Some(name))),
            Some(Token::Prefixed(prefix, name)) => {
                let known = self.prefixes.iter().find(|(known, _)| *known == prefix);
                let (_, uri) =
                    known.ok_or_else(|| format!("no namespace is given for the prefix {prefix}:"))?;
                Ok(Test::Name(Some(uri), (name != "*").then_some(name)))
            }
            Some(token) => Err(format!("a name is expected in front of {}", shown(token))),
            None => Err("the query ends where a name is expected".to_owned()),
        }
    }

    fn predicates(&mut self) -> Result<Vec<Expr<'q>>, String> {
        let mut predicates = Vec::new();
        while self.takes(Token::Mark("[")) {
            self.part()?;
            predicates.push(self.expression()?);
            self.expects("]")?;
        }
        Ok(predicates)
    }
}

/// What `//` stands for between two steps.
fn everywhere<'q>() -> Step<'q> {
    Step { axis: Axis::DescendantOrSelf, test: Test::Any, predicates: Vec::new() }
}

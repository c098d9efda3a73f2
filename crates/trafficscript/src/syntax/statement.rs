//! Statements, subs and imports.

use super::{
    Block, Case, Id, Import, Place, Span, Statement, Sub, foreign,
    lexer::Kind,
    parser::{Parsed, Parser, span},
};

/// Words that are no names.
const KEYWORDS: [&str; 17] = [
    "if", "else", "switch", "case", "default", "while", "do", "for", "foreach", "in", "break", "continue",
    "sub", "return", "import", "true", "false",
];

const FOR: &str = "write for( $i = 0; $i < 10; $i++ ) { … }, or foreach( $x in $array ) { … }";
const FOREACH: &str = "write foreach( $x in $array ) { … }; of a hash, $x is the key";

/// What to say of a keyword with capital letters.
pub(crate) fn miscased(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    (lower != word && KEYWORDS.contains(&lower.as_str()))
        .then(|| format!("keywords are lower case: write `{lower}`"))
}

impl Parser<'_> {
    /// The whole text.
    pub(super) fn rule(&mut self) {
        while self.token().kind != Kind::End && !self.tree.notes.is_full() {
            let began = self.position();
            let parsed = if self.is_word("sub") {
                self.sub()
            } else if self.is_foreign_sub() {
                self.foreign_sub();
                self.sub()
            } else if self.is_word("import") {
                self.import()
            } else {
                self.statement().map(|statement| self.tree.block.extend(statement))
            };
            if parsed.is_err() {
                self.recover(began);
            }
        }
    }

    /// A block in braces, or one statement.
    fn body(&mut self) -> Parsed<Block> {
        if self.is("{") {
            return self.block();
        }
        Ok(self.statement()?.into_iter().collect())
    }

    fn block(&mut self) -> Parsed<Block> {
        let open = self.token().place;
        self.expect("{", "before a block")?;
        self.nested(|parser| {
            parser.blocks += 1;
            let mut block = Vec::new();
            let parsed = loop {
                if parser.take("}") {
                    break Ok(());
                }
                if parser.token().kind == Kind::End {
                    let place = parser.token().place;
                    let hint = format!("the block that begins in line {} has no `}}`", open.line);
                    break Err(parser.fault(place, "`}` expected, found the end of the rule", Some(hint)));
                }
                if parser.tree.notes.is_full() {
                    break Err(super::parser::GivenUp);
                }
                parser.statement_into(&mut block);
            };
            parser.blocks -= 1;
            parsed.map(|()| block)
        })
    }

    fn statement_into(&mut self, block: &mut Block) {
        let began = self.position();
        match self.statement() {
            Ok(statement) => block.extend(statement),
            Err(_) => self.recover(began),
        }
    }

    fn statement(&mut self) -> Parsed<Option<Statement>> {
        if self.is_declaration() {
            self.declaration();
        }
        let token = self.token();
        if self.take(";") {
            return Ok(None);
        }
        if self.is("{") {
            return self.block().map(|block| Some(Statement::Block(block)));
        }
        if token.kind != Kind::Name || matches!(self.ahead(1).kind, Kind::Symbol("(")) && !self.is_keyword() {
            let expression = self.expression()?;
            if let Some(hint) =
                miscased(self.word(token)).filter(|_| token.kind == Kind::Name && !self.is(";"))
            {
                let message = format!("unknown word `{}`", self.word(token));
                return Err(self.fault(token.place, message, Some(hint)));
            }
            self.end()?;
            return Ok(Some(Statement::Expression(expression)));
        }
        self.nested(|parser| parser.worded(token.place)).map(Some)
    }

    fn is_keyword(&self) -> bool {
        let word = self.word(self.token());
        let bracket = matches!(self.ahead(1).kind, Kind::Symbol("("));
        KEYWORDS.contains(&word) || foreign::is_word(word, bracket)
    }

    /// A statement that begins with a word.
    fn worded(&mut self, place: Place) -> Parsed<Statement> {
        let word = self.word(self.token()).to_owned();
        match word.as_str() {
            "if" => self.branches(),
            "switch" => self.switch(place),
            "while" => {
                self.advance();
                let condition = self.condition("while")?;
                Ok(Statement::While(condition, self.body()?))
            }
            "do" => {
                self.advance();
                let block = self.body()?;
                if !self.take_word("while") {
                    let found = self.found();
                    let message = format!("`while` expected behind the block of `do`, found {found}");
                    let hint = "write do { … } while( … );".to_owned();
                    return Err(self.fault(self.token().place, message, Some(hint)));
                }
                let condition = self.condition("while")?;
                self.end()?;
                Ok(Statement::Do(block, condition))
            }
            "for" => self.counted(place),
            "foreach" => {
                self.advance();
                self.expect_with("(", "behind `foreach`", FOREACH)?;
                let variable = self.expect_variable("behind `foreach(`")?;
                if !self.take_word("in") {
                    let found = self.found();
                    let message = format!("`in` expected behind the variable of `foreach`, found {found}");
                    return Err(self.fault(self.token().place, message, Some(FOREACH.to_owned())));
                }
                let container = self.expression()?;
                self.expect(")", "behind the array of `foreach`")?;
                Ok(Statement::Foreach(variable, container, self.body()?))
            }
            "break" | "continue" => {
                self.advance();
                self.end()?;
                Ok(if word == "break" { Statement::Break(place) } else { Statement::Continue(place) })
            }
            "return" => {
                self.advance();
                let value = if self.is(";") || self.is("}") { None } else { Some(self.expression()?) };
                self.end()?;
                Ok(Statement::Return(place, value))
            }
            "sub" | "import" => {
                let message = format!("`{word}` stands at the top level of a rule, not within a block");
                Err(self.fault(place, message, None))
            }
            "else" => Err(self.fault(place, "`else` without `if`", None)),
            "case" | "default" => Err(self.fault(place, format!("`{word}` outside `switch`"), None)),
            _ => {
                if self.is_keyword() {
                    let token = self.advance();
                    let hint = self.foreign_word(token);
                    return Err(self.fault(place, format!("unknown word `{word}`"), hint));
                }
                let expression = self.expression()?;
                self.end()?;
                Ok(Statement::Expression(expression))
            }
        }
    }

    /// The semicolon behind a statement. When it is missing, the parser goes on as if it were there, provided that
    /// what follows can begin a statement.
    fn end(&mut self) -> Parsed<()> {
        if self.take(";") {
            return Ok(());
        }
        let place =
            self.last().map_or_else(Place::default, |last| Place { at: last.end, line: last.place.line });
        let found = self.found();
        let next = self.token();
        // Behind a string of several lines the line of its beginning is not that of its end.
        let newlines = |from: Place, to: u32| {
            let between = self.text.get(from.at as usize..to as usize).unwrap_or_default();
            memchr::memchr_iter(b'\n', between).count() as u32
        };
        let line = self.last().map_or(place.line, |last| last.place.line + newlines(last.place, last.end));
        let hint = self.instead_of_end();
        let fault = self.fault(Place { line, ..place }, format!("`;` is missing before {found}"), hint);
        let starts = match next.kind {
            Kind::End | Kind::Variable | Kind::Name => true,
            Kind::Symbol(symbol) => symbol == "}",
            _ => false,
        };
        if starts { Ok(()) } else { Err(fault) }
    }

    fn condition(&mut self, word: &str) -> Parsed<Id> {
        self.expect_with("(", &format!("behind `{word}`"), &format!("write {word}( … ) {{ … }}"))?;
        let condition = self.expression()?;
        self.expect(")", "behind a condition")?;
        Ok(condition)
    }

    fn branches(&mut self) -> Parsed<Statement> {
        let mut branches = Vec::new();
        loop {
            self.advance();
            let condition = self.condition("if")?;
            branches.push((condition, self.body()?));
            if !self.take_word("else") {
                return Ok(Statement::If { branches, otherwise: None });
            }
            if !self.is_word("if") {
                let otherwise = Some(self.body()?);
                return Ok(Statement::If { branches, otherwise });
            }
        }
    }

    fn switch(&mut self, place: Place) -> Parsed<Statement> {
        self.advance();
        self.expect("(", "behind `switch`")?;
        let value = self.expression()?;
        let comparator = if self.take(",") { Some(self.comparator()?) } else { None };
        self.expect(")", "behind the value of `switch`")?;
        let open = self.token().place;
        self.expect("{", "behind `switch( … )`")?;
        self.blocks += 1;
        let mut cases = Vec::new();
        let mut default = None;
        let parsed = self.cases(open, &mut cases, &mut default);
        self.blocks -= 1;
        parsed.map(|()| Statement::Switch { place, value, comparator, cases, default })
    }

    fn comparator(&mut self) -> Parsed<Span> {
        let token = self.token();
        if token.kind == Kind::Name {
            self.advance();
            return Ok(span(token));
        }
        let found = self.found();
        let hint = "such as switch( $path, string.startsWith )".to_owned();
        Err(self.fault(token.place, format!("the name of a function expected, found {found}"), Some(hint)))
    }

    fn cases(&mut self, open: Place, cases: &mut Vec<Case>, default: &mut Option<Block>) -> Parsed<()> {
        loop {
            let token = self.token();
            if self.take("}") {
                return Ok(());
            }
            if self.take_word("case") {
                let mut values = vec![self.expression()?];
                while self.take(",") {
                    values.push(self.expression()?);
                }
                self.expect(":", "behind the values of `case`")?;
                cases.push(Case { values, block: self.case_block() });
            } else if self.take_word("default") {
                self.expect(":", "behind `default`")?;
                let block = self.case_block();
                if default.replace(block).is_some() {
                    self.error(token.place, "a second `default`", None);
                }
            } else if token.kind == Kind::End || self.tree.notes.is_full() {
                let hint = format!("the `switch` that begins in line {} has no `}}`", open.line);
                return Err(self.fault(token.place, "`}` expected, found the end of the rule", Some(hint)));
            } else {
                let found = self.found();
                self.error(token.place, format!("`case` or `default` expected, found {found}"), None);
                // What stands in front of the first case is of no use, but the cases behind it are cases.
                let _skipped = self.case_block();
            }
        }
    }

    /// Statements up to the next case.
    fn case_block(&mut self) -> Block {
        let mut block = Vec::new();
        while !(self.is("}") || self.is_word("case") || self.is_word("default")) {
            if self.token().kind == Kind::End || self.tree.notes.is_full() {
                break;
            }
            self.statement_into(&mut block);
        }
        block
    }

    fn counted(&mut self, place: Place) -> Parsed<Statement> {
        self.advance();
        self.expect_with("(", "behind `for`", FOR)?;
        let first = self.list(";")?;
        let condition = if self.is(";") { None } else { Some(self.expression()?) };
        self.expect(";", "behind the condition of `for`")?;
        let step = self.list(")")?;
        Ok(Statement::For { place, first, condition, step, block: self.body()? })
    }

    /// Expressions between commas, none perhaps, up to `end`.
    fn list(&mut self, end: &str) -> Parsed<Vec<Id>> {
        let mut list = Vec::new();
        if self.take(end) {
            return Ok(list);
        }
        if self.is_declaration() {
            self.declaration();
        }
        let second = self.ahead(1);
        if second.kind == Kind::Name && matches!(self.word(second), "in" | "of") {
            let message = "`for` has a beginning, a condition and a step";
            return Err(self.fault(second.place, message, Some(FOREACH.to_owned())));
        }
        loop {
            list.push(self.expression()?);
            if !self.take(",") {
                self.expect(end, "in the head of `for`")?;
                return Ok(list);
            }
        }
    }

    fn sub(&mut self) -> Parsed<()> {
        self.advance();
        let token = self.token();
        let keyword = token.kind == Kind::Name && KEYWORDS.contains(&self.word(token));
        if token.kind != Kind::Name || keyword {
            let found = self.found();
            let hint = "a sub has a name and stands at the top level: sub name( $a ) { … }".to_owned();
            let message = format!("the name of the sub expected, found {found}");
            return Err(self.fault(token.place, message, Some(hint)));
        }
        self.advance();
        let hint =
            format!("write sub {}( $a ) {{ … }}, without parameters sub {0}() {{ … }}", self.word(token));
        self.expect_with("(", "behind the name of the sub", &hint)?;
        let mut parameters = Vec::new();
        while !self.take(")") {
            if !parameters.is_empty() {
                let hint = "parameters have no defaults and no types, only names: sub f( $a, $b ) { … }";
                self.expect_with(",", "between parameters or `)` behind them", hint)?;
            }
            parameters.push(self.expect_variable("as parameter")?);
        }
        let block = self.block()?;
        self.tree.subs.push(Sub { name: span(token), parameters, block });
        Ok(())
    }

    fn import(&mut self) -> Parsed<()> {
        self.advance();
        let token = self.token();
        let rule = match token.kind {
            Kind::Name => self.word(token).to_owned(),
            Kind::Text(index) => {
                let text = self.tree.texts.get(index as usize).map_or(&[][..], |text| text);
                String::from_utf8_lossy(text).into_owned()
            }
            _ => {
                let found = self.found();
                return Err(self.fault(
                    token.place,
                    format!("the name of a rule expected, found {found}"),
                    None,
                ));
            }
        };
        self.advance();
        let mut alias = rule.clone();
        if self.take_word("as") {
            let name = self.token();
            if name.kind != Kind::Name {
                let found = self.found();
                return Err(self.fault(
                    name.place,
                    format!("a name expected behind `as`, found {found}"),
                    None,
                ));
            }
            self.advance();
            self.word(name).clone_into(&mut alias);
        } else if rule == "strict" && token.kind == Kind::Name {
            self.tree.strict = true;
            return self.end();
        }
        self.tree.imports.push(Import { place: token.place, rule, alias });
        self.end()
    }
}

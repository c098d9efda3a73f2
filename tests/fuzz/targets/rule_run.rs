//! Running rules: whatever a rule does, it ends within its limits, in bounded memory, without a panic.
//!
//! The input is read as choices in a grammar of programs: containers that are put into each other, loops, subs, every
//! function of the library, and strings taken from the input. A rule of the input's own text is run as well.

#![no_main]

use std::fmt::Write as _;

use libfuzzer_sys::fuzz_target;
use tidegate_trafficscript::{
    End, Limits, Options, compile,
    described::Described,
    library::{ANY, functions},
};

/// Small limits, so that the fuzzer reaches them.
const LIMITS: Limits = Limits {
    instructions: 5_000,
    match_steps: 10_000,
    match_warning: 5,
    string: 100_000,
    line: 1_000,
    made: 1_000_000,
    depth: 20,
    body: 10_000,
};
/// Most statements of a program.
const STATEMENTS: usize = 40;
/// Most levels of expressions and statements.
const LEVELS: usize = 6;
const VARIABLES: [&str; 5] = ["$a", "$b", "$c", "$p", "$1"];
const OPERATORS: [&str; 19] =
    ["+", "-", "*", "/", "%", ".", "<<", ">>", "<", "<=", ">", ">=", "==", "!=", "&", "^", "|", "&&", "||"];
const ASSIGNMENTS: [&str; 6] = ["=", ".=", "+=", "=", "%=", "="];

fuzz_target!(|data: &[u8]| {
    let mut grammar = Grammar { data, left: STATEMENTS, text: String::new() };
    grammar.program();
    let program = grammar.text;
    run(program.as_bytes(), true);
    run(data, false);
});

fn run(text: &[u8], is_good: bool) {
    let options = Options { limits: LIMITS, variable_pool_use: true };
    let compiled = compile("rule", text, &options, &|_| None);
    let Some(program) = compiled.program else {
        // Patterns and functions that are not supported may be refused; what the grammar builds is well formed.
        let known = ["regular expression", "not supported", "cannot be", "variables"];
        assert!(
            !is_good
                || compiled.notes.iter().any(|note| known.iter().any(|part| note.message.contains(part))),
            "{}\n{:?}",
            text.escape_ascii(),
            compiled.notes
        );
        return;
    };
    let mut host = Described::request("POST", "/shop/a%20b/index.html?item=1&name=%zz")
        .header("Host", "shop.example:8080")
        .header("Cookie", "a=1; b=2")
        .body("name=value&x=1");
    if let End::Aborted(message) = host.run(&program, LIMITS) {
        assert!(message.starts_with("Rule "), "{message}");
    }
}

/// Makes a program of bytes that choose.
struct Grammar<'d> {
    data: &'d [u8],
    left: usize,
    text: String,
}

impl Grammar<'_> {
    fn next(&mut self, below: usize) -> usize {
        let Some((first, rest)) = self.data.split_first() else { return 0 };
        self.data = rest;
        usize::from(*first) % below
    }

    fn program(&mut self) {
        self.text.push_str("sub f( $p ) {\n");
        for _ in 0..4 {
            self.statement(1);
        }
        self.text.push_str("return ");
        self.expression(1);
        self.text.push_str(";\n}\n");
        while !self.data.is_empty() && self.left > 0 {
            self.statement(0);
        }
    }

    fn statement(&mut self, level: usize) {
        self.left = self.left.saturating_sub(1);
        if level > LEVELS || self.left == 0 {
            self.text.push_str("$a++;\n");
            return;
        }
        match self.next(10) {
            0 => self.block("if( ", " )", level),
            1 => self.block("while( ", " )", level),
            2 => self.block("foreach( $c in ", " )", level),
            3 => self.block("for( $c = 0; $c < ", "; $c++ )", level),
            4 => {
                self.text.push_str("switch( ");
                self.expression(level + 1);
                self.text.push_str(" ) { case ");
                self.expression(level + 1);
                self.text.push_str(":\n");
                self.statement(level + 1);
                self.text.push_str("default:\n");
                self.statement(level + 1);
                self.text.push_str("}\n");
            }
            5 => {
                self.expression(level);
                self.text.push_str(";\n");
            }
            _ => {
                self.place(level);
                let operator = ASSIGNMENTS[self.next(ASSIGNMENTS.len())];
                // `=~` would be taken for an operator of other languages.
                write!(self.text, " {operator} ").expect("text");
                self.expression(level);
                self.text.push_str(";\n");
            }
        }
    }

    fn block(&mut self, head: &str, tail: &str, level: usize) {
        self.text.push_str(head);
        self.expression(level + 1);
        self.text.push_str(tail);
        self.text.push_str(" {\n");
        for _ in 0..1 + self.next(3) {
            self.statement(level + 1);
        }
        self.text.push_str("}\n");
    }

    fn place(&mut self, level: usize) {
        let variable = VARIABLES[self.next(VARIABLES.len())];
        self.text.push_str(variable);
        for _ in 0..self.next(3) {
            self.text.push('[');
            self.expression(level + 2);
            self.text.push(']');
        }
    }

    fn expression(&mut self, level: usize) {
        if level > LEVELS {
            self.text.push_str("$b");
            return;
        }
        match self.next(14) {
            0 => {
                let number = self.next(256);
                write!(self.text, "{number}").expect("text");
            }
            1 => {
                let number = self.next(256);
                write!(self.text, "{number}.5").expect("text");
            }
            2 => self.string(),
            3 => {
                self.text.push('[');
                for _ in 0..self.next(4) {
                    self.expression(level + 1);
                    self.text.push(',');
                }
                self.text.push(']');
            }
            4 => {
                self.text.push('[');
                for _ in 0..1 + self.next(3) {
                    self.expression(level + 1);
                    self.text.push_str(" => ");
                    self.expression(level + 1);
                    self.text.push(',');
                }
                self.text.push(']');
            }
            5 => {
                self.text.push_str("f( ");
                self.expression(level + 1);
                self.text.push_str(" )");
            }
            6 | 7 => self.call(level),
            8 => {
                self.text.push_str("( ");
                self.expression(level + 1);
                let operator = OPERATORS[self.next(OPERATORS.len())];
                write!(self.text, " {operator} ").expect("text");
                self.expression(level + 1);
                self.text.push_str(" )");
            }
            9 => {
                let operator = ["!", "~", "- "][self.next(3)];
                self.text.push_str(operator);
                self.expression(level + 1);
            }
            10 => {
                self.text.push('(');
                self.place(level);
                self.text.push_str("++)");
            }
            11 => {
                self.text.push_str("( ");
                self.place(level);
                self.text.push_str(" = ");
                self.expression(level + 1);
                self.text.push_str(" )");
            }
            _ => self.place(level),
        }
    }

    /// A string from the input; NUL bytes and such as they are.
    fn string(&mut self) {
        let length = self.next(12).min(self.data.len());
        let (bytes, rest) = self.data.split_at(length);
        self.data = rest;
        self.text.push('"');
        for byte in bytes {
            match byte {
                b'"' | b'\\' => write!(self.text, "\\{}", char::from(*byte)),
                b' '..=b'~' => write!(self.text, "{}", char::from(*byte)),
                _ => write!(self.text, "\\x{byte:02x}"),
            }
            .expect("text");
        }
        self.text.push('"');
    }

    /// A call of any function of the library that may be called in a request rule.
    fn call(&mut self, level: usize) {
        let choice = self.next(256) * 256 + self.next(256);
        let all = functions().count();
        let Some(function) = functions().nth(choice % all.max(1)) else { return self.place(level) };
        let (least, most) = function.arity;
        let most = if most == ANY { least + 3 } else { most };
        let count = least + self.next(usize::from(most - least) + 1) as u8;
        write!(self.text, "{}( ", function.name).expect("text");
        for at in 0..count {
            if at > 0 {
                self.text.push_str(", ");
            }
            self.expression(level + 1);
        }
        self.text.push_str(" )");
    }
}

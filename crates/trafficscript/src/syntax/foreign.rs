//! What people write who come from other languages, and what to write instead. Only hints: nothing here decides what a
//! rule means.

use super::{
    lexer::{Kind, Token},
    parser::Parser,
};

/// Words that begin statements or values elsewhere, and the whole hint.
const WORDS: &[(&[&str], &str)] = &[
    (&["elsif", "elseif", "elif"], "use else if"),
    (&["unless"], "use if( !( … ) )"),
    (&["until", "repeat"], "use while( !( … ) )"),
    (&["loop", "forever"], "use while( 1 )"),
    (&["then", "begin", "end", "fi", "done", "endif", "endfor", "endforeach", "endwhile", "end_if"], BLOCKS),
    (&["print", "echo", "say", "puts", "printf", "console.log", "warn"], LOGS),
    (&["exit", "die", "quit"], "`break;` outside of loops ends the rule"),
    (&["next"], "use continue"),
    (&["last"], "use break"),
    (
        &["null", "nil", "undef", "undefined", "none", "nothing"],
        "what has no value is the empty string: \"\"",
    ),
    (&["not"], "use !"),
    (
        &["new", "class", "this", "self", "object"],
        "there are no objects; a hash is written [ \"name\" => 1 ]",
    ),
    (&["try", "catch", "throw", "raise", "finally", "except"], EXCEPTIONS),
    (&["goto"], "use while, break and continue"),
    (&["use", "require", "include", "from", "package", "module"], IMPORTS),
    (&["delete"], "use hash.delete( $h, \"key\" )"),
    (&["typeof", "instanceof"], "use lang.isArray() or lang.isHash()"),
    (&["set"], "a variable is set by $x = …;"),
    (&["when", "on"], "the list that a rule stands in says when it runs"),
    (&["async", "await", "yield"], "functions that have to wait do so by themselves"),
];

const BLOCKS: &str = "blocks stand in braces: if( … ) { … }";
const LOGS: &str = "use log.info( … ), which writes to the event log";
const EXCEPTIONS: &str = "there are no exceptions: what fails gives the empty string or 0";
const IMPORTS: &str =
    "the subs of another rule are there with `import name;`, and strictness with `import strict;`";

/// Words in front of a variable that is declared.
const DECLARATIONS: &[&str] = &[
    "var", "let", "my", "our", "local", "const", "global", "static", "int", "integer", "long", "float",
    "double", "number", "string", "bool", "boolean", "char", "byte", "array", "hash", "list", "auto", "dim",
    "final",
];

/// Words that begin statements even in front of a bracket.
const BRACKETED: &[&str] =
    &["elsif", "elseif", "elif", "unless", "until", "function", "catch", "my", "var", "let"];

/// Words in front of a sub.
const SUBS: &[&str] = &["function", "func", "fn", "def", "proc", "procedure", "method", "void"];

/// Words between two values, and what to write instead.
const OPERATORS_IN_WORDS: &[(&str, &str)] = &[
    ("and", "use &&"),
    ("or", "use ||"),
    ("xor", "use !a != !b"),
    ("eq", "use =="),
    ("ne", "use !="),
    ("lt", "use <"),
    ("le", "use <="),
    ("gt", "use >"),
    ("ge", "use >="),
    ("is", "use =="),
    ("mod", "use %"),
    ("cmp", "use string.cmp()"),
    ("x", "a loop repeats a string"),
    ("in", "use array.contains(), hash.contains() or string.contains()"),
    ("contains", "use string.contains()"),
    ("starts_with", "use string.startsWith()"),
    ("ends_with", "use string.endsWith()"),
    ("matches", "use string.regexmatch()"),
    ("like", "use string.wildmatch()"),
];

/// Operators of other languages and what to write instead; they arrive as two symbols without a space between them.
const OPERATORS: &[(&str, &str)] = &[
    ("===", "use =="),
    ("!==", "use !="),
    ("<>", "use !="),
    ("~=", "use !="),
    ("<=>", "use string.cmp(), or < and >"),
    ("!~", "patterns are matched by string.regexmatch()"),
    ("~~", "patterns are matched by string.regexmatch()"),
    ("**", "use math.pow()"),
    ("**=", "use math.pow()"),
    ("->", "an element is written $h[\"key\"]"),
    ("::", "functions are written family.name(), such as http.getPath()"),
    (":=", "use ="),
    ("..", "strings are joined by one ."),
    ("||=", "use if( !$x ) $x = …;"),
    ("&&=", "use if( $x ) $x = …;"),
    ("??", "use $x ? $x : …"),
    ("??=", "use if( !$x ) $x = …;"),
    ("?:", "both values have to be written: $x ? $x : …"),
    (">>>", "use >>"),
];

/// Functions of other languages, and what to write instead.
const FUNCTIONS: &[(&[&str], &str)] = &[
    (&["print", "echo", "say", "puts", "printf", "console.log", "log", "warn", "error_log"], LOGS),
    (&["exit", "die", "quit"], "`break;` outside of loops ends the rule"),
    (&["array", "list", "new"], "an array is written [ 1, 2 ], a hash [ \"key\" => 1 ]"),
    (&["function", "sub"], "a sub has a name and stands at the top level: sub name( $a ) { … }"),
    (&["isset", "defined", "empty", "is_null", "exists"], UNSET),
    (&["length", "strlen", "len", "size"], "use string.len() or array.length()"),
    (&["count", "sizeof", "scalar"], "use array.length() or hash.count()"),
    (&["substr", "substring", "slice"], "use string.substring()"),
    (&["strpos", "indexof", "index"], "use string.find()"),
    (&["str_contains", "includes", "strstr"], "use string.contains()"),
    (&["str_starts_with", "startswith", "starts_with"], "use string.startsWith()"),
    (&["str_ends_with", "endswith", "ends_with"], "use string.endsWith()"),
    (&["str_replace", "replace", "replaceall"], "use string.replaceAll()"),
    (&["preg_match", "match", "matches", "regex"], "use string.regexmatch()"),
    (&["preg_replace", "regsub", "gsub"], "use string.regexsub()"),
    (&["explode", "split", "str_split"], "use string.split()"),
    (&["implode", "join"], "use array.join()"),
    (&["concat"], "strings are joined by . or string.append()"),
    (&["lc", "tolower", "strtolower", "tolowercase", "lower", "lowercase"], "use string.lowercase()"),
    (&["uc", "toupper", "strtoupper", "touppercase", "upper", "uppercase"], "use string.uppercase()"),
    (&["trim", "strip", "chomp"], "use string.trim()"),
    (&["reverse", "strrev"], "use string.reverse() or array.reverse()"),
    (&["push", "append", "array_push", "table.insert"], "use array.push()"),
    (&["pop", "array_pop"], "use array.pop()"),
    (&["shift", "array_shift"], "use array.shift()"),
    (&["unshift", "array_unshift"], "use array.unshift()"),
    (&["splice"], "use array.splice()"),
    (&["sort"], "use array.sort() or array.sortNumerical()"),
    (&["in_array"], "use array.contains()"),
    (&["keys", "array_keys"], "use hash.keys()"),
    (&["values", "array_values"], "use hash.values()"),
    (&["array_key_exists", "has_key", "haskey"], "use hash.contains()"),
    (&["delete", "unset"], "use hash.delete()"),
    (&["foreach", "each", "ipairs", "pairs"], "use foreach( $x in $array ) { … }"),
    (&["sprintf", "format", "number_format"], "use string.sprintf()"),
    (&["int", "intval", "parseint", "tonumber"], "use lang.toInt()"),
    (&["float", "floatval", "parsefloat"], "use lang.toDouble()"),
    (&["str", "strval", "tostring"], "use lang.toString()"),
    (&["typeof", "gettype", "type"], "use lang.isArray() or lang.isHash()"),
    (&["is_array"], "use lang.isArray()"),
    (&["var_dump", "print_r", "dumper"], "use lang.dump()"),
    (&["abs"], "use math.fabs()"),
    (&["rand", "random", "mt_rand"], "use math.random()"),
    (
        &["floor", "ceil", "sqrt", "pow", "exp", "sin", "cos", "tan"],
        "such functions are math.floor() and the like",
    ),
    (&["md5"], "use string.hashMD5()"),
    (&["sha1"], "use string.hashSHA1()"),
    (&["sha256"], "use string.hashSHA256()"),
    (&["base64_encode", "btoa"], "use string.base64encode()"),
    (&["base64_decode", "atob"], "use string.base64decode()"),
    (&["urlencode", "encodeuricomponent", "rawurlencode"], "use string.urlencode()"),
    (&["urldecode", "decodeuricomponent", "rawurldecode"], "use string.unescape()"),
    (&["htmlspecialchars", "htmlentities"], "use string.htmlencode()"),
    (&["json_encode", "json.stringify"], "use json.serialize()"),
    (&["json_decode", "json.parse"], "use json.deserialize()"),
    (&["time", "now", "date.now"], "use sys.time()"),
    (&["date", "strftime"], "use sys.gmtime.format()"),
    (&["sleep", "usleep"], "use connection.sleep()"),
    (&["getenv"], "use sys.getenv()"),
    (&["header", "setheader"], "use http.setHeader() or http.setResponseHeader()"),
    (&["getheader"], "use http.getHeader()"),
    (&["redirect"], "use http.redirect()"),
];

const UNSET: &str = "a variable that nothing has set is the empty string: if( $x == \"\" )";

/// Whether one of the names is meant, in whatever case.
fn is_among(names: &[&str], word: &str) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(word))
}

/// What to write instead of a function of another language.
pub(crate) fn function(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().chain(WORDS).find(|(names, _)| is_among(names, name)).map(|(_, hint)| *hint)
}

/// What to write instead of a word between two values.
pub(super) fn operator(word: &str) -> Option<&'static str> {
    OPERATORS_IN_WORDS.iter().find(|(known, _)| *known == word).map(|(_, hint)| *hint)
}

/// Whether statements of other languages begin with this word. A bracket behind it makes it a call, which may be one of a
/// sub of this name, but for words that have one elsewhere as well.
pub(super) fn is_word(word: &str, bracket: bool) -> bool {
    if bracket {
        return BRACKETED.contains(&word);
    }
    DECLARATIONS.contains(&word)
        || SUBS.contains(&word)
        || WORDS.iter().any(|(words, _)| words.contains(&word))
}

/// Two tokens as one word, if nothing is between them.
fn joined(first: Token, second: Token) -> Option<String> {
    let (Kind::Symbol(left), Kind::Symbol(right)) = (first.kind, second.kind) else { return None };
    (first.end == second.place.at).then(|| [left, right].concat())
}

impl Parser<'_> {
    /// A hint on the word `token`, behind which this place is.
    pub(super) fn foreign_word(&self, token: Token) -> Option<String> {
        let word = self.word(token);
        let next = self.token();
        if SUBS.contains(&word) {
            let name = if next.kind == Kind::Name { self.word(next) } else { "name" };
            return Some(format!("a sub is written sub {name}( $a ) {{ … }}"));
        }
        if DECLARATIONS.contains(&word) {
            let name = if matches!(next.kind, Kind::Name | Kind::Variable) { self.word(next) } else { "x" };
            return Some(format!("variables need no declaration: write ${name} = …;"));
        }
        if joined(next, self.ahead(1)).is_some_and(|symbol| symbol == "::") {
            return operator_of("::");
        }
        if self.before_last().is_some_and(|before| before.kind == Kind::Symbol("--")) {
            return Some("a comment begins with # and ends with its line".to_owned());
        }
        let known = WORDS.iter().find(|(words, _)| is_among(words, word)).map(|(_, hint)| *hint);
        if let Some(hint) = known.or_else(|| function(word)) {
            return Some(hint.to_owned());
        }
        let is_call = word.contains('.') || matches!(next.kind, Kind::Text(_) | Kind::Variable);
        is_call.then(|| format!("a call is written {word}( … )"))
    }

    /// Whether a declaration of a variable begins here: only its first word is too much.
    pub(super) fn is_declaration(&self) -> bool {
        let token = self.token();
        let declares = token.kind == Kind::Name && DECLARATIONS.contains(&self.word(token));
        declares && self.ahead(1).kind == Kind::Variable
    }

    /// Tells that a declaration has a word too much, and goes behind it.
    pub(super) fn declaration(&mut self) {
        let token = self.advance();
        let (message, hint) = (format!("unknown word `{}`", self.word(token)), self.foreign_word(token));
        self.error(token.place, message, hint);
    }

    /// Whether a sub begins here that is only called otherwise.
    pub(super) fn is_foreign_sub(&self) -> bool {
        let token = self.token();
        token.kind == Kind::Name && SUBS.contains(&self.word(token)) && self.ahead(1).kind == Kind::Name
    }

    /// Tells that the word in front of a sub is another one.
    pub(super) fn foreign_sub(&mut self) {
        let token = self.token();
        let name = self.word(self.ahead(1));
        let hint = format!("a sub is written sub {name}( $a ) {{ … }}");
        let message = format!("unknown word `{}`", self.word(token));
        self.error(token.place, message, Some(hint));
    }

    /// A hint on an operator of another language that ends or begins here.
    fn foreign_operator(&self) -> Option<String> {
        let (token, next) = (self.token(), self.ahead(1));
        let ends = self.last().and_then(|last| joined(last, token));
        let begins = joined(token, next);
        [ends, begins].into_iter().flatten().find_map(|symbol| operator_of(&symbol))
    }

    /// A hint on what stands here in the place of a value.
    pub(super) fn instead_of_value(&self) -> Option<String> {
        if let Some(hint) = self.foreign_operator() {
            return Some(hint);
        }
        let Kind::Symbol(symbol) = self.token().kind else { return None };
        let hint = match symbol {
            "{" => "a hash is written [ \"a\" => 1 ], an array [ 1, 2 ]",
            "/" => "a pattern is a string: string.regexmatch( $x, \"^/shop\" )",
            "+" => "a value has no + in front",
            "&" => "a sub is called by its name alone: name()",
            "%" => "hashes and arrays are variables like others: $name",
            "]" if self.last().is_some_and(|last| last.kind == Kind::Symbol("[")) => {
                "array.push( $a, … ) adds an element"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// A hint on what stands here behind a value or a statement.
    pub(super) fn instead_of_end(&self) -> Option<String> {
        if let Some(hint) = self.foreign_operator() {
            return Some(hint);
        }
        let (token, last) = (self.token(), self.last()?);
        let hint = match token.kind {
            Kind::Symbol("{") if last.kind == Kind::Variable => "an element is written $h[\"key\"]",
            Kind::Symbol("{") if last.kind == Kind::Symbol(")") => {
                "a sub has a name and stands at the top level: sub name( $a ) { … }"
            }
            Kind::Symbol("=>") => "a hash is written [ \"a\" => 1 ]",
            Kind::Symbol("~") => "patterns are matched by string.regexmatch()",
            Kind::Text(_) if ends_value(last.kind) && last.place.line == token.place.line => {
                "strings are joined by ."
            }
            Kind::Variable if matches!(last.kind, Kind::Text(_)) && last.place.line == token.place.line => {
                "strings are joined by ."
            }
            Kind::Symbol(":") => "a key stands in front of =>: [ \"a\" => 1 ]",
            Kind::Symbol(",") => "several values are an array: [ 1, 2 ]",
            Kind::Name if last.place.line == token.place.line => match self.word(token) {
                "if" | "unless" | "while" | "until" | "for" | "foreach" => {
                    "a condition stands in front of what it is for: if( … ) …;"
                }
                "then" => BLOCKS,
                word => return operator(word).map(str::to_owned),
            },
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// A hint on a name in the place of a variable.
    pub(super) fn instead_of_variable(&self) -> Option<String> {
        let (token, next) = (self.token(), self.ahead(1));
        if token.kind != Kind::Name {
            return None;
        }
        Some(if next.kind == Kind::Variable {
            format!("variables have no types: write ${}", self.word(next))
        } else {
            format!("a variable is written ${}", self.word(token))
        })
    }
}

fn ends_value(kind: Kind) -> bool {
    matches!(kind, Kind::Variable | Kind::Capture(_) | Kind::Text(_) | Kind::Symbol(")" | "]"))
}

fn operator_of(symbol: &str) -> Option<String> {
    OPERATORS
        .iter()
        .find(|(known, _)| *known == symbol)
        .map(|(known, hint)| format!("`{known}` is no operator: {hint}"))
}

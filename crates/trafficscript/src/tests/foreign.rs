//! What people write who come from other languages gets a hint that leads on.

use crate::{
    Options, Severity, compile,
    testing::{compiled, logged},
};

/// What is written, and what a hint on it holds.
const FIRST_HOURS: &[(&str, &str)] = &[
    ("// all of it\n$x = 1;", "a comment begins with #"),
    ("$x = 1; // behind", "a comment begins with #"),
    ("/* two\n lines */ $x = 1;", "a comment begins with #"),
    ("-- all of it", "a comment begins with #"),
    ("$h = { \"a\": 1 };", "a hash is written [ \"a\" => 1 ]"),
    ("$h = {};", "a hash is written [ \"a\" => 1 ]"),
    ("$h = [ \"a\": 1 ];", "a key stands in front of =>"),
    ("$h{\"a\"} = 1;", "an element is written $h[\"key\"]"),
    ("$x = $h->a;", "an element is written $h[\"key\"]"),
    ("$a[] = 1;", "array.push( $a, … )"),
    ("$a = array( 1, 2 );", "an array is written [ 1, 2 ]"),
    ("$a = (1, 2);", "[ 1, 2 ]"),
    ("@a = 1;", "variables like others: $name"),
    ("%h = 1;", "variables like others: $name"),
    ("var x = 1;", "variables need no declaration: write $x = …;"),
    ("let x = 1;", "variables need no declaration: write $x = …;"),
    ("my $x = 1;", "variables need no declaration: write $x = …;"),
    ("local x = 1", "variables need no declaration: write $x = …;"),
    ("int count = 1;", "variables need no declaration: write $count = …;"),
    ("for( let $i = 0; $i < 3; $i++ ) { }", "variables need no declaration: write $i = …;"),
    ("x = 1;", "a variable is written $x"),
    ("set x 1", "a variable is set by $x = …;"),
    ("$x := 1;", "`:=` is no operator: use ="),
    ("if( 1 and 2 ) { }", "use &&"),
    ("if( 1 or 2 ) { }", "use ||"),
    ("if( not 1 ) { }", "use !"),
    ("if( 1 ) { } elsif( 2 ) { }", "use else if"),
    ("if( 1 ) { } elseif( 2 ) { }", "use else if"),
    ("if( 1 ) { } elif( 2 ) { }", "use else if"),
    ("if 1 then", "write if( … ) { … }"),
    ("if( 1 ) then { }", "blocks stand in braces"),
    ("if( 1 ) { } end", "blocks stand in braces"),
    ("if( $x === 1 ) { }", "`===` is no operator: use =="),
    ("if( $x !== 1 ) { }", "`!==` is no operator: use !="),
    ("if( $x <> 1 ) { }", "`<>` is no operator: use !="),
    ("if( $x ~= 1 ) { }", "`~=` is no operator: use !="),
    ("if( $x eq 1 ) { }", "use =="),
    ("if( $x ne 1 ) { }", "use !="),
    ("if( $x = 1 ) { }", "to compare, use =="),
    ("if( $y && $x = \"a\" ) { }", "to compare, use =="),
    ("$y = 1; if( $x = $y ) { }", "to compare, use =="),
    ("if( $x =~ /a/ ) { }", "string.regexmatch()"),
    ("if( $x !~ /a/ ) { }", "string.regexmatch()"),
    ("$x = /a/;", "a pattern is a string"),
    ("if( \"a\" in $x ) { }", "array.contains()"),
    ("if( $x contains \"a\" ) { }", "string.contains()"),
    ("$x = \"a\" + \"b\";", "strings are joined by ."),
    ("$x = 1; $x += \"a\";", "strings are joined by ."),
    ("$x = \"a\" .. \"b\";", "strings are joined by one ."),
    ("$x = \"a\" \"b\";", "strings are joined by ."),
    ("$x = 1; log.info( \"x is $x\" );", "\"…\" . $x . \"…\""),
    ("$x = 1; log.info( \"x is ${x}\" );", "\"…\" . $x . \"…\""),
    ("$x = 2 ** 3;", "use math.pow()"),
    ("$x ||= 3;", "use if( !$x ) $x = …;"),
    ("$x = $y ?? 3;", "use $x ? $x : …"),
    ("$x = $y ?: 3;", "both values have to be written"),
    ("$x = 1 if $y;", "a condition stands in front"),
    ("unless( $x ) { }", "use if( !( … ) )"),
    ("do { } until( 1 );", "write do { … } while( … );"),
    ("while 1 { }", "write while( … ) { … }"),
    ("foreach $x ( $a ) { }", "write foreach( $x in $array )"),
    ("foreach( $a as $x ) { }", "write foreach( $x in $array )"),
    ("for( $x in $a ) { }", "write foreach( $x in $array )"),
    ("for( const x of a ) { }", "variables need no declaration"),
    ("for $x in $a { }", "foreach( $x in $array )"),
    ("function f( $x ) { }", "a sub is written sub f( $a ) { … }"),
    ("def f(): ", "a sub is written sub f( $a ) { … }"),
    ("sub f { }", "without parameters sub f() { … }"),
    ("sub f( x ) { }", "a variable is written $x"),
    ("sub f( string $x ) { }", "variables have no types: write $x"),
    ("sub f( $x = 1 ) { }", "parameters have no defaults"),
    ("$f = function( $x ) { };", "a sub has a name"),
    ("&f();", "a sub is called by its name alone"),
    ("print \"a\";", "log.info( … )"),
    ("echo( \"a\" );", "log.info( … )"),
    ("console.log( \"a\" );", "log.info( … )"),
    ("log.info \"a\";", "a call is written log.info( … )"),
    ("exit;", "`break;` outside of loops"),
    ("die( 1 );", "`break;` outside of loops"),
    ("next;", "use continue"),
    ("last;", "use break"),
    ("$x = null;", "the empty string"),
    ("$x = None;", "the empty string"),
    ("if( isset( $x ) ) { }", "is the empty string"),
    ("if( !defined $x ) { }", "is the empty string"),
    ("$x = new Thing();", "there are no objects"),
    ("try { }", "there are no exceptions"),
    ("use strict;", "`import strict;`"),
    ("require \"lib\";", "`import name;`"),
    ("when HTTP_REQUEST { }", "the list that a rule stands in"),
    ("$x = HTTP::uri;", "such as http.getPath()"),
    ("$x = getHeader( \"a\" );", "http.getHeader()"),
    ("$x = getFormParam( \"a\" );", "did you mean http.getFormParam?"),
    ("$x = strlen( \"a\" );", "string.len()"),
    ("$x = \"a\".length;", "string.len()"),
    ("$x = substr( \"a\", 1 );", "string.substring()"),
    ("$x = split( \"a\" );", "string.split()"),
    ("push( $a, 1 );", "array.push()"),
    ("delete $h[\"a\"];", "hash.delete("),
];

#[test]
fn first_hours_of_perl_javascript_php_and_lua() {
    let mut wrong = Vec::new();
    for (text, hint) in FIRST_HOURS {
        let notes = compile("test", text.as_bytes(), &Options::default(), &|_| None).notes;
        let hints: Vec<_> = notes.iter().filter_map(|note| note.hint.as_deref()).collect();
        if !hints.iter().any(|found| found.contains(hint)) {
            wrong.push(format!("{text}\n   {hint}\n   {notes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One fault is one error: what stands around it is read as it is meant.
#[test]
fn the_rest_of_the_rule_is_read_on() {
    for text in [
        "// one\n/* two\n */ $x = 1;\nlog.info( $x );",
        "my $x = 1; log.info( $x );",
        "function f( $x ) { return $x; } log.info( f( 1 ) );",
        "for( my $i = 0; $i < 3; $i++ ) { log.info( $i ); }",
    ] {
        let notes = compile("test", text.as_bytes(), &Options::default(), &|_| None).notes;
        let comments = text.matches("/*").count() + text.matches("//").count();
        assert_eq!(notes.len(), comments.max(1), "{text}: {notes:?}");
        assert!(notes.iter().all(|note| note.severity == Severity::Error && note.line <= 2));
    }
}

/// Words of other languages are names of subs here like any others, and nothing is said of what is meant.
#[test]
fn what_is_meant_is_left_alone() {
    for text in [
        "set( 1 ); sub set( $x ) { }",
        "next( 1 ); print( 2 ); sub next( $x ) { } sub print( $x ) { }",
        "list(); sub list() { }",
        "$x = 1; log.info( 'costs $5, $y and 100$' ); string.regexmatch( $x, \"a$\" );",
        "$port = 1; if( !$port = http.getPath() ) { }",
        "$x = \"7\" + 1; $x = \"-7\" + \" .5\"; $x += \"1e3\";",
        "$x = 8 / 2; $y = $x / $x;",
    ] {
        assert!(compiled(text).notes.is_empty(), "{text}: {:?}", compiled(text).notes);
    }
    assert_eq!(logged("$x = \"a$x\"; test.show( $x );"), ["\"a$x\""]);
}

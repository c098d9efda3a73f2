//! How long a rule can hold a worker: each line calls one function, over and over on the same values, until the rule is
//! aborted for its number of instructions. What is charged for bytes has to keep all of them alike.

use std::time::{Duration, Instant};

use tidegate_trafficscript::{End, Limits, Machine, PatternCache, Program, Step, described::Described};

use super::{Runner, rule};

/// Longest run up to the abort: twice what a quiet machine needs, so that a busy one passes.
const BOUND: Duration = Duration::from_millis(40);
/// Runs of which the fastest counts.
const RUNS: usize = 3;

/// Strings and containers the lines work on; `$p` is short, `$s` some 200 KB.
const VALUES: &str = r#"
$p = "/shop/item?id=4711&x=y z<b>";
$s = "The quick brown fox jumps over the lazy dog, 13 times <b>&amp;</b> 100%\n";
$d = "1234567890"; $e = "%41&lt;<\"\n"; $w = "a ";
for( $i = 0; $i < 12; $i++ ) { $s .= $s; $d .= $d; $e .= $e; $w .= $w; }
$hex = string.hexencode( $d ); $b64 = string.base64encode( $s );
$a = []; for( $i = 0; $i < 200; $i++ ) array.push( $a, string.hashMD5( $i ) );
$n = []; for( $i = 0; $i < 200; $i++ ) array.push( $n, ( $i * 7919 ) % 1009 );
$h = []; for( $i = 0; $i < 200; $i++ ) $h["key " . $i] = $i;
for( $i = 0; $i < 4; $i++ ) { array.append( $a, $a ); array.append( $n, $n ); }
$json = json.serialize( $n ); $jsons = json.serialize( [ $s, $s ] ); $jh = json.serialize( $h );
$xml = "<r>"; for( $i = 0; $i < 100; $i++ ) $xml .= "<a x='1'>text<b/></a>"; $xml .= "</r>";
$sealed = string.encrypt( $s, "pass" ); $short = string.encrypt( "user=7", "pass" );
"#;

/// What is called: the statement of the loop.
const CALLS: &[&str] = &[
    "",
    "$i++;",
    "$t = $s . 1;",
    "$t = $p . 1;",
    "$t = $s == $e;",
    "$t = $s + 1;",
    "$t = $d + 1;",
    "$t = 1.5 . \"\";",
    "$t = $a;",
    "$t = $h;",
    "$t = [ 1, 2, 3 ];",
    "$t = [ \"a\" => 1 ];",
    "foreach( $x in $h ) { }",
    "$t = $h[\"key 7\"];",
    "$h[\"key 7\"] = 1;",
    "$t = $h[$s];",
    "$q .= $p;",
    "f( $p );",
    "lang.toString( 1.5 );",
    "lang.toDouble( $d );",
    "lang.toInt( $d );",
    "lang.toArray( 1, $p, 2 );",
    "lang.toHash( \"a\", 1 );",
    "lang.dump( $s );",
    "lang.dump( $e );",
    "lang.dump( $n );",
    "lang.max( $s, $s );",
    "math.pow( 1.5, 2.5 );",
    "math.sin( 1.5 );",
    "math.random( 10 );",
    "array.push( $x, 1 );",
    "array.shift( $n ); array.push( $n, 1 );",
    "array.unshift( $n, 1 ); array.pop( $n );",
    "array.append( $x, $n );",
    "array.contains( $n, 5000 );",
    "array.contains( $a, \"x\" );",
    "array.contains( $n, \"x\" );",
    "array.contains( $n, $d );",
    "$t = $a[$d];",
    "$t = 1 / 0;",
    "lang.warn( $p );",
    "array.join( $a );",
    "array.join( $n );",
    "array.create( 1000 );",
    "array.create( 1000, $p );",
    "array.copy( $n );",
    "array.sort( $a );",
    "array.sort( $n );",
    "array.sort( array.reverse( $n ) );",
    "array.sortNumerical( $n, $i++ % 2 );",
    "array.sortNumerical( $a );",
    "array.reverse( $n );",
    "array.filter( $a, \"a\" ); $a = [ $p, $p, $p, $p ];",
    "array.splice( $n, 100, 10, 1 );",
    "hash.keys( $h );",
    "hash.values( $h );",
    "hash.contains( $h, $p );",
    "hash.delete( $h, \"key 7\" ); $h[\"key 7\"] = 1;",
    "json.serialize( $n );",
    "json.serialize( $h );",
    "json.serialize( $s );",
    "json.serialize( $e );",
    "json.serialize( $p );",
    "json.deserialize( $json );",
    "json.deserialize( $jsons );",
    "json.deserialize( $jh );",
    "json.deserialize( \"[1,2,3]\" );",
    "string.startsWith( $p, \"/shop\" );",
    "string.startsWithI( $s, $s );",
    "string.endsWith( $s, $s );",
    "string.contains( $s, \"zebra\" );",
    "string.contains( $w, \"aaaaaaaaaaaaaaaaaaaab\" );",
    "string.containsI( $s, \"zebra\" );",
    "string.find( $s, \"13 times not\" );",
    "string.findr( $s, \"13 times not\" );",
    "string.count( $s, \"e\" );",
    "string.count( $w, \"a\" );",
    "string.cmp( $s, $s );",
    "string.icmp( $s, $s );",
    "string.substring( $s, 10, 150000 );",
    "string.split( $s );",
    "string.split( $w );",
    "string.split( $p, \"\" );",
    "string.append( $s, $p );",
    "string.trim( $s );",
    "string.lowercase( $s );",
    "string.uppercase( $s );",
    "string.reverse( $s );",
    "string.insertBytes( $s, $p, 7 );",
    "string.replaceBytes( $s, $p, 7 );",
    "string.replace( $s, \"zebra\", \"ox\" );",
    "string.replaceAll( $s, \"o\", \"oo\" );",
    "string.replaceAll( $w, \"a\", \"\" );",
    "string.replaceAllI( $s, \"O\", \"oo\" );",
    "string.regexmatch( $s, \"zebra\" );",
    "string.regexmatch( $s, \"(z|b)eb?ra\" );",
    "string.regexmatch( $s, \"^(.*)x(.*)$\" );",
    "string.regexmatch( $s, \"(?!z)zebra\" );",
    "string.regexmatch( $p, \"^/(shop|cart)/\" );",
    "string.regexmatch( $p, \"(?=/)shop\" );",
    "string.regexmatch( $p, $p );",
    "string.regexsub( $s, \"o\", \"x\", \"g\" );",
    "string.regexsub( $w, \"a\", \"x\", \"g\" );",
    "string.regexescape( $s );",
    "string.regexescape( $e );",
    "string.wildmatch( $s, \"*zebra*\" );",
    "string.wildmatch( $w, \"*a*a*a*b\" );",
    "string.base64encode( $s );",
    "string.base64decode( $b64 );",
    "string.hexencode( $s );",
    "string.hexdecode( $hex );",
    "string.urlencode( $s );",
    "string.urlencode( $e );",
    "string.urlencodeexceptreserved( $e );",
    "string.escape( $s );",
    "string.unescape( $s );",
    "string.unescape( $e );",
    "string.htmlencode( $s );",
    "string.htmlencode( $e );",
    "string.htmldecode( $s );",
    "string.htmldecode( $e );",
    "string.hash( $s );",
    "string.hash( $p );",
    "string.hashMD5( $s );",
    "string.hashMD5( $p );",
    "string.hashSHA1( $s );",
    "string.hashSHA1( $p );",
    "string.hashSHA256( $s );",
    "string.hashSHA256( $p );",
    "string.hashSHA384( $s );",
    "string.hashSHA512( $s );",
    "string.hashSHA512( $p );",
    "string.randomBytes( 10000 );",
    "string.randomBytes( 16 );",
    "string.encrypt( $s, \"pass\" );",
    "string.encrypt( $p, \"pass\" );",
    "string.encrypt( $p, $s );",
    "string.decrypt( $sealed, \"pass\" );",
    "string.decrypt( $short, \"pass\" );",
    "string.intToHex( 4711 );",
    "string.hexToInt( $hex );",
    "string.bytesToInt( $p );",
    "string.BERToInt( $s );",
    "string.sprintf( \"%5.2f %s\", 1.5, $p );",
    "string.sprintf( \"%4000d\", 1 );",
    "string.sprintf( \"%.300f\", 1.5 );",
    "string.sprintf( $s );",
    "string.ipmaskmatch( \"10.1.2.3\", \"10.0.0.0/8\" );",
    "string.validIPAddress( $s );",
    "string.normalizeIPAddress( \"::1\" );",
    "string.extractHost( \"a.example:80\" );",
    "string.extractHost( $s );",
    "string.gmtime.parse( \"Sun, 06 Nov 1994 08:49:37 GMT\" );",
    "string.gmtime.parse( $s );",
    "xml.xpath.matchNodeCount( $xml, \"\", \"//b\" );",
    "xml.xpath.matchNodeSet( $xml, \"\", \"/r/a\" );",
    "xml.xpath.matchNodeCount( \"<a/>\", \"\", \"/a\" );",
    "xml.xpath.matchNodeCount( $xml, \"\", \"//a[.//b]//following::b\" );",
    "sys.gmtime.format( \"%a, %d %b %Y\" );",
    "sys.localtime.format( \"%a, %d %b %Y\" );",
    "sys.gmtime.format( $s );",
    "sys.timeToString( 7 );",
    "http.normalizePath( $s );",
    "connection.data.set( \"a\", $p );",
    "connection.data.get( \"a\" );",
    "data.set( \"a\", $p );",
    "data.set( \"a\", $h );",
    "data.get( \"a\" );",
    "request.getRemoteIP();",
    "log.info( $p );",
    "log.info( $s );",
];

/// A line for each of them.
pub(super) fn budgets(runner: &mut Runner) {
    for call in CALLS {
        let name = format!("budget, {call}");
        if !runner.wants(&name) {
            continue;
        }
        let program = rule(&format!("{VALUES} while( 1 ) {{ {call} }} sub f( $p ) {{ return $p; }}"));
        let mut runs: Vec<_> = (0..RUNS).map(|_| run(&program)).collect();
        runs.sort_unstable_by_key(|(taken, _)| *taken);
        if let Some((taken, end)) = runs.first() {
            let verdict = runner.verdict(*taken, Some(BOUND));
            let end = if end.contains("instructions") { "" } else { end };
            println!("{name:64} {taken:>12.1?}{verdict} {end}");
        }
    }
}

/// How long the rule runs, and what it is aborted for.
fn run(program: &Program) -> (Duration, String) {
    let mut host = Described::request("GET", "/basket/12345?id=4711").header("Accept", "text/html");
    let mut patterns = PatternCache::new(57, Limits::default().match_steps);
    let mut machine = Machine::new(program, Limits::default());
    let start = Instant::now();
    match machine.run(&mut host, &mut patterns) {
        Step::Done(End::Aborted(why)) => (start.elapsed(), why),
        other => panic!("{other:?}"),
    }
}

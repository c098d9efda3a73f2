//! `tidegate rule check FILE…` and `tidegate rule run FILE --request 'GET /x'`: rules without a traffic manager.
//!
//! Files in, what the compiler says of them out; or a described request in, what the rule did with it out. Rules that a
//! rule imports are the files of their names beside it. Nothing is sent anywhere: what a rule asks other servers for
//! has no answer.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand, ValueEnum};
use tidegate_trafficscript::{
    Compiled, Described, End, Limits, Options, Phase, Severity, compile, described::Message,
};

use crate::places;

/// The commands about rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Compile rules and print every error, warning and note.
    ///
    /// Exit status: 0 = no errors (there may be warnings), 1 = errors.
    Check(CheckOptions),
    /// Run a rule over a described request and print what it did.
    ///
    /// Exit status: 0 = the rule ran, 1 = it has errors or was aborted.
    Run(Box<RunOptions>),
}

/// Options of `rule check`.
#[derive(Debug, Args)]
pub(crate) struct CheckOptions {
    /// The rules.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Names of pools may be computed, as with the setting trafficscript!variable_pool_use.
    #[arg(long)]
    variable_pool_use: bool,
}

/// Options of `rule run`.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The rule.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Method and target of the request.
    #[arg(long, value_name = "'GET /x'", default_value = "GET /")]
    request: RequestLine,

    /// A header field of the request. May be repeated.
    #[arg(long = "header", value_name = "'NAME: VALUE'")]
    headers: Vec<Field>,

    /// The body of the request.
    #[arg(long, value_name = "TEXT", default_value = "")]
    body: String,

    /// Status of the node's response. With it the rule runs as a response rule.
    #[arg(long, value_name = "'200 OK'")]
    response: Option<StatusLine>,

    /// A header field of the response. May be repeated.
    #[arg(long = "response-header", value_name = "'NAME: VALUE'", requires = "response")]
    response_headers: Vec<Field>,

    /// The body of the response.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "response")]
    response_body: String,

    /// What the client sends, for rules of protocols other than HTTP.
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["request", "headers", "body", "response"])]
    data: Option<String>,

    /// What the node sends. With it the rule runs as a response rule.
    #[arg(long, value_name = "BYTES", requires = "data")]
    response_data: Option<String>,

    /// When the rule runs. [default: response with --response or --response-data, else request]
    #[arg(long, value_name = "PHASE")]
    phase: Option<PhaseName>,

    /// Address of the client.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,

    /// The client speaks TLS.
    #[arg(long)]
    tls: bool,

    /// A pool there is. May be repeated; without it every pool that the rule names is there.
    #[arg(long = "pool", value_name = "NAME")]
    pools: Vec<String>,

    /// A file for resource.get. May be repeated.
    #[arg(long = "resource", value_name = "FILE")]
    resources: Vec<PathBuf>,

    /// Database of places for geo.*: GeoLite2 or GeoIP2, City or Country.
    #[arg(long, value_name = "FILE")]
    geo_database: Option<PathBuf>,

    /// Seconds since 1970. [default: now]
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,

    /// Names of pools may be computed, as with the setting trafficscript!variable_pool_use.
    #[arg(long)]
    variable_pool_use: bool,
}

/// Method and target.
#[derive(Clone, Debug)]
struct RequestLine(String, String);

impl FromStr for RequestLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(method), Some(target), None | Some("HTTP/1.1" | "HTTP/1.0")) => {
                Ok(Self(method.to_owned(), target.to_owned()))
            }
            _ => Err("a method and a target are expected, such as 'GET /x'".to_owned()),
        }
    }
}

/// Status and reason.
#[derive(Clone, Debug)]
struct StatusLine(u16, String);

impl FromStr for StatusLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (status, reason) = text.trim().split_once(' ').unwrap_or_else(|| (text.trim(), ""));
        match status.parse() {
            Ok(status @ 100..=999) => Ok(Self(status, reason.to_owned())),
            _ => Err("a status is expected, such as '200 OK' or 404".to_owned()),
        }
    }
}

/// Name and value of a header field.
#[derive(Clone, Debug)]
struct Field(String, String);

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Self(name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err("a header field is expected, such as 'Host: a.example'".to_owned()),
        }
    }
}

/// When a rule runs.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PhaseName {
    Request,
    Response,
    Completion,
}

/// Does what is asked and prints what there is to say.
pub(crate) fn rule(command: &RuleCommand) -> Result<ExitCode, String> {
    let mut text = String::new();
    let good = match command {
        RuleCommand::Check(options) => check(options, &mut text),
        RuleCommand::Run(options) => run(options, &mut text)?,
    };
    // Whoever closed standard output does not want the lines.
    drop(io::stdout().lock().write_all(text.as_bytes()));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compiles a file. Rules it imports are the files beside it.
fn compile_file(file: &Path, variable_pool_use: bool) -> Result<Compiled, String> {
    let read =
        |path: &Path| fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
    let text = read(file)?;
    let options = Options { variable_pool_use, ..Options::default() };
    let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = |imported: &str| -> Option<Arc<[u8]>> {
        // A name that leads elsewhere is no name of a rule.
        let is_name =
            !imported.is_empty() && !imported.contains(['/', '\\', '\0']) && !imported.starts_with('.');
        let directory = file.parent().filter(|_| is_name)?;
        let extension = file.extension().map(|extension| extension.to_string_lossy().into_owned());
        let with_extension = extension.map(|extension| format!("{imported}.{extension}"));
        let names = with_extension.into_iter().chain([imported.to_owned()]);
        names.filter_map(|name| fs::read(directory.join(name)).ok()).map(Arc::from).next()
    };
    Ok(compile(&name, &text, &options, &beside))
}

/// Whether there was no error.
fn check(options: &CheckOptions, text: &mut String) -> bool {
    let (mut errors, mut warnings) = (0, 0);
    for file in &options.files {
        let path = file.display();
        match compile_file(file, options.variable_pool_use) {
            Ok(compiled) => {
                for note in &compiled.notes {
                    let _ = writeln!(text, "{path}: {note}");
                    errors += usize::from(note.severity == Severity::Error);
                    warnings += usize::from(note.severity == Severity::Warning);
                }
            }
            Err(fault) => {
                let _ = writeln!(text, "{fault}");
                errors += 1;
            }
        }
    }
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (files, errors_text) = (plural(options.files.len(), "rule"), plural(errors, "error"));
    let _ = writeln!(text, "{files}: {errors_text}, {}", plural(warnings, "warning"));
    errors == 0
}

/// Whether the rule ran to an end of its own.
fn run(options: &RunOptions, text: &mut String) -> Result<bool, String> {
    let compiled = compile_file(&options.file, options.variable_pool_use)?;
    for note in &compiled.notes {
        let _ = writeln!(text, "{}: {note}", options.file.display());
    }
    let Some(program) = compiled.program else { return Ok(false) };
    let mut host = described(options)?;
    let misplaced = program.uses().misplaced(host.phase);
    for note in &misplaced {
        let _ = writeln!(text, "{}: {note}", options.file.display());
    }
    if !misplaced.is_empty() {
        return Ok(false);
    }
    if host.places.is_none()
        && let Some((function, line)) = program.uses().asks_for_places()
    {
        let file = options.file.display();
        let _ = writeln!(
            text,
            "{file}: Note: {function} in line {line} looks into a database of places; give one with --geo-database"
        );
    }
    let end = host.run(&program, Limits::default());
    text.push_str(&host.report());
    Ok(!matches!(end, End::Aborted(_)))
}

/// The request, and the response if there is one.
fn described(options: &RunOptions) -> Result<Described, String> {
    let mut host = match &options.data {
        Some(bytes) => Described::bytes(bytes.clone()),
        None => Described::request(options.request.0.clone(), options.request.1.clone()),
    };
    if options.data.is_none() {
        host.request = message(&options.headers, &options.body);
    }
    if let Some(bytes) = &options.response_data {
        host.response = Message::default().body(bytes.clone());
        host.phase = Phase::Response;
    }
    if options.data.is_some() {
        // In one piece; whether more comes is asked for.
        for message in [&mut host.request, &mut host.response] {
            message.arrived = message.body.len();
        }
    }
    if let Some(address) = options.client {
        host.client.set_ip(address);
    }
    if options.tls {
        host = host.secure();
    }
    for pool in &options.pools {
        host = host.pool(pool, Vec::new());
    }
    for path in &options.resources {
        let content =
            fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        host = host.file(&name, content);
    }
    if let Some(path) = &options.geo_database {
        host.places = Some(Arc::new(places::read(path)?));
    }
    host.now = match options.time {
        Some(seconds) => Duration::from_secs(seconds),
        None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    };
    host.seed = u64::from(host.now.subsec_nanos());
    if let Some(StatusLine(status, reason)) = &options.response {
        let response = message(&options.response_headers, &options.response_body);
        host.respond(*status, reason.clone(), response);
    }
    match options.phase {
        Some(PhaseName::Request) => host.phase = Phase::Request,
        Some(PhaseName::Response) => host.phase = Phase::Response,
        Some(PhaseName::Completion) => host.phase = Phase::Completion,
        None => {}
    }
    Ok(host)
}

fn message(headers: &[Field], body: &str) -> Message {
    let mut message = Message::default().body(body);
    for Field(name, value) in headers {
        message = message.header(name.as_str(), value.as_str());
    }
    if !body.is_empty()
        && !message.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))
    {
        message = message.header("Content-Length", body.len().to_string());
    }
    message
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tidegate_harness::places::{Record, database};

    use super::*;

    /// A command line of which the `rule` is left out.
    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: RuleCommand,
    }

    /// What is printed, and whether it is good, for rules in a directory of their own.
    fn said(rules: &[(&str, &str)], arguments: &[&str]) -> (String, bool) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in rules {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let arguments = arguments.iter().map(|argument| match argument.strip_prefix('@') {
            Some(name) => directory.path().join(name).display().to_string(),
            None => (*argument).to_owned(),
        });
        let line = Line::try_parse_from(std::iter::once("rule".to_owned()).chain(arguments)).unwrap();
        let mut text = String::new();
        let good = match &line.command {
            RuleCommand::Check(options) => check(options, &mut text),
            RuleCommand::Run(options) => run(options, &mut text).unwrap(),
        };
        (text.replace(&format!("{}/", directory.path().display()), ""), good)
    }

    #[test]
    fn every_note_of_every_rule_is_told() {
        let rules = [
            ("good.rts", "log.info( http.getPath() );\n"),
            ("old.rts", "$c = http.cookie( \"a\" );\n"),
            ("bad.rts", "log.info( http.getPth() );\n"),
        ];
        let (text, good) = said(&rules, &["check", "@good.rts", "@old.rts"]);
        assert!(good, "{text}");
        assert!(text.contains("old.rts: Warning: line 1") && text.contains("http.getCookie"), "{text}");
        assert!(text.ends_with("2 rules: 0 errors, 1 warning\n"), "{text}");

        let (text, good) = said(&rules, &["check", "@good.rts", "@bad.rts", "@none.rts"]);
        assert!(!good, "{text}");
        assert!(text.contains("bad.rts: Error: line 1") && text.contains("http.getPath"), "{text}");
        assert!(text.contains("none.rts cannot be read"), "{text}");
        assert!(text.ends_with("3 rules: 2 errors, 0 warnings\n"), "{text}");
    }

    #[test]
    fn a_rule_for_no_list_is_told() {
        let (text, good) = said(&[("r", "http.getResponseBody();\npool.use( \"x\" );")], &["check", "@r"]);
        assert!(
            good && text.starts_with("r: Warning: line 2, column 1: no list of rules admits all"),
            "{text}"
        );
        assert!(text.ends_with("1 rule: 0 errors, 1 warning\n"), "{text}");
    }

    #[test]
    fn imports_are_the_files_beside() {
        let rules = [
            ("main.rts", "import tools;\nlog.info( tools.twice( \"a\" ) );"),
            ("tools.rts", "sub twice( $x ) { return $x . $x; }"),
            ("lost.rts", "import none;"),
        ];
        let (text, good) = said(&rules, &["run", "@main.rts"]);
        assert!(good && text.contains("Log INFO: aa\n"), "{text}");
        assert!(!said(&rules, &["check", "@lost.rts"]).1);
    }

    #[test]
    fn a_request_rule_is_run() {
        let text = "log.info( http.getHeader( \"A\" ) . request.getRemoteIP() . ssl.isSSL() . http.getBody() );\n\
                    http.setHeader( \"X\", \"y\" );\npool.use( \"web\" );";
        let arguments = [
            "run",
            "@r",
            "--request",
            "POST /x",
            "--header",
            "A: b",
            "--body",
            "text",
            "--client",
            "192.0.2.9",
            "--tls",
        ];
        let (text, good) = said(&[("r", text)], &arguments);
        assert!(good, "{text}");
        assert_eq!(
            text,
            "Pool web gets this request:\n  POST /x HTTP/1.1\n  A: b\n  Content-Length: 4\n  X: y\n\n  text\n\
             Log INFO: b192.0.2.91text\n"
        );
        let (text, good) = said(&[("r", "pool.use( \"web\" );")], &["run", "@r", "--pool", "other"]);
        assert!(good && text.contains("there is no pool `web`"), "{text}");
        assert!(text.starts_with("The default pool default gets this request:"), "{text}");
    }

    #[test]
    fn rules_of_other_protocols_are_run() {
        let request = "request.endsWith( \"\\n\" );\n$line = request.getLine();\n\
                       if( string.startsWith( $line, \"quit\" ) ) request.sendResponse( \"bye\\n\" );\n\
                       else if( string.startsWith( $line, \"b\" ) ) pool.use( \"b\" );";
        let answer = "response.set( string.uppercase( response.get() ) . \"!\" );";
        let rules = [("r", request), ("a", answer)];
        for (arguments, expected) in [
            (
                &["run", "@r", "--data", "bee\nnext"][..],
                "Pool b gets these bytes:\n  bee\nThe next request begins with these bytes:\n  next\n",
            ),
            (&["run", "@r", "--data", "one\r\n"], "The default pool default gets these bytes:\n  one\\r\n"),
            (
                &["run", "@r", "--data", "quit\n"],
                "The client gets these bytes, and no node anything:\n  bye\n",
            ),
            (&["run", "@a", "--data", "x", "--response-data", "ok"], "The client gets these bytes:\n  OK!\n"),
        ] {
            let (text, good) = said(&rules, arguments);
            assert!(good && text.starts_with(expected), "{arguments:?}: {text}");
        }
        let (text, good) = said(&[("r", "http.getPath();")], &["run", "@r", "--data", "x"]);
        assert!(
            !good && text.contains("http.getPath is for virtual servers whose protocol is http"),
            "{text}"
        );
        assert!(Line::try_parse_from(["rule", "run", "r", "--data", "x", "--header", "A: b"]).is_err());
    }

    #[test]
    fn a_streamed_response_is_shown_as_it_is_sent() {
        let rule = "http.stream.startResponse( 200, http.getResponseHeader( \"Content-Type\" ), -1 );\n\
                    http.stream.writeResponse( \"new\" );\nhttp.stream.finishResponse();";
        let arguments = [
            "run",
            "@r",
            "--response",
            "200 OK",
            "--response-header",
            "Content-Type: text/html",
            "--response-header",
            "X-Kept: yes",
            "--response-body",
            "old text",
        ];
        let (text, good) = said(&[("r", rule)], &arguments);
        assert!(good, "{text}");
        assert_eq!(
            text,
            "The client gets this reply, written in pieces:\n  HTTP/1.1 200 OK\n  X-Kept: yes\n  \
             Content-Type: text/html\n  Transfer-Encoding: chunked\n\n  new\n"
        );
    }

    #[test]
    fn a_response_rule_is_run() {
        let rule = "http.setResponseBody( http.getResponseCode() . http.getResponseHeader( \"A\" ) );";
        let arguments = [
            "run",
            "@r",
            "--response",
            "404 Gone",
            "--response-header",
            "A: b",
            "--response-body",
            "old text",
        ];
        let (text, good) = said(&[("r", rule)], &arguments);
        assert!(good, "{text}");
        assert_eq!(
            text,
            "The client gets this response:\n  HTTP/1.1 404 Gone\n  A: b\n  Content-Length: 4\n\n  404b\n"
        );
        let (text, good) = said(&[("r", rule)], &["run", "@r"]);
        assert!(!good && text.contains("cannot be called in request rules"), "{text}");
    }

    #[test]
    fn an_aborted_rule_is_no_success() {
        let (text, good) = said(&[("r", "while( 1 ) { }")], &["run", "@r"]);
        assert!(!good && text.contains("Log WARN: Rule r: "), "{text}");
        let (text, good) = said(&[("r", "while( 1 ) { connection.sleep( 1 ); }")], &["run", "@r"]);
        assert!(!good && text.contains("it has waited 10000 times"), "{text}");
    }

    #[test]
    fn files_and_time_are_given() {
        let rules = [("r", "log.info( resource.get( \"page\" ) . sys.time() );"), ("page", "hello ")];
        let (text, good) = said(&rules, &["run", "@r", "--resource", "@page", "--time", "7"]);
        assert!(good && text.contains("Log INFO: hello 7\n"), "{text}");
    }

    #[test]
    fn places_are_those_of_a_database() {
        let rules = [("r", "log.info( geo.getCity( request.getRemoteIP() ) . \".\" );")];
        let (text, good) = said(&rules, &["run", "@r", "--client", "192.0.2.7"]);
        assert!(good && text.contains("Log INFO: .\n"), "{text}");
        assert!(text.starts_with("r: Note: geo.getCity in line 1 looks into"), "{text}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let london = Record { country: ("GB", "United Kingdom"), city: Some("London"), ..Record::default() };
        let database = database("GeoLite2-City", &[("192.0.2.0/24".parse().unwrap(), london)]);
        fs::write(file.path(), database).unwrap();
        let path = file.path().to_str().unwrap();
        let (text, good) = said(&rules, &["run", "@r", "--client", "192.0.2.7", "--geo-database", path]);
        assert!(good && text.contains("Log INFO: London.\n") && !text.contains("Note"), "{text}");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for arguments in [
            &["run", "r", "--request", "GET"][..],
            &["run", "r", "--header", "nothing"],
            &["run", "r", "--response", "fine"],
            &["run", "r", "--response-body", "x"],
            &["check"],
        ] {
            assert!(Line::try_parse_from([&["rule"], arguments].concat()).is_err(), "{arguments:?}");
        }
    }
}

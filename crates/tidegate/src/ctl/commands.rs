//! The commands of `ctl`, one method each: ask, decide, show.

use std::{
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use hyper::{Method, StatusCode, body::Bytes};
use serde_json::{Map, Value as Json, json};
use tidegate_config::rest::{Type, Version, text};

use super::{
    CtlCommand, ExplainOptions, Failure, Kind, PutOptions,
    client::{self, Answer, Client},
    complain, explain, nodes,
    path::{self, Meant},
    print,
    show::{self, Format, Table, cell},
    stats,
};
use crate::settings::ctl::Access;

const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";
/// Largest file that is written, bytes: the largest body that REST takes.
const MAX_FILE: u64 = 20 << 20;
/// Time between two looks at the events.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// What commands work with.
pub(super) struct Commands {
    client: Client,
    format: Option<Format>,
}

impl Commands {
    pub(super) fn new(access: Access, format: Option<Format>) -> Result<Self, Failure> {
        if access.url.starts_with("http://") && !client::is_local(&access.url) {
            complain("note: without TLS the password can be read on the way");
        }
        Ok(Self { client: Client::new(access)?, format })
    }

    pub(super) async fn run(mut self, command: CtlCommand) -> Result<(), Failure> {
        match command {
            CtlCommand::Get { path } => self.get(&path).await,
            CtlCommand::Put(options) => self.put(&options).await,
            CtlCommand::Delete { path } => self.delete(&path).await,
            CtlCommand::Nodes { pool } => self.nodes(pool.as_deref()).await,
            CtlCommand::Drain(node) => self.change(&node.pool, &node.node, nodes::Change::Drain).await,
            CtlCommand::Disable(node) => self.change(&node.pool, &node.node, nodes::Change::Disable).await,
            CtlCommand::Undrain(node) => self.change(&node.pool, &node.node, nodes::Change::Undrain).await,
            CtlCommand::Forget(node) => self.change(&node.pool, &node.node, nodes::Change::Forget).await,
            CtlCommand::Stats { group, name, all } => {
                self.stats(group.as_deref(), name.as_deref(), all).await
            }
            CtlCommand::Events { follow, last } => self.events(follow, last).await,
            CtlCommand::Explain(options) => self.explain(&options).await,
        }
    }

    /// Prints a document: as a table by `table` unless another form is asked for.
    fn show(&self, document: &Json, table: impl FnOnce(&Json) -> String) {
        let text = match self.format {
            None | Some(Format::Table) => table(document),
            Some(format) => show::document(document, format),
        };
        print(text.as_bytes());
    }

    async fn get(&mut self, text: &str) -> Result<(), Failure> {
        let Meant { path, below, .. } = path::meant(text).map_err(not_found)?;
        let answer = self.client.get(&path).await?;
        if !answer.is_json {
            print(&answer.body);
            return Ok(());
        }
        let document = answer.json()?;
        let shown = path::part(&document, &below).map_err(|error| not_found(format!("{text}: {error}")))?;
        match (self.format, show::children(shown)) {
            (None | Some(Format::Table), Some(names)) => {
                let lines: String = names.iter().map(|name| show::plain(name) + "\n").collect();
                print(lines.as_bytes());
            }
            (Some(Format::Table), None) => {
                let values = shown.get("properties").unwrap_or(shown);
                let text = if values.is_object() { show::flat(values).text("") } else { cell(values) + "\n" };
                print(text.as_bytes());
            }
            (format, _) => print(show::document(shown, format.unwrap_or(Format::Yaml)).as_bytes()),
        }
        Ok(())
    }

    async fn put(&mut self, options: &PutOptions) -> Result<(), Failure> {
        let meant = path::meant(&options.path).map_err(not_found)?;
        if !meant.below.is_empty() {
            let hint = format!("use --set {}=VALUE on the object", meant.below.join("."));
            return Err(Failure::usage(format!("{} is a part of an object; {hint}", options.path)));
        }
        let file = match &options.file {
            None => None,
            Some(path) => Some(read(path)?),
        };
        let body = body(meant.of, &options.path, file, &options.set)?;
        let answer = self.client.ask(Method::PUT, &meant.path, Some(body)).await?;
        self.written(&answer, &options.path)
    }

    /// Says what became of a write, and shows the object where it is asked for in a form.
    fn written(&self, answer: &Answer, what: &str) -> Result<(), Failure> {
        match self.format {
            Some(format) if answer.is_json => {
                let document = answer.json()?;
                let text = match format {
                    Format::Table => show::flat(document.get("properties").unwrap_or(&document)).text(""),
                    _ => show::document(&document, format),
                };
                print(text.as_bytes());
            }
            _ => {
                let done = if answer.status == StatusCode::CREATED { "made" } else { "changed" };
                let serving = if does_not_run(answer) { "" } else { " and serving" };
                print(format!("{what} is {done}{serving}\n").as_bytes());
            }
        }
        tell(&answer.notices);
        if does_not_run(answer) {
            return Err(Failure::refused(format!("{what} has errors and does not run")));
        }
        Ok(())
    }

    async fn delete(&mut self, text: &str) -> Result<(), Failure> {
        let meant = path::meant(text).map_err(not_found)?;
        if !meant.below.is_empty() {
            return Err(Failure::usage(format!(
                "{text} is a part of an object; only whole objects are deleted"
            )));
        }
        let answer = self.client.ask(Method::DELETE, &meant.path, None).await?;
        print(format!("{text} is deleted\n").as_bytes());
        tell(&answer.notices);
        Ok(())
    }

    async fn pool(&mut self, pool: &str) -> Result<Json, Failure> {
        let path = format!("/api/tidegate/nodes/{}", path::encoded(pool));
        let known = self.client.document(&path).await;
        known.map_err(|failure| match failure.kind {
            Kind::NotFound => {
                not_found(format!("there is no pool {pool} that serves; see “tidegate ctl get pools”"))
            }
            _ => failure,
        })
    }

    async fn nodes(&mut self, pool: Option<&str>) -> Result<(), Failure> {
        let names = match pool {
            Some(pool) => vec![pool.to_owned()],
            None => show::children(&self.client.document("/api/tidegate/nodes").await?).unwrap_or_default(),
        };
        let mut pools = Vec::new();
        for name in names {
            pools.push(self.pool(&name).await?);
        }
        match (pool, pools.as_slice()) {
            (Some(_), [one]) => self.show(one, |one| nodes::table(std::slice::from_ref(one))),
            _ => self.show(&Json::Array(pools.clone()), |_| nodes::table(&pools)),
        }
        Ok(())
    }

    async fn change(&mut self, pool: &str, node: &str, change: nodes::Change) -> Result<(), Failure> {
        let shown = self.pool(pool).await?;
        let version = Version::newest().text();
        let path = format!("/api/tm/{version}/config/active/pools/{}", path::encoded(pool));
        let object = self.client.document(&path).await?;
        let table = object["properties"]["basic"]["nodes_table"].as_array().cloned().unwrap_or_default();
        let changed = nodes::change(&table, &shown, node, change)
            .map_err(|nodes::NoNode(text)| Failure::new(Kind::NotFound, text))?;
        let mut notices = Vec::new();
        if let Some(rows) = changed.rows {
            let body = json!({ "properties": { "basic": { "nodes_table": rows } } }).to_string();
            notices = self.client.ask(Method::PUT, &path, Some((JSON, body.into()))).await?.notices;
        }
        if matches!(self.format, Some(Format::Yaml | Format::Json)) {
            let now = self.pool(pool).await?;
            self.show(&now, |_| String::new());
        } else {
            print(format!("{}\n", changed.said).as_bytes());
        }
        tell(&changed.notes);
        tell(&notices);
        Ok(())
    }

    async fn stats(&mut self, group: Option<&str>, name: Option<&str>, all: bool) -> Result<(), Failure> {
        let root = format!("/api/tm/{}/status/local_tm/statistics", Version::newest().text());
        let group = group.unwrap_or_default().trim_matches('/');
        let mut path = root.clone();
        for part in group.split('/').filter(|part| !part.is_empty()) {
            path = format!("{path}/{}", path::encoded(part));
        }
        if let Some(name) = name {
            path = format!("{path}/{}", path::encoded(name));
        }
        let answer = self.client.document(&path).await.map_err(|failure| match failure.kind {
            Kind::NotFound => not_found(format!(
                "there are no counters of {group}{}; “tidegate ctl stats” lists the groups",
                name.map(|name| format!(" {name}")).unwrap_or_default()
            )),
            _ => failure,
        })?;
        let names = match stats::found(&answer) {
            stats::Found::Counters => {
                let objects =
                    Map::from_iter([(name.unwrap_or_default().to_owned(), answer["statistics"].clone())]);
                self.show(&answer["statistics"], |_| stats::table(&objects, all));
                return Ok(());
            }
            stats::Found::Names(names) => names,
        };
        // A group of groups lists them, with what lies below.
        if group.is_empty() || names.iter().any(|name| name.ends_with('/')) {
            let mut groups = Vec::new();
            for name in names {
                let here = [group, name.as_str()].join("/");
                let here = here.trim_start_matches('/');
                groups.extend(self.groups(&root, here).await?);
            }
            let listed: Json = groups.into_iter().collect();
            self.show(&listed, |listed| {
                listed.as_array().into_iter().flatten().map(|name| cell(name) + "\n").collect()
            });
            return Ok(());
        }
        let mut objects = Map::new();
        for name in names {
            match self.client.document(&format!("{path}/{}", path::encoded(&name))).await {
                Ok(answer) => drop(objects.insert(name, answer["statistics"].clone())),
                // Listed and without counters, or gone since.
                Err(failure) if matches!(failure.kind, Kind::Refused | Kind::NotFound) => {
                    objects.insert(name, Json::Null);
                }
                Err(failure) => return Err(failure),
            }
        }
        self.show(&Json::Object(objects.clone()), |_| stats::table(&objects, all));
        Ok(())
    }

    /// A group, or the groups below a directory of them.
    async fn groups(&mut self, root: &str, name: &str) -> Result<Vec<String>, Failure> {
        let Some(directory) = name.strip_suffix('/') else { return Ok(vec![name.to_owned()]) };
        let below = self.client.document(&format!("{root}/{directory}")).await?;
        let below = show::children(&below).unwrap_or_default();
        if below.is_empty() || !below.iter().all(|below| below.ends_with('/')) {
            return Ok(vec![directory.to_owned()]);
        }
        Ok(below.iter().map(|below| format!("{directory}/{}", below.trim_end_matches('/'))).collect())
    }

    async fn events(&mut self, follow: bool, last: Option<usize>) -> Result<(), Failure> {
        let (mut after, mut last) = (0, last);
        loop {
            let answer = self.client.document(&format!("/api/tidegate/events?after={after}")).await?;
            let mut events = answer["events"].as_array().cloned().unwrap_or_default();
            let seen = answer["seen"].as_u64().unwrap_or_default();
            if seen < after {
                // It was started anew and counts from the beginning.
                after = 0;
                continue;
            }
            after = events.last().and_then(|event| event["number"].as_u64()).unwrap_or(after);
            if let Some(last) = last.take() {
                events.drain(..events.len().saturating_sub(last));
            }
            if follow {
                for event in &events {
                    print(self.event_line(event).as_bytes());
                }
            } else {
                let listed = Json::Array(events);
                self.show(&listed, |listed| {
                    let mut table = Table::new(&["TIME", "LEVEL", "EVENT", "OBJECT", "TEXT"]);
                    for event in listed.as_array().into_iter().flatten() {
                        table.row(
                            ["time", "level", "tag", "object", "text"]
                                .map(|name| cell(&event[name]))
                                .to_vec(),
                        );
                    }
                    table.text("")
                });
                return Ok(());
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }

    /// One line per event, for those who follow.
    fn event_line(&self, event: &Json) -> String {
        match self.format {
            Some(Format::Json) => format!("{event}\n"),
            Some(Format::Yaml) => show::document(&Json::Array(vec![event.clone()]), Format::Yaml),
            None | Some(Format::Table) => {
                let [time, level, tag, object, text] =
                    ["time", "level", "tag", "object", "text"].map(|name| cell(&event[name]));
                format!("{time}  {level:<7}  {tag}  {object}  {text}\n")
            }
        }
    }

    async fn explain(&mut self, options: &ExplainOptions) -> Result<(), Failure> {
        let question = explain::question(options).map_err(Failure::usage)?.to_string();
        let path = "/api/tidegate/explain";
        let answer = self.client.ask(Method::POST, path, Some((JSON, question.into()))).await;
        let answer = answer.map_err(|failure| match failure.kind {
            Kind::Refused => Failure::refused(failure.text.replace(&format!("POST {path}: "), "")),
            _ => failure,
        })?;
        self.show(&answer.json()?["explanation"], explain::text);
        Ok(())
    }
}

fn not_found(text: impl Into<String>) -> Failure {
    Failure::new(Kind::NotFound, text)
}

/// Whether what was written is a rule with errors.
fn does_not_run(answer: &Answer) -> bool {
    answer.notices.iter().any(|notice| notice.starts_with("does-not-run;"))
}

fn tell(notices: &[String]) {
    for notice in notices {
        complain(&format!("note: {}", show::plain(notice)));
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let fault = |error: io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fault)?;
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
            .map_err(fault)?;
    }
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::usage(format!("{} has more than {MAX_FILE} bytes", path.display())));
    }
    Ok(bytes)
}

/// The body of a PUT and its type: what the file says with the settings over it.
fn body(
    of: Option<Type>,
    path: &str,
    file: Option<Vec<u8>>,
    set: &[String],
) -> Result<(&'static str, Bytes), Failure> {
    let Some(of) = of else {
        // A path of the interface: what the file holds is sent as it is.
        let Some(file) = file.filter(|_| set.is_empty()) else {
            return Err(Failure::usage(format!(
                "{path} is no object of the configuration: it takes a file and no --set"
            )));
        };
        let media_type = if serde_json::from_slice::<Json>(&file).is_ok() { JSON } else { OCTETS };
        return Ok((media_type, file.into()));
    };
    if of.is_raw() {
        return match file {
            Some(file) if set.is_empty() => Ok((OCTETS, file.into())),
            _ => Err(Failure::usage(format!("{} have a content and no keys: name a file", of.path()))),
        };
    }
    let mut properties = match file {
        None => Json::Object(Map::new()),
        Some(file) => match serde_json::from_slice::<Json>(&file) {
            // REST says what is wrong with JSON, type by type.
            Ok(mut json) => match json.get_mut("properties") {
                Some(properties) => properties.take(),
                None => json,
            },
            Err(_) => text::body(of, &file)
                .map_err(|faults| Failure::refused(format!("{path}: {}", faults.join("\n  "))))?,
        },
    };
    for text in set {
        let (section, key, value) = text::setting(of, text).map_err(Failure::usage)?;
        if !properties[&section].is_object() {
            properties[&section] = Json::Object(Map::new());
        }
        properties[&section][&key] = value;
    }
    let body = json!({ "properties": properties }).to_string();
    Ok((JSON, body.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(of: Option<&str>, file: Option<&str>, set: &[&str]) -> Result<(&'static str, String), Failure> {
        let of = of.map(|of| Type::of(of).unwrap());
        let set: Vec<String> = set.iter().map(ToString::to_string).collect();
        let (media_type, body) = body(of, "x", file.map(|text| text.as_bytes().to_vec()), &set)?;
        Ok((media_type, String::from_utf8(body.to_vec()).unwrap()))
    }

    #[test]
    fn bodies_are_made_of_json_yaml_and_settings() {
        let expected = |text: &str| Ok((JSON, text.to_owned()));
        let note = r#"{"properties":{"basic":{"note":"n"}}}"#;
        assert_eq!(
            sent(Some("pools"), Some(r#"{"properties": {"basic": {"note": "n"}}}"#), &[]),
            expected(note)
        );
        assert_eq!(sent(Some("pools"), Some(r#"{"basic": {"note": "n"}}"#), &[]), expected(note));
        assert_eq!(sent(Some("pools"), Some("basic: { note: n }"), &[]), expected(note));
        assert_eq!(sent(Some("pools"), Some("basic: { note: m }"), &["basic.note=n"]), expected(note));
        assert_eq!(sent(Some("pools"), None, &["basic.note=n"]), expected(note));
        assert_eq!(sent(Some("rules"), Some("a: b"), &[]), Ok((OCTETS, "a: b".to_owned())));
        assert_eq!(sent(None, Some("{}"), &[]), Ok((JSON, "{}".to_owned())));
        assert_eq!(sent(None, Some("x"), &[]), Ok((OCTETS, "x".to_owned())));
        for (of, file, set, kind, told) in [
            (Some("pools"), Some("basic: { nte: n }"), &[][..], Kind::Refused, "note"),
            (Some("pools"), None, &["basic.nte=n"][..], Kind::Usage, "note"),
            (Some("rules"), None, &["basic.note=n"], Kind::Usage, "content"),
            (None, None, &["basic.note=n"], Kind::Usage, "--set"),
        ] {
            let failure = sent(of, file, set).unwrap_err();
            assert!(failure.kind == kind && failure.text.contains(told), "{failure:?}");
        }
    }
}

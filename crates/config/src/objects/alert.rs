//! `event_types`, `actions` and `action_programs`: factory event types included.

use std::sync::Arc;

use tidegate_model::{
    ActionName, Configuration,
    alert::{Action, ActionKind, Category, EventType, Selection},
};

use super::{Reader, catalogue::content, cell_text, readers};
use crate::{diagnostic::Report, merge::Merged};

/// Builds programs, actions and the event types that lead to them.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    for reader in readers(merged, "action_programs") {
        if let Some(content) = content(&reader, report) {
            configuration.action_programs.insert(reader.name().into(), Arc::clone(content));
        }
    }
    for reader in readers(merged, "actions") {
        let Some(kind) = kind(&reader, configuration, report) else { continue };
        let action = Action {
            name: reader.name().into(),
            kind,
            verbose: reader.flag("basic", "verbose"),
            timeout: reader.time_limit("basic", "timeout"),
        };
        configuration.actions.insert(reader.name().into(), Arc::new(action));
    }
    for reader in readers(merged, "event_types") {
        let event_type = event_type(&reader, configuration, report);
        configuration.event_types.insert(reader.name().into(), Arc::new(event_type));
    }
}

fn kind(reader: &Reader<'_>, configuration: &Configuration, report: &mut Report<'_>) -> Option<ActionKind> {
    Some(match &*reader.text("basic", "type") {
        "log" => {
            let file = reader.text("log", "file");
            if file.is_empty() || file.chars().any(char::is_control) {
                let message = "the action needs the name of a file and is left out".to_owned();
                reader.fault(report, "log", "file", message, None);
                return None;
            }
            ActionKind::Log { file }
        }
        "syslog" => ActionKind::Syslog {
            host: reader.text("syslog", "sysloghost"),
            limit: reader.number("basic", "syslog_msg_len_limit") as usize,
        },
        "program" => {
            let program = reader.text("program", "program");
            if !configuration.action_programs.contains_key(&*program) {
                let known =
                    configuration.action_programs.keys().map(tidegate_model::ActionProgramName::as_str);
                let then = "the action is left out";
                reader.missing(report, ("program", "program"), "action program", &program, (known, then));
                return None;
            }
            let rows = reader.rows("program", "arguments");
            let arguments = rows.iter().map(|row| (cell_text(row, "name"), cell_text(row, "value")));
            ActionKind::Program { program: (&*program).into(), arguments: arguments.collect() }
        }
        _ => ActionKind::NotActedOn,
    })
}

fn event_type(reader: &Reader<'_>, configuration: &Configuration, report: &mut Report<'_>) -> EventType {
    let mut actions = Vec::new();
    for name in reader.list("basic", "actions") {
        if configuration.actions.contains_key(&**name) {
            actions.push(ActionName::from(&**name));
        } else {
            let known = configuration.actions.keys().map(ActionName::as_str);
            let then = "the others are done";
            reader.missing(report, ("basic", "actions"), "action", name, (known, then));
        }
    }
    let selection = |category: Category| {
        let section = category.section();
        let objects = if has_objects(category) { reader.list(section, "objects") } else { &[] };
        let tags = reader.list(section, "event_tags").to_vec();
        (!tags.is_empty()).then(|| (category, Selection { tags, objects: objects.to_vec() }))
    };
    EventType {
        name: reader.name().into(),
        everything: reader.flag("basic", "built_in") && !reader.has_list("event_tags"),
        selections: Category::ALL.into_iter().filter_map(selection).collect(),
        actions,
    }
}

/// Whether events of the category are about objects.
fn has_objects(category: Category) -> bool {
    !matches!(category, Category::General | Category::TrafficScript)
}

#[cfg(test)]
mod tests {
    use tidegate_model::alert::Category;

    use super::*;
    use crate::{Document, Input, References, compile};

    struct NoFiles;

    impl References for NoFiles {
        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Err("there are no files here".to_owned())
        }
    }

    fn compiled(text: &str) -> (Configuration, String) {
        let documents = [Document { name: "a".to_owned(), text: text.as_bytes().to_vec() }];
        let compiled = compile(&Input { watched: &documents, ..Input::default() }, &NoFiles);
        let lines: Vec<String> = compiled.diagnostics.iter().map(ToString::to_string).collect();
        (compiled.configuration.unwrap(), lines.join("\n"))
    }

    #[test]
    fn factory_event_types_select_what_they_always_did() {
        let (configuration, told) = compiled("{}");
        assert_eq!(told, "");
        let matches =
            |name: &str, category, tag: &str| configuration.event_types[name].matches(category, tag, "any");
        assert!(matches("All Events", Category::Rules, "ruleabort"));
        assert!(matches("Connection Failures", Category::VirtualServers, "connfail"));
        assert!(!matches("Connection Failures", Category::VirtualServers, "vsstart"));
        assert!(matches("All Custom TrafficScript Events", Category::TrafficScript, "mine"));
        assert!(matches("Critical Problem Occurred", Category::Pools, "pooldied"));
    }

    #[test]
    fn actions_and_what_is_wrong_with_them() {
        let (configuration, told) = compiled(
            "action_programs: [{name: run, content: '#!/bin/sh'}]\n\
             actions:\n\
             - {name: file, properties: {basic: {type: log, verbose: true}, log: {file: a}}}\n\
             - {name: none, properties: {basic: {type: log}}}\n\
             - {name: far, properties: {basic: {type: syslog, syslog_msg_len_limit: 500, timeout: 0}}}\n\
             - {name: run, properties: {basic: {type: program}, program: {program: run}}}\n\
             - {name: gone, properties: {basic: {type: program}, program: {program: rum}}}\n\
             - {name: trap, properties: {basic: {type: trap}}}\n\
             event_types: [{name: t, properties: {basic: {actions: [file, fil]}, pools: {event_tags: [nodefail]}}}]\n",
        );
        let kind = |name: &str| &configuration.actions[name].kind;
        assert_eq!(*kind("file"), ActionKind::Log { file: "a".into() });
        assert_eq!(*kind("far"), ActionKind::Syslog { host: "".into(), limit: 500 });
        assert_eq!(configuration.actions["far"].timeout, None);
        assert!(matches!(kind("run"), ActionKind::Program { .. }));
        assert_eq!(*kind("trap"), ActionKind::NotActedOn);
        assert!(!configuration.actions.contains_key("none") && !configuration.actions.contains_key("gone"));
        for piece in
            ["name of a file", "no action program “rum”", "does not act on “trap”", "no action “fil”"]
        {
            assert!(told.contains(piece), "{told} lacks {piece}");
        }
        assert_eq!(told.lines().count(), 4, "{told}");
        assert_eq!(configuration.event_types["t"].actions, [ActionName::from("file")]);
        assert!(!configuration.event_types["t"].everything);
    }
}

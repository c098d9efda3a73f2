//! `rules`, `rate` and `service_level_monitors`, and the lists of rules of virtual servers.
//!
//! A rule that was compiled before from the same source, with the same options and imports, is taken over as it is.
//! What the compiler of rules has to say becomes diagnostics of the document that holds the rule, or refers to the
//! file that does.

use std::{cell::RefCell, collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use tidegate_model::{
    BandwidthName, Configuration, PoolName, RateClass, Rule, RuleEntry, RuleName, ServiceLevel,
    virtual_server::Protocol,
};
use tidegate_trafficscript::{Note, Options, Phase, compile};

use super::{Reader, readers};
use crate::{
    diagnostic::{Excerpt, Origin, Position, Report, Severity, quote},
    merge::Merged,
    nearest,
};

/// Lists of rules of a virtual server, by the phase they run in.
const LISTS: [(Phase, &str, &str); 3] = [
    (Phase::Request, "request_rules", "request"),
    (Phase::Response, "response_rules", "response"),
    (Phase::Completion, "completion_rules", "completion"),
];

/// Compiles the rules and builds the rate classes and the classes of service. `configuration.global` is there already.
pub(crate) fn build(
    merged: &Merged,
    previous: Option<&Configuration>,
    configuration: &mut Configuration,
    report: &mut Report<'_>,
) {
    let options = configuration.global.rules.options();
    for reader in readers(merged, "rules") {
        let Some(source) = reader.content() else {
            reader.object_fault(report, "the rule has no content and is left out".to_owned());
            continue;
        };
        let before = previous.and_then(|previous| previous.rules.get(reader.name()));
        let rule = rule(reader.name(), source, &options, merged, before);
        tell(&reader, &rule, report);
        configuration.rules.insert(reader.name().into(), rule);
    }
    for reader in readers(merged, "rate") {
        let limit = |key: &str| NonZeroU32::new(reader.number("basic", key));
        let class = RateClass {
            name: reader.name().into(),
            per_minute: limit("max_rate_per_minute"),
            per_second: limit("max_rate_per_second"),
        };
        configuration.rates.insert(reader.name().into(), Arc::new(class));
    }
    for reader in readers(merged, "service_level_monitors") {
        let share = |key: &str| u8::try_from(reader.number("basic", key)).unwrap_or(100).min(100);
        let level = ServiceLevel {
            name: reader.name().into(),
            response_time: Duration::from_millis(u64::from(reader.number("basic", "response_time"))),
            warning_threshold: share("warning_threshold"),
            serious_threshold: share("serious_threshold"),
        };
        configuration.service_levels.insert(reader.name().into(), Arc::new(level));
    }
}

/// The rule, compiled again only if something it was compiled from is another.
fn rule(
    name: &str,
    source: &Arc<[u8]>,
    options: &Options,
    merged: &Merged,
    previous: Option<&Arc<Rule>>,
) -> Arc<Rule> {
    let text_of = |name: &str| merged.objects.get("rules")?.get(name)?.content.clone();
    if let Some(previous) = previous
        && previous.options == *options
        && previous.source == *source
        && previous.imports.iter().all(|(name, text)| text_of(name.as_str()) == *text)
    {
        return Arc::clone(previous);
    }
    let imports: RefCell<BTreeMap<RuleName, Option<Arc<[u8]>>>> = RefCell::default();
    let compiled = compile(name, source, options, &|import| {
        let text = text_of(import);
        imports.borrow_mut().insert(import.into(), text.clone());
        text
    });
    Arc::new(Rule {
        name: name.into(),
        source: Arc::clone(source),
        options: options.clone(),
        imports: imports.into_inner().into_iter().collect(),
        program: compiled.program,
        notes: compiled.notes.into(),
    })
}

/// Tells what the compiler of rules had to say.
fn tell(reader: &Reader<'_>, rule: &Rule, report: &mut Report<'_>) {
    let Some(place) = reader.content_place() else { return };
    for note in rule.notes.iter() {
        if report.is_full() {
            report.count(severity(note));
            continue;
        }
        let at = place.literal.map_or(place.origin.at, |first| Position {
            line: first.line + note.line.saturating_sub(1),
            column: first.column + note.column.saturating_sub(1),
        });
        let origin = Origin { at, ..place.origin };
        let file = place.file.as_ref().map(|file| format!("{} ", quote(file))).unwrap_or_default();
        let message = format!("{file}line {} column {}: {}", note.line, note.column, note.message);
        let path = format!("rules/{}", rule.name);
        report.tell(severity(note), origin, &path, message, note.hint.clone(), excerpt(note));
    }
}

fn severity(note: &Note) -> Severity {
    match note.severity {
        tidegate_trafficscript::Severity::Error => Severity::Error,
        tidegate_trafficscript::Severity::Warning | tidegate_trafficscript::Severity::Note => {
            Severity::Warning
        }
    }
}

/// The line of a note, unless it was cut before the place of the fault.
fn excerpt(note: &Note) -> Option<Excerpt> {
    let column = note.column as usize;
    (column <= note.source_line.chars().count() + 1)
        .then(|| Excerpt { text: note.source_line.clone(), column })
}

/// Warns of pools and bandwidth classes that rules name and that are not there. Those of the configuration are.
pub(crate) fn check_names(merged: &Merged, configuration: &Configuration, report: &mut Report<'_>) {
    for reader in readers(merged, "rules") {
        let (Some(rule), Some(place)) = (configuration.rules.get(reader.name()), reader.content_place())
        else {
            continue;
        };
        let path = format!("rules/{}", rule.name);
        for pool in rule.pools() {
            if pool.as_str() == "discard" || configuration.pools.contains_key(&pool) {
                continue;
            }
            let known = configuration.pools.keys().map(PoolName::as_str).chain(["discard"]);
            let hint = if report.is_full() { None } else { nearest::hint(pool.as_str(), known) };
            let message = format!(
                "there is no pool {}; where the rule chooses it, the virtual server's own pool serves",
                quote(pool.as_str())
            );
            report.warn(place.origin, &path, message, hint);
        }
        for class in rule.bandwidth() {
            if configuration.bandwidth.contains_key(&class) {
                continue;
            }
            let known = configuration.bandwidth.keys().map(BandwidthName::as_str);
            let hint = if report.is_full() { None } else { nearest::hint(class.as_str(), known) };
            let message = format!(
                "there is no bandwidth class {}; where the rule chooses it, the limit stays as it was",
                quote(class.as_str())
            );
            report.warn(place.origin, &path, message, hint);
        }
    }
}

/// The three lists of rules of a virtual server: for requests, responses and the end.
pub(crate) fn lists(
    reader: &Reader<'_>,
    protocol: Protocol,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> [Vec<RuleEntry>; 3] {
    LISTS.map(|(phase, key, noun)| {
        let mut entries = Vec::new();
        for written in reader.list("basic", key) {
            let (name, enabled) = match written.strip_prefix('/') {
                Some(name) => (name, false),
                None => (&**written, true),
            };
            let Some(rule) = configuration.rules.get(name) else {
                let known = configuration.rules.keys().map(RuleName::as_str);
                reader.missing(report, ("basic", key), "rules", name, (known, "the entry is left out"));
                continue;
            };
            let enabled = enabled && can_run(reader, (phase, key, noun), rule, report);
            if enabled {
                note_pointless(reader, key, protocol, rule, report);
            }
            entries.push(RuleEntry { rule: rule.name.clone(), enabled });
        }
        entries
    })
}

/// Whether a rule can run in a list; tells what keeps it from that.
fn can_run(
    reader: &Reader<'_>,
    (phase, key, noun): (Phase, &str, &str),
    rule: &Rule,
    report: &mut Report<'_>,
) -> bool {
    let name = quote(rule.name.as_str());
    let Some(program) = &rule.program else {
        // The error itself has been told where the rule stands.
        let message = format!("the rule {name} has an error and does not run");
        reader.tell(report, Severity::Warning, ("basic", key), message, None, None);
        return false;
    };
    let misplaced = program.uses().misplaced(phase);
    let Some(first) = misplaced.first() else { return true };
    let more = match misplaced.len() - 1 {
        0 => String::new(),
        1 => "; so is one more call".to_owned(),
        more => format!("; so are {more} more calls"),
    };
    let message = format!(
        "the rule {name} does not run in {noun} rules: line {} column {}: {}{more}",
        first.line, first.column, first.message
    );
    reader.tell(report, severity(first), ("basic", key), message, first.hint.clone(), excerpt(first));
    false
}

/// Warns of a rule that is aborted where it calls a function which is for other protocols.
fn note_pointless(reader: &Reader<'_>, key: &str, protocol: Protocol, rule: &Rule, report: &mut Report<'_>) {
    let speaks_http = protocol == Protocol::Http;
    let pointless = rule.program.as_ref().filter(|_| protocol.is_served());
    let Some((line, why)) = pointless.and_then(|program| program.uses().pointless(speaks_http)) else {
        return;
    };
    let name = quote(rule.name.as_str());
    let message = format!("the rule {name} is aborted where it gets to line {line}: {why}");
    let hint = Some(format!("the protocol here is {}", protocol.word()));
    reader.tell(report, Severity::Warning, ("basic", key), message, hint, None);
}

#[cfg(test)]
mod tests;

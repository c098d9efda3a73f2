//! Merged settings to the objects of [`tidegate_model`], one module per kind of object.
//!
//! [`Reader`] gives the value of a key as written, or else its default. A reference that leads nowhere, a pattern
//! that does not compile and the like are reported at the place they stand, and the object is built without them.

pub(crate) mod alert;
pub(crate) mod bandwidth;
pub(crate) mod catalogue;
pub(crate) mod directory;
pub(crate) mod global;
pub(crate) mod monitor;
pub(crate) mod persistence;
pub(crate) mod pool;
pub(crate) mod rules;
pub(crate) mod tls;
pub(crate) mod virtual_server;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use tidegate_model::{Configuration, tls::TlsVersions, virtual_server::ListenHost};

use crate::{
    acted_on::{Acted, acted},
    coerce::{Row, Value},
    diagnostic::{Excerpt, Origin, Report, Severity, quote},
    merge::{ContentPlace, Merged, Object, object_path},
    nearest,
    schema::{ObjectType, SCHEMA},
};

/// Builds every object, those that are referred to before those that refer.
pub(crate) fn build(
    merged: &Merged,
    previous: Option<&Configuration>,
    report: &mut Report<'_>,
) -> Configuration {
    let mut configuration =
        Configuration { global: global::build(merged, report), ..Configuration::default() };
    catalogue::build(merged, &mut configuration, report);
    rules::build(merged, previous, &mut configuration, report);
    bandwidth::build(merged, &mut configuration);
    directory::build(merged, &mut configuration, report);
    alert::build(merged, &mut configuration, report);
    tls::build_keys(merged, &mut configuration, report);
    persistence::build(merged, &mut configuration, report);
    monitor::build(merged, &mut configuration, report);
    pool::build(merged, &mut configuration, report);
    rules::check_names(merged, &configuration, report);
    virtual_server::build(merged, &mut configuration, report);
    configuration
}

/// Reads the settings of an object.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    merged: &'a Merged,
    object_type: &'static ObjectType,
    name: &'a str,
    object: &'a Object,
}

/// Every object of a type, in the order of names.
pub(crate) fn readers<'a>(merged: &'a Merged, path: &'a str) -> impl Iterator<Item = Reader<'a>> {
    let object_type = SCHEMA.types.get(path);
    merged
        .of(path)
        .filter_map(move |(name, object)| Some(Reader { merged, object_type: object_type?, name, object }))
}

impl<'a> Reader<'a> {
    /// Name of the object.
    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    /// Content of a raw object.
    pub(crate) fn content(&self) -> Option<&'a Arc<[u8]>> {
        self.object.content.as_ref()
    }

    /// Where that stands.
    pub(crate) fn content_place(&self) -> Option<&'a ContentPlace> {
        self.object.content_place.as_ref()
    }

    /// Whether the key has been given a value.
    pub(crate) fn is_set(&self, section: &str, key: &str) -> bool {
        self.setting(section, key).is_some()
    }

    /// Whether every key that the object must have is there; reports those that are not.
    pub(crate) fn is_complete(&self, report: &mut Report<'_>) -> bool {
        let mut complete = true;
        for required in &self.object_type.required {
            let Some((section, key)) = required.split_once('.') else { continue };
            if !self.is_set(section, key) {
                complete = false;
                let message =
                    format!("“{required}” has no usable value, and the object needs one; it is left out");
                self.fault(report, section, key, message, None);
            }
        }
        complete
    }

    fn setting(&self, section: &str, key: &str) -> Option<&'a crate::merge::Setting> {
        debug_assert!(
            acted(&self.object_type.path, section, key) != Acted::No,
            "{} {section}.{key} is read and not in the table of what is acted on",
            self.object_type.path
        );
        // The map is keyed by owned pairs; building one per look-up is cheap beside everything else here.
        self.object.settings.get(&(section.to_owned(), key.to_owned()))
    }

    fn value(&self, section: &str, key: &str) -> Option<&'a Value> {
        match self.setting(section, key) {
            Some(setting) => Some(&setting.value),
            None => self.object_type.key(section, key)?.default.as_ref(),
        }
    }

    /// A switch.
    pub(crate) fn flag(&self, section: &str, key: &str) -> bool {
        matches!(self.value(section, key), Some(Value::Bool(true)))
    }

    /// A whole number that is not negative.
    pub(crate) fn number(&self, section: &str, key: &str) -> u32 {
        match self.value(section, key) {
            Some(Value::Int(number)) => u32::try_from(*number).unwrap_or_default(),
            _ => 0,
        }
    }

    /// A number with a fraction.
    pub(crate) fn decimal(&self, section: &str, key: &str) -> f64 {
        match self.value(section, key) {
            Some(Value::Float(number)) => *number,
            Some(Value::Int(number)) => *number as f64,
            _ => 0.0,
        }
    }

    /// A number where 0 means that there is no limit.
    pub(crate) fn limit(&self, section: &str, key: &str) -> Option<u32> {
        Some(self.number(section, key)).filter(|number| *number > 0)
    }

    /// A time in seconds.
    pub(crate) fn seconds(&self, section: &str, key: &str) -> Duration {
        Duration::from_secs(u64::from(self.number(section, key)))
    }

    /// A time in seconds where 0 means that there is no limit.
    pub(crate) fn time_limit(&self, section: &str, key: &str) -> Option<Duration> {
        self.limit(section, key).map(|seconds| Duration::from_secs(u64::from(seconds)))
    }

    /// Text, or the value of an enumeration.
    pub(crate) fn text(&self, section: &str, key: &str) -> Arc<str> {
        match self.value(section, key) {
            Some(Value::Text(text)) => Arc::clone(text),
            _ => Arc::from(""),
        }
    }

    /// Text, unless it is empty.
    pub(crate) fn some_text(&self, section: &str, key: &str) -> Option<Arc<str>> {
        Some(self.text(section, key)).filter(|text| !text.is_empty())
    }

    /// A list.
    pub(crate) fn list(&self, section: &str, key: &str) -> &'a [Arc<str>] {
        match self.value(section, key) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// Whether a list of this name has an entry in any section.
    pub(crate) fn has_list(&self, key: &str) -> bool {
        let of_key = self.object.settings.iter().filter(|((_, name), _)| name == key);
        of_key
            .into_iter()
            .any(|(_, setting)| matches!(&setting.value, Value::List(items) if !items.is_empty()))
    }

    /// Rows of a table.
    pub(crate) fn rows(&self, section: &str, key: &str) -> &'a [Row] {
        match self.value(section, key) {
            Some(Value::Table(rows)) => rows,
            _ => &[],
        }
    }

    /// Path of a key in the documents.
    fn path(&self, section: &str, key: &str) -> String {
        format!("{}.properties.{section}.{key}", object_path(self.object_type, self.name))
    }

    /// Place of what the key was given, if that cannot be used and has been reported.
    fn told(&self, section: &str, key: &str) -> Option<Origin> {
        let place = (section.to_owned(), key.to_owned());
        if self.object.settings.contains_key(&place) {
            return None;
        }
        self.object.unusable.get(&place).copied()
    }

    /// Place of a key, or else of the object; `None` for factory objects that no document names.
    fn origin(&self, section: &str, key: &str) -> Option<Origin> {
        match self.object.settings.get(&(section.to_owned(), key.to_owned())) {
            Some(setting) => setting.origin.or(self.object.origin),
            None => self.object.origin,
        }
    }

    /// Reports a fault of meaning. Faults of factory settings concern nobody until somebody refers to the object; what
    /// follows from a value that has been reported is only a warning.
    pub(crate) fn fault(
        &self,
        report: &mut Report<'_>,
        section: &str,
        key: &str,
        message: String,
        hint: Option<String>,
    ) {
        let Some(origin) = self.origin(section, key) else { return };
        match self.told(section, key) {
            Some(told) => report.warn(told, &self.path(section, key), message, hint),
            None => report.error(origin, &self.path(section, key), message, hint),
        }
    }

    /// A finding about the rule that a key names, with the line of that rule.
    pub(crate) fn tell(
        &self,
        report: &mut Report<'_>,
        severity: Severity,
        (section, key): (&str, &str),
        message: String,
        hint: Option<String>,
        excerpt: Option<Excerpt>,
    ) {
        if let Some(origin) = self.origin(section, key) {
            report.tell(severity, origin, &self.path(section, key), message, hint, excerpt);
        }
    }

    /// Reports a fault of the object as a whole.
    pub(crate) fn object_fault(&self, report: &mut Report<'_>, message: String) {
        let Some(origin) = self.object.origin else { return };
        let path = object_path(self.object_type, self.name);
        match self.told("", "content") {
            Some(told) => report.warn(told, &path, message, None),
            None => report.error(origin, &path, message, None),
        }
    }

    /// Reports a reference to an object that is not there. `collection` is where such objects are, such as
    /// `ssl/server_keys`.
    ///
    /// One that the documents hold was left out for a fault of its own, and one that is like no other may stand in a
    /// document that could not be read: both have been reported, and what follows is a warning.
    pub(crate) fn missing<'n>(
        &self,
        report: &mut Report<'_>,
        (section, key): (&str, &str),
        collection: &str,
        name: &str,
        (known, then): (impl IntoIterator<Item = &'n str>, &str),
    ) {
        let Some(origin) = self.origin(section, key) else { return };
        let noun = match collection {
            "bandwidth" => "bandwidth class",
            "extra_files" => "extra file",
            "monitor_scripts" => "monitor script",
            "monitors" => "monitor",
            "persistence" => "persistence class",
            "pools" => "pool",
            "rules" => "rule",
            "service_level_monitors" => "service level class",
            "servicediscovery" => "service discovery plugin",
            "ssl/cas" => "certificate authority",
            "ssl/client_keys" => "client key",
            "ssl/server_keys" => "server key",
            other => other,
        };
        let path = self.path(section, key);
        if self.merged.written(collection, name) {
            let message = format!("the {noun} {} has a fault and is left out; {then}", quote(name));
            return report.warn(origin, &path, message, None);
        }
        let hint = if report.is_full() { None } else { nearest::hint(name, known) };
        if report.incomplete && hint.is_none() {
            let hint = Some("it may stand in a document that could not be read".to_owned());
            return report.warn(origin, &path, format!("there is no {noun} {}; {then}", quote(name)), hint);
        }
        self.fault(report, section, key, format!("there is no {noun} {}; {then}", quote(name)), hint);
    }

    /// A pattern that compiles, or `None` if it is empty or faulty.
    pub(crate) fn pattern(&self, report: &mut Report<'_>, section: &str, key: &str) -> Option<Arc<str>> {
        let pattern = self.some_text(section, key)?;
        let Err(refusal) = report.patterns.check(&pattern) else { return Some(pattern) };
        let message = format!(
            "{} is not a regular expression: {}; the default is used",
            quote(&pattern),
            refusal.reason
        );
        self.fault(report, section, key, message, refusal.hint);
        None
    }

    /// A pattern that compiles, or else the default of the key.
    pub(crate) fn pattern_or_default(&self, report: &mut Report<'_>, section: &str, key: &str) -> Arc<str> {
        self.pattern(report, section, key).unwrap_or_else(|| {
            match self.object_type.key(section, key).and_then(|key| key.default.as_ref()) {
                Some(Value::Text(text)) => Arc::clone(text),
                _ => Arc::from(""),
            }
        })
    }

    /// `enabled`, `disabled`, or `use_default` for what the global settings say.
    pub(crate) fn toggle(&self, section: &str, key: &str, default: bool) -> bool {
        match &*self.text(section, key) {
            "enabled" => true,
            "disabled" => false,
            _ => default,
        }
    }

    /// The TLS versions of an object. At least one is on.
    pub(crate) fn tls_versions(&self, report: &mut Report<'_>, global: TlsVersions) -> TlsVersions {
        let versions = TlsVersions {
            tls12: self.toggle("ssl", "support_tls1_2", global.tls12),
            tls13: self.toggle("ssl", "support_tls1_3", global.tls13),
        };
        if versions.tls12 || versions.tls13 {
            return versions;
        }
        let message = "TLS 1.2 and TLS 1.3 are both off; TLS 1.3 stays on".to_owned();
        let hint = Some("enable ssl.support_tls1_2 or ssl.support_tls1_3".to_owned());
        self.fault(report, "ssl", "support_tls1_3", message, hint);
        TlsVersions { tls12: false, tls13: true }
    }
}

/// Text in a cell of a table; empty when it is not given.
pub(crate) fn cell_text(row: &Row, column: &str) -> Arc<str> {
    match row.get(column) {
        Some(Value::Text(text)) => Arc::clone(text),
        _ => Arc::from(""),
    }
}

/// Number in a cell of a table.
pub(crate) fn cell_number(row: &Row, column: &str) -> Option<u32> {
    match row.get(column) {
        Some(Value::Int(number)) => u32::try_from(*number).ok(),
        _ => None,
    }
}

/// Longest host name, bytes (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// An address or host name. Brackets around an IPv6 address may be written or left out.
pub(crate) fn host(text: &str) -> Option<ListenHost> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Some(ListenHost::Address(address));
    }
    // RFC 6761 §6.3: it never reaches a name server.
    if text.eq_ignore_ascii_case("localhost") {
        return Some(ListenHost::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
    let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let named =
        bare.is_none() && !text.is_empty() && text.len() <= MAX_HOST_BYTES && text.chars().all(of_names);
    // All digits and dots is an address with a slip in it, not a name.
    let digits = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    (named && !digits).then(|| ListenHost::Name(text.to_ascii_lowercase().into()))
}

/// `host:port` with the port from 1 to 65535.
pub(crate) fn host_and_port(text: &str) -> Option<(ListenHost, u16)> {
    let (name, port) = text.rsplit_once(':')?;
    if name.contains(':') && !name.starts_with('[') {
        return None;
    }
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok())??;
    (port > 0).then_some((host(name)?, port))
}

#[cfg(test)]
mod tests;

//! Which keys Tidegate acts on. This table is the only place that says so.
//!
//! From it come the warnings about keys that are set and do nothing yet, and `docs/configuration-keys.md`. A key
//! that is missing here and set to another value than its default is reported once per object.

use crate::{
    coerce::Value,
    diagnostic::Report,
    merge::{Merged, object_path},
    schema::{Key, ObjectType, SCHEMA},
};

/// What Tidegate does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acted {
    /// Every value has its meaning.
    Fully,
    /// Only these values have their meaning; others are reported.
    Values(&'static [&'static str]),
    /// Text for people; there is nothing to act on.
    Remark,
    /// Nothing yet.
    No,
}

/// What Tidegate does with the objects of a type that has raw content.
pub(crate) const RAW_TYPES: [&str; 6] =
    ["action_programs", "extra_files", "monitor_scripts", "rules", "servicediscovery", "ssl/cas"];

/// Keys by type and section, in the order of the format's paths.
const FULLY: &[(&str, &str, &[&str])] = &[
    ("actions", "basic", &["syslog_msg_len_limit", "timeout", "verbose"]),
    ("actions", "log", &["file"]),
    ("actions", "program", &["arguments", "program"]),
    ("actions", "syslog", &["sysloghost"]),
    ("bandwidth", "basic", &["maximum", "sharing"]),
    ("event_types", "basic", &["actions", "built_in"]),
    ("event_types", "general", &["event_tags"]),
    ("event_types", "monitors", &["event_tags", "objects"]),
    ("event_types", "pools", &["event_tags", "objects"]),
    ("event_types", "rules", &["event_tags", "objects"]),
    ("event_types", "slm", &["event_tags", "objects"]),
    ("event_types", "trafficscript", &["event_tags"]),
    ("event_types", "vservers", &["event_tags", "objects"]),
    ("global_settings", "connection", &["idle_timeout", "listen_queue_size"]),
    ("global_settings", "log", &["flush_time", "reopen"]),
    (
        "global_settings",
        "session",
        &[
            "ip_cache_expiry",
            "ip_cache_size",
            "j2ee_cache_size",
            "universal_cache_expiry",
            "universal_cache_size",
        ],
    ),
    ("global_settings", "snmp", &["user_counters"]),
    (
        "global_settings",
        "ssl",
        &[
            "cache_enabled",
            "cache_size",
            "support_tls1_2",
            "support_tls1_3",
            "tickets_enabled",
            "tickets_ticket_expiry",
        ],
    ),
    (
        "global_settings",
        "trafficscript",
        &[
            "data_local_size",
            "data_size",
            "execution_time_warning",
            "max_instr",
            "memory_warning",
            "regex_cache_size",
            "regex_match_limit",
            "regex_match_warn_percentage",
            "variable_pool_use",
        ],
    ),
    ("locations", "basic", &["id", "latitude", "longitude"]),
    (
        "monitors",
        "basic",
        &[
            "back_off",
            "delay",
            "failures",
            "health_only",
            "machine",
            "scope",
            "timeout",
            "use_ssl",
            "verbose",
        ],
    ),
    ("monitors", "http", &["authentication", "body_regex", "host_header", "path", "status_regex"]),
    ("monitors", "script", &["arguments", "program"]),
    ("monitors", "tcp", &["close_string", "max_response_len", "response_regex", "write_string"]),
    (
        "persistence",
        "basic",
        &[
            "cookie",
            "delete",
            "failure_mode",
            "subnet_prefix_length_v4",
            "subnet_prefix_length_v6",
            "transparent_always_set_cookie",
            "transparent_directives",
            "url",
        ],
    ),
    (
        "pools",
        "basic",
        &[
            "bandwidth_class",
            "failure_pool",
            "max_connection_attempts",
            "max_idle_connections_pernode",
            "max_timed_out_connection_attempts",
            "monitors",
            "node_close_with_rst",
            "node_connection_attempts",
            "node_delete_behavior",
            "node_drain_to_delete_timeout",
            "nodes_table",
            "passive_monitoring",
            "persistence_class",
        ],
    ),
    (
        "pools",
        "connection",
        &[
            "max_connect_time",
            "max_connections_per_node",
            "max_queue_size",
            "max_reply_time",
            "max_transactions_per_node",
            "queue_timeout",
        ],
    ),
    ("pools", "http", &["keepalive", "keepalive_non_idempotent"]),
    ("pools", "load_balancing", &["algorithm", "priority_enabled", "priority_nodes"]),
    ("pools", "node", &["close_on_death", "retry_fail_time"]),
    ("pools", "service_discovery", &["enabled", "interval", "plugin", "plugin_args", "timeout"]),
    (
        "pools",
        "ssl",
        &[
            "client_auth",
            "common_name_match",
            "enable",
            "send_close_alerts",
            "server_name",
            "ssl_fixed_client_certificate",
            "strict_verify",
            "support_tls1_2",
            "support_tls1_3",
        ],
    ),
    ("pools", "tcp", &["nagle"]),
    ("rate", "basic", &["max_rate_per_minute", "max_rate_per_second"]),
    ("rule_authenticators", "basic", &["host", "port"]),
    (
        "rule_authenticators",
        "ldap",
        &[
            "attributes",
            "bind_dn",
            "bind_password",
            "filter",
            "filter_base_dn",
            "ssl_cert",
            "ssl_enabled",
            "ssl_type",
        ],
    ),
    ("service_level_monitors", "basic", &["response_time", "serious_threshold", "warning_threshold"]),
    ("ssl/client_keys", "basic", &["private", "public"]),
    ("ssl/server_keys", "basic", &["private", "public"]),
    (
        "virtual_servers",
        "basic",
        &[
            "bandwidth_class",
            "completion_rules",
            "connect_timeout",
            "enabled",
            "listen_on_any",
            "listen_on_hosts",
            "max_concurrent_connections",
            "pool",
            "port",
            "proxy_protocol",
            "proxy_protocol_optional",
            "request_rules",
            "response_rules",
            "rules_on_connect",
            "slm_class",
            "ssl_decrypt",
        ],
    ),
    (
        "virtual_servers",
        "connection",
        &[
            "keepalive",
            "keepalive_timeout",
            "max_client_buffer",
            "max_server_buffer",
            "max_transaction_duration",
            "server_first_banner",
            "timeout",
        ],
    ),
    ("virtual_servers", "connection_errors", &["error_file"]),
    ("virtual_servers", "cookie", &["domain", "new_domain", "path_regex", "path_replace", "secure"]),
    (
        "virtual_servers",
        "http",
        &[
            "add_cluster_ip",
            "add_x_forwarded_for",
            "add_x_forwarded_proto",
            "auto_upgrade_protocols",
            "autodetect_upgrade_headers",
            "location_regex",
            "location_replace",
            "location_rewrite",
            "strip_x_forwarded_proto",
        ],
    ),
    (
        "virtual_servers",
        "log",
        &[
            "client_connection_failures",
            "enabled",
            "filename",
            "format",
            "save_all",
            "server_connection_failures",
            "ssl_failures",
        ],
    ),
    (
        "virtual_servers",
        "ssl",
        &[
            "add_http_headers",
            "client_cert_cas",
            "client_cert_headers",
            "request_client_cert",
            "server_cert_alt_certificates",
            "server_cert_default",
            "server_cert_host_mapping",
            "session_cache_enabled",
            "session_tickets_enabled",
            "support_tls1_2",
            "support_tls1_3",
        ],
    ),
    ("virtual_servers", "tcp", &["close_with_rst", "nagle", "proxy_close"]),
];

/// Keys of which some values have their meaning.
const PARTLY: &[(&str, &str, &str, &[&str])] = &[
    ("actions", "basic", "type", &["log", "program", "syslog"]),
    ("global_settings", "ssl", "support_ssl3", &["false"]),
    ("global_settings", "ssl", "support_tls1", &["false"]),
    ("global_settings", "ssl", "support_tls1_1", &["false"]),
    ("locations", "basic", "type", &["config"]),
    ("monitors", "basic", "type", &["connect", "http", "ping", "program", "tcp_transaction"]),
    ("persistence", "basic", "type", &["cookie", "ip", "named", "transparent", "universal"]),
    ("pools", "ssl", "support_ssl3", &["disabled"]),
    ("pools", "ssl", "support_tls1", &["disabled"]),
    ("pools", "ssl", "support_tls1_1", &["disabled"]),
    (
        "virtual_servers",
        "basic",
        "protocol",
        &[
            "client_first",
            "http",
            "https",
            "imaps",
            "imapv2",
            "imapv3",
            "imapv4",
            "ldap",
            "ldaps",
            "pop3",
            "pop3s",
            "server_first",
            "ssl",
            "stream",
            "telnet",
        ],
    ),
    ("virtual_servers", "http2", "enabled", &["false"]),
    ("virtual_servers", "ssl", "support_ssl3", &["disabled"]),
    ("virtual_servers", "ssl", "support_tls1", &["disabled"]),
    ("virtual_servers", "ssl", "support_tls1_1", &["disabled"]),
];

/// What Tidegate does with a key.
pub(crate) fn acted(path: &str, section: &str, key: &str) -> Acted {
    if FULLY.iter().any(|(p, s, keys)| (*p, *s) == (path, section) && keys.contains(&key)) {
        return Acted::Fully;
    }
    if let Some((.., values)) = PARTLY.iter().find(|(p, s, k, _)| (*p, *s, *k) == (path, section, key)) {
        return Acted::Values(values);
    }
    if (section, key) == ("basic", "note") { Acted::Remark } else { Acted::No }
}

/// Whether Tidegate does anything with the objects of a type.
pub(crate) fn acted_type(path: &str) -> bool {
    RAW_TYPES.contains(&path) || FULLY.iter().any(|(p, ..)| *p == path)
}

/// Warns of everything that is set and does nothing yet: once per key, and once for an object of which nothing
/// at all is acted on.
pub(crate) fn warn(merged: &Merged, report: &mut Report<'_>) {
    for (path, objects) in &merged.objects {
        let Some(object_type) = SCHEMA.types.get(*path) else { continue };
        for (name, object) in objects {
            let Some(origin) = object.origin else { continue };
            let mut warned = false;
            for ((section, key), setting) in &object.settings {
                let (Some(definition), Some(origin)) = (object_type.key(section, key), setting.origin) else {
                    continue;
                };
                let Some(message) = not_acted_on(object_type, section, key, definition, &setting.value)
                else {
                    continue;
                };
                let path = format!("{}.properties.{section}.{key}", object_path(object_type, name));
                report.warn(origin, &path, message, None);
                warned = true;
            }
            if !warned && !acted_type(path) {
                let message = format!("Tidegate does not act on {} yet", object_type.document_path());
                report.warn(origin, &object_path(object_type, name), message, None);
            }
        }
    }
}

/// What to tell of a value that does nothing yet; `None` for all others.
pub(crate) fn not_acted_on(
    object_type: &ObjectType,
    section: &str,
    key: &str,
    definition: &Key,
    value: &Value,
) -> Option<String> {
    if value.is_default(definition) {
        return None;
    }
    match acted(&object_type.path, section, key) {
        Acted::Fully | Acted::Remark => None,
        Acted::No => Some("Tidegate does not act on this key yet".to_owned()),
        Acted::Values(values) => {
            let word = match value {
                Value::Text(text) => text.to_string(),
                Value::Bool(on) => on.to_string(),
                _ => String::new(),
            };
            (!values.contains(&word.as_str()))
                .then(|| format!("Tidegate does not act on “{word}” yet, only on {}", values.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests;

//! `ssl/server_keys`, `ssl/client_keys`, and the TLS settings of virtual servers and pools.

use std::sync::Arc;

use tidegate_model::{
    CaName, Configuration, KeyName,
    tls::{ClientCertificate, ClientHeaders, HostMapping, KeyPair, NodeTls, ServerTls},
};

use super::{Reader, cell_text, readers};
use crate::{
    coerce::{Row, Value},
    diagnostic::Report,
    merge::Merged,
};

/// Takes the key pairs over. Their PEM text is not looked into here.
pub(crate) fn build_keys(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    for reader in readers(merged, "ssl/server_keys") {
        if let Some(pair) = key_pair(&reader, report) {
            configuration.server_keys.insert(reader.name().into(), Arc::new(pair));
        }
    }
    for reader in readers(merged, "ssl/client_keys") {
        if let Some(pair) = key_pair(&reader, report) {
            configuration.client_keys.insert(reader.name().into(), Arc::new(pair));
        }
    }
}

fn key_pair(reader: &Reader<'_>, report: &mut Report<'_>) -> Option<KeyPair> {
    reader.is_complete(report).then(|| KeyPair {
        name: reader.name().into(),
        certificate: reader.text("basic", "public"),
        private_key: reader.text("basic", "private"),
    })
}

/// TLS of a virtual server, `None` when it does not decrypt, and whether it may be served at all.
pub(crate) fn server(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> (Option<ServerTls>, bool) {
    if !reader.flag("basic", "ssl_decrypt") {
        return (None, true);
    }
    let global = &configuration.global;
    let client_certificate = match &*reader.text("ssl", "request_client_cert") {
        "request" => ClientCertificate::Request,
        "require" => ClientCertificate::Require,
        _ => ClientCertificate::DontRequest,
    };
    let client_authorities = authorities(reader, configuration, report);
    // With no authority named, any certificate is accepted. If all that are named are missing, that must not be
    // what happens.
    let lost = client_authorities.is_empty() && !reader.list("ssl", "client_cert_cas").is_empty();
    let safe = !lost || client_certificate == ClientCertificate::DontRequest;
    if !safe {
        let message = "none of the certificate authorities exists, so any client certificate would be accepted; \
                       the virtual server is not started";
        reader.fault(report, "ssl", "client_cert_cas", message.to_owned(), None);
    }
    let tls = ServerTls {
        default: default_keys(reader, configuration, report),
        host_mapping: host_mapping(reader, configuration, report),
        versions: reader.tls_versions(report, global.tls_versions),
        tickets: reader.toggle("ssl", "session_tickets_enabled", global.tls_tickets),
        session_cache: reader.toggle("ssl", "session_cache_enabled", global.tls_session_cache),
        client_certificate,
        client_authorities,
        client_headers: match &*reader.text("ssl", "client_cert_headers") {
            "simple" => ClientHeaders::Simple,
            "all" => ClientHeaders::All,
            _ => ClientHeaders::None,
        },
        add_http_headers: reader.flag("ssl", "add_http_headers"),
    };
    (Some(tls), safe)
}

fn authorities(reader: &Reader<'_>, configuration: &Configuration, report: &mut Report<'_>) -> Vec<CaName> {
    let mut found = Vec::new();
    for name in reader.list("ssl", "client_cert_cas") {
        if configuration.certificate_authorities.contains_key(&**name) {
            found.push((&**name).into());
        } else {
            let known = configuration.certificate_authorities.keys().map(CaName::as_str);
            let then = "it is not asked for";
            reader.missing(report, ("ssl", "client_cert_cas"), "ssl/cas", name, (known, then));
        }
    }
    found
}

/// The key if it exists; reports it otherwise.
fn server_key(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
    key: &str,
    name: &str,
) -> Option<KeyName> {
    if configuration.server_keys.contains_key(name) {
        return Some(name.into());
    }
    let known = configuration.server_keys.keys().map(KeyName::as_str);
    reader.missing(report, ("ssl", key), "ssl/server_keys", name, (known, "it is not used"));
    None
}

fn default_keys(reader: &Reader<'_>, configuration: &Configuration, report: &mut Report<'_>) -> Vec<KeyName> {
    let Some(name) = reader.some_text("ssl", "server_cert_default") else {
        if reader.rows("ssl", "server_cert_host_mapping").is_empty() {
            let message = "ssl_decrypt needs a certificate; every TLS handshake fails without".to_owned();
            let hint = Some("set ssl.server_cert_default to an entry of ssl.server_keys".to_owned());
            reader.fault(report, "ssl", "server_cert_default", message, hint);
        }
        return Vec::new();
    };
    let mut keys = Vec::new();
    keys.extend(server_key(reader, configuration, report, "server_cert_default", &name));
    for name in reader.list("ssl", "server_cert_alt_certificates") {
        keys.extend(server_key(reader, configuration, report, "server_cert_alt_certificates", name));
    }
    keys
}

fn host_mapping(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Vec<HostMapping> {
    let mut mapping = Vec::new();
    for row in reader.rows("ssl", "server_cert_host_mapping") {
        let names = std::iter::once(cell_text(row, "certificate")).chain(alternatives(row));
        let certificates: Vec<KeyName> = names
            .filter_map(|name| server_key(reader, configuration, report, "server_cert_host_mapping", &name))
            .collect();
        let host = cell_text(row, "host").trim_end_matches('.').to_ascii_lowercase();
        if !certificates.is_empty() && !host.is_empty() {
            mapping.push(HostMapping { host: host.into(), certificates });
        }
    }
    mapping
}

fn alternatives(row: &Row) -> Vec<Arc<str>> {
    match row.get("alt_certificates") {
        Some(Value::List(names)) => names.clone(),
        _ => Vec::new(),
    }
}

/// TLS of a pool; `None` when its nodes are spoken to in plain text.
pub(crate) fn node(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Option<NodeTls> {
    if !reader.flag("ssl", "enable") {
        return None;
    }
    Some(NodeTls {
        send_server_name: reader.flag("ssl", "server_name"),
        strict_verify: reader.flag("ssl", "strict_verify"),
        common_name_match: reader.list("ssl", "common_name_match").to_vec(),
        client_key: client_key(reader, configuration, report),
        versions: reader.tls_versions(report, configuration.global.tls_versions),
        send_close_alerts: reader.flag("ssl", "send_close_alerts"),
    })
}

fn client_key(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Option<KeyName> {
    if !reader.flag("ssl", "client_auth") {
        return None;
    }
    let name = reader.some_text("ssl", "ssl_fixed_client_certificate")?;
    if configuration.client_keys.contains_key(&*name) {
        return Some((&*name).into());
    }
    let known = configuration.client_keys.keys().map(KeyName::as_str);
    let then = "no client certificate is shown";
    reader.missing(report, ("ssl", "ssl_fixed_client_certificate"), "ssl/client_keys", &name, (known, then));
    None
}

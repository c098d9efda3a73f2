//! `virtual_servers`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tidegate_model::{
    Configuration, ExtraFileName, LevelName, PoolName, VirtualServer,
    virtual_server::{
        AccessLog, CookieDomain, CookieRewrite, CookieSecure, DefaultPool, ErrorPage, FailureLog,
        GenericOptions, HttpOptions, Listen, ListenHost, LocationRewrite, Protocol, ProxyProtocol, Speaks,
        Substitution,
    },
};

use super::{Reader, host, monitor::unescape, readers, rules, tls};
use crate::{
    diagnostic::{Report, quote},
    merge::Merged,
};

/// Protocols of the format that are not `http`.
const OTHER_PROTOCOLS: [Protocol; 23] = [
    Protocol::Generic("client_first", Speaks::ClientFirst),
    Protocol::Generic("https", Speaks::ClientFirst),
    Protocol::Generic("imaps", Speaks::ClientFirst),
    Protocol::Generic("imapv2", Speaks::ServerFirst),
    Protocol::Generic("imapv3", Speaks::ServerFirst),
    Protocol::Generic("imapv4", Speaks::ServerFirst),
    Protocol::Generic("ldap", Speaks::ClientFirst),
    Protocol::Generic("ldaps", Speaks::ClientFirst),
    Protocol::Generic("pop3", Speaks::ServerFirst),
    Protocol::Generic("pop3s", Speaks::ClientFirst),
    Protocol::Generic("server_first", Speaks::ServerFirst),
    Protocol::Generic("ssl", Speaks::ClientFirst),
    Protocol::Generic("stream", Speaks::Stream),
    Protocol::Generic("telnet", Speaks::ServerFirst),
    Protocol::Other("dns"),
    Protocol::Other("dns_tcp"),
    Protocol::Other("ftp"),
    Protocol::Other("rtsp"),
    Protocol::Other("siptcp"),
    Protocol::Other("sipudp"),
    Protocol::Other("smtp"),
    Protocol::Other("udp"),
    Protocol::Other("udpstreaming"),
];

/// Protocols that are TLS from the first byte to the node: decrypting is for the plain protocol of the second column.
const PASSED_THROUGH: [(&str, &str); 5] =
    [("https", "http"), ("imaps", "imapv4"), ("ldaps", "ldap"), ("pop3s", "pop3"), ("ssl", "client_first")];

/// Builds the virtual servers. One without a port or pool is left out.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    let mut owners = HashMap::new();
    for reader in readers(merged, "virtual_servers") {
        if !reader.is_complete(report) {
            continue;
        }
        let mut server = virtual_server(&reader, configuration, report);
        if server.enabled && server.protocol.is_served() {
            server.enabled = own(&server, &mut owners, &reader, report);
        }
        configuration.virtual_servers.insert(reader.name().into(), Arc::new(server));
    }
}

fn virtual_server(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> VirtualServer {
    let protocol = protocol(&reader.text("basic", "protocol"));
    let (mut tls, safe) = tls::server(reader, configuration, report);
    if tls.is_some()
        && let Some((word, plain)) = PASSED_THROUGH.iter().find(|(word, _)| *word == protocol.word())
    {
        tls = None;
        let message =
            format!("TLS of a virtual server of protocol “{word}” is passed through and not decrypted");
        let hint = Some(format!("use protocol {plain} to decrypt it"));
        reader.fault(report, "basic", "ssl_decrypt", message, hint);
    }
    let [request_rules, response_rules, completion_rules] =
        rules::lists(reader, protocol, configuration, report);
    if matches!(protocol, Protocol::Generic(_, Speaks::Stream)) && !response_rules.is_empty() {
        let message = "response rules do not run where the protocol is “stream”".to_owned();
        let hint = Some("use client_first or server_first to have them run".to_owned());
        reader.fault(report, "basic", "response_rules", message, hint);
    }
    VirtualServer {
        name: reader.name().into(),
        enabled: reader.flag("basic", "enabled") && safe,
        protocol,
        listen: listen(reader, report),
        port: u16::try_from(reader.number("basic", "port")).unwrap_or_default(),
        pool: pool(reader, configuration, report),
        request_rules,
        response_rules,
        completion_rules,
        connect_timeout: reader.time_limit("basic", "connect_timeout"),
        timeout: reader.time_limit("connection", "timeout"),
        keepalive: reader.flag("connection", "keepalive"),
        keepalive_timeout: reader.seconds("connection", "keepalive_timeout"),
        max_transaction_duration: reader.time_limit("connection", "max_transaction_duration"),
        max_client_buffer: reader.number("connection", "max_client_buffer") as usize,
        max_server_buffer: reader.number("connection", "max_server_buffer") as usize,
        max_concurrent_connections: reader.limit("basic", "max_concurrent_connections"),
        proxy_protocol: match (
            reader.flag("basic", "proxy_protocol"),
            reader.flag("basic", "proxy_protocol_optional"),
        ) {
            (false, _) => ProxyProtocol::Off,
            (true, false) => ProxyProtocol::Required,
            (true, true) => ProxyProtocol::Optional,
        },
        http: http(reader, report),
        cookie: cookie(reader, report),
        error_page: error_page(reader, configuration, report),
        access_log: access_log(reader),
        failure_log: failure_log(reader),
        tls,
        service_level: service_level(reader, configuration, report),
        bandwidth: reader.bandwidth(configuration, "data goes to its clients without a limit", report),
        nagle: reader.flag("tcp", "nagle"),
        close_with_rst: reader.flag("tcp", "close_with_rst"),
        generic: generic(reader),
    }
}

fn generic(reader: &Reader<'_>) -> GenericOptions {
    GenericOptions {
        server_first_banner: reader
            .some_text("connection", "server_first_banner")
            .map(|text| unescape(&text).into()),
        rules_on_connect: reader.flag("basic", "rules_on_connect"),
        proxy_close: reader.flag("tcp", "proxy_close"),
    }
}

fn service_level(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Option<LevelName> {
    let name = reader.some_text("basic", "slm_class")?;
    if configuration.service_levels.contains_key(&*name) {
        return Some((&*name).into());
    }
    let known = configuration.service_levels.keys().map(LevelName::as_str);
    let then = "its requests count for none";
    reader.missing(report, ("basic", "slm_class"), "service_level_monitors", &name, (known, then));
    None
}

fn protocol(word: &str) -> Protocol {
    OTHER_PROTOCOLS.into_iter().find(|known| known.word() == word).unwrap_or(Protocol::Http)
}

fn listen(reader: &Reader<'_>, report: &mut Report<'_>) -> Listen {
    if reader.flag("basic", "listen_on_any") {
        return Listen::Any;
    }
    let mut hosts = Vec::new();
    let mut seen = HashSet::new();
    for written in reader.list("basic", "listen_on_hosts") {
        match host(written) {
            Some(host) if seen.insert(format!("{host:?}")) => hosts.push(host),
            Some(_) => {}
            None => {
                let message = format!("{} is neither an address nor a host name; left out", quote(written));
                reader.fault(report, "basic", "listen_on_hosts", message, None);
            }
        }
    }
    if hosts.is_empty() && reader.flag("basic", "enabled") {
        let message = "the virtual server listens nowhere".to_owned();
        let hint = Some("set basic.listen_on_any, or name addresses in basic.listen_on_hosts".to_owned());
        reader.fault(report, "basic", "listen_on_any", message, hint);
    }
    Listen::Hosts(hosts)
}

/// Port and host (`None` for every address) → the virtual server that listens there.
type Owners = HashMap<(u16, Option<String>), String>;

/// Enters where a virtual server listens; false if another one already listens there.
fn own(server: &VirtualServer, owners: &mut Owners, reader: &Reader<'_>, report: &mut Report<'_>) -> bool {
    let text = |host: &ListenHost| match host {
        ListenHost::Address(address) => address.to_string(),
        ListenHost::Name(name) => name.to_string(),
    };
    let places: Vec<(u16, Option<String>)> = match &server.listen {
        Listen::Any => vec![(server.port, None)],
        Listen::Hosts(hosts) => hosts.iter().map(|host| (server.port, Some(text(host)))).collect(),
    };
    if let Some(owner) = places.iter().find_map(|place| owners.get(place)) {
        let message = format!(
            "the virtual server {} already listens on port {}; this one is not started",
            quote(owner),
            server.port
        );
        reader.fault(report, "basic", "port", message, Some("give one of them another port".to_owned()));
        return false;
    }
    owners.extend(places.into_iter().map(|place| (place, server.name.to_string())));
    true
}

fn pool(reader: &Reader<'_>, configuration: &Configuration, report: &mut Report<'_>) -> DefaultPool {
    let name = reader.text("basic", "pool");
    if configuration.pools.contains_key(&*name) {
        return DefaultPool::Pool((&*name).into());
    }
    if &*name == "discard" {
        return DefaultPool::Discard;
    }
    let known = configuration.pools.keys().map(PoolName::as_str).chain(["discard"]);
    let then = "requests are answered with the error page";
    reader.missing(report, ("basic", "pool"), "pools", &name, (known, then));
    DefaultPool::Missing((&*name).into())
}

fn substitution(
    reader: &Reader<'_>,
    report: &mut Report<'_>,
    section: &str,
    regex: &str,
    replace: &str,
) -> Option<Substitution> {
    let regex = reader.pattern(report, section, regex)?;
    let replacement = reader.text(section, replace);
    if replacement.chars().any(char::is_control) {
        let message = "the replacement holds a control character; nothing is replaced".to_owned();
        reader.fault(report, section, replace, message, None);
        return None;
    }
    Some(Substitution { regex: regex.to_string(), replace: replacement.to_string() })
}

fn http(reader: &Reader<'_>, report: &mut Report<'_>) -> HttpOptions {
    HttpOptions {
        add_cluster_ip: reader.flag("http", "add_cluster_ip"),
        add_x_forwarded_for: reader.flag("http", "add_x_forwarded_for"),
        add_x_forwarded_proto: reader.flag("http", "add_x_forwarded_proto"),
        strip_x_forwarded_proto: reader.flag("http", "strip_x_forwarded_proto"),
        location_rewrite: match &*reader.text("http", "location_rewrite") {
            "never" => LocationRewrite::Never,
            "always" => LocationRewrite::Always,
            _ => LocationRewrite::IfHostMatches,
        },
        location_pattern: substitution(reader, report, "http", "location_regex", "location_replace"),
        upgrades: upgrades(reader),
    }
}

fn cookie(reader: &Reader<'_>, report: &mut Report<'_>) -> CookieRewrite {
    let domain = match &*reader.text("cookie", "domain") {
        "set_to_request" => CookieDomain::Request,
        "set_to_named" => {
            let name = reader.text("cookie", "new_domain");
            if name.is_empty() || name.chars().any(|c| c.is_control() || c == ';' || c == ' ') {
                let message = "set_to_named needs a domain; cookies keep theirs".to_owned();
                reader.fault(
                    report,
                    "cookie",
                    "new_domain",
                    message,
                    Some("set cookie.new_domain".to_owned()),
                );
                CookieDomain::Keep
            } else {
                CookieDomain::Named(name)
            }
        }
        _ => CookieDomain::Keep,
    };
    CookieRewrite {
        domain,
        path: substitution(reader, report, "cookie", "path_regex", "path_replace"),
        secure: match &*reader.text("cookie", "secure") {
            "set_secure" => CookieSecure::Set,
            "unset_secure" => CookieSecure::Unset,
            _ => CookieSecure::Keep,
        },
    }
}

fn error_page(reader: &Reader<'_>, configuration: &Configuration, report: &mut Report<'_>) -> ErrorPage {
    let name = reader.text("connection_errors", "error_file");
    if let Some(content) = configuration.extra_files.get(&*name) {
        return ErrorPage::File(Arc::clone(content));
    }
    if !matches!(&*name, "" | "Default") {
        let known = configuration.extra_files.keys().map(ExtraFileName::as_str).chain(["Default"]);
        let at = ("connection_errors", "error_file");
        reader.missing(report, at, "extra_files", &name, (known, "the default page is sent"));
    }
    ErrorPage::Default
}

fn access_log(reader: &Reader<'_>) -> Option<AccessLog> {
    reader.flag("log", "enabled").then(|| AccessLog {
        filename: reader.text("log", "filename"),
        format: reader.text("log", "format"),
        save_all: reader.flag("log", "save_all"),
    })
}

fn upgrades(reader: &Reader<'_>) -> Vec<Arc<str>> {
    let written = reader.list("http", "auto_upgrade_protocols");
    match (reader.flag("http", "autodetect_upgrade_headers"), written) {
        (false, _) => Vec::new(),
        (true, []) => vec!["websocket".into()],
        (true, written) => written.to_vec(),
    }
}

fn failure_log(reader: &Reader<'_>) -> FailureLog {
    FailureLog {
        client: reader.flag("log", "client_connection_failures"),
        node: reader.flag("log", "server_connection_failures"),
        tls: reader.flag("log", "ssl_failures"),
    }
}

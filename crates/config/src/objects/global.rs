//! `global_settings`.

use tidegate_model::{GlobalSettings, tls::TlsVersions};

use super::readers;
use crate::merge::Merged;

/// The machine-wide settings; defaults where no document speaks of them.
pub(crate) fn build(merged: &Merged) -> GlobalSettings {
    let Some(reader) = readers(merged, "global_settings").next() else { return GlobalSettings::default() };
    GlobalSettings {
        idle_node_timeout: reader.seconds("connection", "idle_timeout"),
        listen_queue_size: reader.limit("connection", "listen_queue_size"),
        ip_session_table_size: reader.number("session", "ip_cache_size") as usize,
        ip_session_expiry: reader.time_limit("session", "ip_cache_expiry"),
        cookie_session_table_size: reader.number("session", "j2ee_cache_size") as usize,
        universal_session_table_size: reader.number("session", "universal_cache_size") as usize,
        universal_session_expiry: reader.time_limit("session", "universal_cache_expiry"),
        tls_versions: TlsVersions {
            tls12: reader.flag("ssl", "support_tls1_2"),
            tls13: reader.flag("ssl", "support_tls1_3"),
        },
        tls_tickets: reader.flag("ssl", "tickets_enabled"),
        tls_session_cache: reader.flag("ssl", "cache_enabled"),
        tls_session_cache_size: reader.number("ssl", "cache_size") as usize,
        tls_ticket_lifetime: reader.seconds("ssl", "tickets_ticket_expiry"),
        log_flush: reader.seconds("log", "flush_time"),
        log_reopen: reader.time_limit("log", "reopen"),
    }
}

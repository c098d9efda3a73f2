//! `global_settings`.

use std::{num::NonZeroU32, time::Duration};

use tidegate_model::{
    GlobalSettings,
    rule::{MemoryAmount, RuleSettings},
    tls::TlsVersions,
};

use super::{Reader, readers};
use crate::{
    diagnostic::{Report, quote},
    merge::Merged,
};

/// Most patterns that `trafficscript.regex_cache_size` keeps, in each worker.
const MAX_PATTERN_CACHE: u32 = 10_000;

/// The machine-wide settings; defaults where no document speaks of them.
pub(crate) fn build(merged: &Merged, report: &mut Report<'_>) -> GlobalSettings {
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
        rules: rules(&reader, report),
        user_counters: reader.number("snmp", "user_counters"),
    }
}

/// `trafficscript`.
fn rules(reader: &Reader<'_>, report: &mut Report<'_>) -> RuleSettings {
    const SECTION: &str = "trafficscript";
    let default = RuleSettings::default();
    let mut at_least_one = |key: &str, default: NonZeroU32| {
        NonZeroU32::new(reader.number(SECTION, key)).unwrap_or_else(|| {
            let message = format!("no rule can run with a limit of 0; the limit is {default}");
            reader.fault(report, SECTION, key, message, None);
            default
        })
    };
    RuleSettings {
        instructions: at_least_one("max_instr", default.instructions),
        match_steps: if reader.is_set(SECTION, "regex_match_limit") {
            at_least_one("regex_match_limit", default.match_steps)
        } else {
            default.match_steps
        },
        execution_time_warning: reader
            .limit(SECTION, "execution_time_warning")
            .map(|milliseconds| Duration::from_millis(milliseconds.into())),
        match_warning: reader.number(SECTION, "regex_match_warn_percentage").clamp(1, 100) as u8,
        memory_warning: reader.limit(SECTION, "memory_warning").map(|bytes| bytes as usize),
        pattern_cache: reader.number(SECTION, "regex_cache_size").min(MAX_PATTERN_CACHE) as usize,
        data_size: amount(reader, "data_size", default.data_size, report),
        data_local_size: amount(reader, "data_local_size", default.data_local_size, report),
        variable_pool_use: reader.flag(SECTION, "variable_pool_use"),
    }
}

/// An amount of memory: `5%`, bytes, or with a unit such as `64MB`.
fn amount(reader: &Reader<'_>, key: &str, default: MemoryAmount, report: &mut Report<'_>) -> MemoryAmount {
    let written = reader.text("trafficscript", key);
    memory_amount(&written).unwrap_or_else(|| {
        let message = format!("{} is no amount of memory; the default is used", quote(&written));
        let hint = Some("write a share such as 5%, bytes, or an amount such as 64MB".to_owned());
        reader.fault(report, "trafficscript", key, message, hint);
        default
    })
}

fn memory_amount(text: &str) -> Option<MemoryAmount> {
    let digits = text.trim().bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.trim().split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    if unit == "%" {
        return number.parse().ok().filter(|percent| *percent <= 100).map(MemoryAmount::Percent);
    }
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).map(MemoryAmount::Bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory() {
        for (text, expected) in [
            ("5%", Some(MemoryAmount::Percent(5))),
            ("100 %", Some(MemoryAmount::Percent(100))),
            ("101%", None),
            ("4096", Some(MemoryAmount::Bytes(4096))),
            ("64MB", Some(MemoryAmount::Bytes(64 << 20))),
            ("2 gb", Some(MemoryAmount::Bytes(2 << 30))),
            ("0", Some(MemoryAmount::Bytes(0))),
            ("99999999999999999999", None),
            ("99999999999GB", None),
            ("", None),
            ("lots", None),
            ("-5%", None),
            ("5.5%", None),
        ] {
            assert_eq!(memory_amount(text), expected, "{text}");
        }
        assert_eq!(MemoryAmount::Percent(5).of(2_000_000), 100_000);
    }
}

//! What a rule may ask of the process, and how its words get into the event log.

use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt, OsStringExt},
    sync::OnceLock,
};

use jiff::{Timestamp, tz::TimeZone};

/// Name of this machine and its domain; the domain is empty if the name has none.
pub(crate) fn host_name() -> (&'static str, &'static str) {
    static HOST: OnceLock<(String, String)> = OnceLock::new();
    let (host, domain) = HOST.get_or_init(|| {
        let system = rustix::system::uname();
        let name = String::from_utf8_lossy(system.nodename().to_bytes());
        let (host, domain) = name.split_once('.').unwrap_or((&name, ""));
        (host.to_owned(), domain.to_owned())
    });
    (host, domain)
}

/// Seconds that local time is ahead of UTC at a time (seconds since 1970), and the zone's short name then.
pub(crate) fn local_offset(at: i64) -> (i32, String) {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let zone = ZONE.get_or_init(TimeZone::system);
    let Ok(at) = Timestamp::from_second(at) else { return (0, "UTC".to_owned()) };
    let info = zone.to_offset_info(at);
    (info.offset().seconds(), info.abbreviation().to_owned())
}

/// A variable of the process environment.
pub(super) fn environment(name: &[u8]) -> Option<Vec<u8>> {
    // Names that the system cannot have.
    if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
        return None;
    }
    std::env::var_os(OsStr::from_bytes(name)).map(OsStringExt::into_vec)
}

/// Longest line that a rule writes to the event log.
const MAX_LINE: usize = 4096;

/// Text for the event log: one line, without control bytes, of bounded length.
pub(super) fn printable(text: &[u8]) -> String {
    let cut = text.get(..MAX_LINE).unwrap_or(text);
    let mut line: String = String::from_utf8_lossy(cut)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    if cut.len() < text.len() {
        line.push('…');
    }
    line
}

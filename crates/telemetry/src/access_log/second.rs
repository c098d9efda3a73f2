//! Times in log lines, rendered once a second.

use std::time::SystemTime;

use jiff::{Timestamp, Zoned, fmt::strtime, tz::TimeZone};

/// `%t` without its brackets: the time of the common log format.
pub const COMMON: &str = "%d/%b/%Y:%H:%M:%S %z";

/// The texts of a format's time macros for the second they were last asked for.
///
/// Each worker has its own for each log, so most lines copy a text instead of working out a calendar date.
#[derive(Clone, Debug)]
pub struct RenderedSecond {
    zone: TimeZone,
    second: Option<i64>,
    texts: Vec<String>,
}

impl RenderedSecond {
    /// Times are told in `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, second: None, texts: Vec::new() }
    }

    /// The texts of `formats` (strftime) at `now`, in order. One `RenderedSecond` serves one list of formats.
    pub fn texts(&mut self, formats: &[Box<str>], now: SystemTime) -> &[String] {
        let now = timestamp(now);
        let second = now.as_second();
        if self.second != Some(second) {
            let time = now.to_zoned(self.zone.clone());
            self.texts.clear();
            self.texts
                .extend(formats.iter().map(|format| strftime(format, &time).unwrap_or_else(|| "-".into())));
            self.second = Some(second);
        }
        &self.texts
    }
}

/// `now` for the calendar; times outside of years −9999 to 9999 become the epoch.
pub(super) fn timestamp(now: SystemTime) -> Timestamp {
    Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `time` by a strftime format; `None` if the format is not one.
pub(super) fn strftime(format: &str, time: &Zoned) -> Option<String> {
    strtime::format(format, time).ok()
}

/// Whether `format` is a strftime format that can be rendered.
pub(super) fn is_strftime(format: &str) -> bool {
    strftime(format, &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)).is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn renders_again_when_the_second_changes() {
        let formats: [Box<str>; 2] = [COMMON.into(), "%Y%m%d".into()];
        let mut second = RenderedSecond::new(TimeZone::UTC);
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(second.texts(&formats, at(0)), ["01/Jan/1970:00:00:00 +0000", "19700101"]);
        assert_eq!(second.texts(&formats, at(999))[0], "01/Jan/1970:00:00:00 +0000");
        assert_eq!(second.texts(&formats, at(86_400_000)), ["02/Jan/1970:00:00:00 +0000", "19700102"]);
    }

    #[test]
    fn tells_the_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(-3));
        let mut second = RenderedSecond::new(zone);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(second.texts(&[COMMON.into()], now), ["08/Sep/2001:22:46:40 -0300"]);
    }

    #[test]
    fn knows_a_bad_format() {
        assert!(is_strftime("%Y-%m"));
        assert!(!is_strftime("%"));
        assert!(!is_strftime("%!"));
    }
}

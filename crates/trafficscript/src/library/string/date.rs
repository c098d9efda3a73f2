//! Dates of HTTP.

use std::time::Duration;

use super::super::{Call, Function, Outcome, make::charge_work, row::works};
use crate::value::Value;

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[works(
    "string.gmtime.parse",
    "s",
    (1, 1),
    "An HTTP date as seconds since 1970, taken as GMT; -1 if it is none.",
    gmtime_parse,
)];

/// Bytes of the longest text that is looked at as a date.
const LONGEST_DATE: usize = 64;

/// `string.gmtime.parse(s)` → seconds since 1970, or -1. The three forms of RFC 9110 §5.6.7 and what cookies make of
/// them: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`. The day of the
/// week and the zone are disregarded. A year of two digits is not more than 50 years ahead.
fn gmtime_parse<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_work(call, text.len())?;
    Ok(Value::Int(parsed(&text, call.host.now()).unwrap_or(-1)))
}

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
const SECONDS_PER_DAY: i64 = 86_400;

fn parsed(text: &[u8], now: Duration) -> Option<i64> {
    if text.len() > LONGEST_DATE {
        return None;
    }
    let (mut day, mut month, mut year, mut time) = (None, None, None, None);
    for word in text.split(|byte| matches!(byte, b' ' | b',' | b'-' | b'\t')).filter(|word| !word.is_empty())
    {
        if word.contains(&b':') {
            if time.is_some() {
                return None;
            }
            time = Some(seconds_of_day(word)?);
        } else if word.iter().all(u8::is_ascii_digit) {
            if day.is_none() {
                day = Some(number(word, 2)?);
            } else if year.is_none() {
                year = Some((number(word, 4)?, word.len() <= 2));
            } else {
                return None;
            }
        } else if month.is_none() {
            // Before the month only the day of the week stands, behind it the zone.
            month =
                (1..).zip(MONTHS).find(|(_, name)| word.eq_ignore_ascii_case(name)).map(|(month, _)| month);
            if month.is_none() && day.is_some() {
                return None;
            }
        }
    }
    let (day, month, (year, short)) = (day?, month?, year?);
    let year = if short { century(year, now) } else { year };
    if !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    Some(days_since_1970(year, month, day) * SECONDS_PER_DAY + time?)
}

/// A number of at most so many digits.
fn number(word: &[u8], most: usize) -> Option<i64> {
    if !(1..=most).contains(&word.len()) || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(word.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// `08:49:37`; a leap second is let through.
fn seconds_of_day(word: &[u8]) -> Option<i64> {
    let mut parts = word.split(|byte| *byte == b':').map(|part| number(part, 2));
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let sound = parts.next().is_none() && hours < 24 && minutes < 60 && seconds <= 60;
    sound.then_some(hours * 3600 + minutes * 60 + seconds)
}

/// The year that two digits stand for: the latest not more than 50 years ahead.
fn century(digits: i64, now: Duration) -> i64 {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    let days = i64::try_from(now.as_secs()).unwrap_or(0) / SECONDS_PER_DAY;
    let latest = 1970 + days * 400 / DAYS_PER_400_YEARS + 50;
    latest - (latest - digits).rem_euclid(100)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the Gregorian calendar. Years are taken to begin in March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months_since_march = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    // From 1 March of year 0 to 1 January 1970.
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{check, v};

    #[test]
    fn values() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Sun, 06-Nov-1994 08:49:37 GMT", 784_111_777),
            ("06 nov 1994 08:49:37 +0200", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Wed, 31 Dec 1969 23:59:58 GMT", -2),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            // Two digits: the test's clock stands in 2023.
            ("Sunday, 06-Nov-73 08:49:37 GMT", 3_277_183_777),
            ("Sunday, 06-Nov-74 08:49:37 GMT", 152_959_777),
            ("Sat, 29 Feb 2023 12:00:00 GMT", -1),
            ("Thu, 29 Feb 1900 12:00:00 GMT", -1),
            ("Sun, 31 Nov 1994 08:49:37 GMT", -1),
            ("Sun, 00 Nov 1994 08:49:37 GMT", -1),
            ("Sun, 06 Nov 1994 24:00:00 GMT", -1),
            ("Sun, 06 Nov 1994 08:49 GMT", -1),
            ("Sun, 06 Nov 1994", -1),
            ("Sun, 06 Xxx 1994 08:49:37 GMT", -1),
            ("784111777", -1),
            ("", -1),
            ("::", -1),
        ] {
            let expected = i64::to_string(&expected);
            check(&[("string.gmtime.parse", v![text], &expected)]);
        }
    }
}

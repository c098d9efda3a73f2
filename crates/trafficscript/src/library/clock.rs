//! Calendar time of seconds since 1970, and its text. Gregorian, without leap seconds.

/// A time of day on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: i64,
    /// 1 to 31.
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    /// Days since Sunday.
    pub(super) weekday: i64,
    /// 1 to 366.
    pub(super) yearday: i64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DAY: i64 = 86_400;
/// Years 1 to 9999: the times that have a text of fixed width.
const SPAN: (i64, i64) = (-62_135_596_800, 253_402_300_799);

/// The calendar time that is `offset` seconds ahead of UTC; times far off are moved to the years 1 to 9999.
pub(super) fn calendar(time: i64, offset: i32) -> Calendar {
    let time = time.clamp(SPAN.0, SPAN.1).saturating_add(i64::from(offset)).clamp(SPAN.0, SPAN.1);
    let (days, seconds) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    // Days are counted from 1 March of year 0, in eras of 400 years: leap days are last in each year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // `of_year` counts from 1 March, which is day 60 or 61.
    let yearday = if month > 2 { of_year + 60 + i64::from(leap) } else { of_year - 305 };
    Calendar {
        year,
        month,
        day,
        hour: seconds / 3600,
        minute: seconds / 60 % 60,
        second: seconds % 60,
        weekday: (days + 4).rem_euclid(7),
        yearday,
    }
}

/// Text of a time by a format of `strftime`; `zone` is `%Z`. Conversions that are not known stay as they are.
pub(super) fn format(format: &[u8], time: &Calendar, zone: &str) -> Vec<u8> {
    let name = |names: &[&'static str], index: i64| -> &'static str {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
    };
    let hour12 = if time.hour % 12 == 0 { 12 } else { time.hour % 12 };
    let half = if time.hour < 12 { "AM" } else { "PM" };
    let Calendar { year, month, day, hour, minute, second, weekday, yearday } = *time;
    let mut text = Vec::with_capacity(format.len() * 2);
    let mut rest = format;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let (b'%', Some((&conversion, after))) = (byte, behind.split_first()) else {
            text.push(byte);
            continue;
        };
        rest = after;
        let piece = match conversion {
            b'a' => name(&DAYS, weekday).get(..3).unwrap_or_default().to_owned(),
            b'A' => name(&DAYS, weekday).to_owned(),
            b'b' | b'h' => name(&MONTHS, month - 1).get(..3).unwrap_or_default().to_owned(),
            b'B' => name(&MONTHS, month - 1).to_owned(),
            b'd' => format!("{day:02}"),
            b'D' => format!("{month:02}/{day:02}/{:02}", year % 100),
            b'e' => format!("{day:2}"),
            b'F' => format!("{year:04}-{month:02}-{day:02}"),
            b'H' => format!("{hour:02}"),
            b'I' => format!("{hour12:02}"),
            b'j' => format!("{yearday:03}"),
            b'm' => format!("{month:02}"),
            b'M' => format!("{minute:02}"),
            b'n' => "\n".to_owned(),
            b'p' => half.to_owned(),
            b'r' => format!("{hour12:02}:{minute:02}:{second:02} {half}"),
            b'R' => format!("{hour:02}:{minute:02}"),
            b'S' => format!("{second:02}"),
            b't' => "\t".to_owned(),
            b'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            b'u' => (if weekday == 0 { 7 } else { weekday }).to_string(),
            b'w' => weekday.to_string(),
            b'y' => format!("{:02}", year % 100),
            b'Y' => format!("{year:04}"),
            b'Z' => zone.to_owned(),
            b'%' => "%".to_owned(),
            _ => {
                text.extend([b'%', conversion]);
                continue;
            }
        };
        text.extend_from_slice(piece.as_bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(time: i64, offset: i32) -> String {
        let text = format(b"%a %Y-%m-%d %T %j %u", &calendar(time, offset), "");
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn times_have_their_days() {
        let cases = [
            (0, 0, "Thu 1970-01-01 00:00:00 001 4"),
            (-1, 0, "Wed 1969-12-31 23:59:59 365 3"),
            (951_782_400, 0, "Tue 2000-02-29 00:00:00 060 2"),
            (951_868_800, 0, "Wed 2000-03-01 00:00:00 061 3"),
            (978_220_800, 0, "Sun 2000-12-31 00:00:00 366 7"),
            (1_709_164_800, 0, "Thu 2024-02-29 00:00:00 060 4"),
            (4_107_542_400, 0, "Mon 2100-03-01 00:00:00 060 1"),
            (0, 3600, "Thu 1970-01-01 01:00:00 001 4"),
            (0, -3600, "Wed 1969-12-31 23:00:00 365 3"),
            (i64::MAX, 0, "Fri 9999-12-31 23:59:59 365 5"),
            (i64::MIN, i32::MIN, "Mon 0001-01-01 00:00:00 001 1"),
        ];
        for (time, offset, text) in cases {
            assert_eq!(shown(time, offset), text, "{time} {offset}");
        }
    }

    #[test]
    fn all_conversions() {
        let time = calendar(1_709_217_005, 0);
        let cases = [
            ("%a %A %b %B %h", "Thu Thursday Feb February Feb"),
            ("%d|%e|%D|%F", "29|29|02/29/24|2024-02-29"),
            ("%H %I %M %S %p", "14 02 30 05 PM"),
            ("%r %R %T", "02:30:05 PM 14:30 14:30:05"),
            ("%j %m %u %w %y %Y", "060 02 4 4 24 2024"),
            ("%Z%n%t%%", "XYZ\n\t%"),
            ("%Q %", "%Q %"),
        ];
        for (given, text) in cases {
            assert_eq!(String::from_utf8(format(given.as_bytes(), &time, "XYZ")).unwrap(), text, "{given}");
        }
        let midnight = calendar(432_000, 0);
        assert_eq!(format(b"%I %p %e", &midnight, ""), b"12 AM  6");
    }
}

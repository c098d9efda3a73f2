//! `sys.*`: time, and the process.

use super::{
    Argument, Call, Function, Interrupt, Outcome,
    clock::{self, Calendar},
    make,
    row::works,
};
use crate::value::{Container, ELEMENT, Value};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("sys.time", "", (0, 0), "Seconds since 1970.", |call| Ok(Value::Int(now(call)))),
    works("sys.time.highres", "", (0, 0),
        "Seconds since 1970 with their fraction, as double.",
        |call| Ok(Value::Double(call.host.now().as_secs_f64()))),
    works("sys.gmtime.format", "format[, time]", (1, 2),
        "Text of a time, now unless given, in GMT; format as of strftime.",
        |call| {
            let (format, time) = (format_at(call)?, time_at(call, 1)?);
            call.make(clock::format(&format, &clock::calendar(time, 0), "GMT"))
        }),
    works("sys.localtime.format", "format[, time]", (1, 2),
        "Text of a time, now unless given, in local time; format as of strftime.",
        |call| {
            let format = format_at(call)?;
            local_text(call, &format, 1)
        }),
    works("sys.timeToString", "[time]", (0, 1),
        "Text of a time, now unless given, in local time, such as `Thu Feb 29 14:30:05 2024`.",
        |call| local_text(call, b"%a %b %e %T %Y", 0)),
    works("sys.time.hour", "[time]", (0, 1),
        "Hour of a time, now unless given, in local time: 0 to 23.",
        |call| part(call, |time| time.hour)),
    works("sys.time.minutes", "[time]", (0, 1),
        "Minute of a time, now unless given, in local time: 0 to 59.",
        |call| part(call, |time| time.minute)),
    works("sys.time.seconds", "[time]", (0, 1),
        "Second of a time, now unless given: 0 to 59.",
        |call| part(call, |time| time.second)),
    works("sys.time.weekday", "[time]", (0, 1),
        "Day of the week of a time, now unless given, in local time: 1 (Sunday) to 7.",
        |call| part(call, |time| time.weekday + 1)),
    works("sys.time.monthday", "[time]", (0, 1),
        "Day of the month of a time, now unless given, in local time: 1 to 31.",
        |call| part(call, |time| time.day)),
    works("sys.time.month", "[time]", (0, 1),
        "Month of a time, now unless given, in local time: 1 to 12.",
        |call| part(call, |time| time.month)),
    works("sys.time.year", "[time]", (0, 1),
        "Year of a time, now unless given, in local time.",
        |call| part(call, |time| time.year)),
    works("sys.time.yearday", "[time]", (0, 1),
        "Day of the year of a time, now unless given, in local time: 1 to 366.",
        |call| part(call, |time| time.yearday)),
    works("sys.hostname", "", (0, 0), "Name of the host without its domain.", |call| {
        Ok(Value::from(call.host.host_name().0.as_bytes()))
    }),
    works("sys.domainname", "", (0, 0), "Domain of the host.", |call| {
        Ok(Value::from(call.host.host_name().1.as_bytes()))
    }),
    works("sys.getenv", "name", (1, 1),
        "A variable of the environment of the process; empty if it is not set.",
        |call| {
            let name = call.text(0)?;
            let value = call.host.environment(&name).unwrap_or_default();
            call.make(value)
        }),
    works("sys.getpid", "", (0, 0),
        "Identity of the process.",
        |call| Ok(Value::Int(i64::from(call.host.process_id())))),
    works("sys.getnetworkinterfaces", "[options]", (0, 1),
        "The network interfaces of the host: hash of their names, each with the array of its addresses. Options are \
         words: `up`, `noloopback` (these interfaces only), `ipv4`, `ipv6` (these addresses only), `mask` (addresses \
         as in `192.0.2.1/24`).",
        interfaces),
    works("sys.getRestApiPort", "", (0, 0),
        "Port of the REST API; 0 if it is off.",
        |call| Ok(Value::Int(call.host.rest_port().map_or(0, i64::from)))),
    works("sys.isFIPS", "", (0, 0), "0: the cryptography runs in no FIPS mode.", |_| Ok(Value::Int(0))),
];

fn now(call: &Call<'_, '_>) -> i64 {
    i64::try_from(call.host.now().as_secs()).unwrap_or(i64::MAX)
}

/// The format that the first argument gives. Two bytes of it become 24 at most.
fn format_at<'c, 'p>(call: &mut Call<'c, 'p>) -> Result<Argument<'c, 'p>, Interrupt> {
    let format = call.text(0)?;
    call.charge(format.len().saturating_mul(12))?;
    Ok(format)
}

/// The time that an argument gives; now unless it is given.
fn time_at(call: &mut Call<'_, '_>, index: usize) -> Result<i64, Interrupt> {
    if call.has(index) { call.int(index) } else { Ok(now(call)) }
}

fn part<'p>(call: &mut Call<'_, 'p>, part: fn(&Calendar) -> i64) -> Outcome<'p> {
    let time = time_at(call, 0)?;
    let (offset, _) = call.host.local_offset(time);
    Ok(Value::Int(part(&clock::calendar(time, offset))))
}

fn local_text<'p>(call: &mut Call<'_, 'p>, format: &[u8], index: usize) -> Outcome<'p> {
    let time = time_at(call, index)?;
    let (offset, zone) = call.host.local_offset(time);
    let text = clock::format(format, &clock::calendar(time, offset), &zone);
    call.make(text)
}

/// Words that say which interfaces and addresses are wanted, and how.
const INTERFACE_WORDS: [&[u8]; 5] = [b"up", b"noloopback", b"ipv4", b"ipv6", b"mask"];

fn interfaces<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    /// Bytes of an address as text, about.
    const ADDRESS: usize = 40;
    let options = call.text(0)?;
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
    let mut asked = [false; INTERFACE_WORDS.len()];
    for word in options.split(is_separator).filter(|word| !word.is_empty()) {
        match INTERFACE_WORDS.iter().position(|known| known.eq_ignore_ascii_case(word)) {
            Some(index) => asked[index] = true,
            None => call.warn(&format!("`{}` says nothing about interfaces", word.escape_ascii()))?,
        }
    }
    let [up, no_loopback, four, six, mask] = asked;
    let mut found = call.host.interfaces();
    found.retain(|interface| (!up || interface.is_up) && !(no_loopback && interface.is_loopback));
    let addresses: usize = found.iter().map(|interface| interface.addresses.len() + 1).sum();
    make::charge_made(call, addresses.saturating_mul(ADDRESS + ELEMENT))?;
    let text = |(address, bits): &(std::net::IpAddr, u8)| {
        let text = if mask { format!("{address}/{bits}") } else { address.to_string() };
        Value::from(text.into_bytes())
    };
    let entries = found.iter().map(|interface| {
        let wanted = interface.addresses.iter().filter(|(address, _)| {
            // Both words, and none, ask for both.
            four == six || address.is_ipv4() == four
        });
        (interface.name.as_bytes().into(), make::array(wanted.map(text).collect()))
    });
    Ok(Container::Hash(entries.collect()).into())
}

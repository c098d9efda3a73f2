//! W3C Trace Context: the header fields that say to which trace a request belongs.
//!
//! In: the values of `traceparent` and `tracestate`. Out: a [`TraceParent`], and whether a trace state may be passed on.
//! Read as strictly as <https://www.w3.org/TR/trace-context/> says; whoever gets nothing from here begins a trace of its
//! own.

use std::num::{NonZeroU64, NonZeroU128};

use memchr::memchr;

/// Bytes of a `traceparent` of version 00, which is what is written.
pub const PARENT_LENGTH: usize = 55;
/// Most members of a trace state (§3.3.1.1).
pub const MAX_STATE_MEMBERS: usize = 32;
/// Longest trace state that is passed on, bytes. The recommendation asks for 512 at least.
pub const MAX_STATE: usize = 4096;
/// Longest key of a member, and longest value.
const MAX_PART: usize = 256;

/// The flag that the caller may have recorded the trace.
pub const SAMPLED: u8 = 0x01;
/// The flag that the trace's number is random (level 2).
pub const RANDOM: u8 = 0x02;

/// A place in a trace: what `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace, the same for everything that one request causes.
    pub trace_id: NonZeroU128,
    /// The span that sends the request.
    pub span_id: NonZeroU64,
    /// [`SAMPLED`] and [`RANDOM`]; unknown flags are not kept.
    pub flags: u8,
}

impl TraceParent {
    /// Reads the value of a `traceparent` (§3.2). `None` = it is none, and nothing in it is to be believed.
    ///
    /// Of a version above 00 the part that this version knows is read (§3.2.4).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(PARENT_LENGTH)?;
        let [v0, v1, b'-', ids @ ..] = known else { return None };
        let version = hex(&[*v0, *v1])? as u8;
        let further = match rest.first() {
            None => true,
            Some(b'-') => version > 0,
            Some(_) => false,
        };
        if version == 0xff || !further {
            return None;
        }
        let (trace, ids) = ids.split_at_checked(32)?;
        let (dash, ids) = ids.split_first()?;
        let (span, ids) = ids.split_at_checked(16)?;
        let [b'-', flags @ ..] = ids else { return None };
        if *dash != b'-' {
            return None;
        }
        Some(Self {
            trace_id: NonZeroU128::new(hex(trace)?)?,
            span_id: NonZeroU64::new(hex(span)? as u64)?,
            flags: hex(flags)? as u8 & (SAMPLED | RANDOM),
        })
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of a `traceparent`, in version 00.
    pub fn text(&self) -> [u8; PARENT_LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        digits(text.get_mut(3..35), self.trace_id.get());
        digits(text.get_mut(36..52), self.span_id.get().into());
        digits(text.get_mut(53..55), self.flags.into());
        text
    }
}

/// Lower-case hexadecimal digits, no others.
fn hex(digits: &[u8]) -> Option<u128> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    digits.iter().try_fold(0, |value, byte| Some(value << 4 | u128::from(digit(*byte)?)))
}

fn digits(out: Option<&mut [u8]>, mut value: u128) {
    for place in out.unwrap_or_default().iter_mut().rev() {
        let digit = (value & 0xf) as u8;
        *place = digit + if digit < 10 { b'0' } else { b'a' - 10 };
        value >>= 4;
    }
}

/// Whether these values of `tracestate` are together a trace state that can be passed on (§3.3.1): members of the right
/// form, each key once, at most [`MAX_STATE_MEMBERS`] and [`MAX_STATE`] bytes.
pub fn is_trace_state<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> bool {
    let mut keys: [&[u8]; MAX_STATE_MEMBERS] = [&[]; MAX_STATE_MEMBERS];
    let (mut count, mut length) = (0, 0);
    for value in values {
        length += value.len();
        if length > MAX_STATE {
            return false;
        }
        // Empty members are allowed.
        for member in value.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty()) {
            let Some(equals) = memchr(b'=', member) else { return false };
            let (key, value) = (member.get(..equals), member.get(equals + 1..));
            let (Some(key), Some(value)) = (key, value) else { return false };
            let known = keys.get(..count).is_none_or(|known| known.contains(&key));
            if known || !is_key(key) || !is_value(value) {
                return false;
            }
            let Some(place) = keys.get_mut(count) else { return false };
            *place = key;
            count += 1;
        }
    }
    true
}

/// White space of HTTP around a list member.
fn trim(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

/// §3.3.1.3.1, as level 2 has it: one or two parts, which level 1 knew as tenant and system.
fn is_key(key: &[u8]) -> bool {
    let begins = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let goes_on = |byte: &u8| begins(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@');
    key.len() <= MAX_PART && key.first().is_some_and(begins) && key.iter().all(goes_on)
}

/// §3.3.1.3.2: printable ASCII without comma and equals sign, not ending with a space, not empty.
fn is_value(value: &[u8]) -> bool {
    let allowed = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    value.len() <= MAX_PART && value.last().is_some_and(|last| *last != b' ') && value.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn parents() {
        let good = |flags: u8| {
            Some(TraceParent {
                trace_id: NonZeroU128::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).unwrap(),
                span_id: NonZeroU64::new(0xb7ad_6b71_6920_3331).unwrap(),
                flags,
            })
        };
        let zeros = "0".repeat(32);
        let upper = TRACE.to_uppercase();
        let table = [
            (format!("00-{TRACE}-{SPAN}-00"), good(0)),
            (format!("00-{TRACE}-{SPAN}-01"), good(1)),
            (format!("00-{TRACE}-{SPAN}-03"), good(3)),
            // Flags that nobody has given a meaning yet.
            (format!("00-{TRACE}-{SPAN}-ff"), good(3)),
            (format!("00-{TRACE}-{SPAN}-fc"), good(0)),
            // Later versions: what is known of them.
            (format!("01-{TRACE}-{SPAN}-01"), good(1)),
            (format!("cc-{TRACE}-{SPAN}-01-what-follows"), good(1)),
            (format!("fe-{TRACE}-{SPAN}-01-"), good(1)),
            (format!("cc-{TRACE}-{SPAN}-01.what-follows"), None),
            (format!("cc-{TRACE}-{SPAN}-011"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            // Version 00 is of one length.
            (format!("00-{TRACE}-{SPAN}-01-"), None),
            (format!("00-{TRACE}-{SPAN}-01-x"), None),
            (format!("00-{TRACE}-{SPAN}-0"), None),
            (format!("00-{TRACE}-{SPAN}-"), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            (format!("00-{TRACE}-{SPAN}-011"), None),
            (format!("00-{TRACE}1-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", &TRACE[1..]), None),
            (format!("00-{TRACE}-{SPAN}1-1"), None),
            // Nothing but lower-case digits and dashes, where they belong.
            (format!("00-{upper}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-0A"), None),
            (format!("0x-{TRACE}-{SPAN}-01"), None),
            (format!("-0-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-+1"), None),
            (format!("00_{TRACE}_{SPAN}_01"), None),
            (format!("00-{TRACE}.{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}.01"), None),
            (format!(" 00-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}-01 "), None),
            (format!("00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"), None),
            // No trace, no span.
            (format!("00-{zeros}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{}-01", &zeros[..16]), None),
            (String::new(), None),
            ("00".to_owned(), None),
            ("-".repeat(PARENT_LENGTH), None),
        ];
        for (text, expected) in table {
            assert_eq!(TraceParent::parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(TraceParent::parse(&[0xff; PARENT_LENGTH]), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (trace, span, flags) in [
            (1, 1, 0),
            (u128::MAX, u64::MAX, SAMPLED),
            (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331, SAMPLED | RANDOM),
        ] {
            let parent = TraceParent {
                trace_id: NonZeroU128::new(trace).unwrap(),
                span_id: NonZeroU64::new(span).unwrap(),
                flags,
            };
            assert_eq!(TraceParent::parse(&parent.text()), Some(parent));
            assert_eq!(
                std::str::from_utf8(&parent.text()).unwrap(),
                format!("00-{trace:032x}-{span:016x}-{flags:02x}")
            );
        }
    }

    #[test]
    fn states() {
        let long_key = "k".repeat(MAX_PART);
        let long_value = "v".repeat(MAX_PART);
        let members = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        let good = [
            "",
            " ",
            "rojo=00f067aa0ba902b7",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "a=1 , b=2\t,\tc=3",
            ",a=1,,b=2,",
            "fw529a3039@dt=FfU",
            "1a-2_b*3/c@x=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~",
            "a= 1",
            "a=1 2",
            &format!("{long_key}={long_value}"),
            &members(MAX_STATE_MEMBERS),
        ];
        for value in good {
            assert!(is_trace_state([value.as_bytes()]), "{value}");
        }
        let bad = [
            "a",
            "=1",
            "a=",
            "a=1=2",
            "A=1",
            "_a=1",
            "@a=1",
            "a b=1",
            "a =1",
            "a=1;b=2",
            "a=\t1",
            "a=é",
            "a=1,a=2",
            &format!("{long_key}k=1"),
            &format!("a={long_value}v"),
            &members(MAX_STATE_MEMBERS + 1),
        ];
        for value in bad {
            assert!(!is_trace_state([value.as_bytes()]), "{value}");
        }
        assert!(is_trace_state([b"a=1".as_slice(), b"b=2"]), "several fields are one list");
        assert!(!is_trace_state([b"a=1".as_slice(), b"a=2"]), "a key of another field");
        assert!(is_trace_state([]));
        assert!(!is_trace_state([" ".repeat(MAX_STATE + 1).as_bytes()]));
    }
}

//! Numbers as text and as bytes.

use super::{
    super::{
        Call, Function, Outcome,
        cost::{DECODE, charge_times},
        row::works,
    },
    encode::hex_value,
};
use crate::value::Value;

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works(
        "string.intToHex",
        "n",
        (1, 1),
        "Eight lower-case hexadecimal digits; sixteen beyond 32 bits.",
        int_to_hex,
    ),
    works(
        "string.hexToInt",
        "s",
        (1, 1),
        "The number that hexadecimal digits, after an optional 0x, stand for.",
        hex_to_int,
    ),
    works(
        "string.intToBytes",
        "n[, width]",
        (1, 2),
        "n as 1, 2, 4 (the default) or 8 bytes in network order.",
        int_to_bytes,
    ),
    works(
        "string.bytesToInt",
        "s",
        (1, 1),
        "The number that 1 to 8 bytes in network order stand for.",
        bytes_to_int,
    ),
    works("string.intToBER", "n", (1, 1), "n as a BER compressed integer: groups of 7 bits.", int_to_ber),
    works("string.BERToInt", "s", (1, 1), "The number that a BER compressed integer stands for.", ber_to_int),
];

/// `string.intToHex(n)` → 8 digits in lower case for what fits 32 bits, signed (two's complement) or not, else 16.
fn int_to_hex<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let number = call.int(0)?;
    let narrow = u32::try_from(number).or_else(|_| i32::try_from(number).map(i32::cast_unsigned));
    call.make(match narrow {
        Ok(number) => format!("{number:08x}"),
        Err(_) => format!("{number:016x}"),
    })
}

/// `string.hexToInt(s)` → integer. Digits in either case up to the first byte that is none, after `0x` or not; 0 if there
/// are none. Of more than sixteen the last sixteen count.
fn hex_to_int<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_times(call, text.len(), DECODE)?;
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X")).unwrap_or(&text);
    let number =
        digits.iter().map_while(|digit| hex_value(*digit)).fold(0_u64, |n, digit| n << 4 | u64::from(digit));
    Ok(Value::Int(number.cast_signed()))
}

/// `string.intToBytes(n[, width=4])` → the low bytes of n, the highest first. Another width than 1, 2, 4 or 8 warns and
/// gives the empty string.
fn int_to_bytes<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let bytes = call.int(0)?.to_be_bytes();
    let width = if call.has(1) { call.int(1)? } else { 4 };
    let from = match width {
        1 => 7,
        2 => 6,
        4 => 4,
        8 => 0,
        _ => {
            call.warn(&format!("string.intToBytes: width {width} is none of 1, 2, 4 and 8"))?;
            return Ok(Value::EMPTY);
        }
    };
    call.make(bytes.get(from..).unwrap_or_default())
}

/// `string.bytesToInt(s)` → integer; up to 7 bytes without sign, 8 bytes with. Another length warns and gives 0.
fn bytes_to_int<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    if !(1..=8).contains(&text.len()) {
        call.warn(&format!("string.bytesToInt: {} bytes are no integer", text.len()))?;
        return Ok(Value::Int(0));
    }
    let number = text.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Ok(Value::Int(number.cast_signed()))
}

/// Bytes of the longest BER compressed integer of 64 bits.
const LONGEST_BER: usize = 10;

/// `string.intToBER(n)` → 1 to 10 bytes: groups of 7 bits, the highest first, bit 7 set in all but the last. A negative n
/// is taken as 64 bits without sign.
fn int_to_ber<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let mut left = call.int(0)?.cast_unsigned();
    let mut groups = vec![(left & 0x7f) as u8];
    left >>= 7;
    while left > 0 {
        groups.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    groups.reverse();
    call.make(groups)
}

/// `string.BERToInt(s)` → integer; what is behind its last byte is disregarded. No end within 10 bytes warns and gives 0.
fn ber_to_int<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    let mut number = 0_u64;
    for byte in text.iter().take(LONGEST_BER) {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(Value::Int(number.cast_signed()));
        }
    }
    call.warn("string.BERToInt: the integer does not end")?;
    Ok(Value::Int(0))
}

#[cfg(test)]
mod tests {
    use super::super::super::trial::{Trial, check, v};

    #[test]
    fn values() {
        check(&[
            ("string.intToHex", v![48879], "\"0000beef\""),
            ("string.intToHex", v![-1], "\"ffffffff\""),
            ("string.intToHex", v![1_i64 << 32], "\"0000000100000000\""),
            ("string.intToHex", v![i64::MIN], "\"8000000000000000\""),
            ("string.hexToInt", v!["0x1f"], "31"),
            ("string.hexToInt", v!["BEEFs"], "48879"),
            ("string.hexToInt", v!["x"], "0"),
            ("string.hexToInt", v![""], "0"),
            ("string.hexToInt", v!["ffffffff"], "4294967295"),
            ("string.hexToInt", v!["1ffffffffffffffff"], "-1"),
            ("string.bytesToInt", v!["\u{1}\u{0}"], "256"),
            ("string.bytesToInt", v![&[0xff; 4][..]], "4294967295"),
            ("string.bytesToInt", v![&[0xff; 8][..]], "-1"),
            ("string.BERToInt", v![&[0x81, 0x00][..]], "128"),
            ("string.BERToInt", v![&[0x7f, 0x41][..]], "127"),
        ]);
    }

    #[test]
    fn bytes() {
        for (name, arguments, expected) in [
            ("string.intToBytes", v![258], "00000102"),
            ("string.intToBytes", v![258, 1], "02"),
            ("string.intToBytes", v![-2, 2], "FFFE"),
            ("string.intToBytes", v![-2, 8], "FFFFFFFFFFFFFFFE"),
            ("string.intToBER", v![0], "00"),
            ("string.intToBER", v![127], "7F"),
            ("string.intToBER", v![128], "8100"),
            ("string.intToBER", v![-1], "81FFFFFFFFFFFFFFFF7F"),
        ] {
            let mut trial = Trial::new();
            let made = trial.call(name, arguments).unwrap();
            assert_eq!(trial.shown("string.hexencode", vec![made]), format!("\"{expected}\""));
        }
    }

    #[test]
    fn every_integer_comes_back() {
        for number in [0, 1, 127, 128, 16_384, i64::from(u32::MAX), i64::MAX, i64::MIN, -1] {
            let mut trial = Trial::new();
            let made = trial.call("string.intToBER", v![number]).unwrap();
            assert_eq!(trial.shown("string.BERToInt", vec![made]), number.to_string());
            let made = trial.call("string.intToBytes", v![number, 8]).unwrap();
            assert_eq!(trial.shown("string.bytesToInt", vec![made]), number.to_string());
        }
    }

    #[test]
    fn what_is_no_number_warns() {
        for (name, arguments) in [
            ("string.intToBytes", v![1, 3]),
            ("string.bytesToInt", v![""]),
            ("string.bytesToInt", v!["123456789"]),
            ("string.BERToInt", v![""]),
            ("string.BERToInt", v![&[0xff; 12][..]]),
        ] {
            let mut trial = Trial::new();
            let result = trial.shown(name, arguments);
            assert!(result == "0" || result == "\"\"", "{name}: {result}");
            assert_eq!(trial.log().len(), 1, "{name}");
        }
    }
}

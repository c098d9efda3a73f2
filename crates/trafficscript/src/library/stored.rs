//! Values as bytes, for `data.*` and its relatives: scalars as strings, containers as themselves.
//!
//! A tag, then: `s` the bytes · `i` eight bytes · `d` eight bytes · `e` nothing · `a` a count and the elements · `h` a
//! count and, per entry, the length of the key, the key and the value. In containers the length of a string is before
//! it; numbers are little-endian, counts and lengths of four bytes.

use indexmap::IndexMap;

use crate::value::{Container, MAX_LEVELS, Value, cast};

/// A value as bytes. `None` = its containers are nested too deep, or it is larger than `most`.
pub(super) fn encode(value: &Value<'_>, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Value::Container(_) = value {
        put(&mut bytes, value, MAX_LEVELS, most)?;
    } else {
        bytes.push(b's');
        bytes.extend_from_slice(&cast::text(value)?);
    }
    (bytes.len() <= most).then_some(bytes)
}

fn put(bytes: &mut Vec<u8>, value: &Value<'_>, levels: usize, most: usize) -> Option<()> {
    match value {
        Value::Int(number) => {
            bytes.push(b'i');
            bytes.extend(number.to_le_bytes());
        }
        Value::Double(number) => {
            bytes.push(b'd');
            bytes.extend(number.to_le_bytes());
        }
        Value::Text(text) => {
            bytes.push(b's');
            put_text(bytes, text)?;
        }
        Value::Container(container) => match (&*container.borrow(), levels.checked_sub(1)?) {
            (Container::Empty, _) => bytes.push(b'e'),
            (Container::Array(elements), levels) => {
                bytes.push(b'a');
                bytes.extend(u32::try_from(elements.len()).ok()?.to_le_bytes());
                for element in elements {
                    put(bytes, element, levels, most)?;
                }
            }
            (Container::Hash(entries), levels) => {
                bytes.push(b'h');
                bytes.extend(u32::try_from(entries.len()).ok()?.to_le_bytes());
                for (key, value) in entries {
                    put_text(bytes, key)?;
                    put(bytes, value, levels, most)?;
                }
            }
        },
    }
    (bytes.len() <= most).then_some(())
}

fn put_text(bytes: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    bytes.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
    bytes.extend_from_slice(text);
    Some(())
}

/// The value of bytes that [`encode`] made; `None` of others.
pub(super) fn decode<'p>(bytes: &[u8]) -> Option<Value<'p>> {
    if let [b's', text @ ..] = bytes {
        return Some(Value::from(text));
    }
    let mut rest = bytes;
    let value = take(&mut rest, MAX_LEVELS)?;
    rest.is_empty().then_some(value)
}

fn take<'p>(rest: &mut &[u8], levels: usize) -> Option<Value<'p>> {
    let (&tag, behind) = rest.split_first()?;
    *rest = behind;
    let levels = if matches!(tag, b'e' | b'a' | b'h') { levels.checked_sub(1)? } else { levels };
    Some(match tag {
        b'i' => Value::Int(i64::from_le_bytes(*take_array(rest)?)),
        b'd' => Value::Double(f64::from_le_bytes(*take_array(rest)?)),
        b's' => Value::from(take_text(rest)?),
        b'e' => Container::Empty.into(),
        b'a' => {
            let count = u32::from_le_bytes(*take_array(rest)?);
            let mut elements = Vec::new();
            for _ in 0..count {
                elements.push(take(rest, levels)?);
            }
            Container::Array(elements).into()
        }
        b'h' => {
            let count = u32::from_le_bytes(*take_array(rest)?);
            let mut entries = IndexMap::new();
            for _ in 0..count {
                let key: Box<[u8]> = take_text(rest)?.into();
                entries.insert(key, take(rest, levels)?);
            }
            Container::Hash(entries).into()
        }
        _ => return None,
    })
}

fn take_array<'b, const N: usize>(rest: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (array, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(array)
}

fn take_text<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = u32::from_le_bytes(*take_array(rest)?) as usize;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash<'p>(entries: &[(&str, Value<'p>)]) -> Value<'p> {
        let entries = entries.iter().map(|(key, value)| (key.as_bytes().into(), value.clone()));
        Container::Hash(entries.collect()).into()
    }

    #[test]
    fn what_is_stored_comes_back() {
        let array: Value<'_> =
            Container::Array(vec![Value::Int(-7), Value::Double(0.5), Value::from(&b"x\0"[..])]).into();
        let nested = hash(&[("a", array), ("", Container::Empty.into()), ("b", hash(&[]))]);
        let bytes = encode(&nested, 1000).unwrap();
        assert_eq!(format!("{:?}", decode(&bytes).unwrap()), format!("{nested:?}"));
        for (value, text) in [(Value::Int(5), "5"), (Value::Double(1_234_567.0), "1.23457e+06")] {
            let back = decode(&encode(&value, 100).unwrap()).unwrap();
            assert!(matches!(back, Value::Text(back) if &*back == text.as_bytes()));
        }
    }

    #[test]
    fn too_large_and_too_deep_values_are_not_stored() {
        assert!(encode(&Value::from(&b"12345"[..]), 5).is_none());
        let mut deep: Value<'_> = Container::Empty.into();
        for _ in 0..MAX_LEVELS {
            deep = Container::Array(vec![deep]).into();
        }
        assert!(encode(&deep, 1 << 20).is_none());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bytes in [&b""[..], b"x", b"a\xff\xff\xff\xff", b"i123", b"h\x01\0\0\0\x05\0\0\0ab", b"ee"] {
            assert!(decode(bytes).is_none(), "{bytes:?}");
        }
    }
}

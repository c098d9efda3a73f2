//! `auth.*`: questions to directories.

use indexmap::IndexMap;

use super::{
    Call, Function, Outcome, make,
    row::{TRAFFIC, works},
};
use crate::{
    host::{Answer, DirectoryEntry, DirectoryQuery, Need},
    value::{Container, ELEMENT, Value},
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("auth.query", "authenticator, user[, password]", (2, 3),
        "Asks a directory about a user, and with a password whether it is the user's. Hash: `OK` 1 if so, else 0; \
         `Error` what went wrong, empty if nothing did; and the attributes of the user, an array where one has several \
         values.",
        query).only(TRAFFIC).waits(),
];

/// What the hash has besides attributes; an attribute of such a name is left out.
const OWN: [&[u8]; 2] = [b"OK", b"Error"];

fn query<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if let Some(answer) = call.answer() {
        return match answer {
            Answer::Directory(Ok(Some(entry))) => give(call, true, b"", &entry),
            Answer::Directory(Ok(None)) => give(call, false, b"", &DirectoryEntry::default()),
            Answer::Directory(Err(why)) => give(call, false, why.as_bytes(), &DirectoryEntry::default()),
            Answer::Refused(why) => give(call, false, why.as_bytes(), &DirectoryEntry::default()),
            _ => give(call, false, b"no answer", &DirectoryEntry::default()),
        };
    }
    let (authenticator, user) = (call.text(0)?.to_vec(), call.text(1)?.to_vec());
    let password = if call.has(2) { Some(call.text(2)?.to_vec()) } else { None };
    call.charge(user.len().saturating_add(password.as_ref().map_or(0, Vec::len)))?;
    call.wait(Need::Directory(Box::new(DirectoryQuery { authenticator, user, password })))
}

/// The hash that rules get.
fn give<'p>(call: &mut Call<'_, 'p>, ok: bool, error: &[u8], entry: &DirectoryEntry) -> Outcome<'p> {
    let mut hash: IndexMap<Box<[u8]>, Value<'p>> = IndexMap::new();
    hash.insert(OWN[0].into(), Value::flag(ok));
    hash.insert(OWN[1].into(), error.into());
    let mut bytes = error.len() + 2 * ELEMENT;
    for (name, values) in &entry.attributes {
        let size: usize = values.iter().map(|value| value.len() + ELEMENT).sum();
        bytes = bytes.saturating_add(name.len() + ELEMENT + size);
    }
    make::charge_made(call, bytes)?;
    for (name, values) in &entry.attributes {
        if OWN.contains(&name.as_slice()) {
            continue;
        }
        let value = match values.as_slice() {
            [] => Value::EMPTY,
            [value] => Value::from(value.as_slice()),
            several => make::array(several.iter().map(|value| Value::from(value.as_slice())).collect()),
        };
        hash.insert(name.as_slice().into(), value);
    }
    Ok(Container::Hash(hash).into())
}

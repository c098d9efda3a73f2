//! `string.*`: byte strings searched, cut, changed, encoded, digested, and read as numbers, addresses and dates. Every
//! length and offset is in bytes.

pub(super) mod address;
pub(super) mod cipher;
pub(super) mod cut;
pub(super) mod date;
pub(super) mod digest;
pub(super) mod encode;
mod entities;
pub(super) mod format;
pub(super) mod html;
pub(super) mod numbers;
pub(super) mod pattern;
pub(super) mod replace;
pub(super) mod search;

use super::{Call, Interrupt};

/// An offset or length that an argument gives; below 0 counts as 0.
fn offset_at(call: &mut Call<'_, '_>, index: usize) -> Result<usize, Interrupt> {
    Ok(usize::try_from(call.int(index)?.max(0)).unwrap_or(usize::MAX))
}

/// A copy in lower case, for searching without regard to the case of ASCII letters.
fn folded(call: &mut Call<'_, '_>, text: &[u8]) -> Result<Vec<u8>, Interrupt> {
    call.charge(text.len())?;
    Ok(text.to_ascii_lowercase())
}

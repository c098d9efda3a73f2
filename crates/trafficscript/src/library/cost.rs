//! What working on long values is charged as. An instruction stands for what takes 0.2 µs at most, as copying 1 KiB does,
//! so that a rule of 100,000 instructions holds its worker for some 20 ms, whatever it calls. Where a byte takes longer
//! than copying it, bytes count several times; the factors are measured (`cargo bench -p tidegate-benches budget`).

use super::{Call, Interrupt};

/// Reading a decimal number.
pub(crate) const NUMBER: usize = 5;
/// Comparing byte by byte in lower case.
pub(super) const CASELESS: usize = 5;
/// Looking at each byte of a pattern with wildcards.
pub(super) const WILDCARDS: usize = 12;
/// The digests, by what the processor has instructions for.
pub(super) const HASH: usize = 6;
pub(super) const MD5: usize = 8;
pub(super) const SHA1: usize = 3;
pub(super) const SHA256: usize = 3;
pub(super) const SHA512: usize = 8;
/// Random bytes from the system.
pub(super) const RANDOM: usize = 4;
/// Making a key of a passphrase, for each byte of it.
pub(super) const PASSPHRASE: usize = 3;
/// Base 64 and hexadecimal digits, to and from.
pub(super) const ENCODE: usize = 2;
pub(super) const DECODE: usize = 5;
/// Replacing single bytes by escapes, and back, where each byte may be one.
pub(super) const ESCAPE: usize = 8;
/// Writing and reading JSON, for each byte.
pub(super) const JSON: usize = 3;
/// Formats with directives.
pub(super) const FORMAT: usize = 3;
/// Checking and storing what stands in a field of a head.
pub(super) const FIELD: usize = 4;

/// Things that are handled one by one, at some 50 ns each, and count as one instruction together.
const THINGS: usize = 4;

/// Accounts for bytes that count so many times.
pub(super) fn charge_times(call: &mut Call<'_, '_>, bytes: usize, times: usize) -> Result<(), Interrupt> {
    Ok(call.meter.work(bytes.saturating_mul(times))?)
}

/// Accounts for so many things that are made or written one by one: elements, parts, replacements.
pub(super) fn charge_each(call: &mut Call<'_, '_>, count: usize) -> Result<(), Interrupt> {
    Ok(call.meter.steps(u32::try_from(count / THINGS).unwrap_or(u32::MAX))?)
}

/// Counts places that a search has found, and accounts for them as it goes on.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) count: usize,
}

impl Found {
    /// One more.
    #[inline]
    pub(super) fn another(&mut self, call: &mut Call<'_, '_>) -> Result<(), Interrupt> {
        /// A place takes some 10 ns.
        const PLACES: usize = 16;
        self.another_of(call, PLACES)
    }

    /// One more, of which so many count as one instruction.
    #[inline]
    pub(super) fn another_of(&mut self, call: &mut Call<'_, '_>, places: usize) -> Result<(), Interrupt> {
        self.count += 1;
        if self.count.is_multiple_of(places) { Ok(call.meter.step()?) } else { Ok(()) }
    }
}

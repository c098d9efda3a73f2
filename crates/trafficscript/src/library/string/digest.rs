//! Digests (raw bytes; combine with `string.hexencode`), a stable hash, random bytes.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use md5::{Digest, Md5};

use super::{
    super::{
        Call, Function, Outcome,
        cost::{self, charge_times},
        row::works,
    },
    offset_at,
};
use crate::value::Value;

/// The functions of this topic.
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works(
        "string.hash",
        "s",
        (1, 1),
        "A hash of s as integer, which may be negative; not for secrets.",
        hash,
    ),
    works("string.hashMD5", "s", (1, 1), "The MD5 digest, 16 raw bytes.", hash_md5),
    works("string.hashSHA1", "s", (1, 1), "The SHA-1 digest, 20 raw bytes.", hash_sha1),
    works("string.hashSHA256", "s", (1, 1), "The SHA-256 digest, 32 raw bytes.", hash_sha256),
    works("string.hashSHA384", "s", (1, 1), "The SHA-384 digest, 48 raw bytes.", hash_sha384),
    works("string.hashSHA512", "s", (1, 1), "The SHA-512 digest, 64 raw bytes.", hash_sha512),
    works("string.randomBytes", "n", (1, 1), "n random bytes, fit for secrets.", random_bytes),
];

/// `string.hash(s)` → FNV-1a of 64 bits, read as signed integer: the same on every node and in every release.
fn hash<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let text = call.text(0)?;
    charge_times(call, text.len(), cost::HASH)?;
    let hash = text.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    Ok(Value::Int(hash.cast_signed()))
}

/// `string.hashMD5(s)` → 16 bytes (RFC 1321). Broken: for checksums and old protocols only.
fn hash_md5<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_times(call, text.len(), cost::MD5)?;
    Ok(Value::from(Md5::digest(&*text).to_vec()))
}

/// `string.hashSHA1(s)` → 20 bytes (RFC 3174). Broken: for checksums and old protocols only.
fn hash_sha1<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    sha(call, &SHA1_FOR_LEGACY_USE_ONLY, cost::SHA1)
}

/// `string.hashSHA256(s)` → 32 bytes (RFC 6234).
fn hash_sha256<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    sha(call, &SHA256, cost::SHA256)
}

/// `string.hashSHA384(s)` → 48 bytes (RFC 6234).
fn hash_sha384<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    sha(call, &SHA384, cost::SHA512)
}

/// `string.hashSHA512(s)` → 64 bytes (RFC 6234).
fn hash_sha512<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    sha(call, &SHA512, cost::SHA512)
}

fn sha<'p>(call: &mut Call<'_, 'p>, algorithm: &'static Algorithm, times: usize) -> Outcome<'p> {
    let text = call.text(0)?;
    charge_times(call, text.len(), times)?;
    Ok(Value::from(digest(algorithm, &text).as_ref()))
}

/// `string.randomBytes(n)` → n bytes; empty if n is not above 0.
fn random_bytes<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let count = offset_at(call, 0)?;
    call.charge(count)?;
    charge_times(call, count, cost::RANDOM)?;
    let mut bytes = vec![0; count];
    call.host.secret_bytes(&mut bytes);
    Ok(Value::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::super::{
        Interrupt,
        trial::{Trial, check, v},
    };

    #[test]
    fn values() {
        check(&[
            ("string.hash", v![""], "-3750763034362895579"),
            ("string.hash", v!["a"], "-5808556873153909620"),
            // 0x85944171f73967e8, as the authors of the algorithm publish it.
            ("string.hash", v!["foobar"], "-8821353812377114648"),
            ("string.randomBytes", v![0], "\"\""),
            ("string.randomBytes", v![-1], "\"\""),
        ]);
        for (name, expected) in [
            ("string.hashMD5", "900150983CD24FB0D6963F7D28E17F72"),
            ("string.hashSHA1", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
            ("string.hashSHA256", "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
            (
                "string.hashSHA384",
                "CB00753F45A35E8BB5A03D699AC65007272C32AB0EDED1631A8B605A43FF5BED\
                 8086072BA1E7CC2358BAECA134C825A7",
            ),
            (
                "string.hashSHA512",
                "DDAF35A193617ABACC417349AE20413112E6FA4E89A97EA20A9EEEE64B55D39A\
                 2192992A274FC1A836BA3C23A3FEEBBD454D4423643CE80E2A9AC94FA54CA49F",
            ),
        ] {
            let mut trial = Trial::new();
            let digest = trial.call(name, v!["abc"]).unwrap();
            assert_eq!(trial.shown("string.hexencode", vec![digest]), format!("\"{expected}\""), "{name}");
        }
    }

    #[test]
    fn random_bytes_are_many_enough_and_bounded() {
        let mut trial = Trial::new();
        let bytes = trial.call("string.randomBytes", v![33]).unwrap();
        assert_eq!(trial.shown("string.len", vec![bytes]), "33");
        assert!(matches!(trial.call("string.randomBytes", v![i64::MAX]), Err(Interrupt::Abort(_))));
    }
}

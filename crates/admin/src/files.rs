//! Files of the state directory: whole or not at all.
//!
//! A sealed file is one line (what it is, length, SHA-256) and then its bytes. It is written beside its place,
//! synchronised, renamed over it, and the directory synchronised: after a power cut there is the old file or the
//! new one. What does not fit its seal is refused.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};

/// Begins every sealed file.
const MAGIC: &str = "tidegate-rest 1";
/// Longest first line, bytes.
const MAX_LINE: usize = 200;
/// Largest sealed file, bytes.
pub(crate) const MAX_SEALED: usize = 512 << 20;

/// Makes a directory for its owner alone, so that it stays over a power cut.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes a file for its owner alone, whole or not at all.
pub(crate) fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

/// Writes a sealed file.
pub(crate) fn seal(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() > MAX_SEALED {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it would be too large to be read again"));
    }
    let line = format!("{MAGIC} {} {}\n", bytes.len(), hex(&Sha256::digest(bytes)));
    write(path, &[line.as_bytes(), bytes])
}

/// Reads a sealed file. The error says what is wrong with it.
pub(crate) fn unseal(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take((MAX_SEALED + MAX_LINE) as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    let end = bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n').ok_or("it has no first line")?;
    let body = bytes.split_off(end + 1);
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| "its first line is no text")?;
    let expected = format!("{MAGIC} {} {}", body.len(), hex(&Sha256::digest(&body)));
    if line == expected { Ok(body) } else { Err("its length or checksum is wrong".to_owned()) }
}

/// Reads a small text file; `None` if there is none.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// Hexadecimal digits as bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_comes_back_and_any_other_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        seal(&path, b"content").unwrap();
        assert_eq!(unseal(&path).unwrap(), b"content");
        let good = fs::read(&path).unwrap();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(unseal(&path).is_err(), "byte {place}");
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(unseal(&path).is_err(), "cut at {length}");
        }
        assert!(unseal(&directory.path().join("none")).is_err());
        assert_eq!(unhex::<2>(&hex(&[0, 255])), Some([0, 255]));
        assert_eq!(unhex::<2>("00f"), None);
        assert_eq!(unhex::<1>("+1"), None);
    }
}

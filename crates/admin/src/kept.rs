//! What REST wrote, over a restart: generations on disk.
//!
//! Each write of the desk makes one generation, a sealed file of its own; older ones are removed but for a few. At
//! the start the newest whole one counts; a broken one is told and passed over.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value as Json, json};
use tidegate_config::{ImportDigest, Layer, rest::LeftOut};
use tracing::warn;

use crate::files;

/// Generations that stay on disk.
const MAX_GENERATIONS: usize = 16;
/// Bytes that they may take together; the newest two stay whatever they take.
const MAX_GENERATIONS_BYTES: u64 = 256 << 20;
/// Generations that stay in any case.
const MIN_GENERATIONS: usize = 2;
const PREFIX: &str = "generation-";

/// What REST wrote, and over which import of documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// What REST wrote.
    pub layer: Arc<Layer>,
    /// The import it was written over; another one undoes it. `None` before the first.
    pub over: Option<ImportDigest>,
}

/// The generations of one state directory.
#[derive(Debug)]
pub(crate) struct Generations {
    /// `None`: nothing is kept.
    directory: Option<PathBuf>,
    last: u64,
}

impl Generations {
    /// Opens the directory and reads the newest generation that is whole.
    pub(crate) fn open(directory: Option<&Path>) -> io::Result<(Self, Kept)> {
        let Some(directory) = directory else {
            return Ok((Self { directory: None, last: 0 }, Kept::default()));
        };
        files::private_directory(directory)?;
        let mut numbers = numbers(directory)?;
        numbers.sort_unstable();
        let last = numbers.last().copied().unwrap_or_default();
        let generations = Self { directory: Some(directory.to_owned()), last };
        for number in numbers.into_iter().rev() {
            let path = path(directory, number);
            match files::unseal(&path).and_then(|bytes| read(&bytes)) {
                Ok((kept, left_out)) => {
                    for sentence in left_out.sentences() {
                        warn!("of what REST wrote: {sentence}");
                    }
                    return Ok((generations, kept));
                }
                Err(reason) => {
                    warn!("{} cannot be used ({reason}); the generation before it counts", path.display());
                }
            }
        }
        Ok((generations, Kept::default()))
    }

    /// Whether anything is kept at all.
    pub(crate) fn keeps(&self) -> bool {
        self.directory.is_some()
    }

    /// Writes the next generation and removes the oldest.
    pub(crate) fn write(&mut self, kept: &Kept) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let over = kept.over.map(|digest| files::hex(&digest.0));
        let bytes = serde_json::to_vec(&json!({ "over": over, "layer": kept.layer.to_json() }))?;
        let number = self.last + 1;
        files::seal(&path(directory, number), &bytes)?;
        self.last = number;
        prune(directory);
        Ok(())
    }
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number:020}"))
}

fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

fn prune(directory: &Path) {
    let Ok(mut numbers) = numbers(directory) else { return };
    numbers.sort_unstable();
    let mut bytes = 0;
    for (age, number) in numbers.into_iter().rev().enumerate() {
        let path = path(directory, number);
        bytes += fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if age >= MAX_GENERATIONS || age >= MIN_GENERATIONS && bytes > MAX_GENERATIONS_BYTES {
            // What cannot be removed now is tried again with the next generation.
            drop(fs::remove_file(path));
        }
    }
}

fn read(bytes: &[u8]) -> Result<(Kept, LeftOut), String> {
    let json: Json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let over = match &json["over"] {
        Json::Null => None,
        over => Some(ImportDigest(over.as_str().and_then(files::unhex).ok_or("its import is not named")?)),
    };
    let (layer, left_out) = Layer::read(&json["layer"]);
    Ok((Kept { layer: Arc::new(layer), over }, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(note: &str) -> Kept {
        let layer = json!({"pools": {"p": {"properties": {"basic": {"note": note}}}}});
        Kept { layer: Arc::new(Layer::from_json(&layer)), over: Some(ImportDigest([7; 32])) }
    }

    #[test]
    fn the_newest_whole_generation_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rest");
        let (mut generations, first) = Generations::open(Some(&path)).unwrap();
        assert_eq!(first, Kept::default());
        for note in ["one", "two", "three"] {
            generations.write(&kept(note)).unwrap();
        }
        let found = || Generations::open(Some(&path)).unwrap().1;
        assert_eq!(found(), kept("three"));
        // A newest one that is cut, empty or garbage is passed over; so is what was never finished.
        fs::write(path.join(format!("{PREFIX}{:020}.new", 9)), "half").unwrap();
        let newest = super::path(&path, 3);
        let whole = fs::read(&newest).unwrap();
        for broken in [&whole[..whole.len() - 1], b"", b"garbage\n{}"] {
            fs::write(&newest, broken).unwrap();
            assert_eq!(found(), kept("two"));
        }
        // The next one does not take the number of a broken one.
        let (mut generations, _) = Generations::open(Some(&path)).unwrap();
        generations.write(&kept("four")).unwrap();
        assert_eq!(found(), kept("four"));
    }

    #[test]
    fn history_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let (mut generations, _) = Generations::open(Some(directory.path())).unwrap();
        for number in 0..3 * MAX_GENERATIONS {
            generations.write(&kept(&number.to_string())).unwrap();
        }
        assert_eq!(numbers(directory.path()).unwrap().len(), MAX_GENERATIONS);
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let (mut generations, _) = Generations::open(None).unwrap();
        generations.write(&kept("x")).unwrap();
        assert!(!generations.keeps());
    }
}

//! A base directory laid out as the kubelet lays out projected volumes.
//!
//! Each top directory (`config`, `data`, …) is one volume: its visible entries are symlinks through `..data`,
//! which points to a directory that is written completely before `..data` is swapped to it in one rename.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// The base directory. Changes are collected and become visible with [`Volume::publish`].
#[derive(Debug)]
pub struct Volume {
    directory: TempDir,
    files: BTreeMap<PathBuf, Vec<u8>>,
    written: u64,
}

impl Default for Volume {
    fn default() -> Self {
        Self::new()
    }
}

impl Volume {
    /// An empty base directory.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("tidegate-it-").tempdir().unwrap();
        Self { directory, files: BTreeMap::new(), written: 0 }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Sets a file, named from the base directory (`config/10-site`, `data/tls/site/tls.crt`).
    pub fn set(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.files.insert(path.into(), content.as_ref().to_vec());
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &str) {
        assert!(self.files.remove(Path::new(path)).is_some(), "{path} is not there");
    }

    /// Makes every collected change visible, one atomic swap per top directory that changed.
    pub fn publish(&mut self) {
        self.written += 1;
        let mut tops: BTreeSet<PathBuf> = ["config".into()].into();
        tops.extend(self.files.keys().map(|path| path.iter().next().unwrap().into()));
        tops.extend(
            fs::read_dir(self.path()).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name())),
        );
        for top in tops {
            self.publish_one(&top);
        }
    }

    fn publish_one(&self, top: &Path) {
        let volume = self.path().join(top);
        let files: BTreeMap<&Path, &Vec<u8>> = self
            .files
            .iter()
            .filter_map(|(path, content)| Some((path.strip_prefix(top).ok()?, content)))
            .collect();
        let data = volume.join("..data");
        let before = fs::read_link(&data).ok();
        if before.as_ref().is_some_and(|before| same(&volume.join(before), &files)) {
            return;
        }
        let stamp = format!("..2026_01_01_00_00_00.{:09}", self.written);
        let target = volume.join(&stamp);
        fs::create_dir_all(&target).unwrap();
        for (path, content) in &files {
            let path = target.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let new = volume.join("..data_tmp");
        symlink(&stamp, &new).unwrap();
        fs::rename(&new, &data).unwrap();
        let entries: BTreeSet<&Path> =
            files.keys().map(|path| Path::new(path.iter().next().unwrap())).collect();
        for entry in &entries {
            let link = volume.join(entry);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(entry), link).unwrap();
            }
        }
        for old in fs::read_dir(&volume).unwrap() {
            let name = PathBuf::from(old.unwrap().file_name());
            if !name.to_string_lossy().starts_with("..") && !entries.contains(name.as_path()) {
                fs::remove_file(volume.join(name)).unwrap();
            }
        }
        if let Some(before) = before {
            fs::remove_dir_all(volume.join(before)).unwrap();
        }
    }
}

/// Whether a directory holds exactly these files.
fn same(directory: &Path, files: &BTreeMap<&Path, &Vec<u8>>) -> bool {
    count(directory) == files.len()
        && files
            .iter()
            .all(|(path, content)| fs::read(directory.join(path)).is_ok_and(|written| written == **content))
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { count(&path) } else { 1 }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_links_through_data_and_old_versions_go() {
        let mut volume = Volume::new();
        volume.set("config/a", "1");
        volume.set("data/tls/site/tls.crt", "certificate");
        volume.publish();
        let link = fs::read_link(volume.path().join("config/a")).unwrap();
        assert_eq!(link, Path::new("..data/a"));
        let first = fs::read_link(volume.path().join("data/..data")).unwrap();
        assert_eq!(fs::read(volume.path().join("data/tls/site/tls.crt")).unwrap(), b"certificate");
        volume.set("config/b", "2");
        volume.remove("config/a");
        volume.publish();
        assert!(fs::symlink_metadata(volume.path().join("config/a")).is_err());
        assert_eq!(fs::read(volume.path().join("config/b")).unwrap(), b"2");
        // What did not change keeps its place, as a volume of its own does.
        assert_eq!(fs::read_link(volume.path().join("data/..data")).unwrap(), first);
        assert_eq!(fs::read_dir(volume.path().join("config")).unwrap().count(), 3);
    }
}

//! A cheap picture of a directory tree: equal pictures mean that nothing has to be read again.
//!
//! A base directory in, a number out. The number covers the name, kind, size, modification time and inode of
//! every entry, and where links lead, so that the swap of a projected volume's `..data` link always changes it.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Most entries that are looked at; what lies beyond is not noticed.
const MAX_ENTRIES: usize = 100_000;

/// A picture of the tree below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Everything seen, as one number.
    digest: u64,
    /// Whether the tree has more entries than are looked at.
    pub(crate) incomplete: bool,
}

/// Looks at the tree below `base`. What cannot be read counts as such, so that it is noticed once it can be.
pub(crate) fn take(base: &Path) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<PathBuf> = vec![base.to_owned()];
    let mut entries = 0;
    while let Some(directory) = waiting.pop() {
        // By identity, so that a link to a directory above ends here and one to a sibling is walked once.
        match fs::metadata(&directory) {
            Ok(metadata) if seen.insert((metadata.dev(), metadata.ino())) => {}
            _ => continue,
        }
        let Ok(listing) = fs::read_dir(&directory) else {
            (&directory, "unreadable").hash(&mut hasher);
            continue;
        };
        let mut paths: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Fingerprint { digest: hasher.finish(), incomplete: true };
            }
            path.hash(&mut hasher);
            if let Ok(target) = fs::read_link(&path) {
                target.hash(&mut hasher);
            }
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => waiting.push(path),
                Ok(metadata) => {
                    (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino(), metadata.dev())
                        .hash(&mut hasher);
                }
                Err(_) => "missing".hash(&mut hasher),
            }
        }
    }
    Fingerprint { digest: hasher.finish(), incomplete: false }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Every step of a projected volume's life, and the changes a person makes.
    #[test]
    fn every_change_changes_it_and_nothing_else_does() {
        let base = tempfile::tempdir().unwrap();
        let config = base.path().join("config");
        let mut last = take(base.path());
        let mut changed = |what: &str| {
            let now = take(base.path());
            assert_ne!(now, last, "{what}");
            assert_eq!(now, take(base.path()), "{what}, looked at twice");
            last = now;
        };
        fs::create_dir(&config).unwrap();
        changed("a directory appears");
        fs::create_dir(config.join("..v1")).unwrap();
        fs::write(config.join("..v1/app"), "same size").unwrap();
        symlink("..v1", config.join("..data")).unwrap();
        symlink("..data/app", config.join("app")).unwrap();
        changed("a volume is mounted");
        fs::create_dir(config.join("..v2")).unwrap();
        fs::write(config.join("..v2/app"), "same-size").unwrap();
        changed("the next version is written beside");
        symlink("..v2", config.join("..data_tmp")).unwrap();
        fs::rename(config.join("..data_tmp"), config.join("..data")).unwrap();
        changed("the link is swapped");
        fs::remove_dir_all(config.join("..v1")).unwrap();
        changed("the old version is removed");
        fs::create_dir_all(base.path().join("data/deep/deeper")).unwrap();
        fs::write(base.path().join("data/deep/deeper/file"), "x").unwrap();
        changed("data appears");
        fs::write(base.path().join("data/deep/deeper/file"), "xy").unwrap();
        changed("data changes");
        fs::remove_file(base.path().join("data/deep/deeper/file")).unwrap();
        changed("data goes");
    }

    #[test]
    fn links_in_a_circle_end() {
        let base = tempfile::tempdir().unwrap();
        symlink(base.path(), base.path().join("again")).unwrap();
        symlink("missing", base.path().join("nowhere")).unwrap();
        assert!(!take(base.path()).incomplete);
    }
}

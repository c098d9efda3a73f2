//! The directory laid out as `ZEUSHOME`: one that was given, or a private one in the temporary directory.
//!
//! A private directory goes when the process ends. One whose process was killed is left behind: the next start finds
//! and removes it. The directory is locked for as long as its process lives, so that a process id that is used again,
//! or that counts in another container, deceives nobody.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tracing::{debug, info, warn};

/// How the names of private directories begin.
const PREFIX: &str = "tidegate-home-";

/// Entries of the temporary directory that are looked at.
const MAX_ENTRIES: usize = 65_536;

/// Directories younger than this are left alone: their process may be about to lock them.
const LEAST_AGE: Duration = Duration::from_mins(1);

/// The directory; a private one goes when this is dropped.
#[derive(Debug)]
pub(crate) enum Home {
    /// It was named.
    Given(PathBuf),
    /// It was made for this process. The lock ends when the file is closed.
    Private {
        /// It.
        directory: TempDir,
        _lock: Option<File>,
    },
}

impl Home {
    /// Makes the directory, and removes private ones that killed processes have left. The error is for the operator.
    pub(crate) fn prepare(given: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = given {
            fs::create_dir_all(path)
                .map_err(|error| format!("the home directory {} cannot be made: {error}", path.display()))?;
            return Ok(Self::Given(path.to_owned()));
        }
        let temporary = std::env::temp_dir();
        let removed = sweep(&temporary, SystemTime::now());
        if removed > 0 {
            info!("removed {removed} directories that killed processes had left in {}", temporary.display());
        }
        Ok(Self::private(&temporary).unwrap_or_else(|error| {
            // Most pools need no plugin: a root that cannot be written to stops nobody else.
            warn!(
                "no private directory can be made in {}: {error}; plugins and monitor programs cannot run until \
                 --home or TIDEGATE_HOME names a writable directory",
                temporary.display()
            );
            Self::Given(temporary.join("tidegate-home"))
        }))
    }

    fn private(temporary: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(temporary)?;
        let lock = File::open(directory.path()).and_then(|file| {
            file.try_lock()?;
            Ok(file)
        });
        if let Err(error) = &lock {
            // A file system without locks: then another start cannot lock it either, and leaves it alone.
            debug!("{} cannot be locked: {error}", directory.path().display());
        }
        Ok(Self::Private { directory, _lock: lock.ok() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Private { directory, .. } => directory.path(),
        }
    }
}

/// Removes private directories of this user whose process is gone, and says how many.
fn sweep(temporary: &Path, now: SystemTime) -> usize {
    let Ok(entries) = fs::read_dir(temporary) else { return 0 };
    let ours = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    entries
        .take(MAX_ENTRIES)
        .flatten()
        .filter(|entry| ours(&entry.file_name()))
        .filter(|entry| match remove_left(&entry.path(), now) {
            Ok(removed) => removed,
            Err(error) => {
                debug!("{} is left: {error}", entry.path().display());
                false
            }
        })
        .count()
}

/// Removes the directory if nobody holds it. False = somebody may.
fn remove_left(path: &Path, now: SystemTime) -> io::Result<bool> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::DIRECTORY;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let directory = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = directory.metadata()?;
    let old = now.duration_since(metadata.modified()?).is_ok_and(|age| age >= LEAST_AGE);
    if !old || metadata.uid() != rustix::process::geteuid().as_raw() || directory.try_lock().is_err() {
        return Ok(false);
    }
    fs::remove_dir_all(path)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// As when its process is killed: the lock is gone and the directory is not.
    fn kill(home: Home) {
        if let Home::Private { directory, .. } = home {
            let _path = directory.keep();
        }
    }

    #[test]
    fn a_private_directory_goes_at_the_end() {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::private(temporary.path()).unwrap();
        fs::create_dir_all(home.path().join("zxtm/conf")).unwrap();
        assert!(names(temporary.path())[0].starts_with(PREFIX));
        drop(home);
        assert!(names(temporary.path()).is_empty());
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |name: &str| temporary.path().join(name);
        fs::create_dir_all(at("tidegate-home-left/zxtm/conf")).unwrap();
        fs::write(at("tidegate-home-left/zxtm/conf/x"), "x").unwrap();
        fs::create_dir(at("tidegate-home-empty")).unwrap();
        fs::create_dir(at("another")).unwrap();
        fs::write(at("tidegate-home-file"), "x").unwrap();
        std::os::unix::fs::symlink(at("another"), at("tidegate-home-link")).unwrap();
        let alive = Home::private(temporary.path()).unwrap();
        let alive_name = alive.path().file_name().unwrap().to_str().unwrap().to_owned();
        // Just made: its process may be about to lock it.
        assert_eq!(sweep(temporary.path(), SystemTime::now()), 0);
        let later = SystemTime::now() + LEAST_AGE * 2;
        assert_eq!(sweep(temporary.path(), later), 2);
        let mut expected = vec!["another", "tidegate-home-file", "tidegate-home-link", &alive_name];
        expected.sort_unstable();
        assert_eq!(names(temporary.path()), expected);
        kill(alive);
        assert_eq!(sweep(temporary.path(), later), 1);
        assert_eq!(sweep(&at("nowhere"), later), 0);
    }

    #[test]
    fn a_directory_that_is_given_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let given = temporary.path().join("a/b");
        drop(Home::prepare(Some(&given)).unwrap());
        assert!(given.is_dir());
        fs::write(temporary.path().join("file"), "").unwrap();
        assert!(
            Home::prepare(Some(&temporary.path().join("file/x"))).unwrap_err().contains("cannot be made")
        );
    }
}

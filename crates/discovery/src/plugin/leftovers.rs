//! Files that the public scripts leave in the temporary directory when they are killed: their locks, named
//! after the script and its process, would keep every later run away.

use std::{ffi::OsStr, fs, os::unix::fs::MetadataExt as _, path::Path};

/// Where the scripts put them, whatever `TMPDIR` says.
pub(crate) const TEMPORARY: &str = "/tmp";
/// Most directory entries looked at in one sweep.
const MAX_ENTRIES: usize = 100_000;
/// Name stems of their scratch files, besides the script's own name.
const SCRATCH: [&str; 2] = ["outfile.", "errfile."];

/// Removes what the process `pid` of `plugin` left.
pub(crate) fn of_process(plugin: &str, pid: u32) {
    sweep(Path::new(TEMPORARY), |name| owner(name, plugin) == Some(pid));
}

/// Removes what processes of `plugin` left that are no longer alive.
pub(crate) fn of_the_dead(plugin: &str) {
    sweep(Path::new(TEMPORARY), |name| owner(name, plugin).is_some_and(|pid| !alive(pid)));
}

/// The process a file belongs to, by its name: `PLUGIN-…-PID`, `outfile.PID`, `errfile.PID`.
fn owner(name: &str, plugin: &str) -> Option<u32> {
    let digits = match SCRATCH.iter().find_map(|stem| name.strip_prefix(stem)) {
        Some(digits) => digits,
        None => name.strip_prefix(plugin)?.strip_prefix('-')?.rsplit_once('-')?.1,
    };
    digits.parse().ok().filter(|pid| *pid > 1 && !digits.starts_with(['0', '+']))
}

fn alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

fn sweep(directory: &Path, ours: impl Fn(&str) -> bool) {
    let user = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.take(MAX_ENTRIES).flatten() {
        let name = entry.file_name();
        if !OsStr::to_str(&name).is_some_and(&ours) {
            continue;
        }
        // Not followed: a link is not a file a script left.
        let regular = entry.path().symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == user);
        if regular && fs::remove_file(entry.path()).is_ok() {
            tracing::debug!(file = %entry.path().display(), "removed a file that an ended plugin left");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_file_it_is() {
        for (name, pid) in [
            ("get.sh-svc-ns-123", Some(123)),
            ("get.sh-my-svc-default-7", Some(7)),
            ("get.sh-svc-ns-", None),
            ("get.sh-svc-ns-1x", None),
            ("get.sh-svc-ns-+5", None),
            ("other.sh-svc-ns-123", None),
            ("outfile.55", Some(55)),
            ("errfile.055", None),
            ("errfile.", None),
            ("get.sh", None),
        ] {
            assert_eq!(owner(name, "get.sh"), pid, "{name}");
        }
        assert!(alive(std::process::id()));
    }
}

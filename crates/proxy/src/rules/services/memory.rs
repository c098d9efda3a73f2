//! How much memory the process may use: what the machine has, or less where a control group says so.
//!
//! Limits that are given as a share of memory (`trafficscript.data_size` and the like, 5 % by default) go by this.

use std::path::Path;

/// Without any answer from the machine.
const UNKNOWN: u64 = 1 << 30;

/// Most control groups above the process that are looked at.
const MOST_GROUPS: usize = 32;

/// Bytes of memory the process may use: the smaller of the machine's memory and the limits of the control groups
/// (version 2 or 1) it is in. Reads a few small files; to be called when settings change, not per request.
pub(crate) fn available() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = info.totalram.saturating_mul(u64::from(info.mem_unit));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let limited = limit_of_groups(&groups, Path::new("/sys/fs/cgroup"), &read);
    [Some(machine).filter(|bytes| *bytes > 0), limited].into_iter().flatten().min().unwrap_or(UNKNOWN)
}

/// The lowest memory limit of the groups in `/proc/self/cgroup` and those above them. `None` = no limit.
fn limit_of_groups(groups: &str, root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        // hierarchy:controllers:path; version 2 names no controllers.
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        // Inside a container the path may be that of the host: what is not there is passed over.
        let group = root.join(path.trim_start_matches('/'));
        let above = group.ancestors().take(MOST_GROUPS).take_while(|group| group.starts_with(&root));
        above.filter_map(|group| limit(&read(&group.join(file))?)).min()
    });
    limits.min()
}

/// `max`, or a number of bytes. Version 1 writes a number near 2⁶³ for none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 62)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn limits_of_control_groups() {
        let files: HashMap<&str, &str> = [
            ("/cg/memory.max", "max\n"),
            ("/cg/pods/memory.max", "8000\n"),
            ("/cg/pods/one/memory.max", "9000\n"),
            ("/cg/pods/two/memory.max", "max\n"),
            ("/cg/pods/three/memory.max", "7000\n"),
            ("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/cg/memory/docker/memory.limit_in_bytes", "5000\n"),
        ]
        .into();
        let read = |path: &Path| files.get(path.to_str()?).map(|text| (*text).to_owned());
        let table = [
            ("0::/\n", None),
            ("0::/pods/one\n", Some(8000)),
            ("0::/pods/two\n", Some(8000)),
            ("0::/pods/three\n", Some(7000)),
            ("0::/../elsewhere\n", None),
            ("5:cpu,memory:/docker\n4:pids:/docker\n", Some(5000)),
            ("5:memory:/host/path/of/container\n", None),
            ("0::/pods/three\n5:memory:/docker\n", Some(5000)),
            ("nonsense\n\n:::\n", None),
            ("", None),
        ];
        for (groups, expected) in table {
            assert_eq!(limit_of_groups(groups, Path::new("/cg"), &read), expected, "{groups:?}");
        }
    }

    #[test]
    fn this_process_has_some_memory() {
        let bytes = available();
        assert!((1 << 24..1 << 50).contains(&bytes), "{bytes}");
    }
}

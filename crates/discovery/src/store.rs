//! The last good set of each source on disk, so that a start during an outage begins warm: one small file for
//! each source, renamed into place, believed for a bounded time.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tidegate_model::{DiscoveredNode, NodeSet};

/// Largest file read or written.
const MAX_FILE: u64 = 2 * 1024 * 1024;
/// How far in the future a set may have been stored, for clocks that are set back.
const MAX_SKEW: Duration = Duration::from_mins(1);
/// Most files looked at when old ones are removed.
const MAX_ENTRIES: usize = 100_000;
const ENDING: &str = "nodes.json";

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// Seconds since 1970.
    stored: u64,
    nodes: BTreeMap<SocketAddr, StoredNode>,
}

#[derive(Serialize, Deserialize)]
struct StoredNode {
    #[serde(default)]
    draining: bool,
    #[serde(default)]
    weight: Option<u32>,
    #[serde(default)]
    priority: Option<u32>,
}

/// The file of a source. `identity` may hold secrets; only its digest is seen.
fn file(directory: &Path, identity: &str) -> PathBuf {
    let digest = Sha256::digest(identity.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    directory.join(format!("{:032x}.{ENDING}", u128::from_be_bytes(half)))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Writes a set.
pub(crate) fn save(directory: &Path, identity: &str, nodes: &NodeSet, now: SystemTime) -> io::Result<()> {
    let stored = Stored {
        version: 1,
        stored: seconds(now),
        nodes: nodes
            .nodes
            .iter()
            .map(|(address, node)| {
                let DiscoveredNode { draining, weight, priority, name: _ } = *node;
                (*address, StoredNode { draining, weight, priority })
            })
            .collect(),
    };
    let bytes = serde_json::to_vec(&stored)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the set is too large to be kept"));
    }
    fs::create_dir_all(directory)?;
    let path = file(directory, identity);
    let beside = path.with_extension("new");
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    out.write_all(&bytes)?;
    out.sync_data()?;
    drop(out);
    fs::rename(&beside, &path)
}

/// Reads a set that is not older than `oldest`.
pub(crate) fn load(
    directory: &Path,
    identity: &str,
    now: SystemTime,
    oldest: Duration,
) -> Option<(NodeSet, SystemTime)> {
    let mut bytes = Vec::new();
    let path = file(directory, identity);
    fs::File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    let stored: Stored = serde_json::from_slice(&bytes).ok()?;
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(stored.stored))?;
    let believable = match now.duration_since(at) {
        Ok(age) => age <= oldest,
        Err(ahead) => ahead.duration() <= MAX_SKEW,
    };
    if stored.version != 1 || !believable || stored.nodes.keys().any(|address| address.port() == 0) {
        return None;
    }
    let nodes = stored.nodes.into_iter().map(|(address, node)| {
        let StoredNode { draining, weight, priority } = node;
        (address, DiscoveredNode { draining, weight, priority, name: None })
    });
    Some((NodeSet { nodes: nodes.collect() }, at))
}

/// Removes sets that are too old to be used and files that were never finished.
pub(crate) fn sweep(directory: &Path, now: SystemTime, oldest: Duration) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.take(MAX_ENTRIES).flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let ours = name.ends_with(ENDING) || name.ends_with(".nodes.new");
        let old = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > oldest));
        if ours && old {
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_while_they_are_young() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut nodes = NodeSet::of(["192.0.2.1:80".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap()]);
        nodes.nodes.values_mut().for_each(|node| {
            *node = DiscoveredNode { draining: true, weight: Some(3), priority: None, name: None };
        });
        let now = SystemTime::now();
        let hour = Duration::from_hours(1);
        assert!(load(&path, "a", now, hour).is_none());
        save(&path, "a", &nodes, now).unwrap();
        assert_eq!(load(&path, "a", now, hour).unwrap().0, nodes);
        assert!(load(&path, "b", now, hour).is_none());
        assert!(load(&path, "a", now + hour * 2, hour).is_none());
        assert!(load(&path, "a", now - hour, hour).is_none());
        sweep(&path, now, hour);
        assert!(load(&path, "a", now, hour).is_some());
        sweep(&path, now + hour * 2, hour);
        assert!(load(&path, "a", now, hour).is_none());
    }

    #[test]
    fn broken_files_are_no_sets() {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        for content in [
            "",
            "{",
            "[]",
            r#"{"version":2,"stored":0,"nodes":{}}"#,
            r#"{"version":1,"stored":99999999999999999999}"#,
        ] {
            fs::write(file(directory.path(), "a"), content).unwrap();
            assert!(load(directory.path(), "a", now, Duration::MAX).is_none(), "{content}");
        }
    }
}

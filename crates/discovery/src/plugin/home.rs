//! The tree that plugins see as `ZEUSHOME`: plugins and extra files of the documents, a working directory, and
//! the one program of the original that public plugins call.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_model::{ExtraFileName, PluginName};

use super::leftovers;
use crate::source::is_file_name;

/// Plugins, under their catalogue names: the public scripts name their locks after their own file.
const PLUGINS: &str = "zxtm/conf/servicediscovery";
/// Extra files.
const EXTRA: &str = "zxtm/conf/extra";
/// Working directory of plugins.
const WORK: &str = "zxtm/internal/servicediscovery";
/// Cache of kubectl, kept between runs.
const CACHE: &str = "zxtm/internal/servicediscovery/.kube";
/// Programs of the original.
const BIN: &str = "zxtm/bin";

/// The tree.
pub(crate) struct Home {
    root: PathBuf,
    plugins: BTreeMap<PluginName, Arc<[u8]>>,
    extra: BTreeMap<ExtraFileName, Arc<[u8]>>,
    laid_out: bool,
    swept: HashSet<PluginName>,
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the contents: extra files are credentials.
        f.debug_struct("Home")
            .field("root", &self.root)
            .field("plugins", &self.plugins.keys())
            .field("extra", &self.extra.keys())
            .finish_non_exhaustive()
    }
}

impl Home {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            plugins: BTreeMap::new(),
            extra: BTreeMap::new(),
            laid_out: false,
            swept: HashSet::new(),
        }
    }

    /// The file of a plugin.
    pub(crate) fn plugin(root: &Path, plugin: &PluginName) -> PathBuf {
        root.join(PLUGINS).join(plugin.as_str())
    }

    /// The working directory of plugins.
    pub(crate) fn work(root: &Path) -> PathBuf {
        root.join(WORK)
    }

    /// Where kubectl may cache.
    pub(crate) fn cache(root: &Path) -> PathBuf {
        root.join(CACHE)
    }

    /// Brings the tree to what the documents hold. Gives the plugins that are new or differ, and what could
    /// not be written.
    pub(crate) fn install(
        &mut self,
        plugins: &BTreeMap<PluginName, Arc<[u8]>>,
        extra: &BTreeMap<ExtraFileName, Arc<[u8]>>,
    ) -> (Vec<PluginName>, Vec<String>) {
        let mut faults = Vec::new();
        if !self.laid_out {
            match lay_out(&self.root) {
                Ok(()) => self.laid_out = true,
                Err(error) => {
                    faults.push(format!(
                        "the plugin tree {} cannot be made: {error}; plugins cannot run until it is writable",
                        self.root.display()
                    ));
                    return (Vec::new(), faults);
                }
            }
        }
        let mut changed = Vec::new();
        for (name, content) in plugins {
            if self.plugins.get(name) == Some(content) {
                continue;
            }
            if self.swept.insert(name.clone()) {
                leftovers::of_the_dead(name.as_str());
            }
            match write(&self.root.join(PLUGINS), name.as_str(), content, 0o755) {
                Ok(()) => {
                    self.plugins.insert(name.clone(), Arc::clone(content));
                    changed.push(name.clone());
                }
                Err(error) => faults.push(format!("plugin {name} cannot be installed: {error}")),
            }
        }
        for (name, content) in extra {
            if self.extra.get(name) == Some(content) {
                continue;
            }
            // A read-only tool cannot be made executable by the script; a credential must not be readable.
            let program = content.starts_with(b"#!") || content.starts_with(b"\x7fELF");
            match write(&self.root.join(EXTRA), name.as_str(), content, if program { 0o755 } else { 0o600 }) {
                Ok(()) => {
                    self.extra.insert(name.clone(), Arc::clone(content));
                }
                Err(error) => faults.push(format!("extra file {name} cannot be installed: {error}")),
            }
        }
        let root = &self.root;
        self.plugins.retain(|name, _| {
            plugins.contains_key(name) || remove(&root.join(PLUGINS).join(name.as_str()), &mut faults)
        });
        self.extra.retain(|name, _| {
            extra.contains_key(name) || remove(&root.join(EXTRA).join(name.as_str()), &mut faults)
        });
        (changed, faults)
    }
}

fn lay_out(root: &Path) -> io::Result<()> {
    for directory in [PLUGINS, EXTRA, WORK, CACHE, BIN] {
        fs::create_dir_all(root.join(directory))?;
    }
    // Plugins call it after they changed an extra file; there is nobody to replicate to.
    write(&root.join(BIN), "replicate-config", b"#!/bin/sh\nexit 0\n", 0o755)
}

/// Writes beside and renames, so that a running plugin keeps its old file.
fn write(directory: &Path, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    if !is_file_name(name) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "its name is not a plain file name"));
    }
    let beside = directory.join(".tidegate-new");
    drop(fs::remove_file(&beside));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(content)?;
    // The mode of creation passes through the process's mask.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    drop(file);
    fs::rename(&beside, directory.join(name))
}

/// Removes a file; `false` means that it is to be forgotten.
fn remove(path: &Path, faults: &mut Vec<String>) -> bool {
    match fs::remove_file(path) {
        Ok(()) => false,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            faults.push(format!("{} cannot be removed: {error}", path.display()));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn files<N: From<&'static str> + Ord>(all: &[(&'static str, &str)]) -> BTreeMap<N, Arc<[u8]>> {
        all.iter().map(|(name, content)| (N::from(name), Arc::from(content.as_bytes()))).collect()
    }

    #[test]
    fn files_come_change_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("zeus");
        let mut home = Home::new(root.clone());
        let extra = files(&[("kubeconf", "secret"), ("jq", "#!/bin/sh\n")]);
        let (changed, faults) = home.install(&files(&[("p.sh", "#!/bin/sh\n")]), &extra);
        assert_eq!((changed.len(), faults), (1, vec![]));
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("zxtm/conf/servicediscovery/p.sh"), 0o755);
        assert_eq!(mode("zxtm/conf/extra/kubeconf"), 0o600);
        assert_eq!(mode("zxtm/conf/extra/jq"), 0o755);
        assert_eq!(mode("zxtm/bin/replicate-config"), 0o755);
        assert!(root.join("zxtm/internal/servicediscovery").is_dir());
        let (changed, faults) = home.install(&files(&[("p.sh", "#!/bin/sh\n")]), &extra);
        assert_eq!((changed.len(), faults.len()), (0, 0));
        let (changed, faults) = home.install(&files(&[("p.sh", "#!/bin/sh\nexit 0\n")]), &files(&[]));
        assert_eq!((changed.len(), faults.len()), (1, 0));
        assert!(!root.join("zxtm/conf/extra/kubeconf").exists());
        home.install(&files(&[]), &files(&[]));
        assert!(!root.join("zxtm/conf/servicediscovery/p.sh").exists());
    }

    #[test]
    fn names_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let mut home = Home::new(directory.path().into());
        let (changed, faults) = home.install(&files(&[("../evil", "x")]), &files(&[("a/b", "x")]));
        assert_eq!((changed.len(), faults.len()), (0, 2));
    }
}

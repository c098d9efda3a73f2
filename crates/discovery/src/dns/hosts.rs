//! The hosts file (`hosts(5)`): text in, addresses by name out. It answers for names of nodes tables before DNS is
//! asked, as it does for every program of the machine. Wrong lines are passed over, and a missing file is an
//! empty one.

use std::{collections::HashMap, io::Read as _, net::IpAddr, path::Path, sync::Arc};

/// Largest file read; what lies beyond is passed over and told.
pub const MAX_FILE: u64 = 1024 * 1024;
/// Most names kept; further ones are passed over and told.
pub const MAX_NAMES: usize = 65_536;
/// Most addresses of one name.
pub const MAX_ADDRESSES: usize = 256;

/// What the hosts file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    names: HashMap<Box<str>, Vec<IpAddr>>,
    /// The file says more than was taken from it.
    pub cut: bool,
}

impl Hosts {
    /// Reads the text.
    pub fn parse(text: &str) -> Self {
        let mut hosts = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
            for name in words {
                hosts.add(name, address);
            }
        }
        hosts
    }

    fn add(&mut self, name: &str, address: IpAddr) {
        let name = key(name);
        if self.names.len() >= MAX_NAMES && !self.names.contains_key(&*name) {
            self.cut = true;
            return;
        }
        let addresses = self.names.entry(name.into()).or_default();
        if addresses.contains(&address) {
            return;
        }
        if addresses.len() >= MAX_ADDRESSES {
            self.cut = true;
            return;
        }
        addresses.push(address);
    }

    /// The addresses of a name as it is written, in the order of the file; none if it does not stand there. Case and a
    /// final dot do not matter, and the search list plays no part.
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        if self.names.is_empty() {
            return &[];
        }
        self.names.get(&*key(name)).map_or(&[], Vec::as_slice)
    }

    /// How many names stand there.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

fn key(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Reads the file if it differs from what `seen` describes. `None`: no change.
pub(crate) fn reread(path: &Path, seen: &mut Option<Vec<u8>>) -> Option<Arc<Hosts>> {
    let mut bytes = Vec::new();
    // A file that cannot be read is one that is not there.
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    if seen.as_ref() == Some(&bytes) {
        return None;
    }
    let too_long = bytes.len() as u64 > MAX_FILE;
    let whole = if too_long {
        // The last line may be half a line, with half an address.
        bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
    } else {
        bytes.len()
    };
    let mut hosts = Hosts::parse(&String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()));
    hosts.cut |= too_long;
    if hosts.cut {
        tracing::warn!(
            file = %path.display(),
            "the hosts file has more than {MAX_NAMES} names, more than {MAX_ADDRESSES} addresses of one, or is longer than \
             {MAX_FILE} bytes; the rest of it is passed over"
        );
    }
    *seen = Some(bytes);
    Some(Arc::new(hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hosts: &Hosts, name: &str) -> String {
        hosts.addresses(name).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_and_their_addresses() {
        let hosts = Hosts::parse(
            "127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n# 192.0.2.9 off\n\
             192.0.2.1 Web.Example web # the first\n192.0.2.2 web\n192.0.2.1 web\n\n\
             fe80::1%eth0 zone\nweb 192.0.2.3\n192.0.2.300 web\n192.0.2.4\n",
        );
        assert_eq!(shown(&hosts, "localhost"), "127.0.0.1 ::1");
        assert_eq!(shown(&hosts, "web"), "192.0.2.1 192.0.2.2", "in order, each once");
        assert_eq!(shown(&hosts, "WEB.example."), "192.0.2.1");
        for name in ["off", "zone", "192.0.2.3", "", ".", "web.."] {
            assert_eq!(shown(&hosts, name), "", "{name}");
        }
        assert_eq!(hosts.len(), 4);
        assert!(!hosts.cut);
        assert!(Hosts::parse("").is_empty());
    }

    #[test]
    fn a_file_has_bounds() {
        let many: Vec<String> = (0..MAX_NAMES + 5).map(|n| format!("192.0.2.1 n{n}")).collect();
        let hosts = Hosts::parse(&many.join("\n"));
        assert!(hosts.cut);
        assert_eq!(hosts.len(), MAX_NAMES);
        let wide: Vec<String> = (0..300).map(|n| format!("10.0.{}.{} web", n / 256, n % 256)).collect();
        let hosts = Hosts::parse(&wide.join("\n"));
        assert!(hosts.cut);
        assert_eq!(hosts.addresses("web").len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_file_is_read_when_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut seen) = (directory.path().join("hosts"), None);
        assert!(reread(&path, &mut seen).unwrap().is_empty(), "no file");
        assert!(reread(&path, &mut seen).is_none());
        std::fs::write(&path, "192.0.2.1 web\n").unwrap();
        assert_eq!(shown(&reread(&path, &mut seen).unwrap(), "web"), "192.0.2.1");
        assert!(reread(&path, &mut seen).is_none());
        // A line that the bound cuts in two is no line.
        let mut long = "# ".repeat(usize::try_from(MAX_FILE).unwrap() / 2 - 8).into_bytes();
        long.extend_from_slice(b"\n192.0.2.2 web\n192.0.2.3 web\n");
        std::fs::write(&path, long).unwrap();
        let hosts = reread(&path, &mut seen).unwrap();
        assert!(hosts.cut);
        assert_eq!(shown(&hosts, "web"), "192.0.2.2");
        std::fs::remove_file(&path).unwrap();
        assert!(reread(&path, &mut seen).unwrap().is_empty());
    }
}

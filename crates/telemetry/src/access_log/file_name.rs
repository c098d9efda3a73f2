//! `log.filename`: where a virtual server's log goes, and when it goes elsewhere.
//!
//! `%zeushome%` is the traffic manager's directory, `%v` the virtual server, `%{strftime}t` the time, `%%` a percent
//! sign. A time in the name is the rotation: when the name changes, the next lines go to the new file.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::tz::TimeZone;

use super::second::{is_strftime, strftime, timestamp};

/// Longest `log.filename`, bytes.
pub const MAX_FILE_NAME: usize = 1024;

/// A compiled `log.filename`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Home,
    VirtualServer,
    Time(Box<str>),
}

/// Why a text is no log file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileNameError {
    /// Empty.
    Empty,
    /// Longer than [`MAX_FILE_NAME`] bytes.
    TooLong,
    /// A macro that does not exist, from the `%` on.
    Unknown(String),
    /// `%{…}t` whose text is no strftime format.
    Time(String),
    /// A NUL byte, which no path can hold.
    Nul,
}

impl fmt::Display for FileNameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => out.write_str("empty file name"),
            Self::TooLong => write!(out, "file name longer than {MAX_FILE_NAME} bytes"),
            Self::Unknown(what) => {
                write!(out, "unknown macro at {what:?}; known are %zeushome% %v %{{strftime}}t %%")
            }
            Self::Time(text) => write!(out, "{text:?} is no strftime format"),
            Self::Nul => out.write_str("file name with a NUL byte"),
        }
    }
}

impl std::error::Error for FileNameError {}

impl FileName {
    /// Compiles a `log.filename`.
    pub fn parse(text: &str) -> Result<Self, FileNameError> {
        match text {
            "" => return Err(FileNameError::Empty),
            _ if text.len() > MAX_FILE_NAME => return Err(FileNameError::TooLong),
            _ if text.contains('\0') => return Err(FileNameError::Nul),
            _ => {}
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((plain, after)) = rest.split_once('%') {
            pieces.push(Piece::Text(plain.into()));
            if let Some(after) = after.strip_prefix("zeushome%") {
                pieces.push(Piece::Home);
                rest = after;
            } else if let Some(after) = after.strip_prefix('v') {
                pieces.push(Piece::VirtualServer);
                rest = after;
            } else if let Some(after) = after.strip_prefix('%') {
                pieces.push(Piece::Text("%".into()));
                rest = after;
            } else if let Some((format, after)) =
                after.strip_prefix('{').and_then(|inside| inside.split_once("}t"))
            {
                if !is_strftime(format) {
                    return Err(FileNameError::Time(format.into()));
                }
                pieces.push(Piece::Time(format.into()));
                rest = after;
            } else {
                return Err(FileNameError::Unknown(format!(
                    "%{}",
                    after.chars().take(16).collect::<String>()
                )));
            }
        }
        pieces.push(Piece::Text(rest.into()));
        pieces.retain(|piece| *piece != Piece::Text("".into()));
        Ok(Self(pieces))
    }

    /// The path at `now`. A relative name is taken from `home`.
    pub fn path(&self, home: &Path, virtual_server: &str, now: SystemTime, zone: &TimeZone) -> PathBuf {
        let mut path = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Home => path.push_str(&home.to_string_lossy()),
                Piece::VirtualServer => path.push_str(&as_component(virtual_server)),
                Piece::Time(format) => {
                    path.push_str(
                        &strftime(format, &timestamp(now).to_zoned(zone.clone())).unwrap_or_default(),
                    );
                }
            }
        }
        home.join(path)
    }
}

/// `name` as part of a file name: it must not lead into another directory.
fn as_component(name: &str) -> String {
    let name = name.replace(['/', '\0'], "_");
    if name.bytes().all(|byte| byte == b'.') { name.replace('.', "_") } else { name }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn path(name: &str, virtual_server: &str) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let name = FileName::parse(name).unwrap();
        name.path(Path::new("/home"), virtual_server, now, &TimeZone::UTC).to_string_lossy().into_owned()
    }

    #[test]
    fn macros() {
        assert_eq!(path("%zeushome%/zxtm/log/%v.log", "web"), "/home/zxtm/log/web.log");
        assert_eq!(path("/var/log/%v-%{%Y%m%d}t.log", "web"), "/var/log/web-20010909.log");
        assert_eq!(path("%{%Y}t/%{%H-%M}t/100%%", "web"), "/home/2001/01-46/100%");
    }

    #[test]
    fn a_name_does_not_leave_its_directory() {
        assert_eq!(path("/log/%v.log", "../../etc/passwd"), "/log/.._.._etc_passwd.log");
        assert_eq!(path("/log/%v/log", ".."), "/log/__/log");
    }

    #[test]
    fn faults() {
        let fault = |name: &str| FileName::parse(name).unwrap_err();
        assert_eq!(fault(""), FileNameError::Empty);
        assert_eq!(fault("a\0"), FileNameError::Nul);
        assert_eq!(fault(&"a".repeat(2000)), FileNameError::TooLong);
        assert_eq!(fault("/log/%n.log"), FileNameError::Unknown("%n.log".into()));
        assert_eq!(fault("/log/%{%Y"), FileNameError::Unknown("%{%Y".into()));
        assert_eq!(fault("/log/%"), FileNameError::Unknown("%".into()));
        assert_eq!(fault("/log/%{%!}t"), FileNameError::Time("%!".into()));
        assert!(fault("/log/%n.log").to_string().contains("%zeushome%"));
    }
}

//! Document files: the texts of `<base>/config/*`, and the data they refer to.
//!
//! In flows a base directory, out flow [`DocumentFiles`]: every document with its name, in lexical order, and
//! a [`References`] that reads what a `valueFrom.fileRef` names without ever leaving the base directory.
//! [`watch`] tells when anything below the base has changed.

pub(crate) mod fingerprint;
pub(crate) mod watch;

use std::{
    fs::File,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

/// Directory of the documents below the base directory.
pub(crate) const CONFIG: &str = "config";
/// What stands before the names of base documents, so that nobody looks for them among the watched ones.
const BASE_CONFIG: &str = "base-config";
/// Most documents of one directory.
const MAX_DOCUMENTS: usize = 10_000;
/// Largest document, bytes.
const MAX_DOCUMENT: u64 = 16 << 20;
/// All documents of one directory together, bytes.
const MAX_ALL_DOCUMENTS: u64 = 128 << 20;
/// Largest file that a document may refer to, bytes.
const MAX_REFERENCE: u64 = 32 << 20;

/// One document as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DocumentFile {
    /// Its path relative to the base directory, such as `config/40-config`.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) text: Vec<u8>,
}

/// The documents of one base directory at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DocumentFiles {
    /// Documents in lexical order of name.
    pub(crate) documents: Vec<DocumentFile>,
    /// Whether there is a `config` directory at all.
    pub(crate) directory_found: bool,
}

/// Why documents could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// A file or directory could not be read.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A bound was reached.
    TooMuch {
        /// Where.
        path: PathBuf,
        /// Which bound.
        what: String,
    },
    /// Several of these.
    Several(Vec<Self>),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{} cannot be read: {error}", path.display()),
            Self::TooMuch { path, what } => write!(f, "{} {what}", path.display()),
            Self::Several(errors) => {
                let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("; "))
            }
        }
    }
}

/// Reads every document below `base`. Names that start with `.` are skipped (a projected volume keeps its
/// hidden directories there), symbolic links are followed, and whatever is not a file is left out.
pub(crate) fn read(base: &Path) -> Result<DocumentFiles, ReadError> {
    whole(read_what_can_be(base)?)
}

/// The documents of `base` that can be read, and why the others cannot: for looking for faults, not for serving.
pub(crate) fn read_what_can_be(base: &Path) -> Result<(DocumentFiles, Vec<ReadError>), ReadError> {
    let directory = base.join(CONFIG);
    match read_directory(&directory, &format!("{CONFIG}/")) {
        Err(ReadError::Io { path, error })
            if path == directory && error.kind() == io::ErrorKind::NotFound && base.is_dir() =>
        {
            Ok((DocumentFiles::default(), Vec::new()))
        }
        outcome => outcome,
    }
}

/// The documents, if there is nothing that could not be read.
fn whole((files, mut errors): (DocumentFiles, Vec<ReadError>)) -> Result<DocumentFiles, ReadError> {
    match errors.pop() {
        None => Ok(files),
        Some(error) if errors.is_empty() => Err(error),
        Some(error) => {
            errors.push(error);
            Err(ReadError::Several(errors))
        }
    }
}

fn read_directory(directory: &Path, prefix: &str) -> Result<(DocumentFiles, Vec<ReadError>), ReadError> {
    let fault = |error| ReadError::Io { path: directory.to_owned(), error };
    let entries = std::fs::read_dir(directory).map_err(fault)?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        names.push((name, entry.path()));
        if names.len() > MAX_DOCUMENTS {
            return Err(ReadError::TooMuch {
                path: directory.to_owned(),
                what: format!("holds more than {MAX_DOCUMENTS} documents"),
            });
        }
    }
    names.sort();
    let mut documents = Vec::with_capacity(names.len());
    let mut errors = Vec::new();
    let mut total = 0;
    for (name, path) in names {
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => continue,
            // A link whose target is gone for a moment, or a file removed since: the next change re-reads.
            Err(error) => {
                errors.push(ReadError::Io { path, error });
                continue;
            }
        }
        let text = match read_bounded(&path, MAX_DOCUMENT) {
            Ok(text) => text,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        total += text.len() as u64;
        if total > MAX_ALL_DOCUMENTS {
            return Err(ReadError::TooMuch {
                path: directory.to_owned(),
                what: format!("holds documents of more than {} MiB together", MAX_ALL_DOCUMENTS >> 20),
            });
        }
        documents.push(DocumentFile { name: format!("{prefix}{name}"), text });
    }
    Ok((DocumentFiles { documents, directory_found: true }, errors))
}

/// Reads base documents: those of `directory/config`, or of `directory` itself where there is no such directory.
pub(crate) fn read_base(directory: &Path) -> Result<DocumentFiles, ReadError> {
    whole(read_what_can_be_of_base(directory)?)
}

/// The base documents that can be read, and why the others cannot.
pub(crate) fn read_what_can_be_of_base(
    directory: &Path,
) -> Result<(DocumentFiles, Vec<ReadError>), ReadError> {
    let config = directory.join(CONFIG);
    let documents = if config.is_dir() { &config } else { directory };
    read_directory(documents, &format!("{BASE_CONFIG}/"))
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let fault = |error| ReadError::Io { path: path.to_owned(), error };
    let mut text = Vec::new();
    File::open(path).map_err(fault)?.take(limit + 1).read_to_end(&mut text).map_err(fault)?;
    if text.len() as u64 > limit {
        return Err(ReadError::TooMuch {
            path: path.to_owned(),
            what: format!("is larger than {} MiB", limit >> 20),
        });
    }
    Ok(text)
}

/// Reads the data that documents refer to by `valueFrom.fileRef`.
#[derive(Clone, Debug)]
pub(crate) struct References {
    base: PathBuf,
}

impl References {
    /// References are relative to `base`.
    pub(crate) fn below(base: &Path) -> Self {
        Self { base: base.to_owned() }
    }

    /// The bytes of the file `name`. The error is a sentence for the author of the document.
    ///
    /// The path is refused when it is absolute, when it has a `..` in it, or when symbolic links lead it out of
    /// the base directory: a document must not be able to read the files of the machine it runs on.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let relative = Path::new(name);
        if name.is_empty() || name.contains('\0') {
            return Err("the file name is empty".to_owned());
        }
        if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(format!(
                "`{name}` leaves the base directory; name a file below it, such as data/my-file"
            ));
        }
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("there is no file `{name}` below {}", self.base.display())
            }
            _ => format!("`{name}` cannot be read: {error}"),
        };
        let base = self.base.canonicalize().map_err(missing)?;
        let path = base.join(relative).canonicalize().map_err(missing)?;
        if !path.starts_with(&base) {
            return Err(format!("`{name}` leads out of the base directory by a symbolic link"));
        }
        if !path.metadata().map_err(missing)?.is_file() {
            return Err(format!("`{name}` is not a file"));
        }
        read_bounded(&path, MAX_REFERENCE).map_err(|error| match error {
            ReadError::Io { error, .. } => missing(error),
            ReadError::TooMuch { what, .. } => format!("`{name}` {what}"),
            several @ ReadError::Several(_) => several.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn names(files: &DocumentFiles) -> Vec<&str> {
        files.documents.iter().map(|document| document.name.as_str()).collect()
    }

    #[test]
    fn documents_come_in_lexical_order_whatever_their_names() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("config/directory")).unwrap();
        for name in ["50-b.yaml", "40-config", "my-service-config", ".hidden", "00-base.json"] {
            fs::write(base.path().join("config").join(name), name).unwrap();
        }
        let files = read(base.path()).unwrap();
        assert_eq!(
            names(&files),
            ["config/00-base.json", "config/40-config", "config/50-b.yaml", "config/my-service-config"]
        );
        assert_eq!(files.documents[1].text, b"40-config");
    }

    #[test]
    fn an_empty_base_has_no_documents_and_a_missing_one_is_a_fault() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(read(base.path()).unwrap(), DocumentFiles::default());
        assert!(read(&base.path().join("missing")).is_err());
    }

    #[test]
    fn every_document_that_cannot_be_read_is_named_and_the_others_are_read() {
        let base = tempfile::tempdir().unwrap();
        let config = base.path().join("config");
        fs::create_dir(&config).unwrap();
        fs::write(config.join("20-good"), "good").unwrap();
        symlink("nowhere", config.join("10-dangling")).unwrap();
        File::create(config.join("30-large")).unwrap().set_len(MAX_DOCUMENT + 1).unwrap();
        let (files, errors) = read_what_can_be(base.path()).unwrap();
        assert_eq!(names(&files), ["config/20-good"]);
        assert_eq!(errors.len(), 2);
        let error = read(base.path()).unwrap_err().to_string();
        assert!(error.contains("10-dangling") && error.contains("30-large"), "{error}");
    }

    #[test]
    fn a_projected_volume_is_read_through_its_links() {
        let base = tempfile::tempdir().unwrap();
        let config = base.path().join("config");
        fs::create_dir_all(config.join("..2024_a")).unwrap();
        fs::write(config.join("..2024_a/app"), "one").unwrap();
        symlink("..2024_a", config.join("..data")).unwrap();
        symlink("..data/app", config.join("app")).unwrap();
        let files = read(base.path()).unwrap();
        assert_eq!(names(&files), ["config/app"]);
        assert_eq!(files.documents[0].text, b"one");
    }

    #[test]
    fn references_stay_below_the_base() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        let base = tempfile::tempdir().unwrap();
        let data = base.path().join("data");
        fs::create_dir_all(data.join("..v1")).unwrap();
        fs::write(data.join("..v1/rule"), "text").unwrap();
        symlink("..v1", data.join("..data")).unwrap();
        symlink("..data/rule", data.join("rule")).unwrap();
        symlink(outside.path(), data.join("out")).unwrap();
        symlink(outside.path().join("secret"), data.join("secret")).unwrap();
        let references = References::below(base.path());
        assert_eq!(references.read("data/rule").unwrap(), b"text");
        assert_eq!(references.read("./data/rule").unwrap(), b"text");
        for refused in [
            "../secret",
            "data/../../secret",
            "/etc/passwd",
            "data/secret",
            "data/out/secret",
            "data",
            "data/missing",
            "",
        ] {
            let error = references.read(refused).unwrap_err();
            assert!(!error.contains("secret\n"), "{error}");
        }
        assert!(references.read("data/secret").unwrap_err().contains("symbolic link"));
        assert!(references.read("/etc/passwd").unwrap_err().contains("leaves the base"));
    }

    #[test]
    fn a_document_over_its_bound_is_refused() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("config")).unwrap();
        let file = File::create(base.path().join("config/large")).unwrap();
        file.set_len(MAX_DOCUMENT + 1).unwrap();
        let error = read(base.path()).unwrap_err().to_string();
        assert!(error.contains("larger than 16 MiB"), "{error}");
    }
}

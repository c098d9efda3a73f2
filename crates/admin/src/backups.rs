//! Backups: everything there is under a name, kept in the state directory (or in memory where there is none).
//!
//! A backup holds every object with every value that was written, secrets included, so that it can be restored
//! over other documents. It leaves and enters as a tar archive of two JSON files.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};
use tidegate_config::{
    Layer,
    rest::{MAX_NAME_BYTES, Refusal},
};

use crate::{RELEASE, files};

/// Most backups, beside the one that imports make.
const MAX_BACKUPS: usize = 64;
/// Most bytes that they may take together.
const MAX_BACKUPS_BYTES: usize = 512 << 20;
/// Longest description, bytes.
const MAX_DESCRIPTION: usize = 64 << 10;
/// Files of an archive that are looked at.
const MAX_ARCHIVE_ENTRIES: usize = 16;
/// The backup that is made when an import of documents undoes what REST wrote.
pub(crate) const UNDONE: &str = "undone-by-import";

const ABOUT_FILE: &str = "tidegate-backup.json";
const CONFIGURATION_FILE: &str = "configuration.json";

/// What is told of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) description: String,
    /// Seconds since 1970.
    pub(crate) time_stamp: u64,
    pub(crate) version: String,
}

impl About {
    /// As a GET shows it.
    pub(crate) fn shown(&self) -> Json {
        let Self { description, time_stamp, version } = self;
        json!({ "properties": { "backup": {
            "description": description, "time_stamp": time_stamp, "version": version,
        } } })
    }
}

/// A backup with its configuration.
#[derive(Debug, PartialEq)]
pub(crate) struct Saved {
    pub(crate) about: About,
    pub(crate) whole: Layer,
    /// What of it cannot be, for people.
    pub(crate) left_out: Vec<String>,
}

/// Every backup.
#[derive(Debug)]
pub(crate) struct Backups {
    directory: Option<PathBuf>,
    /// Whoever asks what there is locks it, so it is locked for a moment only and never over the disk.
    kept: Mutex<BTreeMap<String, Backup>>,
    /// Locked by whoever changes what there is, for as long as that takes: two of one name do not mix, and there is
    /// room at the end for what had room at the beginning.
    change: Mutex<()>,
}

#[derive(Debug)]
struct Backup {
    about: About,
    /// What it takes, bytes.
    bytes: usize,
    /// The configuration itself, where there is no directory.
    in_memory: Option<Arc<[u8]>>,
}

impl Backups {
    /// Reads what is told of every backup in the directory; broken ones are told and left alone.
    pub(crate) fn open(directory: Option<&Path>) -> io::Result<Self> {
        let mut kept = BTreeMap::new();
        if let Some(directory) = directory {
            files::private_directory(directory)?;
            for entry in std::fs::read_dir(directory)?.take(2 * MAX_BACKUPS) {
                let path = entry?.path();
                if path.extension().is_some() {
                    continue;
                }
                match files::unseal(&path).and_then(|bytes| Ok((about_of(&bytes)?, bytes.len()))) {
                    Ok(((name, about), bytes)) => {
                        kept.insert(name, Backup { about, bytes, in_memory: None });
                    }
                    Err(reason) => tracing::warn!("{} is no backup: {reason}", path.display()),
                }
            }
        }
        Ok(Self {
            directory: directory.map(Path::to_owned),
            kept: Mutex::new(kept),
            change: Mutex::default(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Backup>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks while another backup is written.
    fn change(&self) -> MutexGuard<'_, ()> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.kept().keys().cloned().collect()
    }

    /// What is told of one.
    pub(crate) fn about(&self, name: &str) -> Option<About> {
        self.kept().get(name).map(|backup| backup.about.clone())
    }

    /// Makes or replaces a backup. Blocks for what the disk takes.
    pub(crate) fn save(&self, name: &str, about: About, whole: &Layer) -> Result<(), Refusal> {
        check_name(name)?;
        if about.description.len() > MAX_DESCRIPTION {
            let text = format!("the description may have at most {MAX_DESCRIPTION} bytes");
            return Err(Refusal::new("resource.validation_error", text));
        }
        let file = json!({
            "name": name,
            "description": about.description,
            "time_stamp": about.time_stamp,
            "version": about.version,
            "layer": whole.to_json(),
        });
        let bytes = file.to_string().into_bytes();
        let _change = self.change();
        if name != UNDONE && !self.has_room(name, bytes.len()) {
            let text = format!(
                "there is room for {MAX_BACKUPS} backups of {MAX_BACKUPS_BYTES} bytes together; delete some first"
            );
            return Err(Refusal::new("resource.no_space", text));
        }
        let length = bytes.len();
        let in_memory = match self.path(name) {
            Some(path) => {
                files::seal(&path, &bytes).map_err(|error| not_kept(&error))?;
                None
            }
            None => Some(bytes.into()),
        };
        self.kept().insert(name.to_owned(), Backup { about, bytes: length, in_memory });
        Ok(())
    }

    /// Whether there is room for a backup of this name. The one that imports make has a place of its own.
    fn has_room(&self, name: &str, bytes: usize) -> bool {
        let kept = self.kept();
        let others = || kept.iter().filter(|(other, _)| *other != name && *other != UNDONE);
        let taken: usize = others().map(|(_, backup)| backup.bytes).sum();
        others().count() < MAX_BACKUPS && taken + bytes <= MAX_BACKUPS_BYTES
    }

    /// Keeps what an import of documents undid. There is always room for it.
    pub(crate) fn save_undone(&self, whole: &Layer) -> Result<(), Refusal> {
        let description = "what there was before an import of documents undid what REST had written";
        self.save(UNDONE, new_about(description.to_owned()), whole)
    }

    /// The configuration of a backup. Blocks for what the disk takes.
    pub(crate) fn load(&self, name: &str) -> Result<Saved, Refusal> {
        let (about, in_memory) = {
            let kept = self.kept();
            let backup = kept.get(name).ok_or_else(|| not_found(name))?;
            (backup.about.clone(), backup.in_memory.clone())
        };
        let bytes = match (in_memory, self.path(name)) {
            (Some(bytes), _) => bytes,
            (None, Some(path)) => files::unseal(&path).map_err(|reason| broken(&reason))?.into(),
            (None, None) => return Err(not_found(name)),
        };
        let json: Json = serde_json::from_slice(&bytes).map_err(|error| broken(&error.to_string()))?;
        let (whole, left_out) = Layer::read(&json["layer"]);
        Ok(Saved { about, whole, left_out: left_out.sentences() })
    }

    /// Deletes a backup. Blocks for what the disk takes.
    pub(crate) fn delete(&self, name: &str) -> Result<(), Refusal> {
        let _change = self.change();
        if self.about(name).is_none() {
            return Err(not_found(name));
        }
        if let Some(path) = self.path(name)
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(not_kept(&error));
        }
        self.kept().remove(name);
        Ok(())
    }

    /// Names of backups may be longer and wilder than those of files.
    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(files::hex(&Sha256::digest(name.as_bytes()))))
    }
}

/// A backup made now.
pub(crate) fn new_about(description: String) -> About {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    About { description, time_stamp: now.map_or(0, |since| since.as_secs()), version: RELEASE.to_owned() }
}

/// The description that a PUT gives; time and version are not the client's to say.
pub(crate) fn description(body: &[u8]) -> Result<Option<String>, Refusal> {
    if body.is_empty() {
        return Ok(None);
    }
    if !tidegate_config::rest::is_shallow(body) {
        return Err(Refusal::new("json.too_deep", "the body is nested too deeply"));
    }
    let json: Json = serde_json::from_slice(body)
        .map_err(|error| Refusal::new("json.syntax_error", format!("the body is not JSON: {error}")))?;
    match &json["properties"]["backup"]["description"] {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(text.clone())),
        _ => {
            let mut refusal = Refusal::new("resource.validation_error", "the description is to be a text");
            let fault = json!({ "error_id": "json.wrong_type", "error_text": "text is expected here" });
            refusal.info.insert("backup".to_owned(), json!({ "description": fault }));
            Err(refusal)
        }
    }
}

/// A backup as a tar archive.
pub(crate) fn pack(about: &About, whole: &Layer) -> Result<Vec<u8>, Refusal> {
    let About { description, time_stamp, version } = about;
    let about_file =
        json!({ "format": 1, "description": description, "time_stamp": time_stamp, "version": version });
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [(ABOUT_FILE, about_file), (CONFIGURATION_FILE, whole.to_json())] {
        let content = content.to_string();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(*time_stamp);
        archive.append_data(&mut header, name, content.as_bytes()).map_err(|error| not_kept(&error))?;
    }
    archive.into_inner().map_err(|error| not_kept(&error))
}

/// Reads a tar archive that [`pack`] made. Nothing is written to disk, and nothing but the two files is looked at.
pub(crate) fn unpack(archive: &[u8]) -> Result<Saved, Refusal> {
    let (mut about, mut layer) = (None, None);
    let mut reader = tar::Archive::new(archive);
    let entries = reader.entries().map_err(|error| no_archive(&error.to_string()))?;
    for entry in entries.take(MAX_ARCHIVE_ENTRIES) {
        let mut entry = entry.map_err(|error| no_archive(&error.to_string()))?;
        let name = entry.path_bytes().into_owned();
        let slot = match name.as_slice() {
            name if name == ABOUT_FILE.as_bytes() => &mut about,
            name if name == CONFIGURATION_FILE.as_bytes() => &mut layer,
            _ => continue,
        };
        let mut content = Vec::new();
        // An entry cannot be longer than the archive; its header may say so.
        let read = entry.by_ref().take(archive.len() as u64).read_to_end(&mut content);
        read.map_err(|error| no_archive(&error.to_string()))?;
        if !tidegate_config::rest::is_shallow(&content) {
            return Err(no_archive("it is nested too deeply"));
        }
        let json: Json = serde_json::from_slice(&content).map_err(|error| no_archive(&error.to_string()))?;
        *slot = Some(json);
    }
    let (Some(about), Some(layer)) = (about, layer) else {
        return Err(no_archive(&format!("it has to hold {ABOUT_FILE} and {CONFIGURATION_FILE}")));
    };
    if about["format"] != 1 {
        return Err(no_archive("it is of a format this release does not know"));
    }
    let about = read_about(&about).ok_or_else(|| no_archive("it does not say what it is"))?;
    let (whole, left_out) = Layer::read(&layer);
    Ok(Saved { about, whole, left_out: left_out.sentences() })
}

fn about_of(bytes: &[u8]) -> Result<(String, About), String> {
    let json: Map<String, Json> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let name = json.get("name").and_then(Json::as_str).ok_or("it has no name")?.to_owned();
    let about = read_about(&Json::Object(json)).ok_or("it does not say what it is")?;
    Ok((name, about))
}

fn read_about(json: &Json) -> Option<About> {
    Some(About {
        description: json["description"].as_str()?.to_owned(),
        time_stamp: json["time_stamp"].as_u64()?,
        version: json["version"].as_str()?.to_owned(),
    })
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let bad = name.is_empty()
        || matches!(name, "." | "..")
        || name.len() > MAX_NAME_BYTES
        || name.contains(|c: char| c == '/' || c.is_control());
    if bad {
        return Err(Refusal::new("filename.forbiddenpath", "a backup cannot have this name"));
    }
    Ok(())
}

fn not_found(name: &str) -> Refusal {
    Refusal::new("resource.not_found", format!("there is no backup “{name}”"))
}

fn not_kept(error: &io::Error) -> Refusal {
    Refusal::new("service.not_kept", format!("the backup cannot be kept: {error}"))
}

fn broken(reason: &str) -> Refusal {
    Refusal::new("service.failed", format!("the backup cannot be read: {reason}"))
}

fn no_archive(reason: &str) -> Refusal {
    Refusal::new("backup.invalid", format!("this is no backup archive of Tidegate: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Layer {
        Layer::from_json(&json!({
            "pools": {"p": {"alone": true, "properties": {"basic": {"note": "n"}}}},
            "rules": {"r": {"alone": true, "base64": "/wA="}},
        }))
    }

    fn about() -> About {
        About { description: "d".to_owned(), time_stamp: 1, version: "v".to_owned() }
    }

    fn saved() -> Saved {
        Saved { about: about(), whole: whole(), left_out: Vec::new() }
    }

    #[test]
    fn backups_outlive_the_process_where_there_is_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        for place in [Some(directory.path()), None] {
            let backups = Backups::open(place).unwrap();
            for name in ["one", "a name with spaces and ünïcode"] {
                backups.save(name, about(), &whole()).unwrap();
                assert_eq!(backups.load(name).unwrap(), saved());
            }
            let again = Backups::open(place).unwrap();
            assert_eq!(again.names().len(), if place.is_some() { 2 } else { 0 });
            backups.delete("one").unwrap();
            assert_eq!(backups.delete("one").unwrap_err().id, "resource.not_found");
            assert_eq!(backups.about("one"), None);
        }
        for name in ["", "..", "a/b", "a\0"] {
            let backups = Backups::open(None).unwrap();
            assert_eq!(backups.save(name, about(), &whole()).unwrap_err().id, "filename.forbiddenpath");
        }
    }

    #[test]
    fn backups_are_bounded() {
        let backups = Backups::open(None).unwrap();
        for number in 0..MAX_BACKUPS {
            backups.save(&number.to_string(), about(), &whole()).unwrap();
        }
        assert_eq!(backups.save("more", about(), &whole()).unwrap_err().id, "resource.no_space");
        backups.save("0", about(), &whole()).unwrap();
    }

    #[test]
    fn what_an_import_undoes_has_a_place_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        for place in [Some(directory.path()), None] {
            let backups = Backups::open(place).unwrap();
            for number in 0..MAX_BACKUPS {
                backups.save(&number.to_string(), about(), &whole()).unwrap();
            }
            for _ in 0..2 {
                backups.save_undone(&whole()).unwrap();
            }
            assert_eq!(backups.load(UNDONE).unwrap().whole, whole());
            // It takes no place of the others.
            assert_eq!(backups.save("more", about(), &whole()).unwrap_err().id, "resource.no_space");
            backups.delete("0").unwrap();
            backups.save("more", about(), &whole()).unwrap();
        }
        assert_eq!(Backups::open(Some(directory.path())).unwrap().names().len(), MAX_BACKUPS + 1);
    }

    #[test]
    fn who_asks_what_there_is_does_not_wait_for_who_changes_it() {
        let backups = Arc::new(Backups::open(None).unwrap());
        backups.save("one", about(), &whole()).unwrap();
        // As if another backup were written to a disk that does not answer.
        let change = backups.change();
        let (tell, told) = std::sync::mpsc::channel();
        let (asked, other) = (Arc::clone(&backups), Arc::clone(&backups));
        let asking = std::thread::spawn(move || {
            tell.send((asked.names(), asked.about("one"), asked.load("one").unwrap().whole)).unwrap();
        });
        let saving = std::thread::spawn(move || other.save("two", about(), &whole()).unwrap());
        let told = told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        assert_eq!(told, (vec!["one".to_owned()], Some(about()), whole()));
        drop(change);
        asking.join().unwrap();
        saving.join().unwrap();
        assert_eq!(backups.names(), ["one", "two"]);
    }

    #[test]
    fn archives_come_back_and_others_are_refused() {
        let archive = pack(&about(), &whole()).unwrap();
        assert_eq!(unpack(&archive).unwrap(), saved());
        for length in [0, 1, 100, 512, 700, 1024, 1500] {
            assert_eq!(unpack(&archive[..length]).unwrap_err().id, "backup.invalid", "{length}");
        }
        let mut other = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        other.append_data(&mut header, "else.json", b"{}".as_slice()).unwrap();
        assert_eq!(unpack(&other.into_inner().unwrap()).unwrap_err().id, "backup.invalid");
    }

    #[test]
    fn descriptions() {
        let body = br#"{"properties":{"backup":{"description":"x","time_stamp":5,"version":"y"}}}"#;
        assert_eq!(description(body).unwrap().as_deref(), Some("x"));
        assert_eq!(description(br#"{"properties":{}}"#).unwrap(), None);
        assert_eq!(description(br#"{"properties":{"backup":{"description":1}}}"#).unwrap_err().info.len(), 1);
        assert_eq!(description(b"{").unwrap_err().id, "json.syntax_error");
    }
}

//! The database of places (`--geo-database`): read at start and whenever its file changes, off the data workers.
//!
//! A path in, a [`Database`] to the data path out. A file that cannot be used is one line in the log; the last good
//! database stays in use. Also here: what an operator should know about rules that ask for places.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tidegate_model::{Configuration, LocationName};
use tidegate_proxy::{
    Proxy,
    places::{Database, MOST_BYTES},
};
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::document_files::watch::ReadAgain;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the file has to be still before it is read: downloads are written piece by piece.
const STILL: Duration = Duration::from_millis(200);
/// A file that is never still is read anyway after so many looks.
const MOST_LOOKS: usize = 25;

/// What tells one state of the file from another; `None` = it cannot be looked at.
type Identity = Option<(u64, u64, u64, i64, i64)>;

/// Follows links, so that the swap of a projected volume's `..data` link is seen.
fn identity(path: &Path) -> Identity {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// Reads a database. The error is for people and names the file.
pub(crate) fn read(path: &Path) -> Result<Database, String> {
    let shown = path.display();
    let unreadable = |error| format!("the database of places {shown} cannot be read: {error}");
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("the database of places {shown} is larger than {MOST_BYTES} bytes"));
    }
    Database::read(bytes).map_err(|fault| format!("the database of places {shown} cannot be used: {fault}"))
}

/// Keeps the data path's database that of the file.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    proxy: Arc<Proxy>,
    known: Identity,
    /// A database is in use.
    has_one: bool,
}

impl Keeper {
    /// Reads the file for the first time.
    pub(crate) async fn start(path: PathBuf, proxy: Arc<Proxy>) -> Self {
        let mut keeper = Self { path, proxy, known: None, has_one: false };
        keeper.take().await;
        keeper
    }

    /// Reads the file whenever it changes, and when asked to.
    pub(crate) async fn run(mut self, read_again: ReadAgain) {
        loop {
            let asked = tokio::select! {
                () = sleep(LOOK) => false,
                () = read_again.asked() => true,
            };
            if asked || self.look().await != self.known {
                self.settle().await;
                self.take().await;
            }
        }
    }

    async fn look(&self) -> Identity {
        let path = self.path.clone();
        // Only while the runtime ends is there none.
        tokio::task::spawn_blocking(move || identity(&path)).await.unwrap_or_default()
    }

    async fn settle(&self) {
        let mut last = self.look().await;
        for _ in 0..MOST_LOOKS {
            sleep(STILL).await;
            let now = self.look().await;
            if now == last {
                return;
            }
            last = now;
        }
    }

    async fn take(&mut self) {
        // Taken before reading: what changes meanwhile is noticed by the next look.
        self.known = self.look().await;
        let path = self.path.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
        match read {
            Ok(database) => {
                let (kind, made, file) = (database.kind(), database.made(), self.path.display());
                info!(kind, made, "places of addresses are those of {file}");
                self.proxy.set_places(Arc::new(database));
                self.has_one = true;
            }
            Err(fault) if self.has_one => error!("{fault}; the last good one stays in use"),
            Err(fault) => error!("{fault}; every place is unknown"),
        }
    }
}

/// What an operator should know about places, each once.
#[derive(Debug)]
pub(crate) struct Notices {
    has_database: bool,
    location: Option<LocationName>,
    told_of_rules: AtomicBool,
    location_is_missing: AtomicBool,
}

impl Notices {
    /// With the settings of the process.
    pub(crate) fn new(has_database: bool, location: Option<LocationName>) -> Self {
        let (told_of_rules, location_is_missing) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { has_database, location, told_of_rules, location_is_missing }
    }

    /// Tells what is new with a configuration.
    pub(crate) fn tell(&self, configuration: &Configuration) {
        for line in self.lines(configuration) {
            warn!("{line}");
        }
    }

    fn lines(&self, configuration: &Configuration) -> Vec<String> {
        let mut lines = Vec::new();
        let asking = configuration.rules.values().find_map(|rule| {
            let (function, line) = rule.program.as_ref()?.uses().asks_for_places()?;
            Some(format!("the rule {} calls {function} in line {line}", rule.name))
        });
        if !self.has_database
            && let Some(asking) = asking
            && !self.told_of_rules.swap(true, Ordering::Relaxed)
        {
            lines.push(format!(
                "{asking}, and there is no database of places: every place is unknown; set --geo-database \
                 (TIDEGATE_GEO_DATABASE) to a GeoLite2 or GeoIP2 file of cities or countries"
            ));
        }
        if let Some(location) = &self.location {
            let missing = !configuration.locations.contains_key(location);
            if missing && !self.location_is_missing.swap(missing, Ordering::Relaxed) {
                lines.push(format!(
                    "there is no location {location} (--location) in the catalogue locations; rules do not know \
                     where this traffic manager is"
                ));
            }
            self.location_is_missing.store(missing, Ordering::Relaxed);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::{Location, Rule};
    use tidegate_trafficscript::{Options, compile};

    use super::*;

    fn rule(text: &str) -> Configuration {
        let rule = Rule {
            name: "r".into(),
            source: text.as_bytes().into(),
            options: Options::default(),
            imports: Vec::new(),
            program: compile("r", text.as_bytes(), &Options::default(), &|_| None).program,
            notes: Arc::default(),
        };
        let mut configuration = Configuration::default();
        configuration.rules.insert("r".into(), Arc::new(rule));
        configuration
    }

    #[test]
    fn rules_without_a_database_are_told_of_once() {
        let asks = rule("\n$a = geo.getCity( request.getRemoteIP() );");
        let notices = Notices::new(false, None);
        assert_eq!(notices.lines(&rule("$a = geo.getLocation();")), [""; 0]);
        let [line] = notices.lines(&asks).try_into().unwrap();
        assert!(line.starts_with("the rule r calls geo.getCity in line 2, "), "{line}");
        assert_eq!(notices.lines(&asks), [""; 0]);
        assert_eq!(Notices::new(true, None).lines(&asks), [""; 0]);
    }

    #[test]
    fn a_location_that_is_missing_is_told_of_whenever_it_goes() {
        let mut known = Configuration::default();
        let here = Location { name: "here".into(), latitude: 0.0, longitude: 0.0 };
        known.locations.insert("here".into(), Arc::new(here));
        let notices = Notices::new(true, Some("here".into()));
        let empty = Configuration::default();
        let told = [&known, &empty, &empty, &known, &empty].map(|each| notices.lines(each).len());
        assert_eq!(told, [0, 1, 0, 0, 1]);
    }

    #[test]
    fn what_cannot_be_read_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("places.mmdb");
        let fault = read(&path).unwrap_err();
        assert!(fault.contains("places.mmdb cannot be read"), "{fault}");
        fs::write(&path, "no database").unwrap();
        let fault = read(&path).unwrap_err();
        assert!(fault.contains("places.mmdb cannot be used: it is not a database"), "{fault}");
    }
}

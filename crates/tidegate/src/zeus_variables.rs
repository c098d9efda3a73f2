//! The `ZEUS_*` variables of the vTM container: which are acted on here and what becomes of the others.
//!
//! Environment in, one sentence per variable out. Values are never repeated: some are passwords.

use crate::settings::Environment;

/// What a `ZEUS_*` variable does here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The variable.
    pub(crate) name: String,
    /// What it does here, as a sentence.
    pub(crate) text: &'static str,
    /// Whether somebody may be waiting for an effect that does not come.
    pub(crate) warning: bool,
}

/// One note per `ZEUS_*` variable that is set, in order of name.
pub(crate) fn notes(environment: &Environment) -> Vec<Note> {
    environment
        .iter()
        .filter(|(name, _)| name.starts_with("ZEUS_"))
        .map(|(name, value)| {
            let (warning, text) = meaning(name, value);
            Note { name: name.clone(), text, warning }
        })
        .collect()
}

fn meaning(name: &str, value: &str) -> (bool, &'static str) {
    match name {
        "ZEUS_WATCHED_CONFIG" => {
            (false, "is the base directory unless --base or TIDEGATE_BASE names another")
        }
        "ZEUS_BASE_CONFIG" => {
            (false, "holds the base documents unless --base-config or TIDEGATE_BASE_CONFIG names another")
        }
        "ZEUS_EULA" if value == "accept" => (false, "is not needed: there is no licence agreement to accept"),
        "ZEUS_EULA" => (true, "is not `accept`, which makes no difference: there is no agreement to accept"),
        "ZEUS_PASS" => (
            false,
            "is the password of the REST user admin unless a TIDEGATE_ADMIN_PASSWORD setting gives another",
        ),
        "ZEUS_CONFIG_IMPORT_ARGS" => {
            (false, "has no effect: every traffic manager imports for itself, as --no-replicate asks")
        }
        "ZEUS_COMMUNITY_EDITION" => (false, "is not needed: there are no editions"),
        "ZEUS_LIC" => (false, "is not needed: there are no licence keys"),
        "ZEUS_CLUSTER_NAME" | "ZEUS_CLUSTER_PORT" | "ZEUS_CLUSTER_FP" => {
            (true, "has no effect: traffic managers share documents and a session key, they do not join")
        }
        "ZEUS_REGISTER_HOST"
        | "ZEUS_REGISTER_FP"
        | "ZEUS_REGISTER_EMAIL"
        | "ZEUS_REGISTER_MSG"
        | "ZEUS_REGISTER_POLICY"
        | "ZEUS_REGISTER_OWNER"
        | "ZEUS_REGISTER_SECRET" => {
            (true, "has no effect: there is no registration with a Services Director")
        }
        "ZEUS_PACKAGES" => {
            (true, "has no effect: nothing is installed at start; build an image that has what plugins need")
        }
        "ZEUS_DOM" => (true, "has no effect: the host's own name is used"),
        "ZEUS_DEVMODE" => (false, "is not needed: there is no developer mode"),
        _ => (true, "is not known and has no effect"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_note_per_variable_and_no_value_in_it() {
        let environment: Environment = [
            ("ZEUS_PASS", "hunter2"),
            ("ZEUS_EULA", "accept"),
            ("ZEUS_WATCHED_CONFIG", "/import"),
            ("ZEUS_SURPRISE", "hunter2"),
            ("HOME", "/root"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let notes = notes(&environment);
        let names: Vec<&str> = notes.iter().map(|note| note.name.as_str()).collect();
        assert_eq!(names, ["ZEUS_EULA", "ZEUS_PASS", "ZEUS_SURPRISE", "ZEUS_WATCHED_CONFIG"]);
        assert!(notes.iter().all(|note| !note.text.contains("hunter2")));
        let warned: Vec<&str> =
            notes.iter().filter(|note| note.warning).map(|note| note.name.as_str()).collect();
        assert_eq!(warned, ["ZEUS_SURPRISE"]);
    }
}

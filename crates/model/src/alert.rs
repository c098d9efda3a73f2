//! Alerting: which events lead to which actions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{ActionName, ActionProgramName};

/// An entry of `event_types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// Its name.
    pub name: Arc<str>,
    /// Whether every event is meant: a built-in type that names no tag at all.
    pub everything: bool,
    /// What it selects, by category.
    pub selections: BTreeMap<Category, Selection>,
    /// `basic.actions`; those that do not exist were reported.
    pub actions: Vec<ActionName>,
}

/// What an event type selects of a category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `event_tags`; `*` = every one.
    pub tags: Vec<Arc<str>>,
    /// `objects`; `*`, or none at all = every one.
    pub objects: Vec<Arc<str>>,
}

/// Where an event comes from; the names are those of the sections of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// `general`.
    General,
    /// `monitors`.
    Monitors,
    /// `pools`.
    Pools,
    /// `rules`.
    Rules,
    /// `slm`.
    ServiceLevels,
    /// `trafficscript`: events that rules raise themselves.
    TrafficScript,
    /// `vservers`.
    VirtualServers,
}

impl Category {
    /// Every category of which Tidegate has events.
    pub const ALL: [Self; 7] = [
        Self::General,
        Self::Monitors,
        Self::Pools,
        Self::Rules,
        Self::ServiceLevels,
        Self::TrafficScript,
        Self::VirtualServers,
    ];

    /// Its section in an event type.
    pub fn section(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Monitors => "monitors",
            Self::Pools => "pools",
            Self::Rules => "rules",
            Self::ServiceLevels => "slm",
            Self::TrafficScript => "trafficscript",
            Self::VirtualServers => "vservers",
        }
    }
}

impl EventType {
    /// Whether an event is meant. `object` is empty for events about nothing in particular.
    pub fn matches(&self, category: Category, tag: &str, object: &str) -> bool {
        if self.everything {
            return true;
        }
        let Some(selection) = self.selections.get(&category) else { return false };
        let among = |names: &[Arc<str>], name: &str| {
            names.iter().any(|known| matches!(&**known, "*") || **known == *name)
        };
        among(&selection.tags, tag) && (selection.objects.is_empty() || among(&selection.objects, object))
    }
}

/// An entry of `actions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its name.
    pub name: ActionName,
    /// `basic.type` with the settings of that type.
    pub kind: ActionKind,
    /// `basic.verbose`: tell in the log whenever it was done.
    pub verbose: bool,
    /// `basic.timeout`; `None` (0) = no limit.
    pub timeout: Option<Duration>,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// `log`: a line at the end of a file.
    Log {
        /// `log.file`, relative to the home directory.
        file: Arc<str>,
    },
    /// `syslog`: a message over UDP.
    Syslog {
        /// `syslog.sysloghost` with or without port; empty = this machine.
        host: Arc<str>,
        /// `basic.syslog_msg_len_limit`, bytes.
        limit: usize,
    },
    /// `program`.
    Program {
        /// An entry of `action_programs`.
        program: ActionProgramName,
        /// `program.arguments`: names and values.
        arguments: Vec<(Arc<str>, Arc<str>)>,
    },
    /// Another type, which is reported and does nothing.
    NotActedOn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_select_by_category_tag_and_object() {
        let selection = |tags: &[&str], objects: &[&str]| Selection {
            tags: tags.iter().map(|tag| Arc::from(*tag)).collect(),
            objects: objects.iter().map(|object| Arc::from(*object)).collect(),
        };
        let with = |everything, selections: Vec<(Category, Selection)>| EventType {
            name: "t".into(),
            everything,
            selections: selections.into_iter().collect(),
            actions: Vec::new(),
        };
        let named = with(false, vec![(Category::Pools, selection(&["nodefail"], &["a"]))]);
        let any_tag = with(false, vec![(Category::Pools, selection(&["*"], &["*"]))]);
        let any_object = with(false, vec![(Category::Pools, selection(&["nodefail"], &[]))]);
        for (event_type, tag, object, expected) in [
            (&named, "nodefail", "a", true),
            (&named, "nodefail", "b", false),
            (&named, "nodeworking", "a", false),
            (&any_tag, "nodeworking", "b", true),
            (&any_object, "nodefail", "b", true),
            (&with(true, Vec::new()), "x", "", true),
            (&with(false, Vec::new()), "nodefail", "a", false),
        ] {
            assert_eq!(event_type.matches(Category::Pools, tag, object), expected, "{tag} {object}");
        }
        assert!(!any_tag.matches(Category::Rules, "ruleabort", "r"));
    }
}

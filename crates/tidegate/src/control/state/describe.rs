//! Sentences about what changed.

use std::fmt::Write as _;

use tidegate_model::{Configuration, NodeSet, VirtualServer};

use crate::control::effect::{Level, Line};

/// Nodes named in one line at most.
const MAX_NAMED: usize = 8;

/// What changed, for the log; `None` for a change that nobody needs to hear of.
pub(super) fn difference(before: Option<&NodeSet>, now: &NodeSet, first: bool) -> Option<String> {
    let empty = NodeSet::default();
    let before = before.unwrap_or(&empty);
    let named = |sign: char, from: &NodeSet, than: &NodeSet| {
        let mut text = String::new();
        let mut changed = from.nodes.keys().filter(|node| !than.nodes.contains_key(node));
        for node in changed.by_ref().take(MAX_NAMED) {
            // Writing to a string cannot fail.
            _ = write!(text, " {sign}{node}");
        }
        let more = changed.count();
        if more > 0 {
            _ = write!(text, " and {sign}{more} more");
        }
        text
    };
    let (added, removed) = (named('+', now, before), named('-', before, now));
    if added.is_empty() && removed.is_empty() && !first {
        return (before != now).then(|| format!("{} nodes, of which some changed their state", now.len()));
    }
    let count = match now.len() {
        0 => "no nodes".to_owned(),
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    };
    let changes = format!("{added}{removed}");
    Some(if changes.is_empty() { count } else { format!("{count}:{changes}") })
}

/// Whether a virtual server should listen.
pub(super) fn listens(server: &VirtualServer) -> bool {
    server.enabled && server.protocol.is_served()
}

/// The line that an object such as `pools/web` gets when it is imported.
pub(super) fn creating(object: &str) -> Line {
    let line = Line::new(Level::Info, format!("Creating {object}"));
    match object.split_once('/') {
        Some(("virtual_servers", name)) => line.of_virtual_server(name.into()),
        Some(("pools", name)) => line.of_pool(name.into()),
        _ => line,
    }
}

/// The line that says what serves now; `silent` virtual servers should listen and do not.
pub(super) fn active(generation: u64, configuration: &Configuration, silent: usize) -> Line {
    let servers = configuration.virtual_servers.values().filter(|server| listens(server)).count();
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    Line::new(
        Level::Info,
        format!(
            "generation {generation} active: {}{} listening, {}",
            if silent > 0 { format!("{} of ", servers - silent.min(servers)) } else { String::new() },
            plural(servers, "virtual server"),
            plural(configuration.pools.len(), "pool")
        ),
    )
}

//! `nodes`, `drain` and its like: what is shown of a pool's nodes, and what becomes of its `nodes_table`.
//!
//! A node of the table is changed by its row. A node of discovery gets a row for as long as it is drained or disabled:
//! an address in both has the state of the table. The row outlives what discovery says, so it is taken out again by
//! `undrain`.

use std::{fmt::Write as _, net::SocketAddr};

use serde_json::{Value as Json, json};

use super::show::{Table, cell};

/// What is to become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Drain,
    Disable,
    Undrain,
    Forget,
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changed {
    /// The new table; `None` = it stays as it is.
    pub(super) rows: Option<Vec<Json>>,
    /// In a sentence.
    pub(super) said: String,
    /// What there is to know.
    pub(super) notes: Vec<String>,
}

/// There is no such node; the sentence says which there are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoNode(pub(super) String);

fn same(a: &Json, b: &str) -> bool {
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    a.as_str().is_some_and(|a| a == b || address(a).is_some() && address(a) == address(b))
}

/// What becomes of a table. `table`: the rows there are; `pool`: what `/api/tidegate/nodes/POOL` says.
pub(super) fn change(table: &[Json], pool: &Json, node: &str, change: Change) -> Result<Changed, NoNode> {
    let nodes = || pool["nodes"].as_array().into_iter().flatten();
    let shown = nodes().find(|shown| same(&shown["node"], node));
    let row = table.iter().find(|row| same(&row["node"], node));
    let name = pool["pool"].as_str().unwrap_or_default();
    let origin = shown.and_then(|shown| shown["origin"].as_str()).unwrap_or("table");
    if shown.is_none() && row.is_none() {
        let known: Vec<&str> = nodes().filter_map(|shown| shown["node"].as_str()).collect();
        let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
        return Err(NoNode(format!("there is no node {node} in the pool {name}; there are: {known}")));
    }
    let nothing = |said: String| Ok(Changed { said, ..Changed::default() });
    let without = || table.iter().filter(|row| !same(&row["node"], node)).cloned().collect::<Vec<_>>();
    let state = row.map_or_else(|| shown.map_or("", |shown| word(shown, "state")), |row| word(row, "state"));
    let wanted = match change {
        Change::Drain => "draining",
        Change::Disable => "disabled",
        Change::Undrain => "active",
        Change::Forget => {
            if row.is_none() {
                return nothing(format!("{node} is not in the nodes_table of {name}: nothing to take out"));
            }
            let said = format!("{node} is taken out of the nodes_table of {name}");
            let notes = match origin {
                "both" => vec![format!("discovery finds {node}: it stays in the pool, as discovery says")],
                _ => Vec::new(),
            };
            return Ok(Changed { rows: Some(without()), said, notes });
        }
    };
    if row.is_none() && origin == "leaving" {
        return nothing(format!(
            "{node} leaves the pool {name} already: it gets requests of its sessions only, and nothing else can be said of it"
        ));
    }
    if state == wanted {
        return nothing(format!("{node} is {wanted} already in the pool {name}"));
    }
    let said = format!("{node} is {wanted} in the pool {name}");
    if row.is_none() {
        if change == Change::Undrain {
            return nothing(format!(
                "{node} is {state} because discovery says so; it is not in the nodes_table of {name}"
            ));
        }
        let shown = shown.cloned().unwrap_or_default();
        let mut rows = table.to_vec();
        rows.push(json!({
            "node": shown["node"], "state": wanted, "weight": shown["weight"], "priority": shown["priority"],
        }));
        let notes = vec![format!(
            "{node} comes from discovery. A row of nodes_table now says {wanted}, and keeps {node} in the pool even \
             when discovery no longer finds it: take it out with “tidegate ctl undrain {name} {node}”"
        )];
        return Ok(Changed { rows: Some(rows), said, notes });
    }
    if change == Change::Undrain && origin == "both" {
        let said =
            format!("{node} is as discovery says in the pool {name}: its row is taken out of nodes_table");
        return Ok(Changed { rows: Some(without()), said, notes: Vec::new() });
    }
    let mut rows = table.to_vec();
    for row in rows.iter_mut().filter(|row| same(&row["node"], node)) {
        row["state"] = wanted.into();
    }
    let mut notes = Vec::new();
    if change == Change::Undrain && pool["discovery"].is_string() {
        notes.push(format!(
            "discovery does not find {node}: it stays in the pool as a node of nodes_table. “tidegate ctl forget {name} \
             {node}” takes it out"
        ));
    }
    Ok(Changed { rows: Some(rows), said, notes })
}

fn word<'j>(node: &'j Json, member: &str) -> &'j str {
    node[member].as_str().unwrap_or("active")
}

/// The nodes of pools, one row each.
pub(super) fn table(pools: &[Json]) -> String {
    let mut table = Table::new(&[
        "POOL",
        "NODE",
        "STATE",
        "HEALTH",
        "FROM",
        "WEIGHT",
        "PRIORITY",
        "IN FLIGHT",
        "CONNECTIONS",
        "REQUESTS",
        "FAILURES",
        "RESPONSE",
        "WHY",
    ]);
    for pool in pools {
        for node in pool["nodes"].as_array().into_iter().flatten() {
            let response = node["response_time_ms"].as_f64();
            table.row(vec![
                cell(&pool["pool"]),
                cell(&node["node"]),
                cell(&node["state"]),
                cell(&node["health"]),
                cell(&node["origin"]),
                cell(&node["weight"]),
                cell(&node["priority"]),
                cell(&node["requests_in_flight"]),
                cell(&node["connections"]),
                cell(&node["requests"]),
                cell(&node["failures"]),
                response.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
                cell(&node["reason"]),
            ]);
        }
    }
    let mut text = table.text("");
    for pool in pools {
        let (sessions, waiting) = (pool["sessions"].as_u64(), pool["waiting"].as_u64());
        let count = |count: Option<u64>, noun: &str| match count.unwrap_or_default() {
            0 => String::new(),
            1 => format!(", 1 {noun}"),
            count => format!(", {count} {noun}s"),
        };
        let discovery = match &pool["discovery"] {
            Json::Null => String::new(),
            plugin => format!(", discovery by {}", cell(plugin)),
        };
        let _ = writeln!(
            text,
            "{}: {}{discovery}{}{}",
            cell(&pool["pool"]),
            cell(&pool["algorithm"]),
            count(sessions, "session"),
            count(waiting, "waiting request")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(discovery: bool, nodes: &[(&str, &str, &str)]) -> Json {
        let nodes: Vec<Json> = nodes
            .iter()
            .map(|(node, origin, state)| json!({ "node": node, "origin": origin, "state": state, "weight": 3, "priority": 2 }))
            .collect();
        json!({ "pool": "web", "discovery": discovery.then_some("BuiltIn-DNS_Stateless"), "nodes": nodes })
    }

    fn row(node: &str, state: &str) -> Json {
        json!({ "node": node, "state": state, "weight": 1, "priority": 1 })
    }

    const A: &str = "10.0.0.1:80";
    const B: &str = "10.0.0.2:80";

    #[test]
    fn nodes_of_the_table_are_changed_by_their_row() {
        let table =
            [row(A, "active"), row("host:80", "active"), json!({ "node": B, "source_ip": "10.0.0.9" })];
        let pool = pool(false, &[(A, "table", "active"), (B, "table", "active")]);
        for (change_to, state) in [(Change::Drain, "draining"), (Change::Disable, "disabled")] {
            let changed = change(&table, &pool, A, change_to).unwrap();
            assert_eq!(changed.rows.unwrap(), [row(A, state), table[1].clone(), table[2].clone()]);
            assert!(changed.said.contains(state) && changed.notes.is_empty());
        }
        // Names of the table too, and what else stands in a row stays.
        let changed = change(&table, &pool, "host:80", Change::Drain).unwrap();
        assert_eq!(changed.rows.unwrap()[1], row("host:80", "draining"));
        let changed = change(&table, &pool, B, Change::Disable).unwrap();
        assert_eq!(
            changed.rows.unwrap()[2],
            json!({ "node": B, "source_ip": "10.0.0.9", "state": "disabled" })
        );
        assert_eq!(change(&table, &pool, A, Change::Undrain).unwrap().rows, None);
        let forgotten = change(&table, &pool, A, Change::Forget).unwrap().rows.unwrap();
        assert_eq!(forgotten, table[1..]);
        let drained = [row(A, "draining")];
        let again = change(&drained, &pool, A, Change::Drain).unwrap();
        assert!(again.rows.is_none() && again.said.contains("already"), "{again:?}");
        assert_eq!(change(&drained, &pool, A, Change::Undrain).unwrap().rows.unwrap(), [row(A, "active")]);
    }

    #[test]
    fn nodes_of_discovery_get_a_row_and_lose_it_again() {
        let found = pool(true, &[(A, "discovery", "active"), (B, "discovery", "draining")]);
        let drained = change(&[], &found, A, Change::Drain).unwrap();
        let rows = drained.rows.unwrap();
        assert_eq!(rows, [json!({ "node": A, "state": "draining", "weight": 3, "priority": 2 })]);
        assert!(drained.notes[0].contains("undrain web 10.0.0.1:80"), "{:?}", drained.notes);
        let both = pool(true, &[(A, "both", "draining")]);
        let undrained = change(&rows, &both, A, Change::Undrain).unwrap();
        assert_eq!(undrained.rows, Some(Vec::new()));
        // Discovery has lost it meanwhile.
        let lost = pool(true, &[(A, "table", "draining")]);
        let undrained = change(&rows, &lost, A, Change::Undrain).unwrap();
        assert_eq!(undrained.rows.unwrap()[0]["state"], "active");
        assert!(undrained.notes[0].contains("forget"), "{:?}", undrained.notes);
        let forgotten = change(&rows, &both, A, Change::Forget).unwrap();
        assert!(forgotten.rows == Some(Vec::new()) && forgotten.notes[0].contains("stays"));
        // What discovery itself says is not ours to change.
        let own = change(&[], &found, B, Change::Undrain).unwrap();
        assert!(own.rows.is_none() && own.said.contains("discovery says so"), "{own:?}");
        let leaving = pool(true, &[(A, "leaving", "active")]);
        for change_to in [Change::Drain, Change::Disable] {
            let left = change(&[], &leaving, A, change_to).unwrap();
            assert!(left.rows.is_none() && left.said.contains("leaves"), "{left:?}");
        }
        assert!(change(&[], &found, A, Change::Forget).unwrap().rows.is_none());
    }

    #[test]
    fn a_node_that_is_not_there_is_told_with_those_that_are() {
        let found = pool(true, &[(A, "discovery", "active")]);
        let NoNode(text) = change(&[], &found, "10.0.0.1:81", Change::Drain).unwrap_err();
        assert!(text.contains(A) && text.contains("10.0.0.1:81"), "{text}");
        // Another spelling of the same address is the same.
        let six = pool(true, &[("[::1]:80", "discovery", "active")]);
        assert!(change(&[], &six, "[0:0::1]:80", Change::Drain).unwrap().rows.is_some());
    }

    #[test]
    fn the_table_has_a_row_per_node() {
        let mut found = pool(true, &[(A, "discovery", "active")]);
        found["algorithm"] = "round_robin".into();
        found["sessions"] = 2.into();
        found["waiting"] = 1.into();
        let text = table(&[found]);
        assert!(text.starts_with("POOL  NODE"), "{text}");
        assert!(text.contains("web   10.0.0.1:80  active"), "{text}");
        assert!(
            text.ends_with(
                "web: round_robin, discovery by BuiltIn-DNS_Stateless, 2 sessions, 1 waiting request\n"
            ),
            "{text}"
        );
    }
}

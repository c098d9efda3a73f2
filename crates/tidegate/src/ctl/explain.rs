//! `explain`: the question, and how its answer looks.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::{
    ExplainOptions,
    show::{Table, cell, plain},
};

/// The body of the question. The error says what is wrong with the command line.
pub(super) fn question(options: &ExplainOptions) -> Result<Json, String> {
    let headers: Result<Vec<Json>, String> = options
        .headers
        .iter()
        .map(|field| match field.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => Ok(json!([name.trim(), value.trim()])),
            _ => Err(format!("“{field}” is no header field; write 'Name: value'")),
        })
        .collect();
    Ok(json!({
        "url": options.request,
        "method": options.method,
        "headers": headers?,
        "client": options.client.map(|client| client.to_string()),
        "virtual_server": options.virtual_server,
    }))
}

/// The answer for people.
pub(super) fn text(explanation: &Json) -> String {
    let mut text = format!(
        "virtual server {}, which listens on {}\n",
        cell(&explanation["virtual_server"]),
        cell(&explanation["listens"])
    );
    let list = |member: &str| explanation[member].as_array().map(Vec::as_slice).unwrap_or_default();
    let rules = list("rules");
    if rules.is_empty() {
        text.push_str("rules: none\n");
    } else {
        let mut table = Table::new(&["PHASE", "RULE", "STATE", "OUTCOME"]);
        for rule in rules {
            table.row(["phase", "rule", "state", "outcome"].map(|member| cell(&rule[member])).to_vec());
        }
        text.push_str("rules:\n");
        text.push_str(&table.text("  "));
    }
    for pool in list("pools") {
        let persistence = match &pool["persistence"] {
            Json::Null => String::new(),
            class => format!("{} ({}): ", cell(&class["class"]), cell(&class["type"])),
        };
        let _ = writeln!(text, "pool {}: {}", cell(&pool["pool"]), cell(&pool["because"]));
        let _ = writeln!(text, "  algorithm: {}", cell(&pool["algorithm"]));
        let _ = writeln!(text, "  session: {persistence}{}", cell(&pool["session"]));
        let mut table =
            Table::new(&["NODE", "ELIGIBLE", "STATE", "HEALTH", "WEIGHT", "PRIORITY", "IN FLIGHT", "WHY"]);
        for node in pool["nodes"].as_array().into_iter().flatten() {
            let eligible = if node["eligible"] == true { "yes" } else { "no" };
            table.row(vec![
                cell(&node["node"]),
                eligible.to_owned(),
                cell(&node["state"]),
                cell(&node["health"]),
                cell(&node["weight"]),
                cell(&node["priority"]),
                cell(&node["requests_in_flight"]),
                cell(&node["reason"]),
            ]);
        }
        text.push_str(&table.text("  "));
        // The last one says the same as the verdict.
        if pool["outcome"] != explanation["verdict"] {
            let _ = writeln!(text, "  {}", cell(&pool["outcome"]));
        }
    }
    let _ = writeln!(text, "{}", cell(&explanation["verdict"]));
    for note in list("notes").iter().filter_map(Json::as_str) {
        let _ = writeln!(text, "note: {}", plain(note));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(headers: &[&str]) -> ExplainOptions {
        ExplainOptions {
            request: "http://a/".to_owned(),
            method: "GET".to_owned(),
            headers: headers.iter().map(ToString::to_string).collect(),
            client: Some([10, 0, 0, 1].into()),
            virtual_server: None,
        }
    }

    #[test]
    fn the_question() {
        let asked = question(&options(&["Cookie: a=b:c", "X:"])).unwrap();
        assert_eq!(asked["headers"], json!([["Cookie", "a=b:c"], ["X", ""]]));
        assert_eq!((&asked["client"], &asked["virtual_server"]), (&json!("10.0.0.1"), &Json::Null));
        assert!(question(&options(&["Cookie"])).unwrap_err().contains("Cookie"));
    }

    #[test]
    fn the_answer() {
        let explanation = json!({
            "virtual_server": "site", "listens": "0.0.0.0:80",
            "rules": [{ "phase": "request", "rule": "r", "state": "ran", "outcome": "changes\nnothing" }],
            "pools": [{
                "pool": "web", "because": "it is the default pool", "algorithm": "round_robin",
                "persistence": { "class": "c", "type": "ip" }, "session": "no session yet",
                "nodes": [{ "node": "10.0.0.1:80", "eligible": true, "state": "active", "health": "working",
                    "weight": 1, "priority": 1, "requests_in_flight": 0, "reason": "takes requests" }],
                "outcome": "10.0.0.1:80 gets it: it is its turn.",
            }],
            "verdict": "10.0.0.1:80 gets it: it is its turn.",
            "notes": ["n"],
        });
        let expected = "\
virtual server site, which listens on 0.0.0.0:80
rules:
  PHASE    RULE  STATE  OUTCOME
  request  r     ran    changes nothing
pool web: it is the default pool
  algorithm: round_robin
  session: c (ip): no session yet
  NODE         ELIGIBLE  STATE   HEALTH   WEIGHT  PRIORITY  IN FLIGHT  WHY
  10.0.0.1:80  yes       active  working       1         1          0  takes requests
10.0.0.1:80 gets it: it is its turn.
note: n
";
        assert_eq!(text(&explanation), expected);
    }
}

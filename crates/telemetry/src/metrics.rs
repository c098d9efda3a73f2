//! Metrics of an [`Observation`] in the text formats that Prometheus reads.
//!
//! ```text
//! Accept ──Format::wanted──► Format ┐
//! Observation, Details ─────────────┴──render──► text
//! ```
//!
//! [`families`] is the table of every metric: name, type, unit, help, labels and where its samples come from.
//! `docs/metrics.md` is written from it. How many series an object has by default is bounded ([`SERVER_BUDGET`],
//! [`POOL_BUDGET`]); more is an operator's choice ([`Details`]).

mod families;
mod format;
mod lines;
mod process;
mod rules;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod tests;

use std::{str::FromStr, time::SystemTime};

pub use self::format::Format;
use self::{families::Samples, lines::Lines};
use crate::observation::Observation;

/// Series of a virtual server stay below this by default.
pub const SERVER_BUDGET: usize = 20;
/// Series of a pool stay below this by default.
pub const POOL_BUDGET: usize = 12;

/// Which series there are besides those that are always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// More of every virtual server and pool: reasons of failures, responses, bytes, sessions.
    pub objects: bool,
    /// Durations of every virtual server and pool as histograms; otherwise as sum and count.
    pub histograms: bool,
    /// Every node of every pool.
    pub nodes: bool,
}

impl FromStr for Details {
    type Err = String;

    /// A list of `objects`, `histograms` and `nodes` with commas between them; nothing, or `none`, is none.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut details = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "objects" => details.objects = true,
                "histograms" => details.histograms = true,
                "nodes" => details.nodes = true,
                "none" => {}
                _ => return Err(format!("`{word}` is none of objects, histograms, nodes")),
            }
        }
        Ok(details)
    }
}

/// What makes a family be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// It always is.
    Always,
    /// Only with [`Details::objects`].
    Objects,
    /// Only with [`Details::nodes`].
    Nodes,
}

/// The text of all metrics, `now` for times that are told as ages.
pub fn render(observation: &Observation, format: Format, details: Details, now: SystemTime) -> String {
    let labels = Labels::of(observation, details);
    let mut lines = Lines::new(format, details.histograms);
    for family in families::families() {
        let there = match family.level {
            Level::Always => true,
            Level::Objects => details.objects,
            Level::Nodes => details.nodes,
        };
        if !there {
            continue;
        }
        lines.begin(family);
        match family.samples {
            Samples::Process(sample) => {
                lines.of("");
                sample(observation, now, &mut lines);
            }
            Samples::Value(sample) => {
                lines.of("");
                lines.value(sample(observation));
            }
            Samples::Each(samples) => {
                lines.of("");
                for (value, count) in samples(observation) {
                    lines.with(family.labels, value, count);
                }
            }
            Samples::Server(sample) => {
                for (server, labels) in observation.virtual_servers.iter().zip(&labels.servers) {
                    lines.of(labels);
                    sample(server, &mut lines);
                }
            }
            Samples::Pool(sample) => {
                for (pool, labels) in observation.pools.iter().zip(&labels.pools) {
                    lines.of(labels);
                    sample(pool, &mut lines);
                }
            }
            Samples::Node(sample) => {
                let nodes = observation.pools.iter().flat_map(|pool| &pool.nodes);
                for (node, labels) in nodes.zip(&labels.nodes) {
                    lines.of(labels);
                    sample(node, &mut lines);
                }
            }
        }
    }
    lines.finish()
}

/// Labels of every object, made once for all families.
struct Labels {
    servers: Vec<String>,
    pools: Vec<String>,
    nodes: Vec<String>,
}

impl Labels {
    fn of(observation: &Observation, details: Details) -> Self {
        let pools: Vec<String> =
            observation.pools.iter().map(|pool| lines::label("pool", pool.name.as_str())).collect();
        let nodes = if details.nodes {
            let node = |(pool, labels): (&crate::observation::Pool, &String)| -> Vec<String> {
                let label = |node: &crate::observation::Node| {
                    format!("{labels},{}", lines::label("node", &node.address.to_string()))
                };
                pool.nodes.iter().map(label).collect()
            };
            observation.pools.iter().zip(&pools).flat_map(node).collect()
        } else {
            Vec::new()
        };
        Self {
            servers: observation
                .virtual_servers
                .iter()
                .map(|server| lines::label("virtual_server", server.name.as_str()))
                .collect(),
            pools,
            nodes,
        }
    }
}

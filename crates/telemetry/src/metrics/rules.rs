//! The table of metrics of rules, of rate classes and of what rules ask of the process.

use super::{
    families::{
        Family,
        Kind::{Counter, Gauge},
    },
    lines::{Lines, label},
};
use crate::{
    counters::RuleTotals,
    observation::{Observation, Rate},
};

pub(super) const FAMILIES: &[Family] = &[
    Family::process("tidegate_rule_executions", Counter, "Runs of a rule that were begun.", |of, _, out| {
        each_rule(of, out, |totals| totals.executions);
    })
    .labels("rule"),
    Family::process(
        "tidegate_rule_aborts",
        Counter,
        "Runs of a rule that a limit or a fault has ended.",
        |of, _, out| {
            each_rule(of, out, |totals| totals.aborts);
        },
    )
    .labels("rule"),
    Family::process(
        "tidegate_rule_endings",
        Counter,
        "Runs of a rule that ended their phase, by how: reply, discard, pool, retry.",
        |of, _, out| {
            for rule in &of.rules {
                let totals = &rule.totals;
                let endings = [
                    ("discard", totals.discards),
                    ("pool", totals.pool_selects),
                    ("reply", totals.responds),
                    ("retry", totals.retries),
                ];
                for (ending, count) in endings {
                    out.of(&format!("{},{}", label("ending", ending), label("rule", rule.name.as_str())));
                    out.value(count);
                }
            }
            out.of("");
        },
    )
    .labels("ending, rule"),
    Family::process(
        "tidegate_rule_slow",
        Counter,
        "Runs of a rule that took longer than trafficscript.execution_time_warning.",
        |of, _, out| {
            each_rule(of, out, |totals| totals.execution_time_warnings);
        },
    )
    .labels("rule"),
    Family::process("tidegate_rate_entered", Counter, "Requests that asked a rate class.", |of, _, out| {
        each_rate(of, out, |rate| rate.entered);
    })
    .labels("class"),
    Family::process(
        "tidegate_rate_dropped",
        Counter,
        "Requests that a rate class did not let pass, or that gave up waiting.",
        |of, _, out| {
            each_rate(of, out, |rate| rate.dropped);
        },
    )
    .labels("class"),
    Family::process("tidegate_rate_waiting", Gauge, "Requests that wait in a rate class.", |of, _, out| {
        each_rate(of, out, |rate| rate.waiting);
    })
    .labels("class"),
    Family::process(
        "tidegate_rate_contexts",
        Gauge,
        "Contexts that a rate class counts apart.",
        |of, _, out| {
            each_rate(of, out, |rate| rate.contexts);
        },
    )
    .labels("class"),
    Family::process(
        "tidegate_rate_contexts_full",
        Counter,
        "Requests whose context a rate class had to count together with others.",
        |of, _, out| {
            each_rate(of, out, |rate| rate.contexts_full);
        },
    )
    .labels("class"),
    Family::process(
        "tidegate_rule_names",
        Counter,
        "Questions of rules for names, by outcome.",
        |of, _, out| {
            let services = &of.rule_services;
            let known = services.names_remembered + services.names_failed + services.names_refused;
            out.with("outcome", "answered", services.names_asked.saturating_sub(known));
            out.with("outcome", "failed", services.names_failed);
            out.with("outcome", "refused", services.names_refused);
            out.with("outcome", "remembered", services.names_remembered);
        },
    )
    .labels("outcome"),
    Family::process(
        "tidegate_rule_requests",
        Counter,
        "Requests of rules to other servers.",
        |of, _, out| {
            out.value(of.rule_services.fetches);
        },
    ),
    Family::process(
        "tidegate_rule_request_failures",
        Counter,
        "Requests of rules to other servers that failed, by reason.",
        |of, _, out| {
            let services = &of.rule_services;
            let named = services.fetches_refused + services.fetches_too_large;
            out.with("reason", "other", services.fetches_failed.saturating_sub(named));
            out.with("reason", "refused", services.fetches_refused);
            out.with("reason", "too_large", services.fetches_too_large);
        },
    )
    .labels("reason"),
    Family::process(
        "tidegate_rule_request_connections",
        Counter,
        "Connections opened to other servers for rules.",
        |of, _, out| {
            out.value(of.rule_services.fetch_connections);
        },
    ),
    Family::process(
        "tidegate_rule_directory_questions",
        Counter,
        "Questions of rules to directories (auth.query) that came to an end, by outcome.",
        |of, _, out| {
            let services = &of.rule_services;
            out.with("outcome", "confirmed", services.directories_confirmed);
            out.with("outcome", "denied", services.directories_denied);
            let other = services.directories_failed.saturating_sub(services.directories_refused);
            out.with("outcome", "failed", other);
            out.with("outcome", "refused", services.directories_refused);
        },
    )
    .labels("outcome"),
    Family::process(
        "tidegate_rule_sockets_opened",
        Counter,
        "Connections that rules opened (tcp.connect).",
        |of, _, out| {
            out.value(of.rule_services.sockets_opened);
        },
    ),
    Family::process("tidegate_rule_sockets", Gauge, "Connections of rules that are open.", |of, _, out| {
        out.value(of.rule_services.sockets_open);
    }),
    Family::process(
        "tidegate_rule_datagrams",
        Counter,
        "Datagrams that rules sent (udp.sendTo).",
        |of, _, out| {
            out.value(of.rule_services.datagrams);
        },
    ),
    Family::process(
        "tidegate_rule_socket_failures",
        Counter,
        "Calls of tcp.* and udp.sendTo that failed, by reason.",
        |of, _, out| {
            let services = &of.rule_services;
            out.with("reason", "other", services.sockets_failed.saturating_sub(services.sockets_refused));
            out.with("reason", "refused", services.sockets_refused);
        },
    )
    .labels("reason"),
    Family::process("tidegate_rule_sleeping", Gauge, "Requests that a rule lets sleep.", |of, _, out| {
        out.value(of.rule_services.sleeping);
    }),
    Family::process(
        "tidegate_rule_sleeps_refused",
        Counter,
        "Sleeps that rules were refused because too many slept.",
        |of, _, out| {
            out.value(of.rule_services.sleeps_refused);
        },
    ),
    Family::process(
        "tidegate_service_level_conforming",
        Gauge,
        "Percentage of the requests of the last 10 seconds that conform to a service level class.",
        |of, _, out| {
            for class in &of.service_levels {
                out.with("class", &class.name, u64::from(class.conforming));
            }
        },
    )
    .labels("class"),
    Family::process(
        "tidegate_bandwidth_sent_bytes",
        Counter,
        "Bytes written under a bandwidth class, before TLS.",
        |of, _, out| {
            for class in &of.bandwidth {
                out.with("class", &class.name, class.totals.bytes_out);
            }
        },
    )
    .labels("class")
    .unit("bytes"),
    Family::process(
        "tidegate_bandwidth_limit_bytes_per_second",
        Gauge,
        "Bytes per second that a bandwidth class permits.",
        |of, _, out| {
            for class in &of.bandwidth {
                out.with("class", &class.name, u64::from(class.maximum) * 125);
            }
        },
    )
    .labels("class"),
    Family::process(
        "tidegate_bandwidth_waits",
        Counter,
        "Times that a write had to wait for its bandwidth class.",
        |of, _, out| {
            for class in &of.bandwidth {
                out.with("class", &class.name, class.totals.waits);
            }
        },
    )
    .labels("class"),
    Family::process(
        "tidegate_user_counter",
        Counter,
        "User counters of rules (counter.increment, counter64.increment) that have counted, the first 1000 of each width.",
        |of, _, out| {
            let narrow = of.user_counters.narrow.iter().map(|count| u64::from(*count));
            each_user_counter("32", narrow, out);
            each_user_counter("64", of.user_counters.wide.iter().copied(), out);
            out.of("");
        },
    )
    .labels("bits, number"),
    Family::process("tidegate_rule_data_bytes", Gauge, "Bytes that rules keep in data.*.", |of, _, out| {
        out.value(of.rule_services.data_bytes);
    })
    .unit("bytes"),
    Family::process(
        "tidegate_rule_data_limit_bytes",
        Gauge,
        "Most bytes that rules may keep in data.*.",
        |of, _, out| {
            out.value(of.rule_services.data_limit);
        },
    )
    .unit("bytes"),
];

/// Most user counters of each width that are shown.
const MOST_USER_COUNTERS: usize = 1000;

fn each_user_counter(bits: &str, counts: impl Iterator<Item = u64>, out: &mut Lines) {
    for (number, count) in (1..).zip(counts).take(MOST_USER_COUNTERS).filter(|(_, count)| *count > 0) {
        out.of(&format!("{},{}", label("bits", bits), label("number", &u32::to_string(&number))));
        out.value(count);
    }
}

fn each_rule(of: &Observation, out: &mut Lines, count: fn(&RuleTotals) -> u64) {
    for rule in &of.rules {
        out.with("rule", rule.name.as_str(), count(&rule.totals));
    }
}

fn each_rate(of: &Observation, out: &mut Lines, count: fn(&Rate) -> u64) {
    for rate in &of.rates {
        out.with("class", &rate.name, count(rate));
    }
}

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
    observation::{BandwidthClass, Observation, Rate},
};

pub(super) const FAMILIES: &[Family] = &[
    Family::each("rule", "tidegate_rule_executions", Counter, "Runs of a rule that were begun.", |of| rules(of, |totals| totals.executions)),
    Family::each("rule", "tidegate_rule_aborts", Counter, "Runs of a rule that a limit or a fault has ended.", |of| rules(of, |totals| totals.aborts)),
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
    Family::each("rule", "tidegate_rule_slow", Counter, "Runs of a rule that took longer than trafficscript.execution_time_warning.", |of| rules(of, |totals| totals.execution_time_warnings)),
    Family::each("class", "tidegate_rate_entered", Counter, "Requests that asked a rate class.", |of| rates(of, |rate| rate.entered)),
    Family::each("class", "tidegate_rate_dropped", Counter, "Requests that a rate class did not let pass, or that gave up waiting.", |of| rates(of, |rate| rate.dropped)),
    Family::each("class", "tidegate_rate_waiting", Gauge, "Requests that wait in a rate class.", |of| rates(of, |rate| rate.waiting)),
    Family::each("class", "tidegate_rate_contexts", Gauge, "Contexts that a rate class counts apart.", |of| rates(of, |rate| rate.contexts)),
    Family::each("class", "tidegate_rate_contexts_full", Counter, "Requests whose context a rate class had to count together with others.", |of| rates(of, |rate| rate.contexts_full)),
    Family::each("outcome", "tidegate_rule_names", Counter, "Questions of rules for names, by outcome.", |of| {
        let services = &of.rule_services;
        let known = services.names_remembered + services.names_failed + services.names_refused;
        vec![
            ("answered", services.names_asked.saturating_sub(known)),
            ("failed", services.names_failed),
            ("refused", services.names_refused),
            ("remembered", services.names_remembered),
        ]
    }),
    Family::value("tidegate_rule_requests", Counter, "Requests of rules to other servers.", |of| of.rule_services.fetches),
    Family::each("reason", "tidegate_rule_request_failures", Counter, "Requests of rules to other servers that failed, by reason.", |of| {
        let services = &of.rule_services;
        let named = services.fetches_refused + services.fetches_too_large + services.fetches_too_deep;
        vec![
            ("other", services.fetches_failed.saturating_sub(named)),
            ("refused", services.fetches_refused),
            ("too_large", services.fetches_too_large),
            ("too_deep", services.fetches_too_deep),
        ]
    }),
    Family::value("tidegate_rule_request_connections", Counter, "Connections opened to other servers for rules.", |of| of.rule_services.fetch_connections),
    Family::each("outcome", "tidegate_rule_directory_questions", Counter, "Questions of rules to directories (auth.query) that came to an end, by outcome.", |of| {
        let services = &of.rule_services;
        vec![
            ("confirmed", services.directories_confirmed),
            ("denied", services.directories_denied),
            ("failed", services.directories_failed.saturating_sub(services.directories_refused)),
            ("refused", services.directories_refused),
        ]
    }),
    Family::value("tidegate_rule_sockets_opened", Counter, "Connections that rules opened (tcp.connect).", |of| of.rule_services.sockets_opened),
    Family::value("tidegate_rule_sockets", Gauge, "Connections of rules that are open.", |of| of.rule_services.sockets_open),
    Family::value("tidegate_rule_datagrams", Counter, "Datagrams that rules sent (udp.sendTo).", |of| of.rule_services.datagrams),
    Family::each("reason", "tidegate_rule_socket_failures", Counter, "Calls of tcp.* and udp.sendTo that failed, by reason.", |of| {
        let services = &of.rule_services;
        vec![
            ("other", services.sockets_failed.saturating_sub(services.sockets_refused)),
            ("refused", services.sockets_refused),
        ]
    }),
    Family::value("tidegate_rule_sleeping", Gauge, "Requests that a rule lets sleep.", |of| of.rule_services.sleeping),
    Family::value("tidegate_rule_sleeps_refused", Counter, "Sleeps that rules were refused because too many slept.", |of| of.rule_services.sleeps_refused),
    Family::each("class", "tidegate_service_level_conforming", Gauge, "Percentage of the requests of the last 10 seconds that conform to a service level class.", |of| of.service_levels.iter().map(|class| (&*class.name, u64::from(class.conforming))).collect()),
    Family::each("class", "tidegate_bandwidth_sent_bytes", Counter, "Bytes written under a bandwidth class, before TLS.", |of| bandwidth(of, |class| class.totals.bytes_out)).unit("bytes"),
    Family::each("class", "tidegate_bandwidth_limit_bytes_per_second", Gauge, "Bytes per second that a bandwidth class permits.", |of| bandwidth(of, |class| u64::from(class.maximum) * 125)),
    Family::each("class", "tidegate_bandwidth_waits", Counter, "Times that a write had to wait for its bandwidth class.", |of| bandwidth(of, |class| class.totals.waits)),
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
    Family::value("tidegate_rule_data_bytes", Gauge, "Bytes that rules keep in data.*.", |of| of.rule_services.data_bytes).unit("bytes"),
    Family::value("tidegate_rule_data_limit_bytes", Gauge, "Most bytes that rules may keep in data.*.", |of| of.rule_services.data_limit).unit("bytes"),
];

/// Most user counters of each width that are shown.
const MOST_USER_COUNTERS: usize = 1000;

fn each_user_counter(bits: &str, counts: impl Iterator<Item = u64>, out: &mut Lines) {
    for (number, count) in (1..).zip(counts).take(MOST_USER_COUNTERS).filter(|(_, count)| *count > 0) {
        out.of(&format!("{},{}", label("bits", bits), label("number", &u32::to_string(&number))));
        out.value(count);
    }
}

fn rules(of: &Observation, count: fn(&RuleTotals) -> u64) -> Vec<(&str, u64)> {
    of.rules.iter().map(|rule| (rule.name.as_str(), count(&rule.totals))).collect()
}

fn rates(of: &Observation, count: fn(&Rate) -> u64) -> Vec<(&str, u64)> {
    of.rates.iter().map(|rate| (&*rate.name, count(rate))).collect()
}

fn bandwidth(of: &Observation, count: fn(&BandwidthClass) -> u64) -> Vec<(&str, u64)> {
    of.bandwidth.iter().map(|class| (&*class.name, count(class))).collect()
}

use std::{
    fmt::Write as _,
    time::{Duration, Instant, UNIX_EPOCH},
};

use super::{
    families::{Family, Kind, families},
    strict, *,
};
use crate::observation::sample::sample;

const ALL: Details = Details { objects: true, histograms: true, nodes: true };

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_secs(100)
}

fn series(observation: &Observation, details: Details) -> strict::Samples {
    let text = render(observation, Format::Prometheus, details, now());
    strict::read(&text, Format::Prometheus).unwrap_or_else(|fault| panic!("{fault}\n{text}")).0
}

#[test]
fn both_formats_are_read_by_a_strict_reader_and_say_the_same() {
    let mut observation = sample(3, 2);
    observation.virtual_servers[1].name = "quote \" backslash \\ end \n é".into();
    observation.virtual_servers[2].tls = false;
    for details in [Details::default(), ALL] {
        let plain = render(&observation, Format::Prometheus, details, now());
        let open = render(&observation, Format::OpenMetrics, details, now());
        let plain =
            strict::read(&plain, Format::Prometheus).unwrap_or_else(|fault| panic!("{fault}\n{plain}"));
        let open = strict::read(&open, Format::OpenMetrics).unwrap_or_else(|fault| panic!("{fault}\n{open}"));
        assert_eq!(plain.0, open.0);
        assert_eq!(plain.1.len(), open.1.len());
    }
}

#[test]
fn samples() {
    let observation = sample(2, 2);
    let series = series(&observation, ALL);
    let value = |name: &str, labels: &[(&str, &str)]| {
        let mut labels: Vec<_> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        labels.sort();
        *series.get(&(name.to_owned(), labels)).unwrap_or_else(|| panic!("no {name}"))
    };
    let close = |name: &str, labels: &[(&str, &str)], expected: f64| {
        let value = value(name, labels);
        assert!((value - expected).abs() < 1e-9, "{name} {labels:?} is {value}, not {expected}");
    };
    close("tidegate_requests_total", &[], 7e9);
    close("tidegate_config_generation", &[], 6.0);
    close("tidegate_config_last_reload_success_timestamp_seconds", &[], 1.7e9);
    close("process_start_time_seconds", &[], 1_699_999_980.0);
    close("tidegate_discovery_answer_age_seconds", &[("pool", "pool-0")], 99.0);
    close(
        "tidegate_certificate_not_after_timestamp_seconds",
        &[("collection", "ssl/server_keys"), ("certificate", "site")],
        2e9,
    );
    close(
        "http_server_request_duration_seconds_bucket",
        &[("http_response_status_class", "2xx"), ("le", "0.0025")],
        0.0,
    );
    close(
        "http_server_request_duration_seconds_bucket",
        &[("http_response_status_class", "2xx"), ("le", "0.005")],
        1.0,
    );
    close("http_server_request_duration_seconds_sum", &[("http_response_status_class", "4xx")], 20.0);
    close(
        "tidegate_virtual_server_responses_total",
        &[("virtual_server", "vs-1"), ("http_response_status_class", "5xx")],
        1.0,
    );
    close("tidegate_pool_nodes_available", &[("pool", "pool-1")], 2.0);
    close("tidegate_node_response_seconds_sum", &[("pool", "pool-1"), ("node", "10.0.0.1:80")], 0.006);
}

/// Series of one more object.
fn per_object(details: Details, label: &str) -> usize {
    let series = series(&sample(2, 1), details);
    let of = |name: &str| {
        series
            .keys()
            .filter(|(_, labels)| labels.iter().any(|(l, value)| l == label && value == name))
            .count()
    };
    match label {
        "virtual_server" => of("vs-1"),
        // Of the first, which has discovery; without those of its node.
        "pool" => series
            .keys()
            .filter(|(_, labels)| {
                labels.iter().any(|(l, value)| l == label && value == "pool-0")
                    && !labels.iter().any(|(l, _)| l == "node")
            })
            .count(),
        _ => series
            .keys()
            .filter(|(_, labels)| {
                labels.iter().any(|(l, _)| l == "node") && labels.iter().any(|(_, value)| value == "pool-0")
            })
            .count(),
    }
}

#[test]
fn series_stay_within_their_budget() {
    assert!(per_object(Details::default(), "virtual_server") < SERVER_BUDGET);
    assert!(per_object(Details::default(), "pool") < POOL_BUDGET);
    assert_eq!(per_object(Details::default(), "node"), 0);
}

#[test]
fn names_follow_the_conventions() {
    for family in families() {
        let unit = family.unit.unwrap_or_default();
        assert!(family.unit.is_none() || family.name.ends_with(&format!("_{unit}")), "{}", family.name);
        assert!(!family.name.ends_with("_total"), "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.name);
        let times = matches!(family.kind, Kind::Histogram | Kind::Summary | Kind::Duration);
        assert!(!times || family.unit == Some("seconds"), "{}", family.name);
        assert_eq!(family.name.ends_with("_info"), family.kind == Kind::Info, "{}", family.name);
    }
}

#[test]
fn details_are_a_list() {
    assert_eq!("".parse(), Ok(Details::default()));
    assert_eq!("none".parse(), Ok(Details::default()));
    assert_eq!("nodes, histograms,objects".parse(), Ok(ALL));
    assert!("nodes,all".parse::<Details>().is_err());
}

/// 500 virtual servers over 500 pools of 20 nodes. The time is asserted of optimised code only, and printed.
#[test]
fn a_large_configuration_is_told_quickly() {
    let observation = sample(500, 20);
    for (what, details, series) in [("by default", Details::default(), 15_000), ("everything", ALL, 100_000)]
    {
        let begin = Instant::now();
        let text = render(&observation, Format::OpenMetrics, details, now());
        let took = begin.elapsed();
        let lines = text.lines().count();
        println!("{what}: {lines} lines, {} bytes, {took:?}", text.len());
        assert!(lines > series / 2 && lines < series * 3, "{what}: {lines}");
        assert!(cfg!(debug_assertions) || took < Duration::from_millis(50), "{what}: {took:?}");
    }
}

const PAGE_HEAD: &str = "# Metrics\n\n\
    `/metrics` on an address of its own (`--metrics`, `TIDEGATE_METRICS`): the Prometheus text format, or OpenMetrics 1.0 \
    for scrapers that ask for it. Units are seconds and bytes. Counters are since the process started, those of an object \
    since it was configured; what is read is exact, up to the last answer a client has had.\n\n\
    Names that OpenTelemetry defines for HTTP are used where there is one. `http_response_status_class` is `1xx` to \
    `5xx`, or `none` where a request got no response.\n";

#[test]
fn the_page_of_metrics_is_up_to_date() {
    let mut page = PAGE_HEAD.to_owned();
    let default = Details::default();
    write!(
        page,
        "\n## How many series\n\n\
         | | by default | `objects` | `histograms` | `nodes` |\n|---|---|---|---|---|\n"
    )
    .unwrap();
    for (what, label) in [
        ("a virtual server with TLS", "virtual_server"),
        ("a pool with discovery", "pool"),
        ("a node", "node"),
    ] {
        let count = |details| per_object(details, label);
        writeln!(
            page,
            "| {what} | {} | +{} | +{} | +{} |",
            count(default),
            count(Details { objects: true, ..default }) - count(default),
            count(Details { histograms: true, ..default }) - count(default),
            count(Details { nodes: true, ..default }) - count(default),
        )
        .unwrap();
    }
    let process = series(&sample(0, 0), default).len();
    write!(
        page,
        "\nThe process itself has about {process}. By default a virtual server stays below {SERVER_BUDGET} and a pool below \
         {POOL_BUDGET}; the other columns are what `--metrics-detail` (`TIDEGATE_METRICS_DETAIL`), a list with commas, adds.\n"
    )
    .unwrap();
    for (title, label, is) in [
        (
            "The process",
            "",
            (|s| matches!(s, Samples::Process(_) | Samples::Value(_) | Samples::Each(_)))
                as fn(&Samples) -> bool,
        ),
        ("Virtual servers", "virtual_server", |s| matches!(s, Samples::Server(_))),
        ("Pools", "pool", |s| matches!(s, Samples::Pool(_))),
        ("Nodes", "pool, node", |s| matches!(s, Samples::Node(_))),
    ] {
        write!(page, "\n## {title}\n\n").unwrap();
        if !label.is_empty() {
            write!(
                page,
                "Every series has the label{} `{label}`.\n\n",
                if label.contains(',') { "s" } else { "" }
            )
            .unwrap();
        }
        page.push_str("| metric | type | further labels | with | |\n|---|---|---|---|---|\n");
        for family in families().iter().filter(|family| is(&family.samples)) {
            row(&mut page, family);
        }
    }
    page.push_str("\n---\n\nThis page is written by the program: after a change, renew it with\n\n```sh\nTIDEGATE_BLESS=1 cargo test -p tidegate-telemetry page_of_metrics\n```\n");
    crate::page::check("metrics.md", &page, "page_of_metrics");
}

fn row(page: &mut String, family: &Family) {
    let suffix = if family.kind == Kind::Counter { "_total" } else { "" };
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Info => "info",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
        Kind::Duration => "summary, or histogram with `histograms`",
    };
    let level = match family.level {
        Level::Always => "",
        Level::Objects => "`objects`",
        Level::Nodes => "`nodes`",
    };
    let labels = if family.labels.is_empty() { String::new() } else { format!("`{}`", family.labels) };
    writeln!(page, "| `{}{suffix}` | {kind} | {labels} | {level} | {} |", family.name, family.help).unwrap();
}

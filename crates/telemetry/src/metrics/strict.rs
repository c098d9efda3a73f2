//! A strict reader of both text formats, for tests: whatever a scraper might choke on is an error.

use std::collections::{BTreeMap, BTreeSet};

use super::Format;

/// Samples by name and labels (sorted), as text.
pub(crate) type Samples = BTreeMap<(String, Labels), f64>;

/// Names and values of labels.
pub(crate) type Labels = Vec<(String, String)>;

/// Types by family.
pub(crate) type Types = BTreeMap<String, String>;

/// Reads a whole text.
pub(crate) fn read(text: &str, format: Format) -> Result<(Samples, Types), String> {
    let mut samples = Samples::new();
    let mut types = Types::new();
    let mut helped = BTreeSet::new();
    let mut current = String::new();
    let mut ended = false;
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in text.lines() {
        let fault = |what: &str| Err(format!("{what}: {line}"));
        if ended {
            return fault("something follows the end");
        }
        if line == "# EOF" && format == Format::OpenMetrics {
            ended = true;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { return fault("no type") };
            let known: &[&str] = match format {
                Format::Prometheus => &["counter", "gauge", "histogram", "summary", "untyped"],
                Format::OpenMetrics => &["counter", "gauge", "histogram", "summary", "info", "unknown"],
            };
            if !known.contains(&kind) || !is_name(name) {
                return fault("no such type");
            }
            if types.insert(name.to_owned(), kind.to_owned()).is_some() {
                return fault("a family begins twice");
            }
            name.clone_into(&mut current);
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, text)) = rest.split_once(' ') else { return fault("no help") };
            if name != current || text.is_empty() || !helped.insert(name.to_owned()) {
                return fault("help of another family");
            }
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let Some((name, unit)) = rest.split_once(' ') else { return fault("no unit") };
            if format != Format::OpenMetrics || name != current || !name.ends_with(&format!("_{unit}")) {
                return fault("a unit that is not the end of the name");
            }
        } else if line.starts_with('#') || line.is_empty() {
            return fault("a line that is nothing");
        } else {
            let (name, labels, value) = sample(line)?;
            let kind = types.get(&current).map_or("", String::as_str);
            let suffix = name.strip_prefix(&*current).unwrap_or("?");
            let fits = match (kind, format) {
                ("counter", Format::OpenMetrics) => suffix == "_total",
                ("counter", Format::Prometheus) => suffix.is_empty() && name.ends_with("_total"),
                ("gauge", _) => suffix.is_empty(),
                ("info", _) => suffix == "_info" && (value - 1.0).abs() < f64::EPSILON,
                ("histogram", _) => matches!(suffix, "_bucket" | "_sum" | "_count"),
                ("summary", _) => matches!(suffix, "_sum" | "_count"),
                _ => false,
            };
            if !fits {
                return fault("a sample that does not belong to its family");
            }
            if (suffix == "_bucket") != labels.iter().any(|(name, _)| name == "le") {
                return fault("le and _bucket go together");
            }
            if kind != "gauge" && (value.is_nan() || value < 0.0) {
                return fault("a count below zero");
            }
            let mut sorted = labels.clone();
            sorted.sort();
            sorted.dedup_by(|a, b| a.0 == b.0);
            if sorted.len() != labels.len() {
                return fault("a label twice");
            }
            if samples.insert((name, sorted), value).is_some() {
                return fault("a series twice");
            }
        }
    }
    if format == Format::OpenMetrics && !ended {
        return Err("no # EOF".to_owned());
    }
    if helped.len() != types.len() {
        return Err("a family without help".to_owned());
    }
    histograms(&samples, &types)?;
    Ok((samples, types))
}

/// Buckets only grow, the last is +Inf and equals the count, and there is a sum.
fn histograms(samples: &Samples, types: &Types) -> Result<(), String> {
    for name in types.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
        let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for ((_, labels), value) in samples.iter().filter(|((of, _), _)| *of == format!("{name}_bucket")) {
            let (le, rest): (Vec<_>, Vec<_>) = labels.iter().cloned().partition(|(name, _)| name == "le");
            let bound = if le[0].1 == "+Inf" { f64::INFINITY } else { le[0].1.parse().map_err(|_| "le")? };
            series.entry(rest).or_default().push((bound, *value));
        }
        let told = samples.keys().any(|(of, _)| *of == format!("{name}_count"));
        if told && series.is_empty() {
            return Err(format!("the histogram {name} has no buckets"));
        }
        for (labels, mut buckets) in series {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let of = |suffix: &str| samples.get(&(format!("{name}{suffix}"), labels.clone()));
            let grows = buckets.windows(2).all(|two| two[0].1 <= two[1].1 && two[0].0 < two[1].0);
            let last = buckets.last().copied();
            if !grows
                || last.map(|(bound, _)| bound) != Some(f64::INFINITY)
                || last.map(|(_, count)| count) != of("_count").copied()
                || of("_sum").is_none()
            {
                return Err(format!("the histogram {name} {labels:?} does not add up"));
            }
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let fault = |what: &str| format!("{what}: {line}");
    let end = line.find(['{', ' ']).ok_or_else(|| fault("no value"))?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err(fault("no name"));
    }
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or_else(|| fault("no label"))?;
            if !is_name(label) {
                return Err(fault("a label's name"));
            }
            let (value, behind) = quoted(value).ok_or_else(|| fault("a label's value"))?;
            labels.push((label.to_owned(), value));
            rest = behind;
            match rest.chars().next() {
                Some(',') => rest = &rest[1..],
                Some('}') => {
                    rest = &rest[1..];
                    break;
                }
                _ => return Err(fault("labels do not end")),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(|| fault("no space"))?;
    if value.contains(' ') {
        return Err(fault("more than a value"));
    }
    Ok((name.to_owned(), labels, value.parse().map_err(|_| fault("no number"))?))
}

/// Text up to the closing quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                '\\' => '\\',
                '"' => '"',
                'n' => '\n',
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

#[test]
fn the_reader_is_strict() {
    let good = "# TYPE a gauge\n# HELP a A.\na{b=\"c\\\"\"} 1\na 2\n";
    assert_eq!(read(good, Format::Prometheus).unwrap().0.len(), 2);
    for bad in [
        "a 1\n",
        "# TYPE a gauge\n# HELP a A.\na 1",
        "# TYPE a gauge\n# HELP a A.\na 1\na 1\n",
        "# TYPE a gauge\n# HELP a A.\na{b=\"c} 1\n",
        "# TYPE a gauge\n# HELP a A.\na{b=\"c\",b=\"d\"} 1\n",
        "# TYPE a gauge\n# HELP a A.\nb 1\n",
        "# TYPE a gauge\na 1\n",
        "# TYPE a counter\n# HELP a A.\na 1\n",
        "# TYPE a gauge\n# HELP a A.\na one\n",
        "# TYPE a histogram\n# HELP a A.\na_bucket{le=\"+Inf\"} 2\na_sum 1\na_count 1\n",
        "# TYPE a histogram\n# HELP a A.\na_bucket{le=\"1.0\"} 1\na_sum 1\na_count 1\n",
    ] {
        assert!(read(bad, Format::Prometheus).is_err(), "{bad}");
    }
    assert!(read(good, Format::OpenMetrics).is_err());
    assert!(read(&format!("{good}# EOF\n"), Format::OpenMetrics).is_ok());
}

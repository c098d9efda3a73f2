//! Writes samples as lines of text.

use std::fmt::Write as _;

use tidegate_model::counters::{BOUNDS, HistogramTotals, MeasureTotals};

use super::{
    Format,
    families::{Family, Kind},
};

/// Memory to begin with: what a small configuration needs.
const FIRST_CAPACITY: usize = 64 << 10;

/// The text while it is written.
pub(super) struct Lines {
    out: String,
    format: Format,
    /// Whether durations of objects are told with their buckets.
    histograms: bool,
    /// Name of the present family without `_total`.
    name: &'static str,
    suffix: &'static str,
    /// Labels of the present object, without braces.
    labels: String,
    /// Upper bounds of buckets as labels.
    bounds: Vec<String>,
}

/// `name="value"`, escaped as both formats ask.
pub(super) fn label(name: &str, value: &str) -> String {
    let mut out = String::with_capacity(name.len() + value.len() + 3);
    out.push_str(name);
    out.push_str("=\"");
    escape(&mut out, value, true);
    out.push('"');
    out
}

/// Backslash and line end are escaped everywhere, quotes where there are some around it.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

impl Lines {
    pub(super) fn new(format: Format, histograms: bool) -> Self {
        let mut bounds: Vec<String> =
            BOUNDS.iter().map(|bound| format!("le=\"{}\"", Seconds(*bound))).collect();
        bounds.push("le=\"+Inf\"".to_owned());
        Self {
            out: String::with_capacity(FIRST_CAPACITY),
            format,
            histograms,
            name: "",
            suffix: "",
            labels: String::new(),
            bounds,
        }
    }

    /// Begins a family.
    pub(super) fn begin(&mut self, family: &Family) {
        self.name = family.name;
        self.suffix = if family.kind == Kind::Counter { "_total" } else { "" };
        let open = self.format == Format::OpenMetrics;
        // In OpenMetrics the name of a family of counters is without the suffix, and so is that of an info.
        let (told, kind) = match family.kind {
            Kind::Counter if open => (family.name.to_owned(), "counter"),
            Kind::Counter => (format!("{}_total", family.name), "counter"),
            Kind::Info if open => (family.name.trim_end_matches("_info").to_owned(), "info"),
            Kind::Info | Kind::Gauge => (family.name.to_owned(), "gauge"),
            Kind::Histogram => (family.name.to_owned(), "histogram"),
            Kind::Duration if self.histograms => (family.name.to_owned(), "histogram"),
            Kind::Summary | Kind::Duration => (family.name.to_owned(), "summary"),
        };
        // Writing to a string cannot fail, here and below.
        _ = writeln!(self.out, "# TYPE {told} {kind}");
        if open && let Some(unit) = family.unit {
            _ = writeln!(self.out, "# UNIT {told} {unit}");
        }
        _ = write!(self.out, "# HELP {told} ");
        escape(&mut self.out, family.help, open);
        self.out.push('\n');
    }

    /// What follows is of the object with these labels.
    pub(super) fn of(&mut self, labels: &str) {
        self.labels.clear();
        self.labels.push_str(labels);
    }

    /// One sample.
    pub(super) fn value(&mut self, value: u64) {
        self.head(self.suffix, "");
        _ = writeln!(self.out, "{value}");
    }

    /// One sample with a label of its own.
    pub(super) fn with(&mut self, name: &str, label_value: &str, value: u64) {
        self.head(self.suffix, &label(name, label_value));
        _ = writeln!(self.out, "{value}");
    }

    /// One sample with labels of its own, written by [`label`], in seconds of `micros`.
    pub(super) fn seconds_with(&mut self, labels: &str, micros: u64) {
        self.head(self.suffix, labels);
        _ = writeln!(self.out, "{}", Seconds(micros));
    }

    /// One sample with labels of its own that may be below zero.
    pub(super) fn signed_with(&mut self, labels: &str, value: i64) {
        self.head(self.suffix, labels);
        _ = writeln!(self.out, "{value}");
    }

    /// Durations with all buckets, with a label of their own.
    pub(super) fn histogram(&mut self, own: &str, totals: &HistogramTotals) {
        let bounds = std::mem::take(&mut self.bounds);
        let mut with_bound = String::new();
        for (bound, count) in bounds.iter().zip(totals.cumulative()) {
            with_bound.clear();
            if !own.is_empty() {
                with_bound.push_str(own);
                with_bound.push(',');
            }
            with_bound.push_str(bound);
            self.head("_bucket", &with_bound);
            _ = writeln!(self.out, "{count}");
        }
        self.bounds = bounds;
        self.sum_and_count(own, totals.sum, totals.count());
    }

    /// Durations of an object: with all buckets if that was asked for, else sum and count.
    pub(super) fn durations(&mut self, totals: &HistogramTotals) {
        if self.histograms {
            self.histogram("", totals);
        } else {
            self.sum_and_count("", totals.sum, totals.count());
        }
    }

    /// Sum and count.
    pub(super) fn measured(&mut self, totals: &MeasureTotals) {
        self.sum_and_count("", totals.sum, totals.count);
    }

    fn sum_and_count(&mut self, own: &str, micros: u64, count: u64) {
        self.head("_sum", own);
        _ = writeln!(self.out, "{}", Seconds(micros));
        self.head("_count", own);
        _ = writeln!(self.out, "{count}");
    }

    /// Name, labels and a space.
    fn head(&mut self, suffix: &str, own: &str) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        if !self.labels.is_empty() || !own.is_empty() {
            self.out.push('{');
            self.out.push_str(&self.labels);
            if !self.labels.is_empty() && !own.is_empty() {
                self.out.push(',');
            }
            self.out.push_str(own);
            self.out.push('}');
        }
        self.out.push(' ');
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// µs as seconds, without loss.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0 / 1_000_000, self.0 % 1_000_000);
        let mut digits = format!("{part:06}");
        digits.truncate(digits.trim_end_matches('0').len().max(1));
        write!(f, "{whole}.{digits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        for (micros, text) in [
            (0, "0.0"),
            (1, "0.000001"),
            (500, "0.0005"),
            (1_000_000, "1.0"),
            (2_500_000, "2.5"),
            (u64::MAX, "18446744073709.551615"),
        ] {
            assert_eq!(Seconds(micros).to_string(), text);
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("pool", "a\"b\\c\nd"), r#"pool="a\"b\\c\nd""#);
    }
}

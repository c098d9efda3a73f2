//! Which of the two text formats a scraper gets.

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for (RFC 9110 section 12.5.1): OpenMetrics if it is named and wanted at least as
    /// much as plain text, else the Prometheus format, which everybody understands.
    pub fn wanted(accept: &str) -> Self {
        let mut open = None;
        let mut plain = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameter = |part: &str| {
                let (name, value) = part.split_once('=')?;
                Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
            };
            let mut weight = 1.0;
            let mut version = None;
            for (name, value) in parts.filter_map(parameter) {
                match &*name {
                    "q" => weight = value.parse::<f32>().unwrap_or(0.0),
                    "version" => version = Some(value),
                    _ => {}
                }
            }
            let best = |known: Option<f32>| Some(known.map_or(weight, |known| known.max(weight)));
            match &*kind {
                // Version 0.0.1 was a draft; 1.0.0 is what is written here.
                "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => {
                    open = best(open);
                }
                "text/plain" | "text/*" | "*/*" => plain = best(plain),
                _ => {}
            }
        }
        match open {
            Some(open) if open > 0.0 && open >= plain.unwrap_or(0.0) => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// `Content-Type` of the text.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Format::{self, OpenMetrics, Prometheus};

    #[test]
    fn scrapers_get_what_they_ask_for() {
        for (accept, format) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("text/plain", Prometheus),
            ("application/openmetrics-text", OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.6,application/openmetrics-text;version=\"1.0.0\";q=0.5,text/plain;q=0.4",
                OpenMetrics,
            ),
            ("application/openmetrics-text; version=0.0.1", Prometheus),
            ("application/openmetrics-text;q=0.1, text/plain;q=0.9", Prometheus),
            ("Application/OpenMetrics-Text;q=0", Prometheus),
            ("application/json", Prometheus),
            (";;=,q=", Prometheus),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }
}

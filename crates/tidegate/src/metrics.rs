//! The metrics address: `/metrics` for Prometheus and whatever reads its formats.

use std::{sync::Arc, time::SystemTime};

use hyper::StatusCode;
use tidegate_telemetry::metrics::{Details, Format, render};

use crate::{
    pages::{Page, Pages},
    watching::Watching,
};

/// What the metrics address answers.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) watching: Arc<Watching>,
    pub(crate) details: Details,
}

impl Pages for Metrics {
    const ABOUT: (&'static str, &'static [&'static str]) = ("metrics", &["/metrics"]);

    async fn page(&self, _path: &str, accept: &str) -> Page {
        let format = Format::wanted(accept);
        let observation = self.watching.observe().await;
        let details = self.details;
        let write = move || render(&observation, format, details, SystemTime::now());
        // Of many objects it takes milliseconds, which the control loop need not wait for.
        match tokio::task::spawn_blocking(write).await {
            Ok(text) => Page { status: StatusCode::OK, content_type: format.content_type(), text },
            Err(error) => Page::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

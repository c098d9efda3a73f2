//! TrafficScript rules seen from outside: what clients and nodes get when rules edit, answer, route, wait and fail.

mod bodies;
mod effects;
mod faults;
mod levels;
mod messages;
mod orders;
mod others;
mod routing;
mod streams;
mod tls;
mod waiting;

use std::net::SocketAddr;

use tidegate_harness::{Document, Site, Value, json};

/// Rules of a virtual server, one per phase; empty = none.
#[derive(Clone, Copy, Debug, Default)]
struct Rules<'a> {
    request: &'a str,
    response: &'a str,
    completion: &'a str,
}

impl Rules<'_> {
    /// Adds the rules to a document.
    fn into_document(self, mut document: Document) -> Document {
        for (name, text) in self.named() {
            if !text.is_empty() {
                document = document.raw("rules", name, text);
            }
        }
        document
    }

    fn named(&self) -> [(&'static str, &str); 3] {
        [("on request", self.request), ("on response", self.response), ("on completion", self.completion)]
    }

    /// Properties of the virtual server that has them.
    fn properties(&self) -> Value {
        let [request, response, completion] =
            self.named().map(|(name, text)| if text.is_empty() { json!([]) } else { json!([name]) });
        json!({ "basic": {
            "request_rules": request, "response_rules": response, "completion_rules": completion,
        } })
    }
}

/// A site whose virtual server has these rules.
async fn site(nodes: &[SocketAddr], rules: Rules<'_>) -> Site {
    site_with(nodes, rules, json!({}), |document| document).await
}

/// As [`site`], with properties of the pool and more in the document.
async fn site_with(
    nodes: &[SocketAddr],
    rules: Rules<'_>,
    pool: Value,
    more: impl FnOnce(Document) -> Document,
) -> Site {
    Site::with(nodes, rules.properties(), pool, |document| more(rules.into_document(document))).await
}

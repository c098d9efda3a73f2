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

use tidegate_harness::{Document, Site, Value, document::lay_over, json};

/// Rules of a virtual server, one per phase; empty = none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules<'a> {
    pub(crate) request: &'a str,
    pub(crate) response: &'a str,
    pub(crate) completion: &'a str,
}

/// A request rule alone.
pub(crate) fn on_request(text: &str) -> Rules<'_> {
    Rules { request: text, ..Rules::default() }
}

/// A response rule alone.
pub(crate) fn on_response(text: &str) -> Rules<'_> {
    Rules { response: text, ..Rules::default() }
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
    site_with(nodes, rules, |document| document).await
}

/// As [`site`], with more in the document.
async fn site_with(nodes: &[SocketAddr], rules: Rules<'_>, more: impl FnOnce(Document) -> Document) -> Site {
    site_of(nodes, rules, json!({}), json!({}), more).await
}

/// As [`site_with`], with properties of virtual server and pool.
pub(crate) async fn site_of(
    nodes: &[SocketAddr],
    rules: Rules<'_>,
    mut server: Value,
    pool: Value,
    more: impl FnOnce(Document) -> Document,
) -> Site {
    lay_over(&mut server, &rules.properties());
    Site::with(nodes, server, pool, |document| more(rules.into_document(document))).await
}

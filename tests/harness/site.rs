//! The usual set-up: one virtual server over one pool.

use std::net::SocketAddr;

use serde_json::Value;

use crate::{Client, Document, Port, Setup, Tidegate, client::Response};

/// Tidegate with a virtual server `site` over a pool `nodes`.
#[derive(Debug)]
pub struct Site {
    /// The process.
    pub tidegate: Tidegate,
    /// Where the virtual server listens.
    pub address: SocketAddr,
    port: Port,
}

impl Site {
    /// Starts with these nodes and further properties of virtual server and pool.
    pub async fn start(nodes: &[SocketAddr], server: Value, pool: Value) -> Self {
        Self::with(nodes, server, pool, |document| document).await
    }

    /// As [`Site::start`], with more in the document.
    pub async fn with(
        nodes: &[SocketAddr],
        server: Value,
        pool: Value,
        more: impl FnOnce(Document) -> Document,
    ) -> Self {
        let port = Port::free();
        let document = more(document(port.number(), nodes, &server, &pool));
        Self { tidegate: Tidegate::start(&document).await, address: port.address(), port }
    }

    /// As [`Site::with`], with more of the set-up changed.
    pub async fn set_up(document: impl FnOnce(u16) -> Document, set_up: impl FnOnce(Setup) -> Setup) -> Self {
        let port = Port::free();
        let setup = set_up(Setup::new(&document(port.number())));
        Self { tidegate: setup.start().await, address: port.address(), port }
    }

    /// The port of the virtual server.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The document of [`Site::start`] with other values.
    pub fn document(&self, nodes: &[SocketAddr], server: &Value, pool: &Value) -> Document {
        document(self.port(), nodes, server, pool)
    }

    /// A new client connection.
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// GET over a new connection.
    pub async fn get(&self, path: &str) -> Response {
        self.client().await.get(path).await
    }

    /// A request with header lines over a new connection.
    pub async fn request(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Response {
        self.client().await.request(method, path, headers, body).await
    }

    /// The labels of the nodes that answer `count` requests over one connection.
    pub async fn nodes(&self, count: usize) -> Vec<String> {
        let mut client = self.client().await;
        let mut labels = Vec::new();
        for _ in 0..count {
            let response = client.get("/").await;
            assert_eq!(response.status, 200, "{}", response.text());
            labels.push(response.node().to_owned());
        }
        labels
    }
}

fn document(port: u16, nodes: &[SocketAddr], server: &Value, pool: &Value) -> Document {
    Document::new().server("site", port, "nodes", server).pool("nodes", nodes, pool)
}

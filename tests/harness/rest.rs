//! A client of the REST interface.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    Client, Response, Tidegate,
    tls::{self, Version},
};

/// The password that [`Rest`] uses unless told otherwise.
pub const PASSWORD: &str = "correct horse";
/// `admin:correct horse`.
const CREDENTIAL: &str = "YWRtaW46Y29ycmVjdCBob3JzZQ==";
/// Where the configuration lies.
pub const ACTIVE: &str = "/api/tm/8.3/config/active";
/// Where the status lies.
pub const STATUS: &str = "/api/tm/8.3/status/local_tm";

/// A connection to the REST interface, logged in. Made anew when an answer ended it.
#[derive(Debug)]
pub struct Rest {
    client: Client,
    address: SocketAddr,
    tls: bool,
    /// The `Authorization` header line; empty for none.
    pub authorization: String,
}

impl Rest {
    /// Connects to the interface of `tidegate` (started with `--rest 127.0.0.1:0`) with TLS.
    pub async fn connect(tidegate: &Tidegate) -> Self {
        Self::to(Self::address(tidegate).await).await
    }

    /// Connects to `address` with TLS.
    pub async fn to(address: SocketAddr) -> Self {
        Self::open(address, true).await
    }

    /// Connects to `address` in the clear.
    pub async fn plain(address: SocketAddr) -> Self {
        Self::open(address, false).await
    }

    async fn open(address: SocketAddr, tls: bool) -> Self {
        let client = client(address, tls).await;
        Self { client, address, tls, authorization: format!("Authorization: Basic {CREDENTIAL}") }
    }

    /// Where the interface of `tidegate` listens, as the log tells.
    pub async fn address(tidegate: &Tidegate) -> SocketAddr {
        let line = tidegate.line(&["REST: http", "/api/"]).await;
        let (_, rest) = line.split_once("://").unwrap();
        rest.split('/').next().unwrap().parse().unwrap()
    }

    /// Sends a request and reads its response.
    pub async fn ask(&mut self, method: &str, path: &str, media_type: &str, body: &[u8]) -> Response {
        self.send(method, path, media_type, body).await;
        let response = self.client.response_to(method).await;
        self.heard(response).await
    }

    async fn heard(&mut self, response: Response) -> Response {
        if response.header("Connection") == Some("close") {
            self.client = client(self.address, self.tls).await;
        }
        response
    }

    /// Sends a request; [`Rest::response`] reads its response.
    pub async fn send(&mut self, method: &str, path: &str, media_type: &str, body: &[u8]) {
        let media_type = format!("Content-Type: {media_type}");
        let length = format!("Content-Length: {}", body.len());
        let mut headers = vec![media_type.as_str(), length.as_str()];
        if !self.authorization.is_empty() {
            headers.push(&self.authorization);
        }
        let mut bytes = crate::client::request(method, path, &headers, b"");
        bytes.extend_from_slice(body);
        self.client.send(bytes).await;
    }

    /// The response to a request sent before, or why there is none.
    pub async fn response(&mut self, method: &str) -> std::io::Result<Response> {
        self.client.try_response(method).await
    }

    /// Reads a resource.
    pub async fn get(&mut self, path: &str) -> Response {
        let response = self.client.request("GET", path, &[&self.authorization.clone()], b"").await;
        self.heard(response).await
    }

    /// The properties of an object below `config/active`, which must be there.
    pub async fn properties(&mut self, object: &str) -> Value {
        let response = self.get(&format!("{ACTIVE}/{object}")).await;
        assert_eq!(response.status, 200, "{object}: {}", response.text());
        body(&response)["properties"].clone()
    }

    /// Writes properties of an object below `config/active`.
    pub async fn put(&mut self, object: &str, properties: &Value) -> Response {
        let body = json!({ "properties": properties }).to_string();
        self.ask("PUT", &format!("{ACTIVE}/{object}"), "application/json", body.as_bytes()).await
    }

    /// Writes properties of an object below `config/active`, which must be right.
    pub async fn write(&mut self, object: &str, properties: &Value) -> Response {
        let response = self.put(object, properties).await;
        assert!(matches!(response.status, 200 | 201), "{object}: {} {}", response.status, response.text());
        response
    }

    /// Deletes an object below `config/active`, which must be there.
    pub async fn delete(&mut self, object: &str) {
        let response = self.ask("DELETE", &format!("{ACTIVE}/{object}"), "application/json", b"").await;
        assert_eq!(response.status, 204, "{object}: {}", response.text());
    }

    /// Names of the children of a path.
    pub async fn names(&mut self, path: &str) -> Vec<String> {
        let response = self.get(path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        let children = body(&response)["children"].as_array().unwrap().clone();
        children.iter().map(|child| child["name"].as_str().unwrap().to_owned()).collect()
    }
}

async fn client(address: SocketAddr, tls: bool) -> Client {
    if tls {
        Client::tls(address, &tls::client(Version::Both), "localhost").await
    } else {
        Client::connect(address).await
    }
}

/// The JSON document of a response.
pub fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body.data)
        .unwrap_or_else(|error| panic!("{error} in {:?}", response.text()))
}

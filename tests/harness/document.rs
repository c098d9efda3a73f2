//! Documents in the product's format, put together from parts.

use std::{fmt, net::SocketAddr};

use serde_json::{Map, Value, json};

/// One document. JSON is YAML, so its text is what `config/` holds.
#[derive(Clone, Debug)]
pub struct Document(Value);

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// A document with nothing but its version.
    pub fn new() -> Self {
        Self(json!({ "version": 6.2 }))
    }

    /// Adds an object of a collection (`pools`, `ssl/server_keys`) with its properties.
    #[must_use]
    pub fn add(self, collection: &str, name: &str, properties: impl Into<Value>) -> Self {
        let properties: Value = properties.into();
        self.entry(collection, json!({ "name": name, "properties": properties }))
    }

    /// Adds a raw object (`rules`, `monitor_scripts`, `servicediscovery`, `extra_files`, `ssl/cas`).
    #[must_use]
    pub fn raw(self, collection: &str, name: &str, content: impl Into<Value>) -> Self {
        self.entry(collection, json!({ "name": name, "content": content.into() }))
    }

    /// Adds an HTTP virtual server on 127.0.0.1; `properties` are laid over.
    #[must_use]
    pub fn server(self, name: &str, port: u16, pool: &str, properties: &Value) -> Self {
        let mut all = json!({ "basic": {
            "enabled": true,
            "protocol": "http",
            "listen_on_any": false,
            "listen_on_hosts": ["127.0.0.1"],
            "port": port,
            "pool": pool,
        } });
        lay_over(&mut all, properties);
        self.add("virtual_servers", name, all)
    }

    /// Adds a pool of these nodes; `properties` are laid over.
    #[must_use]
    pub fn pool(self, name: &str, nodes: &[SocketAddr], properties: &Value) -> Self {
        let mut all = json!({ "basic": { "nodes_table": table(nodes) } });
        lay_over(&mut all, properties);
        self.add("pools", name, all)
    }

    /// Adds a pool whose nodes are discovered with `BuiltIn-DNS_Stateless`.
    #[must_use]
    pub fn discovered(self, name: &str, arguments: &str, properties: &Value) -> Self {
        let mut all = json!({
            "basic": { "nodes_table": [] },
            "service_discovery": {
                "enabled": true,
                "plugin": "BuiltIn-DNS_Stateless",
                "plugin_args": arguments,
            },
        });
        lay_over(&mut all, properties);
        self.add("pools", name, all)
    }

    /// Adds a certificate and its key.
    #[must_use]
    pub fn key(self, name: &str, certificate: &str, private_key: &str) -> Self {
        let properties = json!({ "basic": {
            "note": "", "public": certificate, "private": private_key, "request": "",
        } });
        self.add("ssl/server_keys", name, properties)
    }

    /// Lays `value` over the whole document.
    #[must_use]
    pub fn with(mut self, value: &Value) -> Self {
        lay_over(&mut self.0, value);
        self
    }

    fn entry(mut self, collection: &str, entry: Value) -> Self {
        let mut place = &mut self.0;
        let mut steps = collection.split('/').peekable();
        while let Some(step) = steps.next() {
            let empty = if steps.peek().is_some() { json!({}) } else { json!([]) };
            place = place.as_object_mut().unwrap().entry(step).or_insert(empty);
        }
        place.as_array_mut().unwrap().push(entry);
        self
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// A `nodes_table` of active nodes.
pub fn table(nodes: &[SocketAddr]) -> Value {
    nodes.iter().map(|node| json!({ "node": node.to_string() })).collect()
}

/// Lays `over` over `under`, mapping by mapping; anything else is replaced whole.
pub fn lay_over(under: &mut Value, over: &Value) {
    let Value::Object(over) = over else {
        *under = over.clone();
        return;
    };
    if !under.is_object() {
        *under = Value::Object(Map::new());
    }
    let under = under.as_object_mut().unwrap();
    for (key, value) in over {
        lay_over(under.entry(key).or_insert(Value::Null), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_a_document() {
        let node = "127.0.0.1:1".parse().unwrap();
        let document = Document::new()
            .server("site", 80, "nodes", &json!({ "basic": { "enabled": false } }))
            .pool("nodes", &[node], &json!({ "http": { "keepalive": false } }))
            .key("pair", "c", "k");
        assert_eq!(document.0["virtual_servers"][0]["properties"]["basic"]["enabled"], false);
        assert_eq!(document.0["virtual_servers"][0]["properties"]["basic"]["port"], 80);
        assert_eq!(document.0["pools"][0]["properties"]["basic"]["nodes_table"][0]["node"], "127.0.0.1:1");
        assert_eq!(document.0["ssl"]["server_keys"][0]["name"], "pair");
    }
}

//! The demo's documents, written as a ConfigMap volume would hold them.
//!
//! A plain and a TLS virtual server over one pool of discovered nodes, with a cookie that keeps a visitor on
//! its node and the monitor `Simple HTTP`.

use std::{fs, io, net::SocketAddr, path::Path};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::dns::SERVICE_NAME;

/// Host name of the demo's certificate.
pub(crate) const HOST: &str = "sample.demo.localhost";
/// The demo's pool.
pub(crate) const POOL: &str = "sample-pool";
/// The demo's plain virtual server.
pub(crate) const PLAIN: &str = "sample-http";
/// The demo's TLS virtual server.
pub(crate) const TLS: &str = "sample-https";

/// What the documents are filled with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Of the plain virtual server.
    pub(crate) plain: u16,
    /// Of the TLS virtual server.
    pub(crate) tls: u16,
    /// The demo's DNS server.
    pub(crate) dns: SocketAddr,
}

/// Writes documents, certificate and key below `base`. Returns the certificate as PEM text.
pub(crate) fn write(base: &Path, ports: Ports) -> io::Result<String> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([HOST.to_owned(), "localhost".to_owned()]).map_err(io::Error::other)?;
    let tls = base.join("data/tls/sample");
    fs::create_dir_all(&tls)?;
    fs::create_dir_all(base.join("config"))?;
    fs::write(tls.join("tls.crt"), cert.pem())?;
    fs::write(tls.join("tls.key"), signing_key.serialize_pem())?;
    fs::write(base.join("config/40-sample"), sample(ports))?;
    Ok(cert.pem())
}

fn sample(ports: Ports) -> String {
    let Ports { plain, tls, dns } = ports;
    format!(
        "\
version: 6.2

virtual_servers:
- name: {PLAIN}
  properties:
    basic:
      enabled: true
      protocol: http
      listen_on_any: false
      listen_on_hosts: [ 127.0.0.1 ]
      port: {plain}
      pool: {POOL}
- name: {TLS}
  properties:
    basic:
      enabled: true
      protocol: http
      listen_on_any: false
      listen_on_hosts: [ 127.0.0.1 ]
      port: {tls}
      pool: {POOL}
      ssl_decrypt: true
    ssl:
      server_cert_default: sample

pools:
- name: {POOL}
  properties:
    basic:
      note: Nodes are discovered from the demo's own DNS server
      passive_monitoring: true
      monitors: [ Simple HTTP ]
      nodes_table: []
      persistence_class: sample-sessions
    load_balancing:
      algorithm: least_connections
    service_discovery:
      enabled: true
      plugin: BuiltIn-DNS_Stateless
      plugin_args: --servicename={SERVICE_NAME} --nameserver={dns}

persistence:
- name: sample-sessions
  properties:
    basic:
      type: transparent

ssl:
  server_keys:
  - name: sample
    properties:
      basic:
        note: Made by the demo at start
        public:
          valueFrom: {{ fileRef: {{ name: data/tls/sample/tls.crt }} }}
        private:
          valueFrom: {{ fileRef: {{ name: data/tls/sample/tls.key }} }}
        request: \"\"
"
    )
}

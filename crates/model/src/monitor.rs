//! Active health monitors.

use std::{sync::Arc, time::Duration};

use crate::{MonitorName, ScriptName, virtual_server::ListenHost};

/// An entry of `monitors`.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// Its name.
    pub name: MonitorName,
    /// `basic.type` with the settings of that type.
    pub probe: Probe,
    /// `basic.scope`, `basic.machine`.
    pub scope: Scope,
    /// `basic.delay`: time between runs.
    pub delay: Duration,
    /// `basic.timeout`: longest duration of a run.
    pub timeout: Duration,
    /// `basic.failures`: consecutive failures until the node has failed.
    pub failures: u32,
    /// `basic.back_off`: lengthen the delay while failed.
    pub back_off: bool,
    /// `basic.use_ssl`.
    pub use_tls: bool,
    /// `basic.verbose`: log every run.
    pub verbose: bool,
    /// `basic.health_only`: results are shown and do not fail the node.
    pub health_only: bool,
}

/// What a monitor checks.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// `pernode`: every node on its own.
    PerNode,
    /// `poolwide`: one machine stands for the whole pool.
    PoolWide {
        /// Host of `basic.machine`.
        host: ListenHost,
        /// Port of `basic.machine`, if written.
        port: Option<u16>,
    },
}

/// `basic.type`. Regular expressions are known to compile.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// `ping`: ICMP echo.
    Ping,
    /// `connect`: a TCP (and TLS) connection.
    Connect,
    /// `http`: a GET request.
    Http {
        /// `http.path`.
        path: Arc<str>,
        /// `http.host_header`, if not empty.
        host_header: Option<Arc<str>>,
        /// `http.authentication` as `user:password`, if not empty.
        authentication: Option<Arc<str>>,
        /// `http.status_regex`, matched against the three digits.
        status_regex: Arc<str>,
        /// `http.body_regex`, if not empty.
        body_regex: Option<Arc<str>>,
    },
    /// `tcp_transaction`. Escapes (`\r`, `\n`, `\xHH`) in the strings are already resolved.
    TcpTransaction {
        /// `tcp.write_string`.
        write: Arc<[u8]>,
        /// `tcp.response_regex`.
        response_regex: Arc<str>,
        /// `tcp.close_string`.
        close: Arc<[u8]>,
        /// `tcp.max_response_len`, bytes.
        max_response_len: usize,
    },
    /// `program`: a script of the `monitor_scripts` catalogue; exit status 0 = working.
    Program {
        /// `script.program`.
        program: ScriptName,
        /// `script.arguments` as name and value.
        arguments: Vec<(Arc<str>, Arc<str>)>,
    },
    /// `rtsp` or `sip`, reported and not run yet.
    NotYet(&'static str),
}

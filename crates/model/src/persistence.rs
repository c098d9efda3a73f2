//! Session persistence classes.

use std::sync::Arc;

use crate::PersistenceName;

/// An entry of `persistence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistenceClass {
    /// Its name. Part of the derivation of transparent cookies.
    pub name: PersistenceName,
    /// `basic.type` with the settings of that type.
    pub method: Method,
    /// `basic.failure_mode`, `basic.url`.
    pub failure_mode: FailureMode,
    /// `basic.delete`: forget the session when its node has failed.
    pub delete: bool,
}

/// How a session is recognised (`basic.type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `transparent`: a cookie inserted by Tidegate names the node.
    Transparent {
        /// `transparent_directives`: further cookie attributes.
        directives: Arc<str>,
        /// `transparent_always_set_cookie`.
        always_set: bool,
    },
    /// `cookie`: an application cookie is watched in responses.
    Cookie {
        /// `cookie`: its name, not empty.
        name: Arc<str>,
    },
    /// `ip`: the client's address, or its subnet.
    Ip {
        /// `subnet_prefix_length_v4`, 0 = the whole address.
        prefix_v4: u8,
        /// `subnet_prefix_length_v6`, 0 = the whole address.
        prefix_v6: u8,
    },
    /// `universal`: a key that a rule sets, `connection.setPersistenceKey`.
    Universal,
    /// `named`: a node that a rule names, `connection.setPersistenceNode`.
    Named,
    /// `j2ee`. Not acted on yet.
    J2ee,
    /// `asp`. Not acted on yet.
    Asp,
    /// `ssl`. Not acted on yet.
    Ssl,
    /// `x_zeus`. Not acted on yet.
    XZeus,
}

/// What happens to a request whose session's node cannot take it (`basic.failure_mode`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureMode {
    /// Choose another node and start a new session there.
    NewNode,
    /// Redirect to `basic.url`.
    Url(Arc<str>),
    /// Close the client connection.
    Close,
}

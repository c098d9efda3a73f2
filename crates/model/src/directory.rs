//! What rules ask of others by name: directories (`rule_authenticators`) and places of traffic managers (`locations`).

mod filter;

use std::{fmt, sync::Arc};

pub use self::filter::{Filter, Template};

use crate::{AuthenticatorName, CaName, LocationName};

/// An entry of `locations`.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// Its name.
    pub name: LocationName,
    /// `basic.latitude`, degrees north, -90 to 90 (default 0).
    pub latitude: f64,
    /// `basic.longitude`, degrees east, -180 to 180 (default 0).
    pub longitude: f64,
}

/// An entry of `rule_authenticators`: an LDAP directory that rules ask about users.
#[derive(Clone, PartialEq, Eq)]
pub struct Authenticator {
    /// Its name.
    pub name: AuthenticatorName,
    /// `basic.host`: a name or an address, never empty.
    pub host: Arc<str>,
    /// `basic.port`, never 0 (default 389).
    pub port: u16,
    /// `ldap.attributes`: what is asked for; empty = every attribute of users.
    pub attributes: Vec<Arc<str>>,
    /// `ldap.bind_dn`: who asks; empty = nobody in particular.
    pub bind_dn: Arc<str>,
    /// `ldap.bind_password`. A secret.
    pub bind_password: Arc<str>,
    /// `ldap.filter`, with `%u` where the user's name goes.
    pub filter: Filter,
    /// `ldap.filter_base_dn`: below which entry users are.
    pub base_dn: Arc<str>,
    /// `ldap.ssl_enabled`, `ldap.ssl_type`.
    pub security: DirectorySecurity,
    /// `ldap.ssl_cert`: what alone is trusted; `None` = the authorities of the machine.
    pub authority: Option<CaName>,
}

/// Without the password.
impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("bind_dn", &self.bind_dn)
            .field("filter", &self.filter)
            .field("base_dn", &self.base_dn)
            .field("security", &self.security)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// How a directory is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectorySecurity {
    /// In the clear.
    None,
    /// TLS from the first byte (`ldaps`).
    Tls,
    /// TLS after asking for it (`starttls`, RFC 4511 §4.14).
    StartTls,
}

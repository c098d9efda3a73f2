//! Names of configuration objects: cheap to clone, compared and ordered as text.

use std::{borrow::Borrow, fmt, sync::Arc};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as written in the documents.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}

names! {
    /// An entry of `virtual_servers`.
    VirtualServerName;
    /// An entry of `pools`.
    PoolName;
    /// An entry of `monitors`.
    MonitorName;
    /// An entry of `persistence`.
    PersistenceName;
    /// An entry of `rules`.
    RuleName;
    /// An entry of `rate`.
    RateName;
    /// An entry of `service_level_monitors`.
    LevelName;
    /// An entry of `bandwidth`.
    BandwidthName;
    /// An entry of `ssl/server_keys` or `ssl/client_keys`.
    KeyName;
    /// An entry of `ssl/cas`.
    CaName;
    /// An entry of `servicediscovery`, or the name of a built-in such as `BuiltIn-DNS_Stateless`.
    PluginName;
    /// An entry of `monitor_scripts`.
    ScriptName;
    /// An entry of `extra_files`.
    ExtraFileName;
    /// An entry of `actions`.
    ActionName;
    /// An entry of `action_programs`.
    ActionProgramName;
    /// An entry of `locations`.
    LocationName;
    /// An entry of `rule_authenticators`.
    AuthenticatorName;
}

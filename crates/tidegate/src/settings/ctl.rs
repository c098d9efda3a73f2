//! Settings of the commands that talk to a running Tidegate: where its REST interface is, who asks, whom to trust.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    Environment, SettingsError, parsed, path,
    rest::{self, RestAddress, Switch},
    variable,
};

/// User of the REST interface unless set.
const USER: &str = "admin";
/// The certificate that the REST interface makes for itself, below the state directory.
const OWN_CERTIFICATE: &str = "rest/tls.pem";

/// How to reach the REST interface.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AccessOptions {
    /// The REST interface. [default: that of TIDEGATE_REST on this machine, else https://127.0.0.1:9070]
    /// [env: TIDEGATE_CTL_URL]
    #[arg(long, value_name = "URL", global = true, help_heading = "Access")]
    pub(crate) url: Option<String>,

    /// The user. [default: admin] [env: TIDEGATE_CTL_USER]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Access")]
    pub(crate) user: Option<String>,

    /// File with the password. [env: TIDEGATE_ADMIN_PASSWORD_FILE; TIDEGATE_ADMIN_PASSWORD and ZEUS_PASS hold the
    /// password itself]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Access")]
    pub(crate) password_file: Option<PathBuf>,

    /// Certificates to trust (PEM): authorities, or the certificate of the REST interface itself. [default: those of
    /// the system, and what is made in the state directory] [env: TIDEGATE_CTL_CA, TIDEGATE_REST_CERTIFICATE]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Access", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Trust any certificate: whoever is on the way can read the password. [env: TIDEGATE_CTL_INSECURE=true]
    #[arg(long, global = true, help_heading = "Access")]
    pub(crate) insecure: bool,

    /// State directory of that Tidegate, whose certificate is trusted if it can be read. [env: TIDEGATE_STATE_DIR]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Access")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// How the REST interface is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Without a path.
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: Password,
    pub(crate) trust: Trust,
}

/// Where the password is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Password {
    /// Nowhere.
    None,
    /// Here.
    Text(String),
    /// In a file.
    File(PathBuf),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Which certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Any.
    Any,
    /// Those of this file.
    File(PathBuf),
    /// Those of the system, and the one in this file where it can be read.
    System(Option<PathBuf>),
}

/// Flags over environment over defaults.
pub(crate) fn resolve(options: AccessOptions, environment: &Environment) -> Result<Access, SettingsError> {
    let switch = |flag: bool, name| {
        let flag = flag.then_some(Switch(true));
        parsed(flag, environment, name, "true or false").map(|on| on.is_some_and(|on| on.0))
    };
    let url = match options.url.as_deref().or_else(|| variable(environment, "TIDEGATE_CTL_URL")) {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => own_url(environment, switch(false, "TIDEGATE_REST_PLAIN")?)?,
    };
    let password = match (options.password_file, variable(environment, "TIDEGATE_ADMIN_PASSWORD")) {
        (Some(file), _) => Password::File(file),
        (None, Some(text)) => Password::Text(text.to_owned()),
        (None, None) => path(None, environment, &["TIDEGATE_ADMIN_PASSWORD_FILE"])
            .map(Password::File)
            .or_else(|| zeus_password(environment).map(Password::Text))
            .unwrap_or(Password::None),
    };
    let ca = path(options.ca, environment, &["TIDEGATE_CTL_CA", "TIDEGATE_REST_CERTIFICATE"]);
    let state_dir = path(options.state_dir, environment, &["TIDEGATE_STATE_DIR"]);
    let trust = if switch(options.insecure, "TIDEGATE_CTL_INSECURE")? {
        Trust::Any
    } else {
        match ca {
            Some(file) => Trust::File(file),
            None => Trust::System(state_dir.map(|directory| directory.join(OWN_CERTIFICATE))),
        }
    };
    let user = options.user.or_else(|| variable(environment, "TIDEGATE_CTL_USER").map(str::to_owned));
    Ok(Access { url, user: user.unwrap_or_else(|| USER.to_owned()), password, trust })
}

/// `ZEUS_PASS`, unless it orders a password to be generated.
fn zeus_password(environment: &Environment) -> Option<String> {
    let text = variable(environment, "ZEUS_PASS")?;
    (!matches!(text, "RANDOM" | "SIMPLE" | "STRONG")).then(|| text.to_owned())
}

/// The interface of a Tidegate that was started with this environment, seen from the same machine.
fn own_url(environment: &Environment, plain: bool) -> Result<String, SettingsError> {
    let address = parsed(None, environment, "TIDEGATE_REST", "ADDR:PORT,… or off")?;
    let scheme = if plain { "http" } else { "https" };
    let address = match address {
        None => rest::DEFAULT_ADDRESS,
        // The first that is certain to be reached from here.
        Some(RestAddress::On(addresses)) => {
            let near = |address: &&SocketAddr| address.ip().is_loopback() || address.ip().is_unspecified();
            *addresses.iter().find(near).or_else(|| addresses.first()).unwrap_or(&rest::DEFAULT_ADDRESS)
        }
        Some(RestAddress::Off) => {
            let text = "TIDEGATE_REST is off; name the REST interface with --url or TIDEGATE_CTL_URL";
            return Err(SettingsError(text.to_owned()));
        }
    };
    if !address.ip().is_unspecified() {
        return Ok(format!("{scheme}://{address}"));
    }
    let host = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
    Ok(format!("{scheme}://{host}:{}", address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: AccessOptions, pairs: &[(&str, &str)]) -> Result<Access, SettingsError> {
        let environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(options, &environment)
    }

    #[test]
    fn the_interface_of_this_machine_is_found() {
        for (pairs, expected) in [
            (&[][..], "https://127.0.0.1:9070"),
            (&[("TIDEGATE_REST", "0.0.0.0:9071")][..], "https://127.0.0.1:9071"),
            (&[("TIDEGATE_REST", "[::]:9071"), ("TIDEGATE_REST_PLAIN", "true")], "http://[::1]:9071"),
            (&[("TIDEGATE_REST", "10.0.0.1:1")], "https://10.0.0.1:1"),
            (&[("TIDEGATE_CTL_URL", "https://tm:1/"), ("TIDEGATE_REST", "off")], "https://tm:1"),
        ] {
            assert_eq!(of(AccessOptions::default(), pairs).unwrap().url, expected);
        }
        assert!(of(AccessOptions::default(), &[("TIDEGATE_REST", "off")]).is_err());
        let flag = AccessOptions { url: Some("http://x:1".to_owned()), ..AccessOptions::default() };
        assert_eq!(of(flag, &[("TIDEGATE_CTL_URL", "https://tm:1")]).unwrap().url, "http://x:1");
    }

    #[test]
    fn password_user_and_trust_come_from_the_first_that_is_set() {
        let all = [
            ("TIDEGATE_ADMIN_PASSWORD", "secret"),
            ("TIDEGATE_ADMIN_PASSWORD_FILE", "/file"),
            ("TIDEGATE_CTL_USER", "ann"),
            ("TIDEGATE_CTL_CA", "/ca"),
            ("TIDEGATE_STATE_DIR", "/state"),
        ];
        let access = of(AccessOptions::default(), &all).unwrap();
        assert_eq!((access.user.as_str(), &access.trust), ("ann", &Trust::File("/ca".into())));
        assert_eq!(access.password, Password::Text("secret".to_owned()));
        assert!(!format!("{access:?}").contains("secret"));
        let access = of(AccessOptions::default(), &all[1..2]).unwrap();
        assert_eq!((access.user.as_str(), access.trust), ("admin", Trust::System(None)));
        assert_eq!(access.password, Password::File("/file".into()));
        let trust = of(AccessOptions::default(), &all[4..]).unwrap().trust;
        assert_eq!(trust, Trust::System(Some("/state/rest/tls.pem".into())));
        let options = AccessOptions {
            insecure: true,
            password_file: Some("/flag".into()),
            user: Some("bob".to_owned()),
            ..AccessOptions::default()
        };
        let access = of(options, &all).unwrap();
        assert_eq!((access.user.as_str(), access.trust), ("bob", Trust::Any));
        assert_eq!(access.password, Password::File("/flag".into()));
        for (zeus, expected) in [("RANDOM", Password::None), ("zeus", Password::Text("zeus".to_owned()))] {
            assert_eq!(of(AccessOptions::default(), &[("ZEUS_PASS", zeus)]).unwrap().password, expected);
        }
    }
}

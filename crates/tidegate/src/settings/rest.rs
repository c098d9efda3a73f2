//! Settings of the REST interface: where it listens, TLS, the password.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::Args;
use tidegate_admin::{PasswordSource, Strength, Transport};

use super::{Environment, SettingsError, parsed, path, variable};

/// Where the interface listens unless set.
pub(super) const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9070);
/// Most addresses it may listen on.
const MAX_ADDRESSES: usize = 16;

/// Options of the REST interface.
#[derive(Debug, Default, Args)]
pub(crate) struct RestOptions {
    /// Addresses of the REST interface with commas in between, or `off`. [default: 127.0.0.1:9070] [env: TIDEGATE_REST]
    #[arg(long, value_name = "ADDR:PORT,…")]
    pub(crate) rest: Option<RestAddress>,

    /// Certificate chain of the REST interface (PEM). [default: a self-signed one, kept in the state directory]
    /// [env: TIDEGATE_REST_CERTIFICATE]
    #[arg(long, value_name = "FILE")]
    pub(crate) rest_certificate: Option<PathBuf>,

    /// Key of that certificate (PEM). [env: TIDEGATE_REST_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) rest_key: Option<PathBuf>,

    /// Serve REST without TLS: whoever is on the way can read the password. [env: TIDEGATE_REST_PLAIN=true]
    #[arg(long)]
    pub(crate) rest_plain: bool,

    /// File with the password of the REST user `admin`. [default: one is generated and told once in the log]
    /// [env: TIDEGATE_ADMIN_PASSWORD_FILE; TIDEGATE_ADMIN_PASSWORD and ZEUS_PASS hold the password itself]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_password_file: Option<PathBuf>,
}

/// Where the interface listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RestAddress {
    /// Nowhere.
    Off,
    /// There; at least one, each once.
    On(Vec<SocketAddr>),
}

impl FromStr for RestAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        let mut addresses = Vec::new();
        for part in text.split(',') {
            let address = part
                .trim()
                .parse()
                .map_err(|_| "ADDR:PORT, or several with commas in between, or off is expected".to_owned())?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.len() > MAX_ADDRESSES {
            return Err(format!("at most {MAX_ADDRESSES} addresses are expected"));
        }
        Ok(Self::On(addresses))
    }
}

/// A switch of the environment.
pub(super) struct Switch(pub(super) bool);

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Self(true)),
            "false" | "no" | "off" | "0" => Ok(Self(false)),
            _ => Err("true or false is expected".to_owned()),
        }
    }
}

/// The REST interface as it is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RestSettings {
    /// Where it listens.
    pub(crate) addresses: Vec<SocketAddr>,
    /// TLS or not.
    pub(crate) transport: Transport,
    /// Password of the user `admin`.
    pub(crate) password: PasswordSource,
}

/// `None`: the interface is off.
pub(super) fn resolve(
    options: RestOptions,
    environment: &Environment,
) -> Result<Option<RestSettings>, SettingsError> {
    let addresses = match parsed(options.rest, environment, "TIDEGATE_REST", "ADDR:PORT,… or off")? {
        None => vec![DEFAULT_ADDRESS],
        Some(RestAddress::On(addresses)) => addresses,
        Some(RestAddress::Off) => return Ok(None),
    };
    let plain = options.rest_plain.then_some(Switch(true));
    let plain =
        parsed(plain, environment, "TIDEGATE_REST_PLAIN", "true or false")?.is_some_and(|plain| plain.0);
    let certificate = path(options.rest_certificate, environment, &["TIDEGATE_REST_CERTIFICATE"]);
    let key = path(options.rest_key, environment, &["TIDEGATE_REST_KEY"]);
    let transport = match (plain, certificate, key) {
        (true, None, None) => Transport::Plain,
        (false, None, None) => Transport::SelfSigned,
        (false, Some(certificate), Some(key)) => Transport::Files { certificate, key },
        (true, ..) => {
            let text = "REST is to be served without TLS and with a certificate; set one of both";
            return Err(SettingsError(text.to_owned()));
        }
        (false, ..) => {
            let text = "--rest-certificate and --rest-key (TIDEGATE_REST_CERTIFICATE, TIDEGATE_REST_KEY) go together";
            return Err(SettingsError(text.to_owned()));
        }
    };
    let password = password(options.admin_password_file, environment);
    Ok(Some(RestSettings { addresses, transport, password }))
}

fn password(file: Option<PathBuf>, environment: &Environment) -> PasswordSource {
    if let Some(file) = file {
        return PasswordSource::File(file);
    }
    if let Some(text) = variable(environment, "TIDEGATE_ADMIN_PASSWORD") {
        return PasswordSource::Text(text.to_owned());
    }
    if let Some(file) = path(None, environment, &["TIDEGATE_ADMIN_PASSWORD_FILE"]) {
        return PasswordSource::File(file);
    }
    match variable(environment, "ZEUS_PASS") {
        None | Some("RANDOM") => PasswordSource::Generated(Strength::Random),
        Some("SIMPLE") => PasswordSource::Generated(Strength::Simple),
        Some("STRONG") => PasswordSource::Generated(Strength::Strong),
        Some(text) => PasswordSource::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn of(pairs: &[(&str, &str)]) -> Option<RestSettings> {
        resolve(RestOptions::default(), &environment(pairs)).unwrap()
    }

    #[test]
    fn it_is_on_for_this_machine_with_tls_unless_set() {
        let settings = of(&[]).unwrap();
        assert_eq!(settings.addresses, ["127.0.0.1:9070".parse().unwrap()]);
        assert_eq!(settings.transport, Transport::SelfSigned);
        assert_eq!(settings.password, PasswordSource::Generated(Strength::Random));
        assert_eq!(of(&[("TIDEGATE_REST", "off")]), None);
        let open = of(&[("TIDEGATE_REST", "0.0.0.0:1"), ("TIDEGATE_REST_PLAIN", "true")]).unwrap();
        assert_eq!(open.addresses, ["0.0.0.0:1".parse().unwrap()]);
        let both = of(&[("TIDEGATE_REST", "127.0.0.1:9070, [2001:db8::1]:9070,127.0.0.1:9070")]).unwrap();
        let expected: [SocketAddr; 2] =
            ["127.0.0.1:9070".parse().unwrap(), "[2001:db8::1]:9070".parse().unwrap()];
        assert_eq!(both.addresses, expected);
        assert_eq!(open.transport, Transport::Plain);
        let options = RestOptions { rest: Some(RestAddress::Off), ..RestOptions::default() };
        assert_eq!(resolve(options, &environment(&[("TIDEGATE_REST", "0.0.0.0:1")])).unwrap(), None);
    }

    #[test]
    fn the_password_comes_from_the_first_that_is_set() {
        let all = [
            ("TIDEGATE_ADMIN_PASSWORD", "own"),
            ("TIDEGATE_ADMIN_PASSWORD_FILE", "/file"),
            ("ZEUS_PASS", "zeus"),
        ];
        let password = |pairs: &[(&str, &str)]| of(pairs).unwrap().password;
        assert_eq!(password(&all), PasswordSource::Text("own".to_owned()));
        assert_eq!(password(&all[1..]), PasswordSource::File("/file".into()));
        assert_eq!(password(&all[2..]), PasswordSource::Text("zeus".to_owned()));
        for (word, strength) in
            [("RANDOM", Strength::Random), ("SIMPLE", Strength::Simple), ("STRONG", Strength::Strong)]
        {
            assert_eq!(password(&[("ZEUS_PASS", word)]), PasswordSource::Generated(strength));
        }
        let options = RestOptions { admin_password_file: Some("/flag".into()), ..RestOptions::default() };
        let flag = resolve(options, &environment(&all)).unwrap().unwrap();
        assert_eq!(flag.password, PasswordSource::File("/flag".into()));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for pairs in [
            [("TIDEGATE_REST_CERTIFICATE", "/c"), ("X", "")],
            [("TIDEGATE_REST_KEY", "/k"), ("X", "")],
            [("TIDEGATE_REST_CERTIFICATE", "/c"), ("TIDEGATE_REST_PLAIN", "yes")],
            [("TIDEGATE_REST_PLAIN", "perhaps"), ("X", "")],
            [("TIDEGATE_REST", "9070"), ("X", "")],
            [("TIDEGATE_REST", "127.0.0.1:1,"), ("X", "")],
            [("TIDEGATE_REST", "127.0.0.1:1,off"), ("X", "")],
        ] {
            assert!(resolve(RestOptions::default(), &environment(&pairs)).is_err(), "{pairs:?}");
        }
    }
}

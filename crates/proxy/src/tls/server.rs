//! TLS of a virtual server: one [`TlsServer`] per virtual server, rebuilt when its settings, keys or authorities change.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    CipherSuite, ServerConfig,
    server::{
        NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
};
use tidegate_model::{
    CaName, GlobalSettings, KeyName, VirtualServerName,
    tls::{ClientCertificate, KeyPair, ServerTls},
};

use super::{
    avoids_aes,
    certificate::{Authorities, Certificates},
    choose::{Alternatives, Host, Names, Resolver, Shown, classify},
    provider, ticket,
    verify::AnyClient,
    versions,
};
use crate::Problem;

/// Tickets sent after a TLS 1.3 handshake; two let a client open a second connection while the first one resumes.
const TLS13_TICKETS: usize = 2;

/// How long before its end a certificate is warned about, seconds.
const EXPIRY_WARNING: i64 = 14 * 24 * 3600;

/// Everything a build depends on.
#[derive(Clone, Debug, PartialEq)]
struct Inputs {
    settings: ServerTls,
    pairs: BTreeMap<KeyName, Option<Arc<KeyPair>>>,
    authorities: BTreeMap<CaName, Option<Arc<str>>>,
    session_cache_size: usize,
    ticket_lifetime: Duration,
}

impl Inputs {
    fn gather(
        settings: &ServerTls,
        keys: &BTreeMap<KeyName, Arc<KeyPair>>,
        cas: &BTreeMap<CaName, Arc<str>>,
        global: &GlobalSettings,
    ) -> Self {
        let authorities = if settings.client_certificate == ClientCertificate::DontRequest {
            BTreeMap::new()
        } else {
            settings.client_authorities.iter().map(|name| (name.clone(), cas.get(name).cloned())).collect()
        };
        Self {
            pairs: used_keys(settings)
                .into_iter()
                .map(|name| (name.clone(), keys.get(name).cloned()))
                .collect(),
            settings: settings.clone(),
            authorities,
            session_cache_size: global.tls_session_cache_size,
            ticket_lifetime: global.tls_ticket_lifetime,
        }
    }
}

/// Every key a virtual server names.
fn used_keys(settings: &ServerTls) -> BTreeSet<&KeyName> {
    settings.default.iter().chain(settings.host_mapping.iter().flat_map(|row| &row.certificates)).collect()
}

/// What lets clients resume. A resumed session is not verified again, so it may only be carried over to a build that
/// would have accepted the same clients: `domain` must be equal.
#[derive(Clone, Debug)]
struct Resumption {
    domain: ResumptionDomain,
    ticketer: Arc<dyn ProducesTickets>,
    storage: Arc<dyn StoresServerSessions>,
}

#[derive(Clone, Debug, PartialEq)]
struct ResumptionDomain {
    client_certificate: ClientCertificate,
    authorities: BTreeMap<CaName, Option<Arc<str>>>,
    session_cache_size: usize,
    ticket_lifetime: Duration,
}

impl Resumption {
    fn new(inputs: &Inputs, previous: Option<&Self>) -> Result<Self, rustls::Error> {
        let domain = ResumptionDomain {
            client_certificate: inputs.settings.client_certificate,
            authorities: inputs.authorities.clone(),
            session_cache_size: inputs.session_cache_size,
            ticket_lifetime: inputs.ticket_lifetime,
        };
        if let Some(previous) = previous.filter(|previous| previous.domain == domain) {
            return Ok(previous.clone());
        }
        Ok(Self {
            ticketer: ticket::ticketer(domain.ticket_lifetime)?,
            storage: ServerSessionMemoryCache::new(domain.session_cache_size.max(1)),
            domain,
        })
    }
}

/// TLS of one virtual server, ready for handshakes. Shared by all workers.
#[derive(Debug)]
pub struct TlsServer {
    inputs: Inputs,
    problems: Vec<Problem>,
    certificates: Certificates,
    authorities: Authorities,
    resumption: Resumption,
    config: Orders,
    /// Configurations of destination addresses that have a row of their own.
    by_address: BTreeMap<IpAddr, Orders>,
}

/// One configuration in two orders of cipher suites.
#[derive(Debug)]
struct Orders {
    ours: Arc<ServerConfig>,
    clients: Arc<ServerConfig>,
}

impl Orders {
    fn new(mut config: ServerConfig) -> Self {
        let clients = Arc::new(config.clone());
        config.ignore_client_order = true;
        Self { ours: Arc::new(config), clients }
    }

    /// Ours is the cheapest, save for a client to which AES is dear.
    fn choose(&self, offered: &[CipherSuite]) -> &Arc<ServerConfig> {
        if avoids_aes(offered) { &self.clients } else { &self.ours }
    }
}

impl TlsServer {
    /// The configuration for a connection that was accepted on `local`, from a client that offers these cipher suites.
    pub fn config_for(&self, local: SocketAddr, offered: &[CipherSuite]) -> &Arc<ServerConfig> {
        let own_row = || self.by_address.get(&local.ip().to_canonical());
        let orders = if self.by_address.is_empty() { None } else { own_row() };
        orders.unwrap_or(&self.config).choose(offered)
    }

    /// The settings this was built from.
    pub fn settings(&self) -> &ServerTls {
        &self.inputs.settings
    }

    /// Every certificate it shows, with the end of its validity in seconds since 1970.
    pub fn certificate_ends(&self) -> impl Iterator<Item = (&KeyName, i64)> {
        self.certificates.iter().map(|(name, certificate)| (name, certificate.not_after))
    }

    /// Certificates that have ended, or will within 14 days, seen at `now` (seconds since 1970).
    pub fn expiry_notices(&self, now: i64) -> Vec<Expiring> {
        let expiring =
            self.certificates.iter().filter(|(_, certificate)| certificate.not_after < now + EXPIRY_WARNING);
        expiring
            .map(|(name, certificate)| {
                let ended = certificate.not_after < now;
                let days = certificate.not_after.abs_diff(now) / 86_400;
                let message = if ended {
                    format!(
                        "the certificate ended {days} days ago and clients refuse it; put a new one in its place"
                    )
                } else {
                    format!("the certificate ends in {days} days; put a new one in its place")
                };
                Expiring { certificate: name.clone(), ended, message }
            })
            .collect()
    }
}

/// A certificate that needs somebody's attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// Its name in `ssl/server_keys`.
    pub certificate: KeyName,
    /// Its time is over already.
    pub ended: bool,
    /// How long there is, and what to do.
    pub message: String,
}

/// Builds the TLS of virtual server `name`.
///
/// Unchanged inputs give `previous` back, with the problems it was built with. A key, certificate or authority that
/// cannot be read is a problem of that object, and the last good one of that name stays in use; `None` only when no
/// certificate at all can be served, or when client certificates are to be checked and no authority could be read.
pub fn build(
    name: &VirtualServerName,
    settings: &ServerTls,
    keys: &BTreeMap<KeyName, Arc<KeyPair>>,
    cas: &BTreeMap<CaName, Arc<str>>,
    global: &GlobalSettings,
    previous: Option<&Arc<TlsServer>>,
) -> (Option<Arc<TlsServer>>, Vec<Problem>) {
    let inputs = Inputs::gather(settings, keys, cas, global);
    if let Some(previous) = previous.filter(|previous| previous.inputs == inputs) {
        return (Some(Arc::clone(previous)), previous.problems.clone());
    }
    let mut problems = Vec::new();
    let certificates = Certificates::load(
        &used_keys(settings),
        keys,
        previous.map(|previous| &previous.certificates),
        "ssl/server_keys",
        &mut problems,
    );
    let authorities = Authorities::load(
        inputs.authorities.keys(),
        cas,
        previous.map(|previous| &previous.authorities),
        &mut problems,
    );
    let object = format!("virtual_servers/{name}");
    if certificates.is_empty() {
        // Whichever it was, a fault of a certificate or of the settings has been reported.
        let message = "ssl_decrypt is on and none of its certificates can be used, so TLS is not served";
        problems.push(Problem::new(object, message).of_key("basic.ssl_decrypt").following());
        return (None, problems);
    }
    let assembled = Resumption::new(&inputs, previous.map(|previous| &previous.resumption))
        .map_err(|error| error.to_string())
        .and_then(|resumption| {
            let verifier = client_verifier(settings, &authorities)?;
            let (config, by_address) = configurations(settings, &certificates, &verifier, &resumption)?;
            Ok((resumption, config, by_address))
        });
    match assembled {
        Ok((resumption, config, by_address)) => {
            let server = TlsServer {
                inputs,
                problems: problems.clone(),
                certificates,
                authorities,
                resumption,
                config,
                by_address,
            };
            (Some(Arc::new(server)), problems)
        }
        Err(fault) => {
            let follows = !problems.is_empty();
            let problem = Problem::new(object, format!("TLS is not served: {fault}"));
            problems.push(Problem { follows, ..problem }.of_key("basic.ssl_decrypt"));
            (None, problems)
        }
    }
}

/// `request_client_cert` with `client_cert_cas`.
fn client_verifier(
    settings: &ServerTls,
    authorities: &Authorities,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mandatory = match settings.client_certificate {
        ClientCertificate::DontRequest => return Ok(WebPkiClientVerifier::no_client_auth()),
        ClientCertificate::Request => false,
        ClientCertificate::Require => true,
    };
    if settings.client_authorities.is_empty() {
        return Ok(Arc::new(AnyClient { provider: provider(), mandatory }));
    }
    let roots = authorities.store();
    if roots.is_empty() {
        return Err("none of client_cert_cas can be read, so no client certificate could be checked".into());
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if mandatory { builder } else { builder.allow_unauthenticated() };
    builder.build().map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|error| error.to_string())
}

type Configurations = (Orders, BTreeMap<IpAddr, Orders>);

/// The configuration of any destination address, and those of addresses with a row of their own.
fn configurations(
    settings: &ServerTls,
    certificates: &Certificates,
    verifier: &Arc<dyn ClientCertVerifier>,
    resumption: &Resumption,
) -> Result<Configurations, String> {
    let good = |names: &[KeyName], site: Option<&str>| {
        let found = names.iter().filter_map(|name| Some((name, certificates.get(name.as_str())?)));
        Alternatives::new(found.map(|(name, certificate)| Shown {
            site: site.map(Into::into),
            name: name.clone(),
            certified: Arc::clone(&certificate.certified),
        }))
    };
    let rows = settings.host_mapping.iter().filter_map(|row| {
        let certificates = good(&row.certificates, Some(&row.host));
        (!certificates.is_empty()).then(|| (classify(&row.host), certificates))
    });
    let names = Arc::new(Names::new(rows.clone()));
    let configuration = |otherwise: Alternatives| -> Result<Orders, String> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(settings.versions))
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(Arc::clone(verifier))
            .with_cert_resolver(Arc::new(Resolver::new(Arc::clone(&names), otherwise)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if settings.tickets {
            config.ticketer = Arc::clone(&resumption.ticketer);
        }
        config.session_storage = if settings.session_cache {
            Arc::clone(&resumption.storage)
        } else {
            Arc::new(NoServerSessionStorage {})
        };
        config.send_tls13_tickets =
            if settings.tickets || settings.session_cache { TLS13_TICKETS } else { 0 };
        Ok(Orders::new(config))
    };
    let mut by_address = BTreeMap::new();
    for (host, certificates) in rows {
        if let Host::Address(address) = host
            && !by_address.contains_key(&address)
        {
            by_address.insert(address, configuration(certificates)?);
        }
    }
    Ok((configuration(good(&settings.default, None))?, by_address))
}

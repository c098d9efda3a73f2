//! TLS towards the nodes of a pool: one [`TlsClient`] per pool with `ssl.enable`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, danger::ServerCertVerifier},
    pki_types::{DnsName, ServerName},
    sign::SingleCertAndKey,
};
use tidegate_model::{
    CaName, KeyName, PoolName,
    tls::{KeyPair, NodeTls, TlsVersions},
};

use super::{
    certificate::{Authorities, Certificates},
    provider,
    verify::{AnyNode, StrictNode, Trust},
    versions,
};
use crate::Problem;

/// Server names a node's sessions are kept for; with `ssl.server_name` every host of a request is one.
const SESSIONS_PER_NODE: usize = 32;

/// Nodes of a pool whose configuration is kept. When a pool has seen more, all are made again as they are used.
const MAX_NODE_CONFIGS: usize = 16_384;

/// The authorities of the machine, read once.
static NATIVE_ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some certificate authorities of this machine cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    roots
});

/// The authorities of the machine.
pub(crate) fn native_roots() -> RootCertStore {
    NATIVE_ROOTS.clone()
}

/// Everything a build depends on.
#[derive(Debug, PartialEq)]
struct Inputs {
    settings: NodeTls,
    client_key: Option<Arc<KeyPair>>,
    /// Empty without `strict_verify`.
    authorities: BTreeMap<CaName, Arc<str>>,
}

/// TLS towards the nodes of one pool. Shared by all workers and by monitors.
#[derive(Debug)]
pub struct TlsClient {
    inputs: Inputs,
    problems: Vec<Problem>,
    certificates: Certificates,
    authorities: Authorities,
    template: ClientConfig,
    /// What `strict_verify` trusts; `None` when it is off.
    trust: Option<Arc<Trust>>,
    /// Configurations by node: each verifies its node's name and keeps its node's sessions.
    nodes: Mutex<HashMap<SocketAddr, NodeConfig>>,
    /// How often [`MAX_NODE_CONFIGS`] was reached.
    overflows: AtomicU64,
}

#[derive(Clone, Debug)]
struct NodeConfig {
    own_name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// The certificate it shows nodes, if there is one, with the end of its validity in seconds since 1970.
    pub fn certificate_ends(&self) -> impl Iterator<Item = (&KeyName, i64)> {
        self.certificates.iter().map(|(name, certificate)| (name, certificate.not_after))
    }

    /// The configuration and server name for a new connection to a node.
    ///
    /// `node_name` is the host name the node was configured by, if it was. `request_host` is the request's host without
    /// port; with `ssl.server_name` it is sent as SNI if it is a name (not an address). Without it, or without the
    /// setting, the node's own name goes in: sent only with the setting, and only if it is a name.
    ///
    /// Takes a lock for a look-up; meant for new connections, not for every request.
    pub fn session(
        &self,
        node: SocketAddr,
        node_name: Option<&str>,
        request_host: Option<&[u8]>,
    ) -> (Arc<ClientConfig>, ServerName<'static>) {
        let own_name = own_name(node, node_name);
        let server_name = request_host
            .filter(|_| self.inputs.settings.send_server_name)
            .and_then(|host| DnsName::try_from(host).ok())
            .map_or_else(|| own_name.clone(), |host| ServerName::DnsName(host.to_lowercase_owned()));
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = nodes.get(&node).filter(|known| known.own_name == own_name) {
            return (Arc::clone(&known.config), server_name);
        }
        if nodes.len() >= MAX_NODE_CONFIGS {
            self.overflows.fetch_add(1, Ordering::Relaxed);
            nodes.clear();
        }
        let config = self.config(&own_name);
        nodes.insert(node, NodeConfig { own_name, config: Arc::clone(&config) });
        (config, server_name)
    }

    /// The settings this was built from.
    pub fn settings(&self) -> &NodeTls {
        &self.inputs.settings
    }

    /// How often the table of node configurations was full and emptied.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    fn config(&self, own_name: &ServerName<'static>) -> Arc<ClientConfig> {
        let mut config = self.template.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS_PER_NODE);
        if let Some(trust) = &self.trust {
            config.dangerous().set_certificate_verifier(Arc::new(StrictNode {
                provider: provider(),
                trust: Arc::clone(trust),
                node: own_name.clone(),
            }));
        }
        Arc::new(config)
    }
}

/// The name a node's certificate must carry.
fn own_name(node: SocketAddr, name: Option<&str>) -> ServerName<'static> {
    name.and_then(|name| ServerName::try_from(name.trim_end_matches('.').to_owned()).ok())
        .unwrap_or_else(|| ServerName::IpAddress(node.ip().to_canonical().into()))
}

/// Builds the TLS of pool `pool`.
///
/// Unchanged inputs give `previous` back. With `strict_verify` a node's certificate must chain to an entry of `ssl/cas`, or,
/// when the catalogue has none, to an authority of the machine. A client key that cannot be read is a problem of
/// `ssl/client_keys/<name>`; the last good one is shown, or none. `None` only when rustls refuses the settings.
pub fn build(
    pool: &PoolName,
    settings: &NodeTls,
    client_keys: &BTreeMap<KeyName, Arc<KeyPair>>,
    cas: &BTreeMap<CaName, Arc<str>>,
    previous: Option<&Arc<TlsClient>>,
) -> (Option<Arc<TlsClient>>, Vec<Problem>) {
    let inputs = Inputs {
        client_key: settings.client_key.as_ref().and_then(|name| client_keys.get(name).cloned()),
        authorities: if settings.strict_verify { cas.clone() } else { BTreeMap::new() },
        settings: settings.clone(),
    };
    if let Some(previous) = previous.filter(|previous| previous.inputs == inputs) {
        return (Some(Arc::clone(previous)), previous.problems.clone());
    }
    let mut problems = Vec::new();
    let names: BTreeSet<&KeyName> = settings.client_key.iter().collect();
    let certificates = Certificates::load(
        &names,
        client_keys,
        previous.map(|previous| &previous.certificates),
        "ssl/client_keys",
        &mut problems,
    );
    let authorities = Authorities::load(
        inputs.authorities.keys(),
        cas,
        previous.map(|previous| &previous.authorities),
        &mut problems,
    );
    let trust = settings.strict_verify.then(|| {
        let roots = if cas.is_empty() { NATIVE_ROOTS.clone() } else { authorities.store() };
        if roots.is_empty() {
            let message = "ssl.strict_verify is on and no certificate authority is known, so every node is refused; add \
                           the nodes' authority to ssl/cas";
            problems.push(Problem::new(format!("pools/{pool}"), message).of_key("ssl.strict_verify"));
        }
        Arc::new(Trust {
            roots,
            pinned: authorities.certificates().cloned().collect(),
            names: settings.common_name_match.clone(),
        })
    });
    match template(settings, &certificates) {
        Ok(template) => {
            let client = TlsClient {
                inputs,
                problems: problems.clone(),
                certificates,
                authorities,
                template,
                trust,
                nodes: Mutex::default(),
                overflows: AtomicU64::new(0),
            };
            (Some(Arc::new(client)), problems)
        }
        Err(error) => {
            let message = format!("no TLS to its nodes is possible: {error}");
            problems.push(Problem::new(format!("pools/{pool}"), message).of_key("ssl.enable"));
            (None, problems)
        }
    }
}

/// TLS of monitors with `use_ssl` whose pool has none: any certificate, server name sent where there is one.
pub(crate) fn lax() -> Option<Arc<TlsClient>> {
    static LAX: LazyLock<Option<Arc<TlsClient>>> = LazyLock::new(|| {
        let settings = NodeTls {
            send_server_name: true,
            strict_verify: false,
            common_name_match: Vec::new(),
            client_key: None,
            versions: TlsVersions::default(),
            send_close_alerts: true,
        };
        build(&PoolName::from(""), &settings, &BTreeMap::new(), &BTreeMap::new(), None).0
    });
    LAX.clone()
}

/// What the configurations of all nodes have in common.
fn template(settings: &NodeTls, certificates: &Certificates) -> Result<ClientConfig, rustls::Error> {
    let verifier: Arc<dyn ServerCertVerifier> = Arc::new(AnyNode { provider: provider() });
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings.versions))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match settings.client_key.as_ref().and_then(|name| certificates.get(name.as_str())) {
        Some(key) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&key.certified))))
        }
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = settings.send_server_name;
    Ok(config)
}

//! One refresh of a DNS source: the search walk, addresses or services, and the [`Outcome`] they make.
//!
//! A walk ends at the first full name that has records, and at the first one whose servers fail: a later name
//! might be something else. The name that answered last is asked first, and alone while it answers.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_proto::rr::Name;
use tidegate_model::{Moment, NodeSet};

use super::{
    Client,
    answer::{Question, RecordKind, Records, Service},
    exchange::Plan,
    name,
    nodes::{self, Choice},
    resolv_conf::ResolvConf,
    targets::{self, Host, least},
};
use crate::{
    options::{EmptyPolicy, Family},
    schedule::{Coverage, FailureKind, Outcome, Verdict},
    source::{DnsSource, Families, Query, Search, literal},
    tally::Tally,
};

/// `ndots` for SRV names where the resolver configuration has none, as in the original.
const SRV_NDOTS: u8 = 3;
/// How often an address literal is looked at again; it cannot change.
const LITERAL_TTL: Duration = Duration::from_hours(24);
/// How often a name in the hosts file is looked at again besides when the file changes: what is taken out of it leaves
/// after as many looks as any other answer needs.
const HOSTS_TTL: Duration = Duration::from_secs(5);
/// Names listed in a message.
const MAX_LISTED: usize = 8;
/// Targets without addresses that are remembered.
const MAX_DEAD_TARGETS: usize = 10_000;

/// What a refresh found and what to say of it.
#[derive(Debug)]
pub(crate) struct LookupOutcome {
    pub(crate) outcome: Outcome,
    /// What was asked: record types and full name.
    pub(crate) question: Arc<str>,
    pub(crate) warning: Option<Arc<str>>,
}

/// A DNS source and what is remembered between refreshes.
#[derive(Debug)]
pub(crate) struct Lookup {
    source: DnsSource,
    /// The full name that answered last, and how often in a row it then had nothing.
    winner: Option<(Name, u32)>,
    /// The family that had no records while the other had some, and until when it is left alone.
    absent: Option<(Family, Moment)>,
    /// SRV targets that do not exist, and how often in a row they did not.
    dead: HashMap<String, u32>,
    /// When earlier names of the search list are looked at.
    recheck: Option<Moment>,
    /// A name earlier in the search list that exists too.
    shadow: Option<Arc<str>>,
}

/// What a full name had.
enum Asked {
    Found(Found),
    /// Nothing, and how that was said.
    Nothing(&'static str),
    Failed(FailureKind, String),
}

struct Found {
    nodes: NodeSet,
    coverage: Coverage,
    ttl: Option<Duration>,
    note: Option<String>,
}

enum Walk {
    Found(Found, Name),
    Empty(String),
    Failed(FailureKind, String),
}

/// What stays the same during one refresh.
struct Refresh<'a> {
    client: &'a Arc<Client>,
    tally: &'a Arc<Tally>,
    plan: Plan,
    now: Moment,
}

impl Lookup {
    pub(crate) fn new(source: DnsSource) -> Self {
        Self { source, winner: None, absent: None, dead: HashMap::new(), recheck: None, shadow: None }
    }

    /// Looks up once, within the refresh deadline.
    pub(crate) async fn refresh(&mut self, client: &Arc<Client>, tally: &Arc<Tally>) -> LookupOutcome {
        let configured = Arc::clone(self.source.query.name());
        if let (Query::Host { port, .. }, Some(address)) = (&self.source.query, literal(&configured)) {
            let nodes = NodeSet::of([SocketAddr::new(address.to_canonical(), *port)]);
            return LookupOutcome {
                outcome: found(nodes, Coverage::Complete, Some(LITERAL_TTL)),
                question: configured,
                warning: None,
            };
        }
        if let Some(found) = self.in_hosts_file(client, tally, &configured) {
            return found;
        }
        let kinds = self.kinds();
        let parsed = match name::parse(&configured) {
            Ok(parsed) => parsed,
            Err(why) => {
                let why = format!("{configured:?} cannot be a DNS name: {why}");
                return LookupOutcome {
                    outcome: Outcome::failed(FailureKind::Configuration, why),
                    question: format!("{kinds} {configured}").into(),
                    warning: None,
                };
            }
        };
        let conf = client.conf();
        let candidates = self.candidates(&parsed, &conf);
        let mut refresh = self.begin(client, tally, &conf);
        let servers = refresh.plan.servers.clone();
        let walk = match self.walk(&refresh, &candidates).await {
            // Another server may know better than one that has just started.
            Walk::Empty(why) if servers.len() > 1 => {
                refresh.plan.servers.rotate_left(1);
                match self.walk(&refresh, &candidates).await {
                    Walk::Found(found, name) => Walk::Found(found, name),
                    Walk::Empty(_) | Walk::Failed(..) => Walk::Empty(why),
                }
            }
            walk => walk,
        };
        let hint = self.cluster_hint(client, &parsed, &conf);
        let question: Arc<str> = match (&walk, &self.winner) {
            (Walk::Found(_, full), _) | (_, Some((full, _))) => {
                format!("{kinds} {}", name::show(full)).into()
            }
            _ => format!("{kinds} {configured}").into(),
        };
        match walk {
            Walk::Found(found, full) => {
                refresh.plan.servers = servers;
                self.look_at_earlier(&refresh, &candidates, &full).await;
                self.winner = Some((full, 0));
                self.finish(client, found, question)
            }
            Walk::Empty(why) => {
                if let Some((_, empties)) = &mut self.winner {
                    *empties = empties.saturating_add(1);
                }
                let why = with_hint(why, hint.as_deref());
                LookupOutcome {
                    outcome: Outcome { verdict: Verdict::Empty(why.into()), ttl: None, exactly: None },
                    question,
                    warning: hint.map(Into::into),
                }
            }
            Walk::Failed(kind, why) => LookupOutcome {
                outcome: Outcome::failed(kind, with_hint(why, hint.as_deref())),
                question,
                warning: hint.map(Into::into),
            },
        }
    }

    /// What the hosts file says of a name of a nodes table. While it stands there, DNS is not asked.
    fn in_hosts_file(&mut self, client: &Client, tally: &Tally, configured: &str) -> Option<LookupOutcome> {
        let Query::Host { port, .. } = self.source.query else { return None };
        if !self.source.nodes_table {
            return None;
        }
        let hosts = client.hosts();
        let addresses = hosts.addresses(configured);
        if addresses.is_empty() {
            return None;
        }
        // What DNS said last is nothing to hold on to.
        (self.winner, self.absent) = (None, None);
        let loopback = client.options.allow_loopback.unwrap_or(true);
        let choice = Choice { loopback, ..self.choice(client) };
        let (addresses, rejected) = choice.choose(addresses.iter().copied());
        tally.count(|counters| counters.rejected_addresses += rejected);
        let outcome = if addresses.is_empty() {
            let why = format!("{configured}: none of its addresses in the hosts file can be a node");
            Outcome::failed(FailureKind::Source, why)
        } else {
            let nodes = NodeSet::of(addresses.into_iter().map(|address| SocketAddr::new(address, port)));
            found(nodes, Coverage::Complete, Some(HOSTS_TTL))
        };
        Some(LookupOutcome { outcome, question: format!("hosts file {configured}").into(), warning: None })
    }

    fn kinds(&self) -> &'static str {
        match (&self.source.query, self.source.families) {
            (Query::Service { .. }, _) => "SRV",
            (_, Families::V4) => "A",
            (_, Families::V6) => "AAAA",
            (_, Families::Both) => "A+AAAA",
        }
    }

    /// The full names to try, in order.
    fn candidates(&self, parsed: &Name, conf: &ResolvConf) -> Vec<Name> {
        let ndots = conf.ndots.unwrap_or(match self.source.query {
            Query::Service { .. } => SRV_NDOTS,
            Query::Host { .. } => 1,
        });
        match &self.source.search {
            Search::List => name::candidates(parsed, &conf.search, ndots),
            Search::Domain(domain) => {
                let domain: Vec<Name> = name::parse(domain).ok().into_iter().collect();
                name::candidates(parsed, &domain, ndots)
            }
            Search::Off => name::candidates(parsed, &[], 0),
        }
    }

    fn begin<'a>(&self, client: &'a Arc<Client>, tally: &'a Arc<Tally>, conf: &ResolvConf) -> Refresh<'a> {
        let servers =
            if self.source.name_servers.is_empty() { &conf.servers } else { &self.source.name_servers };
        let most = client.options.timing.refresh_deadline;
        let plan =
            Plan::new(client, conf, servers, self.source.timeout.map_or(most, |limit| limit.min(most)));
        let now = client.now();
        Refresh { client, tally, plan, now }
    }

    /// Tries full names in order, the last winner first.
    async fn walk(&mut self, refresh: &Refresh<'_>, candidates: &[Name]) -> Walk {
        let mut order: Vec<&Name> = candidates.iter().collect();
        if let Some((winner, empties)) = &self.winner {
            let key = name::key(winner);
            if let Some(place) = candidates.iter().position(|name| name::key(name) == key) {
                let needed = match refresh.client.options.policy.empty {
                    EmptyPolicy::Confirm(count) => count.max(1),
                    EmptyPolicy::Immediate | EmptyPolicy::Keep => 1,
                };
                let winner = order.remove(place);
                // Until it is believed that the name is gone, nothing else may stand in for it.
                if empties.saturating_add(1) < needed {
                    order.clear();
                }
                order.insert(0, winner);
            } else {
                self.winner = None;
            }
        }
        let mut said = "NXDOMAIN";
        let order: Vec<Name> = order.into_iter().cloned().collect();
        for name in &order {
            match self.ask(refresh, name).await {
                Asked::Found(found) => return Walk::Found(found, name.clone()),
                Asked::Nothing(how) => {
                    if how != "NXDOMAIN" {
                        said = how;
                    }
                }
                Asked::Failed(kind, why) => return Walk::Failed(kind, why),
            }
        }
        let list: Vec<String> = order.iter().take(MAX_LISTED).map(name::show).collect();
        let more = if order.len() > MAX_LISTED { ", …" } else { "" };
        Walk::Empty(match list.as_slice() {
            [one] => format!("{said} for {} {one}", self.kinds()),
            several => format!(
                "{said} for {} under all search expansions: {}{more}",
                self.kinds(),
                several.join(", ")
            ),
        })
    }

    async fn ask(&mut self, refresh: &Refresh<'_>, full: &Name) -> Asked {
        match self.source.query.clone() {
            Query::Host { port, .. } => self.ask_host(refresh, full, port).await,
            Query::Service { port, .. } => self.ask_service(refresh, full, port).await,
        }
    }

    fn choice(&self, client: &Client) -> Choice {
        Choice {
            families: self.source.families,
            addresses: self.source.addresses,
            prefer: client.options.policy.prefer,
            loopback: false,
        }
    }

    async fn ask_host(&mut self, refresh: &Refresh<'_>, full: &Name, port: u16) -> Asked {
        let skip = self.absent.filter(|(_, until)| refresh.now < *until).map(|(family, _)| family);
        let families = self.source.families;
        let mut host = targets::host(
            refresh.client,
            refresh.tally,
            &refresh.plan,
            full,
            families,
            skip,
            self.source.nodes_table,
        )
        .await;
        if skip.is_some() && host.addresses.is_empty() && host.failed.is_empty() {
            // The other family has none any more either: the one left alone may have.
            self.absent = None;
            let nodes_table = self.source.nodes_table;
            host = targets::host(
                refresh.client,
                refresh.tally,
                &refresh.plan,
                full,
                families,
                None,
                nodes_table,
            )
            .await;
        }
        if host.addresses.is_empty() {
            self.absent = None;
            return match (host.failed.is_empty(), &host.cut) {
                (true, None) => Asked::Nothing(if host.no_such_name { "NXDOMAIN" } else { "no records" }),
                (true, Some(cut)) => Asked::Failed(FailureKind::Source, cut.clone()),
                (false, _) => Asked::Failed(FailureKind::Source, join(host.failed)),
            };
        }
        if families == Families::Both && skip.is_none() {
            let absent = host.absent.first().filter(|_| host.failed.is_empty() && host.cut.is_none());
            let recheck = refresh.client.options.timing.family_recheck;
            self.absent = absent.map(|family| (*family, refresh.now.after(recheck)));
        }
        let (addresses, rejected) = self.choice(refresh.client).choose_marked(&host.addresses);
        refresh.tally.count(|counters| counters.rejected_addresses += rejected);
        if addresses.is_empty() {
            let why = format!("{}: none of its addresses can be a node", name::show(full));
            return Asked::Failed(FailureKind::Source, why);
        }
        let coverage = match (host.cut, host.failed.into_iter().next()) {
            (Some(cut), _) => Coverage::Partial(cut.into()),
            (None, Some((family, why))) => Coverage::Without(family, why.into()),
            (None, None) => Coverage::Complete,
        };
        let nodes = NodeSet::of(addresses.into_iter().map(|address| SocketAddr::new(address, port)));
        Asked::Found(Found { nodes, coverage, ttl: host.ttl, note: None })
    }

    async fn ask_service(&mut self, refresh: &Refresh<'_>, full: &Name, port: Option<u16>) -> Asked {
        let question = Question { name: full.clone(), kind: RecordKind::Srv };
        let chain = match targets::chain(refresh.client, refresh.tally, &refresh.plan, question).await {
            Ok(chain) => chain,
            Err(why) => return Asked::Failed(FailureKind::Source, why),
        };
        let Records::Services(all) = &chain.answer.records else {
            return Asked::Nothing("no records");
        };
        if all.is_empty() {
            return match chain.cut {
                Some(cut) => Asked::Failed(FailureKind::Source, cut),
                None if chain.answer.says_no_such_name() => Asked::Nothing("NXDOMAIN"),
                None => Asked::Nothing("no records"),
            };
        }
        let named: Vec<&Service> = all.iter().filter(|service| !service.target.is_root()).collect();
        if named.is_empty() {
            return Asked::Nothing("the target \".\" (deliberately none)");
        }
        let services: Vec<Service> = named
            .iter()
            .filter(|service| port.is_some() || service.port != 0)
            .map(|s| (*s).clone())
            .collect();
        refresh.tally.count(|counters| counters.rejected_records += (named.len() - services.len()) as u64);
        let labelled = full.iter().next().is_some_and(|label| label.starts_with(b"_"));
        if port.is_none() && nodes::ambiguous(labelled, &services) {
            let why = format!(
                "{} names several ports for one host: say which with --servicename=_PORT._tcp.… or --port",
                name::show(full)
            );
            return Asked::Failed(FailureKind::Configuration, why);
        }
        // Servers drop the additional section before they drop answers: while some of it is there, no answer
        // is missing, although the message is marked as cut.
        let services_complete =
            chain.cut.is_none() || (chain.answer.truncated && !chain.answer.glue.is_empty());
        let cut = if services_complete { None } else { chain.cut.clone() };
        let loopback = refresh.client.loopback_from(chain.server, false);
        let glue: HashMap<String, Vec<(IpAddr, bool)>> = chain
            .answer
            .glue
            .iter()
            .map(|(name, list)| (name.clone(), list.iter().map(|glue| (glue.address, loopback)).collect()))
            .collect();
        let ttl_of_glue = services
            .iter()
            .filter_map(|service| chain.answer.glue.get(&name::key(&service.target)))
            .flatten()
            .map(|glue| glue.ttl)
            .min();
        let ttl = least(chain.ttl, ttl_of_glue);
        self.with_targets(refresh, services, glue, cut, ttl, port).await
    }

    /// Gives each service its addresses, from the additional section or by asking.
    async fn with_targets(
        &mut self,
        refresh: &Refresh<'_>,
        services: Vec<Service>,
        mut addresses: HashMap<String, Vec<(IpAddr, bool)>>,
        cut: Option<String>,
        mut ttl: Option<Duration>,
        port: Option<u16>,
    ) -> Asked {
        let choice = self.choice(refresh.client);
        let mut missing: HashMap<String, Name> = HashMap::new();
        for service in &services {
            let key = name::key(&service.target);
            let wanted = addresses.get(&key).is_some_and(|list| {
                list.iter().any(|(address, _)| self.source.families.want(address.to_canonical()))
            });
            if !wanted {
                missing.insert(key, service.target.clone());
            }
        }
        let mut gaps: Vec<String> = cut.into_iter().collect();
        let mut notes: Vec<String> = Vec::new();
        let mut dead = HashMap::new();
        let families = self.source.families;
        let asked: Vec<Name> = missing.into_values().collect();
        let (mut failures, mut gone) = (Vec::new(), 0_usize);
        for (key, host) in targets::hosts(refresh.client, refresh.tally, &refresh.plan, asked, families).await
        {
            ttl = least(ttl, host.ttl);
            self.judge_target(refresh, &key, &host, &mut dead, &mut gaps, &mut notes);
            gone += usize::from(host.no_such_name);
            failures.extend(host.failed.into_iter().map(|(_, why)| why));
            addresses.insert(key, host.addresses);
        }
        self.dead = dead;
        let mut rejected = 0;
        let with_addresses: Vec<(Service, Vec<IpAddr>)> = services
            .into_iter()
            .map(|service| {
                let (chosen, bad) =
                    choice.choose_marked(addresses.get(&name::key(&service.target)).map_or(&[], |l| &**l));
                rejected += bad;
                (service, chosen)
            })
            .collect();
        refresh.tally.count(|counters| counters.rejected_addresses += rejected);
        let nodes = nodes::of_services(&with_addresses, port, refresh.client.options.policy.srv_weights);
        if nodes.is_empty() {
            let why = match failures.into_iter().next() {
                Some(why) => format!("no SRV target has a usable address; {why}"),
                None if gone > 0 => "no SRV target has a usable address; targets do not exist".to_owned(),
                None => "no SRV target has a usable address of the wanted family".to_owned(),
            };
            return Asked::Failed(FailureKind::Source, why);
        }
        let coverage = match gaps.into_iter().next() {
            Some(why) => Coverage::Partial(why.into()),
            None => Coverage::Complete,
        };
        Asked::Found(Found { nodes, coverage, ttl, note: notes.into_iter().next() })
    }

    /// Whether a target that was asked leaves a gap in the list.
    fn judge_target(
        &self,
        refresh: &Refresh<'_>,
        key: &str,
        host: &Host,
        dead: &mut HashMap<String, u32>,
        gaps: &mut Vec<String>,
        notes: &mut Vec<String>,
    ) {
        gaps.extend(host.cut.clone());
        if let Some((_, why)) = host.failed.first() {
            gaps.push(why.clone());
        }
        if !host.addresses.is_empty() || !host.failed.is_empty() {
            return;
        }
        if host.no_such_name {
            let count = self.dead.get(key).copied().unwrap_or(0).saturating_add(1);
            if dead.len() < MAX_DEAD_TARGETS {
                dead.insert(key.to_owned(), count);
            }
            let believed = match refresh.client.options.policy.empty {
                EmptyPolicy::Confirm(needed) => count >= needed.max(1),
                EmptyPolicy::Immediate => true,
                EmptyPolicy::Keep => false,
            };
            if believed {
                notes.push(format!("SRV target {key} does not exist"));
            } else {
                gaps.push(format!("SRV target {key} does not exist (NXDOMAIN)"));
            }
        } else {
            notes.push(format!("SRV target {key} has no address of the wanted family and is left out"));
        }
    }

    /// Looks, now and then, whether a name earlier in the search list has come to exist.
    async fn look_at_earlier(&mut self, refresh: &Refresh<'_>, candidates: &[Name], full: &Name) {
        let every = refresh.client.options.timing.search_recheck;
        let winner = name::key(full);
        let due = *self.recheck.get_or_insert_with(|| refresh.now.after(every));
        if refresh.now < due {
            return;
        }
        self.recheck = Some(refresh.now.after(every));
        self.shadow = None;
        let kinds: &[RecordKind] = match self.source.query {
            Query::Service { .. } => &[RecordKind::Srv],
            Query::Host { .. } => &[RecordKind::A, RecordKind::Aaaa],
        };
        for earlier in candidates.iter().take_while(|name| name::key(name) != winner) {
            for kind in kinds {
                let question = Question { name: earlier.clone(), kind: *kind };
                let chain = targets::chain(refresh.client, refresh.tally, &refresh.plan, question).await;
                if chain.is_ok_and(|chain| !chain.answer.records.is_empty()) {
                    let text = format!(
                        "{} exists now too and comes earlier in the search list; {} stays in use until it is gone",
                        name::show(earlier),
                        name::show(full)
                    );
                    self.shadow = Some(text.into());
                    return;
                }
            }
        }
    }

    /// A found list becomes an outcome, unless it is larger than a set may be.
    fn finish(&self, client: &Client, got: Found, question: Arc<str>) -> LookupOutcome {
        let most = client.options.policy.max_nodes;
        let outcome = if got.nodes.len() > most {
            Outcome::failed(
                FailureKind::Source,
                format!(
                    "{} nodes are more than the {most} a pool may have; the answer is refused whole",
                    got.nodes.len()
                ),
            )
        } else {
            found(got.nodes, got.coverage, got.ttl)
        };
        let warning = self.shadow.clone().or_else(|| got.note.map(Into::into));
        LookupOutcome { outcome, question, warning }
    }

    /// What to say when a name of a cluster is not found and the resolver configuration is not a cluster's.
    fn cluster_hint(&self, client: &Client, parsed: &Name, conf: &ResolvConf) -> Option<String> {
        if !self.source.name_servers.is_empty() || conf.has_cluster_domain() {
            return None;
        }
        let labels: Vec<&[u8]> = parsed.iter().filter(|label| !label.starts_with(b"_")).collect();
        let of_cluster = labels.len() == 1 || labels.iter().any(|label| label.eq_ignore_ascii_case(b"svc"));
        (of_cluster && self.source.search == Search::List).then(|| {
            let subject = if client.options.host_network {
                "this pod shares the host's network and its resolver configuration has no cluster search domain"
            } else {
                "the resolver configuration has no cluster search domain; if this pod shares the host's network,"
            };
            let link = if client.options.host_network { ":" } else { "" };
            format!("{subject}{link} set dnsPolicy: ClusterFirstWithHostNet")
        })
    }
}

fn found(nodes: NodeSet, coverage: Coverage, ttl: Option<Duration>) -> Outcome {
    Outcome { verdict: Verdict::Found { nodes, coverage }, ttl, exactly: None }
}

fn with_hint(why: String, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{why}; {hint}"),
        None => why,
    }
}

fn join(failed: Vec<(Family, String)>) -> String {
    let mut texts: Vec<String> = failed.into_iter().map(|(_, why)| why).collect();
    texts.dedup();
    texts.join("; ")
}

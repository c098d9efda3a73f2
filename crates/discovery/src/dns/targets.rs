//! Names to addresses: the A and AAAA of one name with its aliases, and those of many SRV targets at once.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_proto::rr::Name;
use tokio::task::JoinSet;

use super::{
    Client,
    answer::{Answer, MAX_ALIASES, Question, RecordKind, Records},
    exchange::{Plan, exchange},
    name::key,
};
use crate::{options::Family, source::Families, tally::Tally};

/// SRV targets looked up at the same time.
const MAX_PARALLEL: usize = 16;

/// What one chain of aliases ended in.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) answer: Answer,
    pub(crate) server: SocketAddr,
    /// The answer is incomplete: why.
    pub(crate) cut: Option<String>,
    pub(crate) ttl: Option<Duration>,
}

/// Asks and follows aliases that leave the message. The error is in words.
pub(crate) async fn chain(
    client: &Arc<Client>,
    tally: &Arc<Tally>,
    plan: &Plan,
    question: Question,
) -> Result<Chain, String> {
    let mut question = question;
    let mut seen = HashSet::from([key(&question.name)]);
    let mut ttl: Option<Duration> = None;
    loop {
        let reply =
            exchange(client, tally, plan, &question).await.map_err(|why| format!("{question}: {why}"))?;
        ttl = least(ttl, reply.answer.ttl);
        let truncated = reply.answer.truncated;
        let cut = reply.cut.or_else(|| {
            truncated.then(|| format!("{} cut the answer to {question} short even over TCP", reply.server))
        });
        match reply.answer.alias.clone() {
            Some(next) if !reply.answer.says_no_such_name() && cut.is_none() => {
                if seen.len() > MAX_ALIASES || !seen.insert(key(&next)) {
                    return Err(format!(
                        "{question}: its CNAME records form a loop or a chain of more than {MAX_ALIASES}"
                    ));
                }
                question.name = next;
            }
            _ => return Ok(Chain { answer: reply.answer, server: reply.server, cut, ttl }),
        }
    }
}

/// The smaller of two TTLs that may be unknown.
pub(crate) fn least(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What is known of the addresses of one name.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// Addresses, and whether loopback ones among them may be nodes.
    pub(crate) addresses: Vec<(IpAddr, bool)>,
    pub(crate) ttl: Option<Duration>,
    /// A server said that the name does not exist.
    pub(crate) no_such_name: bool,
    /// The families that have no records.
    pub(crate) absent: Vec<Family>,
    /// The family of which nothing is known, and why.
    pub(crate) failed: Vec<(Family, String)>,
    /// There may be more addresses: why.
    pub(crate) cut: Option<String>,
}

/// The addresses of `name`. `skip` is a family that is known to have none.
pub(crate) async fn host(
    client: &Arc<Client>,
    tally: &Arc<Tally>,
    plan: &Plan,
    name: &Name,
    families: Families,
    skip: Option<Family>,
    nodes_table: bool,
) -> Host {
    let ask = |family: Family, kind: RecordKind| async move {
        let wanted = match families {
            Families::Both => true,
            Families::V4 => family == Family::V4,
            Families::V6 => family == Family::V6,
        };
        if !wanted || skip == Some(family) {
            return None;
        }
        Some(chain(client, tally, plan, Question { name: name.clone(), kind }).await)
    };
    let (v4, v6) = tokio::join!(ask(Family::V4, RecordKind::A), ask(Family::V6, RecordKind::Aaaa));
    let mut host = Host { absent: skip.into_iter().collect(), ..Host::default() };
    for (family, result) in [(Family::V4, v4), (Family::V6, v6)] {
        match result {
            None => {}
            Some(Err(why)) => host.failed.push((family, why)),
            Some(Ok(chain)) => {
                host.no_such_name |= chain.answer.says_no_such_name();
                let loopback = client.loopback_from(chain.server, nodes_table);
                if let Records::Addresses(list) = &chain.answer.records
                    && !list.is_empty()
                {
                    host.ttl = least(host.ttl, chain.ttl);
                    host.addresses.extend(list.iter().map(|address| (*address, loopback)));
                } else if chain.cut.is_none() {
                    host.absent.push(family);
                }
                host.cut = host.cut.take().or(chain.cut);
            }
        }
    }
    host
}

/// The addresses of many names, a few at a time, each with its place in `names`.
pub(crate) async fn hosts(
    client: &Arc<Client>,
    tally: &Arc<Tally>,
    plan: &Plan,
    names: Vec<Name>,
    families: Families,
) -> Vec<(String, Host)> {
    let mut found = Vec::with_capacity(names.len());
    let mut running = JoinSet::new();
    let mut names = names.into_iter();
    loop {
        while running.len() < MAX_PARALLEL {
            let Some(name) = names.next() else { break };
            let (client, tally, plan) = (Arc::clone(client), Arc::clone(tally), plan.clone());
            running.spawn(async move {
                let host = host(&client, &tally, &plan, &name, families, None, false).await;
                (key(&name), host)
            });
        }
        match running.join_next().await {
            Some(Ok(one)) => found.push(one),
            Some(Err(_)) => {}
            None => return found,
        }
    }
}

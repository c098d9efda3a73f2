//! Addresses of the host names that virtual servers listen on and pool-wide monitors probe.
//!
//! In flows a set of names, out flows a complete table of addresses whenever it changes. Names go through the
//! system's resolver, as they do for everything else on the machine; a name that cannot be resolved any more
//! keeps its last addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tracing::warn;

use crate::control::event::Event;

/// How often names are resolved again.
const AGAIN: Duration = Duration::from_secs(30);
/// How often, while one of them is unknown.
const AGAIN_UNKNOWN: Duration = Duration::from_secs(2);
/// Longest time for one name.
const LIMIT: Duration = Duration::from_secs(5);
/// Addresses taken of one name.
const MAX_ADDRESSES: usize = 64;

type Table = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// Resolves the names of `wanted` until its sender is gone.
pub(crate) async fn run(mut wanted: watch::Receiver<BTreeSet<Arc<str>>>, events: mpsc::Sender<Event>) {
    let mut told = None;
    let mut known = Table::new();
    let mut complained = BTreeSet::new();
    loop {
        let names = wanted.borrow_and_update().clone();
        let mut table = Table::new();
        for name in &names {
            match resolve(name).await {
                Ok(addresses) => {
                    complained.remove(name);
                    table.insert(Arc::clone(name), addresses);
                }
                Err(reason) => {
                    if complained.insert(Arc::clone(name)) {
                        warn!("the host name {name} cannot be resolved: {reason}");
                    }
                    if let Some(addresses) = known.get(name) {
                        table.insert(Arc::clone(name), addresses.clone());
                    }
                }
            }
        }
        complained.retain(|name| names.contains(name));
        known = table;
        if !names.is_empty() || told.is_some() {
            if told.as_ref() != Some(&known)
                && events.send(Event::HostsResolved(known.clone())).await.is_err()
            {
                return;
            }
            told = Some(known.clone());
        }
        let pause = if known.len() < names.len() { AGAIN_UNKNOWN } else { AGAIN };
        let changed = async {
            if names.is_empty() {
                wanted.changed().await
            } else {
                timeout(pause, wanted.changed()).await.unwrap_or(Ok(()))
            }
        };
        if changed.await.is_err() {
            return;
        }
    }
}

/// Addresses in order, without repetition.
async fn resolve(name: &str) -> Result<Vec<IpAddr>, String> {
    match timeout(LIMIT, tokio::net::lookup_host((name, 0))).await {
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(found)) => {
            let addresses: BTreeSet<IpAddr> = found.map(|address| address.ip()).take(MAX_ADDRESSES).collect();
            if addresses.is_empty() {
                return Err("the name has no address".to_owned());
            }
            Ok(addresses.into_iter().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_table_follows_the_wanted_names() {
        let (names, wanted) = watch::channel(BTreeSet::from([Arc::from("127.0.0.1")]));
        let (sender, mut events) = mpsc::channel(4);
        let task = tokio::spawn(run(wanted, sender));
        let table =
            async |events: &mut mpsc::Receiver<Event>| match timeout(Duration::from_secs(10), events.recv())
                .await
                .unwrap()
            {
                Some(Event::HostsResolved(table)) => table,
                other => panic!("{other:?}"),
            };
        assert_eq!(
            table(&mut events).await[&Arc::from("127.0.0.1")],
            ["127.0.0.1".parse::<IpAddr>().unwrap()]
        );
        names.send_replace(BTreeSet::new());
        assert_eq!(table(&mut events).await, Table::new());
        drop(names);
        timeout(Duration::from_secs(10), task).await.unwrap().unwrap();
    }
}

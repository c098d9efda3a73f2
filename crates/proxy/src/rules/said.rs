//! What rules have said about one request: edits that wait to be written, orders that wait to be carried out, and what
//! later phases want to know. Only requests of virtual servers with rules have it.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use tidegate_http1::edit::HeaderEdits;
use tidegate_trafficscript::host::Reply;

use super::{
    body::Taken,
    late::ResponseFields,
    services::{data::cost, sockets::Sockets},
    stream::Streamed,
};
use tidegate_model::{BandwidthName, PersistenceClass};
use tidegate_pool::{Asked, Node};

use crate::{failure::Failure, service_level::RunningLevel, snapshot::RunningPool, tcp::talk::Talk};

/// What rules have said about one request.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Edits of the request's head, until the request phase is over.
    pub(crate) request: RequestEdits,
    /// The fields of the request's head that rules have edited, once they are written.
    pub(crate) given: Option<Box<HeaderEdits>>,
    /// Edits of the response's head, until the response phase is over.
    pub(crate) response: ResponseEdits,
    /// The request's body as far as rules have read or replaced it.
    pub(crate) request_body: Option<Taken>,
    /// The response's body as far as rules have read or replaced it.
    pub(crate) response_body: Option<Taken>,
    /// Both sides of a connection whose protocol is not HTTP.
    pub(crate) talk: Option<Box<Talk>>,
    /// What happens instead of going on.
    pub(crate) ending: Option<Ending>,
    /// A response that rules write piece by piece.
    pub(crate) stream: Option<Box<Streamed>>,
    /// `pool.use`, `pool.select`.
    pub(crate) pool: Option<ChosenPool>,
    /// `connection.setPersistence*`.
    pub(crate) persistence: Persistence,
    /// `connection.setServiceLevelClass`.
    pub(crate) service_level: Option<ChosenLevel>,
    /// `response.setBandwidthClass`, `request.setBandwidthClass`.
    pub(crate) bandwidth: Bandwidth,
    /// `request.avoidNode`.
    pub(crate) avoided: Vec<Box<str>>,
    /// `pool.use` with an address.
    pub(crate) fixed_node: Option<Box<str>>,
    /// Settings of the virtual server and pool that hold for this request only.
    pub(crate) limits: Overrides,
    /// `ssl.setTLSServerName`: what the node's TLS is asked for.
    pub(crate) server_name: Option<Vec<u8>>,
    /// `requestlog.include`, `requestlog.exclude`.
    pub(crate) logged: Option<bool>,
    /// `connection.data`.
    pub(crate) data: Data,
    /// `tcp.*`
    pub(crate) sockets: Sockets,
    /// Who the client was before `request.setRemoteIP`.
    pub(crate) client_before: Option<SocketAddr>,
    /// The head that the client got, for completion rules.
    pub(crate) sent_head: Vec<u8>,
    /// Pool and node that were tried last, for completion rules.
    pub(crate) tried: Option<(Arc<RunningPool>, Option<Arc<Node>>)>,
    /// From the end of the request to the node's head.
    pub(crate) response_time: Option<Duration>,
    /// Why it was not served, for completion rules.
    pub(crate) failure: Option<Failure>,
    /// Part of the request's body stays unread.
    pub(crate) abandons_body: bool,
    /// It was told that rules hold much of it.
    pub(crate) told_large: bool,
    /// Whether the client's own method is HEAD, where rules have made another of it.
    pub(crate) client_wants_head: Option<bool>,
}

impl Said {
    /// The session that rules ask for.
    pub(crate) fn asked_session(&self) -> Asked<'_> {
        let asked = &self.persistence;
        Asked { class: asked.class.as_ref(), key: asked.key.as_deref(), node: asked.node.as_deref() }
    }

    /// Nodes that rules avoid.
    pub(crate) fn avoided(&self) -> impl Iterator<Item = &str> {
        self.avoided.iter().map(|node| &**node)
    }

    /// The node that rules have chosen.
    pub(crate) fn fixed_node(&self) -> Option<&str> {
        self.fixed_node.as_deref()
    }

    /// Whether part of the request's body stays unread because a rule has put another in its place.
    pub(crate) fn abandons_body(&self) -> bool {
        self.abandons_body
    }

    /// Bytes of bodies that are held for rules, or were made by them.
    pub(crate) fn held(&self) -> usize {
        let bodies = [&self.request_body, &self.response_body];
        let bodies: usize = bodies.iter().filter_map(|taken| taken.as_ref()).map(Taken::len).sum();
        bodies + self.talk.as_ref().map_or(0, |talk| talk.held())
    }

    /// The request goes to this pool, and to this node of it.
    pub(crate) fn note_tried(&mut self, pool: &Arc<RunningPool>, node: Option<&Arc<Node>>) {
        self.tried = Some((Arc::clone(pool), node.cloned()));
        self.response_time = None;
    }
}

/// Edits of a request's head.
#[derive(Debug, Default)]
pub(crate) struct RequestEdits {
    pub(crate) fields: HeaderEdits,
    pub(crate) method: Option<Vec<u8>>,
    pub(crate) target: Option<Vec<u8>>,
    /// The client was told to send its body: the node need not be asked.
    pub(crate) continued: bool,
}

impl RequestEdits {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.method.is_none() && self.target.is_none() && !self.continued
    }
}

/// Edits of a response's head.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseEdits {
    pub(crate) fields: ResponseFields,
    pub(crate) status: Option<(u16, Vec<u8>)>,
}

impl ResponseEdits {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.status.is_none()
    }
}

/// What happens instead of going on.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The connection is closed, nothing is sent.
    Discard,
    /// These bytes are sent, then the connection is closed.
    Close { data: Vec<u8>, read: bool },
    /// A reply of the rule's own.
    Reply(Reply),
    /// The response goes to another node; the rules of this phase run again on its answer.
    Retry,
    /// The piecewise response is complete.
    Streamed,
    /// The rest of the piecewise response comes from the node.
    StreamedOn,
    /// The rule that wrote a piecewise response was aborted.
    Broken,
}

/// A pool that a rule has chosen.
#[derive(Debug)]
pub(crate) struct ChosenPool {
    /// `None` = `discard`.
    pub(crate) pool: Option<Arc<RunningPool>>,
}

/// A class of service that a rule has chosen.
#[derive(Debug)]
pub(crate) struct ChosenLevel {
    /// `None` = none.
    pub(crate) level: Option<Arc<RunningLevel>>,
}

/// A bandwidth class that a rule has chosen.
#[derive(Debug)]
pub(crate) struct ChosenBandwidth {
    /// `None` = none.
    pub(crate) class: Option<BandwidthName>,
}

/// Bandwidth classes that rules have chosen.
#[derive(Debug, Default)]
pub(crate) struct Bandwidth {
    /// Of what the client is sent.
    pub(crate) client: Option<ChosenBandwidth>,
    /// Of what the node is sent.
    pub(crate) node: Option<ChosenBandwidth>,
}

/// How the session of this request is found.
#[derive(Debug, Default)]
pub(crate) struct Persistence {
    /// Another class than the pool's.
    pub(crate) class: Option<Arc<PersistenceClass>>,
    /// Key of a `universal` session.
    pub(crate) key: Option<Vec<u8>>,
    /// Node of a `named` session.
    pub(crate) node: Option<Box<str>>,
}

/// Settings that hold for one request.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) idempotent: Option<bool>,
    pub(crate) max_reply_time: Limit<Duration>,
    pub(crate) idle: Limit<Duration>,
    pub(crate) max_transaction_duration: Limit<Duration>,
    pub(crate) max_attempts: Limit<u32>,
    pub(crate) max_timed_out_attempts: Limit<u32>,
}

/// What rules have said about a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limit<T> {
    /// Nothing: the setting holds.
    #[default]
    AsSet,
    /// There is none.
    None,
    /// It is another one.
    Is(T),
}

impl<T: Copy + Default + PartialEq> Limit<T> {
    /// As rules and settings write it: 0 is none.
    pub(crate) fn written(limit: T) -> Self {
        if limit == T::default() { Self::None } else { Self::Is(limit) }
    }

    /// The limit that holds where `setting` does for others.
    pub(crate) fn or(self, setting: Option<T>) -> Option<T> {
        match self {
            Self::AsSet => setting,
            Self::None => None,
            Self::Is(limit) => Some(limit),
        }
    }
}

/// Most bytes of `connection.data`: keys, values, and what an entry costs besides.
const MAX_DATA: usize = 1024 * 1024;

/// `connection.data`: what rules of one request tell later ones.
#[derive(Debug, Default)]
pub(crate) struct Data {
    values: HashMap<Box<[u8]>, Arc<[u8]>>,
    bytes: usize,
}

impl Data {
    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        self.values.get(key).cloned()
    }

    /// False, and nothing changes, if there is no room.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> bool {
        let before = self.values.get(key).map_or(0, |known| cost(key, known));
        let bytes = self.bytes - before + cost(key, value);
        // What does not grow always fits.
        if bytes > MAX_DATA.max(self.bytes) {
            return false;
        }
        self.bytes = bytes;
        self.values.insert(key.into(), value.into());
        true
    }

    /// False = there was none.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let Some(value) = self.values.remove(key) else { return false };
        self.bytes -= cost(key, &value);
        true
    }

    pub(crate) fn reset(&mut self, prefix: &[u8]) {
        self.values.retain(|key, _| !key.starts_with(prefix));
        self.bytes = self.values.iter().map(|(key, value)| cost(key, value)).sum();
    }

    /// Bytes in use and bytes there may be.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.bytes, MAX_DATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::services::data::ENTRY_OVERHEAD;

    #[test]
    fn data_that_does_not_fit_changes_nothing() {
        let mut data = Data::default();
        assert!(data.set(b"key", b"value"));
        assert_eq!(data.usage(), (8 + ENTRY_OVERHEAD, MAX_DATA));
        assert!(!data.set(b"key", &vec![0; MAX_DATA]));
        assert_eq!((data.get(b"key").as_deref(), data.usage().0), (Some(&b"value"[..]), 8 + ENTRY_OVERHEAD));
        assert!(data.set(b"key", &vec![0; MAX_DATA - 3 - ENTRY_OVERHEAD]));
        assert!(!data.set(b"other", b""));
        assert!(data.set(b"key", b"short"));
        assert!(data.remove(b"key") && !data.remove(b"key"));
        assert_eq!(data.usage().0, 0);
    }

    #[test]
    fn many_small_entries_cost_what_they_cost() {
        let mut data = Data::default();
        let fits = (0..100_000_u32).take_while(|n| data.set(&n.to_be_bytes(), b"")).count();
        assert_eq!(fits, MAX_DATA / (4 + ENTRY_OVERHEAD));
        data.reset(&[0, 0]);
        assert_eq!(data.usage().0, 0);
    }

    #[test]
    fn a_limit_of_0_is_none_and_an_unsaid_one_is_the_setting() {
        for (said, setting, expected) in [
            (Limit::AsSet, Some(3), Some(3)),
            (Limit::AsSet, None, None),
            (Limit::written(0), Some(3), None),
            (Limit::written(5), Some(3), Some(5)),
            (Limit::written(5), None, Some(5)),
        ] {
            assert_eq!(said.or(setting), expected, "{said:?} {setting:?}");
        }
    }
}

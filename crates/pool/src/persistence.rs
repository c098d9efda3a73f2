//! Session persistence classes at work: how a request names its session, and which node that session lives on.
//!
//! ```text
//! transparent   cookie X-Mapping-…  ──value──────────► slot       nothing is stored; every traffic manager agrees
//! cookie        application cookie  ──table──────────► node id    learned from responses
//! ip            client's subnet     ──table──────────► node id    a subnet not in the table goes by rendezvous
//! universal     key given by a rule ──table──────────► node id    a key not in the table goes by rendezvous
//! named         node given by a rule ────────────────► slot       nothing is stored
//! ```
//!
//! `Prepared` is made with each build of the pool and looks everything up in maps; the tables behind `cookie`, `ip`
//! and `universal` are carried over. A rule may ask for another class than the pool's own: `other` keeps those. The
//! remaining types of the document format (`j2ee`, `asp`, `ssl`, `x_zeus`) act as no persistence.

mod cookie;
mod ip;
mod key;
mod named;
pub(crate) mod other;
mod table;
mod transparent;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tidegate_model::{Moment, PersistenceClass, persistence::Method};

pub use key::SessionKey;

use crate::{
    algorithm::rendezvous,
    build::PoolContext,
    choose::Slot,
    hash::{FNV, PlainMap, fnv, mix},
    pool::Member,
    session::{Asked, Found},
};
use named::Named;
use table::Table;
use transparent::Transparent;

/// A class prepared for one build of a pool.
#[derive(Debug)]
pub(crate) struct Prepared {
    kind: Kind,
    basis: Basis,
}

/// What a class was prepared from, besides the members.
#[derive(Clone, Debug, PartialEq)]
struct Basis {
    key: SessionKey,
    capacity: usize,
    expiry: Option<Duration>,
}

#[derive(Debug)]
enum Kind {
    Transparent(Transparent),
    Cookie { name: Arc<str>, known: Known },
    Ip { prefix_v4: u8, prefix_v6: u8, known: Known },
    Universal(Known),
    Named(Named),
}

/// A session table and the nodes of this build.
#[derive(Debug)]
struct Known {
    table: Arc<Table>,
    slots: PlainMap<u32, u32>,
    /// For [`rendezvous`], by slot.
    tokens: Box<[u64]>,
}

/// Occupation of a session table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Sessions in the table.
    pub entries: u64,
    /// Sessions forgotten because the table was full.
    pub evicted: u64,
    /// Sessions forgotten because they had not been used for `session.ip_cache_expiry`, or
    /// `session.universal_cache_expiry`.
    pub expired: u64,
}

fn basis(method: &Method, context: &PoolContext) -> Basis {
    let (capacity, expiry) = match method {
        Method::Ip { .. } => (context.ip_table_size, context.ip_expiry),
        Method::Universal => (context.universal_table_size, context.universal_expiry),
        _ => (context.cookie_table_size, None),
    };
    Basis { key: context.session_key.clone(), capacity, expiry }
}

impl Prepared {
    /// Prepares `class` for `members`. The table of `previous` is kept if its keys mean the same.
    pub(crate) fn new(
        class: &PersistenceClass,
        members: &[Member],
        previous: Option<&Self>,
        context: &PoolContext,
    ) -> Option<Self> {
        let kept = previous.and_then(|previous| previous.table_for(&class.method));
        Self::with_table(class, members, kept, context)
    }

    fn with_table(
        class: &PersistenceClass,
        members: &[Member],
        kept: Option<Arc<Table>>,
        context: &PoolContext,
    ) -> Option<Self> {
        let basis = basis(&class.method, context);
        let known = || {
            let table = kept.unwrap_or_else(|| Arc::new(Table::new(basis.capacity)));
            table.set_limits(basis.capacity, basis.expiry);
            Known {
                table,
                slots: members.iter().map(|member| member.node.id()).zip(0..).collect(),
                tokens: members.iter().map(|member| rendezvous::token(member.node.address())).collect(),
            }
        };
        let kind = match &class.method {
            Method::Transparent { directives, always_set } => {
                let addresses = members.iter().map(|member| member.node.address());
                Kind::Transparent(Transparent::new(
                    &class.name,
                    directives,
                    *always_set,
                    &context.session_key,
                    addresses,
                ))
            }
            Method::Cookie { name } => Kind::Cookie { name: name.clone(), known: known() },
            Method::Ip { prefix_v4, prefix_v6 } => {
                Kind::Ip { prefix_v4: *prefix_v4, prefix_v6: *prefix_v6, known: known() }
            }
            Method::Universal => Kind::Universal(known()),
            Method::Named => Kind::Named(Named::new(members)),
            Method::J2ee | Method::Asp | Method::Ssl | Method::XZeus => return None,
        };
        Some(Self { kind, basis })
    }

    /// Whether another preparation with the same class and members would be the same.
    pub(crate) fn is_current(&self, class: &PersistenceClass, context: &PoolContext) -> bool {
        self.basis == basis(&class.method, context)
    }

    fn table_for(&self, method: &Method) -> Option<Arc<Table>> {
        match (&self.kind, method) {
            (Kind::Cookie { name, known }, Method::Cookie { name: wanted }) if name == wanted => {
                Some(known.table.clone())
            }
            (Kind::Ip { prefix_v4, prefix_v6, known }, Method::Ip { prefix_v4: v4, prefix_v6: v6 })
                if (prefix_v4, prefix_v6) == (v4, v6) =>
            {
                Some(known.table.clone())
            }
            (Kind::Universal(known), Method::Universal) => Some(known.table.clone()),
            _ => None,
        }
    }

    fn known(&self) -> Option<&Known> {
        match &self.kind {
            Kind::Transparent(_) | Kind::Named(_) => None,
            Kind::Cookie { known, .. } | Kind::Ip { known, .. } | Kind::Universal(known) => Some(known),
        }
    }

    /// What the request, and what rules said of it, tell of its session: where it lives and its key in the table
    /// (0 without one). With `REAL` off a session that is found is not used by that.
    pub(crate) fn find<'a, const REAL: bool>(
        &self,
        asked: &Asked<'_>,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        client: IpAddr,
        now: Moment,
    ) -> (Found, u64) {
        match &self.kind {
            Kind::Transparent(transparent) => (transparent.find(cookies), 0),
            Kind::Cookie { name, known } => {
                let values = cookie::values(cookies, name.as_bytes());
                let mut session = (Found::New, 0);
                for value in values {
                    let key = hashed(value);
                    let found = known.find::<REAL>(key, now);
                    // Of several cookies of the name, the first that is known counts.
                    if session.1 == 0 || (session.0 == Found::New && found != Found::New) {
                        session = (found, key);
                    }
                }
                session
            }
            Kind::Ip { prefix_v4, prefix_v6, known } => {
                let key = ip::key(client, *prefix_v4, *prefix_v6);
                (known.find::<REAL>(key, now), key)
            }
            Kind::Universal(known) => asked.key.map_or((Found::New, 0), |key| {
                let key = hashed(key);
                (known.find::<REAL>(key, now), key)
            }),
            Kind::Named(named) => (asked.node.map_or(Found::New, |node| named.find(node)), 0),
        }
    }

    /// For choosing by [`rendezvous`]: tokens by slot.
    pub(crate) fn tokens(&self) -> Option<&[u64]> {
        self.known().map(|known| &*known.tokens)
    }

    /// A node was chosen for the session, not because it lives there.
    pub(crate) fn remember(&self, found: Found, key: u64, node: u32, now: Moment) {
        if key == 0 {
            return;
        }
        match &self.kind {
            Kind::Transparent(_) | Kind::Named(_) => {}
            // What clients send never makes the table grow: only sessions learned from responses are moved.
            Kind::Cookie { known, .. } => {
                if matches!(found, Found::Node(_) | Found::Lost) {
                    known.table.insert(key, node, now);
                }
            }
            Kind::Ip { known, .. } | Kind::Universal(known) => known.table.insert(key, node, now),
        }
    }

    /// Drops the session from the table.
    pub(crate) fn forget(&self, key: u64) {
        if let Some(known) = self.known() {
            known.table.remove(key);
        }
    }

    pub(crate) fn response_cookie(&self, found: Found, slot: Slot) -> Option<&[u8]> {
        match &self.kind {
            Kind::Transparent(transparent) => transparent.response_cookie(found, slot),
            _ => None,
        }
    }

    pub(crate) fn forget_cookie(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Transparent(transparent) => Some(transparent.forget_cookie()),
            _ => None,
        }
    }

    pub(crate) fn learns_cookies(&self) -> bool {
        matches!(self.kind, Kind::Cookie { .. })
    }

    /// Learns sessions from `Set-Cookie` values of a response of the node.
    pub(crate) fn learn<'a>(&self, set_cookies: impl IntoIterator<Item = &'a [u8]>, node: u32, now: Moment) {
        let Kind::Cookie { name, known } = &self.kind else { return };
        for line in set_cookies {
            if let Some(value) = cookie::set_value(line, name.as_bytes()) {
                known.table.insert(hashed(value), node, now);
            }
        }
    }

    pub(crate) fn counters(&self) -> TableCounters {
        self.known().map(|known| known.table.counters()).unwrap_or_default()
    }
}

impl Known {
    fn find<const REAL: bool>(&self, key: u64, now: Moment) -> Found {
        let node = if REAL { self.table.get(key, now) } else { self.table.peek(key, now) };
        match node {
            None => Found::New,
            Some(node) => self.slots.get(&node).map_or(Found::Lost, |slot| Found::Node(Slot(*slot))),
        }
    }
}

/// Key of the session table of a cookie's value or a key given by a rule, never 0. The same on every machine.
fn hashed(value: &[u8]) -> u64 {
    mix(fnv(FNV, value)).max(1)
}

//! What persistence says of a request.

use std::{net::IpAddr, sync::Arc};

use tidegate_model::{Moment, PersistenceClass};

use crate::{
    choose::Slot,
    persistence::{Prepared, other::Other},
    pool::Pool,
};

/// The session of a request in one build of a pool.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) found: Found,
    /// Key of the session table: of a subnet, the value of a cookie or a key given by a rule. 0 without one.
    pub(crate) key: u64,
    /// The class, unless it is the pool's own.
    other: Option<Arc<Other>>,
}

/// What rules said of the session of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `connection.setPersistence`: the class; `None` = the pool's own.
    pub class: Option<&'a Arc<PersistenceClass>>,
    /// `connection.setPersistenceKey`: the key, for classes of type `universal`.
    pub key: Option<&'a [u8]>,
    /// `connection.setPersistenceNode`: label of the node, for classes of type `named`. One with an unknown port
    /// means any node of the host; one that is not in the pool is a lost session.
    pub node: Option<&'a str>,
}

/// What the request carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The pool has no persistence.
    Off,
    /// No session yet.
    New,
    /// A session of this node.
    Node(Slot),
    /// A session of a node that is not in the pool any more.
    Lost,
}

impl Session {
    /// A request without session, for pools without persistence.
    pub const NONE: Self = Self { found: Found::Off, key: 0, other: None };

    /// What the request carried.
    pub fn found(&self) -> Found {
        self.found
    }
}

impl Pool {
    /// Finds the session of a request that no rule has said anything of. `cookies`: the values of its `Cookie`
    /// header fields.
    pub fn session<'a>(
        &self,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        client: IpAddr,
        now: Moment,
    ) -> Session {
        self.session_asked(&Asked::default(), cookies, client, now)
    }

    /// Finds the session of a request by what rules said of it. A class that is not the pool's own has a session
    /// table of its own in this pool, kept over rebuilds as that of the pool's own class.
    pub fn session_asked<'a>(
        &self,
        asked: &Asked<'_>,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        client: IpAddr,
        now: Moment,
    ) -> Session {
        self.find_session::<true>(asked, cookies, client, now)
    }

    /// What [`Pool::session_asked`] would find. Changes nothing: a session that is found is not used by that, and no
    /// class gets a table.
    pub fn would_find_session<'a>(
        &self,
        asked: &Asked<'_>,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        client: IpAddr,
        now: Moment,
    ) -> Session {
        self.find_session::<false>(asked, cookies, client, now)
    }

    fn find_session<'a, const REAL: bool>(
        &self,
        asked: &Asked<'_>,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        client: IpAddr,
        now: Moment,
    ) -> Session {
        let own = |class: &&Arc<PersistenceClass>| self.persistence.as_ref().is_some_and(|own| own == *class);
        let other = match asked.class.filter(|class| !own(class)) {
            None => None,
            Some(class) => match if REAL { self.other(class, now) } else { self.look_at_other(class) } {
                Some(other) => Some(other),
                None => return Session::NONE,
            },
        };
        let prepared = other.as_deref().map_or(self.prepared.as_ref(), |other| Some(&other.prepared));
        let Some(prepared) = prepared else { return Session::NONE };
        let (found, key) = prepared.find::<REAL>(asked, cookies, client, now);
        Session { found, key, other }
    }

    /// What the session goes by.
    pub(crate) fn prepared<'a>(&'a self, session: &'a Session) -> Option<&'a Prepared> {
        match &session.other {
            Some(other) => Some(&other.prepared),
            None => self.prepared.as_ref().filter(|_| session.found != Found::Off),
        }
    }

    /// The class the session belongs to.
    pub fn class_of<'a>(&'a self, session: &'a Session) -> Option<&'a Arc<PersistenceClass>> {
        match &session.other {
            Some(other) => Some(&other.class),
            None => self.persistence.as_ref().filter(|_| session.found != Found::Off),
        }
    }

    /// A complete `Set-Cookie: …\r\n` line to add to the response, when the client has to learn that its session
    /// lives on `slot`.
    pub fn response_cookie<'a>(&'a self, session: &'a Session, slot: Slot) -> Option<&'a [u8]> {
        self.prepared(session)?.response_cookie(session.found, slot)
    }

    /// A complete `Set-Cookie: …\r\n` line that makes the client forget its session; to be added to the answer to
    /// [`crate::NoNode::SessionFailed`]. With `delete` off only a session is forgotten whose node has left the
    /// pool: the other may come back.
    pub fn forget_cookie<'a>(&'a self, session: &'a Session) -> Option<&'a [u8]> {
        let forgotten = match session.found {
            Found::Off | Found::New => false,
            Found::Node(_) => self.class_of(session).is_some_and(|class| class.delete),
            Found::Lost => true,
        };
        if forgotten { self.prepared(session)?.forget_cookie() } else { None }
    }

    /// Learns application sessions of the pool's own class from the values of `Set-Cookie` fields of a response of
    /// `slot`.
    pub fn learn<'a>(&self, set_cookies: impl IntoIterator<Item = &'a [u8]>, slot: Slot, now: Moment) {
        if let (Some(prepared), Some(member)) = (&self.prepared, self.member(slot)) {
            prepared.learn(set_cookies, member.node.id(), now);
        }
    }

    /// Whether [`Pool::learn`] wants to see `Set-Cookie` fields.
    pub fn learns_cookies(&self) -> bool {
        self.prepared.as_ref().is_some_and(Prepared::learns_cookies)
    }

    /// [`Pool::learn`] for the class that the request's session belongs to.
    pub fn learn_in<'a>(
        &self,
        session: &Session,
        set_cookies: impl IntoIterator<Item = &'a [u8]>,
        slot: Slot,
        now: Moment,
    ) {
        if let (Some(prepared), Some(member)) = (self.prepared(session), self.member(slot)) {
            prepared.learn(set_cookies, member.node.id(), now);
        }
    }

    /// [`Pool::learns_cookies`] for the class that the request's session belongs to.
    pub fn learns_cookies_in(&self, session: &Session) -> bool {
        self.prepared(session).is_some_and(Prepared::learns_cookies)
    }
}

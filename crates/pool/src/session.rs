//! What persistence says of a request.

use std::net::IpAddr;

use tidegate_model::Moment;

use crate::{choose::Slot, persistence::Prepared, pool::Pool};

/// The session of a request in one build of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub(crate) found: Found,
    /// Key of the session table: of a subnet or the value of a cookie. 0 without one.
    pub(crate) key: u64,
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
    pub const NONE: Self = Self { found: Found::Off, key: 0 };

    /// What the request carried.
    pub fn found(&self) -> Found {
        self.found
    }
}

impl Pool {
    /// Finds the session of a request. `cookies`: the values of its `Cookie` header fields.
    pub fn session<'a>(
        &self,
        cookies: impl IntoIterator<Item = &'a [u8]>,
        client: IpAddr,
        now: Moment,
    ) -> Session {
        self.prepared.as_ref().map_or(Session::NONE, |prepared| prepared.find(cookies, client, now))
    }

    /// A complete `Set-Cookie: …\r\n` line to add to the response, when the client has to learn that its session lives on
    /// `slot`.
    pub fn response_cookie(&self, session: &Session, slot: Slot) -> Option<&[u8]> {
        self.prepared.as_ref()?.response_cookie(session, slot)
    }

    /// A complete `Set-Cookie: …\r\n` line that makes the client forget its session; to be added to the answer to
    /// [`crate::NoNode::SessionFailed`]. With `delete` off only a session is forgotten whose node has left the pool: the
    /// other may come back.
    pub fn forget_cookie(&self, session: &Session) -> Option<&[u8]> {
        let forgotten = match session.found {
            Found::Off | Found::New => false,
            Found::Node(_) => self.persistence.as_ref().is_some_and(|class| class.delete),
            Found::Lost => true,
        };
        if forgotten { self.prepared.as_ref()?.forget_cookie() } else { None }
    }

    /// Learns application sessions from the values of `Set-Cookie` fields of a response of `slot`.
    pub fn learn<'a>(&self, set_cookies: impl IntoIterator<Item = &'a [u8]>, slot: Slot, now: Moment) {
        if let (Some(prepared), Some(member)) = (&self.prepared, self.member(slot)) {
            prepared.learn(set_cookies, member.node.id(), now);
        }
    }

    /// Whether [`Pool::learn`] wants to see `Set-Cookie` fields.
    pub fn learns_cookies(&self) -> bool {
        self.prepared.as_ref().is_some_and(Prepared::learns_cookies)
    }
}

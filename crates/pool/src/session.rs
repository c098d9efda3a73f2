//! What persistence says of a request.

use std::net::IpAddr;

use tidegate_model::Moment;

use crate::{choose::Slot, pool::Pool};

/// The session of a request in one build of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub(crate) found: Found,
    /// Key of the session table: a masked address. 0 without one.
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
        let _ = (cookies.into_iter().count(), client, now);
        todo!()
    }

    /// A complete `Set-Cookie: …\r\n` line to add to the response, when the client has to learn that its session lives on
    /// `slot`.
    pub fn response_cookie(&self, session: &Session, slot: Slot) -> Option<&[u8]> {
        todo!("{session:?} {slot:?}")
    }

    /// A complete `Set-Cookie: …\r\n` line that makes the client forget its session; to be added to the answer to
    /// [`crate::NoNode::SessionFailed`].
    pub fn forget_cookie(&self, session: &Session) -> Option<&[u8]> {
        todo!("{session:?}")
    }

    /// Learns application sessions from the values of `Set-Cookie` fields of a response of `slot`.
    pub fn learn<'a>(&self, set_cookies: impl IntoIterator<Item = &'a [u8]>, slot: Slot, now: Moment) {
        let _ = (set_cookies.into_iter().count(), slot, now);
        todo!()
    }

    /// Whether [`Pool::learn`] wants to see `Set-Cookie` fields.
    pub fn learns_cookies(&self) -> bool {
        todo!()
    }
}

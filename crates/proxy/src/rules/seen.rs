//! What a rule sees of a request in flight, and how its orders are noted: [`Host`] over a client, an exchange and, in the
//! response phase, a node's answer.
//!
//! Reading costs nothing until a rule reads; edits are collected in [`Said`] and written once. `shared` and `surroundings`
//! say what there is beside the request.

mod shared;
mod surroundings;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tidegate_http1::{
    edit,
    request::{self, Version},
};
use tidegate_model::virtual_server::{Protocol, Speaks};
use tidegate_trafficscript::{
    Host, Phase,
    host::{Body, CompletionCode, Edit, Order, Refusal, Side, Times, TlsFact},
};

use super::{
    body::Taken,
    fields::{Fields, Shown},
    late, orders,
    said::Said,
    services::Services,
    stage::Stage,
};
use crate::{
    access,
    connection::Client,
    snapshot::{RunningPool, RunningRule},
    tls::hello::{self, Hello},
    virtual_server::Exchange,
};

/// A request in flight, for a rule.
pub(crate) struct Seen<'a, 'h> {
    pub(crate) client: &'a mut Client,
    pub(crate) exchange: &'a mut Exchange<'h>,
    pub(crate) stage: Stage<'a>,
    /// The rule.
    pub(crate) rule: &'a RunningRule,
}

impl Seen<'_, '_> {
    fn services(&self) -> &Services {
        &self.client.worker.shared.services
    }

    /// The pool that serves, or would if nothing else is ordered; `None` = none.
    fn serving(&self) -> Option<&RunningPool> {
        let said = self.exchange.said();
        match &self.stage {
            Stage::Response { pool, .. } | Stage::Spoken { pool, .. } => Some(pool.as_ref()),
            Stage::Completion(_) => said.and_then(|said| said.tried.as_ref()).map(|(pool, _)| &**pool),
            Stage::Request => match said.and_then(|said| said.pool.as_ref()) {
                Some(chosen) => chosen.pool.as_deref(),
                None => self.exchange.server.pool.as_deref(),
            },
        }
    }

    /// What the client's first bytes say as TLS that is passed through.
    fn hello(&self) -> Hello {
        let is_first =
            matches!(self.exchange.server.settings.protocol, Protocol::Generic(_, Speaks::ClientFirst));
        match (&self.stage, self.exchange.said().and_then(|said| said.talk.as_ref())) {
            (Stage::Request, Some(talk)) if is_first && !self.client.is_tls() => {
                hello::read(talk.input.held.bytes())
            }
            _ => Hello::None,
        }
    }

    /// Name and value of every field of a message, before edits.
    fn original(&self, side: Side) -> Fields<'_> {
        match (side, &self.stage) {
            (Side::Request, _) => {
                let shown = Shown {
                    http: &self.exchange.server.settings.http,
                    given: self.exchange.said().and_then(|said| said.given.as_deref()),
                };
                Fields::Request(self.exchange.head.headers().iter(), self.exchange.head_bytes(), shown)
            }
            (Side::Response, Stage::Request | Stage::Spoken { .. }) => Fields::Sent(&[]),
            (Side::Response, Stage::Response { answer, .. }) => {
                Fields::Response(answer.head.headers().iter(), answer.head_bytes())
            }
            (Side::Response, Stage::Completion(_)) => {
                let head = self.exchange.said().map_or(&[][..], |said| &said.sent_head);
                // Behind the status line.
                let lines = memchr::memchr(b'\n', head).and_then(|end| head.get(end + 1..));
                Fields::Sent(lines.unwrap_or_default())
            }
        }
    }
}

/// Fields of the request that decide more than their own value.
fn is_host(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"host")
}

impl Host for Seen<'_, '_> {
    fn phase(&self) -> Phase {
        match self.stage {
            Stage::Request => Phase::Request,
            Stage::Response { .. } | Stage::Spoken { .. } => Phase::Response,
            Stage::Completion(_) => Phase::Completion,
        }
    }

    fn speaks_http(&self) -> bool {
        self.exchange.server.settings.protocol == Protocol::Http
    }

    fn method(&self) -> Cow<'_, [u8]> {
        match self.exchange.said().and_then(|said| said.request.method.as_deref()) {
            Some(method) => Cow::Borrowed(method),
            None => Cow::Borrowed(self.exchange.head.method_bytes(self.exchange.head_bytes())),
        }
    }

    fn set_method(&mut self, method: &[u8]) -> Result<(), Refusal> {
        if !edit::is_method(method) {
            return Err("a method has to be a token");
        }
        if method == b"CONNECT" {
            return Err("CONNECT asks for a tunnel, and tunnels are not relayed");
        }
        self.exchange.said_mut().request.method = Some(method.to_vec());
        Ok(())
    }

    fn target(&self) -> Cow<'_, [u8]> {
        match self.exchange.said().and_then(|said| said.request.target.as_deref()) {
            Some(target) => Cow::Borrowed(target),
            None => Cow::Borrowed(self.exchange.head.target(self.exchange.head_bytes())),
        }
    }

    fn set_target(&mut self, target: &[u8]) -> Result<(), Refusal> {
        if !edit::is_target(target) {
            return Err("a request target has to begin with / and to hold visible ASCII only");
        }
        self.exchange.said_mut().request.target = Some(target.to_vec());
        Ok(())
    }

    fn version(&self, side: Side) -> &'static str {
        match (side, &self.stage) {
            (Side::Request, _) if self.exchange.head.version() == Version::Http10 => "HTTP/1.0",
            (Side::Response, Stage::Response { answer, .. })
                if answer.head_bytes().starts_with(b"HTTP/1.0") =>
            {
                "HTTP/1.0"
            }
            (Side::Response, Stage::Request) => "",
            _ => "HTTP/1.1",
        }
    }

    fn field(&self, side: Side, name: &[u8], each: &mut dyn FnMut(&[u8])) {
        match (side, self.exchange.said()) {
            (Side::Request, Some(said)) => said.request.fields.values(name, self.original(side), each),
            (Side::Response, Some(said)) => {
                said.response.fields.here().values(name, self.original(side), each);
            }
            (_, None) => self
                .original(side)
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .for_each(|(_, value)| each(value)),
        }
    }

    fn fields(&self, side: Side, each: &mut dyn FnMut(&[u8], &[u8])) {
        match (side, self.exchange.said()) {
            (Side::Request, Some(said)) => said.request.fields.fields(self.original(side), each),
            (Side::Response, Some(said)) => said.response.fields.here().fields(self.original(side), each),
            (_, None) => self.original(side).for_each(|(name, value)| each(name, value)),
        }
    }

    fn edit(&mut self, side: Side, edit: Edit<'_>) -> Result<(), Refusal> {
        let allowed =
            match (side, &self.stage) {
                (Side::Request, Stage::Request)
                | (Side::Response, Stage::Request | Stage::Response { .. }) => true,
                (_, Stage::Completion(_) | Stage::Spoken { .. })
                | (Side::Request, Stage::Response { .. }) => false,
            };
        if !allowed {
            return Err("the message has been sent");
        }
        // RFC 9112 §3.2: a request has one Host.
        let edit = match (side, edit) {
            (Side::Request, Edit::Set(name, value) | Edit::Add(name, value) | Edit::Append(name, value))
                if is_host(name) =>
            {
                if !request::is_host(value) {
                    return Err("Host has to be a host with an optional port");
                }
                Edit::Set(name, value)
            }
            (Side::Request, Edit::Remove(name)) if is_host(name) => return Err("a request needs its Host"),
            (_, edit) => edit,
        };
        let mut before = Vec::new();
        if late::is_relative(edit) {
            self.field(side, edit.field(), &mut |value| before.push(value.to_vec()));
        }
        let said = self.exchange.said_mut();
        match side {
            Side::Request => late::apply(&mut said.request.fields, edit, &before),
            Side::Response => said.response.fields.edit(edit, &before),
        }
    }

    fn status(&self) -> u16 {
        match (&self.stage, self.exchange.said().and_then(|said| said.response.status.as_ref())) {
            (Stage::Response { .. }, Some((status, _))) => *status,
            (Stage::Response { answer, .. }, None) => answer.head.status(),
            (Stage::Completion(_), _) => self.exchange.answered.status,
            (Stage::Request | Stage::Spoken { .. }, _) => 0,
        }
    }

    fn set_status(&mut self, status: u16, reason: &[u8]) -> Result<(), Refusal> {
        if !(200..1000).contains(&status) || !edit::is_reason(reason) {
            return Err("a final status is a number from 200 to 999, its reason holds no control bytes");
        }
        self.exchange.said_mut().response.status = Some((status, reason.to_vec()));
        Ok(())
    }

    fn body(&self, side: Side) -> Body<'_> {
        let said = self.exchange.said();
        if let Some(talk) = said.and_then(|said| said.talk.as_ref()) {
            let held = match side {
                Side::Request => &talk.input.held,
                Side::Response => &talk.output.held,
            };
            return Body { bytes: held.bytes(), complete: held.is_finished() };
        }
        let taken = match side {
            Side::Request => said.and_then(|said| said.request_body.as_ref()),
            Side::Response => said.and_then(|said| said.response_body.as_ref()),
        };
        match taken {
            Some(taken) => Body { bytes: taken.bytes(), complete: taken.is_complete() },
            None => Body {
                bytes: &[],
                complete: match (side, &self.stage) {
                    (Side::Request, _) => !self.exchange.head.has_body(),
                    (Side::Response, Stage::Response { answer, .. }) => {
                        Taken::of_response(answer.head.framing()).is_complete()
                    }
                    (Side::Response, _) => true,
                },
            },
        }
    }

    fn set_body(&mut self, side: Side, body: Vec<u8>) -> Result<(), Refusal> {
        let open = match side {
            Side::Request => matches!(self.stage, Stage::Request),
            Side::Response => matches!(self.stage, Stage::Response { .. } | Stage::Spoken { .. }),
        };
        if !open {
            return Err("there is no body to replace in this phase");
        }
        if let Some(talk) = self.exchange.said.as_mut().and_then(|said| said.talk.as_mut()) {
            match side {
                Side::Request => talk.input.set(body),
                Side::Response => talk.output.set(body),
            }
            return Ok(());
        }
        let fresh = match &self.stage {
            Stage::Response { answer, .. } if side == Side::Response => {
                Taken::of_response(answer.head.framing())
            }
            _ => Taken::of_request(self.exchange.head.framing()),
        };
        let said = self.exchange.said_mut();
        match side {
            Side::Request => {
                let taken = said.request_body.get_or_insert(fresh);
                taken.replace(body);
                said.abandons_body |= taken.abandons;
            }
            Side::Response => said.response_body.get_or_insert(fresh).replace(body),
        }
        Ok(())
    }

    fn client(&self) -> SocketAddr {
        self.client.peer
    }

    fn local(&self) -> SocketAddr {
        self.client.local
    }

    fn node_connection(&self) -> Option<(SocketAddr, SocketAddr)> {
        match &self.stage {
            Stage::Response { answer, node, .. } => {
                Some((answer.connection.stream.local_address()?, node.address()))
            }
            Stage::Spoken { leg, node, .. } => Some((leg.connection.stream.local_address()?, node.address())),
            Stage::Request | Stage::Completion(_) => None,
        }
    }

    fn virtual_server(&self) -> Cow<'_, str> {
        self.exchange.server.name().as_str().into()
    }

    fn pool(&self) -> Option<Cow<'_, str>> {
        Some(self.serving().map_or("discard", |pool| pool.settings.name.as_str()).into())
    }

    fn node(&self) -> Option<Cow<'_, str>> {
        match &self.stage {
            Stage::Request => None,
            Stage::Response { node, .. } | Stage::Spoken { node, .. } => Some((&**node.label()).into()),
            Stage::Completion(_) => {
                let (_, node) = self.exchange.said()?.tried.as_ref()?;
                Some((&**node.as_ref()?.label()).into())
            }
        }
    }

    fn persistence(&self) -> Option<Cow<'_, str>> {
        let said = self.exchange.said();
        let own = said.and_then(|said| said.persistence.class.as_ref()).map(|class| class.name.as_str());
        let pool = match &self.stage {
            Stage::Response { pool, .. } | Stage::Spoken { pool, .. } => Some(*pool),
            _ => match said.and_then(|said| said.pool.as_ref()) {
                Some(chosen) => chosen.pool.as_ref(),
                None => self.exchange.server.pool.as_ref(),
            },
        };
        own.or_else(|| Some(pool?.settings.persistence.as_ref()?.as_str())).map(Cow::Borrowed)
    }

    fn service_class(&self) -> Option<Cow<'_, str>> {
        Some(self.exchange.service_level()?.settings.name.as_str().into())
    }

    fn bandwidth_class(&self, side: Side) -> Option<Cow<'_, str>> {
        let class = match side {
            Side::Response => self.exchange.client_bandwidth(),
            Side::Request => {
                let of_pool = self.serving().and_then(|pool| pool.settings.bandwidth.as_ref());
                self.exchange.node_bandwidth(of_pool)
            }
        };
        Some(class?.as_str().into())
    }

    fn retries(&self) -> u32 {
        self.exchange.answered.retries
    }

    fn is_resendable(&self) -> bool {
        self.stage.is_resendable()
    }

    fn is_logged(&self) -> bool {
        access::is_wanted(self.exchange)
    }

    fn max_transaction_duration(&self) -> Option<Duration> {
        self.exchange.max_transaction_duration()
    }

    fn times(&self) -> Times {
        let node_response = match &self.stage {
            Stage::Request => None,
            Stage::Response { answer, .. } => Some(answer.response_time),
            Stage::Spoken { .. } | Stage::Completion(_) => {
                self.exchange.said().and_then(|said| said.response_time)
            }
        };
        Times {
            node_response,
            queued: Duration::from_micros(self.exchange.answered.queued.get().into()),
            // The clock was read when the request last waited, or a rule has worked for long.
            transaction: self.client.worker.recent_elapsed().saturating_sub(self.exchange.began),
        }
    }

    fn memory(&self) -> usize {
        let bodies = self.exchange.said().map_or(0, Said::held);
        self.client.buffer.len() + self.exchange.head_bytes().len() + bodies
    }

    fn is_tls(&self) -> bool {
        self.client.is_tls()
    }

    fn awaits_hello(&self) -> bool {
        self.hello() == Hello::Awaited
    }

    fn tls(&self, fact: TlsFact) -> Option<Cow<'_, str>> {
        let Some(connection) = self.client.stream.server_tls() else {
            return match (self.hello(), fact) {
                (Hello::Said { name, .. }, TlsFact::ServerName) => name.map(Cow::Owned),
                (Hello::Said { session, .. }, TlsFact::SessionId) => Some(session.into()),
                _ => None,
            };
        };
        Some(match fact {
            TlsFact::Cipher => crate::tls::headers::cipher(connection).into(),
            TlsFact::ServerName => connection.server_name()?.into(),
            TlsFact::SessionId => self.client.tls_id()?.into(),
            TlsFact::SiteName => self.client.stream.shown()?.site.as_deref()?.into(),
            TlsFact::CertificateName => self.client.stream.shown()?.name.as_str().into(),
            TlsFact::ClientCertificateStatus => {
                if connection.peer_certificates().is_some() { "OK" } else { "NoClientCert" }.into()
            }
        })
    }

    fn client_certificates(&self) -> Vec<Cow<'_, [u8]>> {
        let chain = self.client.stream.server_tls().and_then(|connection| connection.peer_certificates());
        chain.into_iter().flatten().map(|certificate| Cow::Borrowed(&**certificate)).collect()
    }

    fn server_certificate(&self) -> Option<Cow<'_, [u8]>> {
        let leaf = self.client.stream.shown()?.certified.cert.first()?;
        Some(Cow::Borrowed(&**leaf))
    }

    fn completion(&self) -> CompletionCode {
        match self.stage {
            Stage::Completion(code) => code,
            _ => "",
        }
    }

    fn order(&mut self, order: Order) -> bool {
        orders::take(self, order)
    }

    fn close_socket(&mut self, socket: u32) -> bool {
        self.exchange.said.as_mut().is_some_and(|said| said.sockets.close(socket))
    }
}

/// An entry of a catalogue by its name as rules write it.
pub(super) fn named_object<'m, K, V>(
    catalogue: &'m std::collections::BTreeMap<K, V>,
    name: &[u8],
) -> Option<&'m V>
where
    K: std::borrow::Borrow<str> + Ord,
{
    catalogue.get(std::str::from_utf8(name).ok()?)
}

/// An address as rules write it.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    /// What described requests refuse is what live ones do.
    #[test]
    fn the_framing_fields_are_those_of_the_language() {
        assert_eq!(tidegate_trafficscript::host::FRAMING, tidegate_http1::edit::FRAMING);
    }
}

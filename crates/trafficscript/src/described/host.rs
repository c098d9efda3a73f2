//! What rules see of a described request.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use super::{Described, Stream};
use crate::{
    host::{Body, CompletionCode, Edit, Host, Order, Phase, Refusal, Shared, Side, Times, TlsFact},
    library::{is_framing, is_target_byte, is_token, usual_reason},
};

/// Makes an edit.
pub(super) fn apply(headers: &mut Vec<(Vec<u8>, Vec<u8>)>, edit: Edit<'_>) {
    let name = edit.field();
    let is_it = |known: &[u8]| known.eq_ignore_ascii_case(name);
    let before: Vec<_> =
        headers.iter().filter(|(known, _)| is_it(known)).map(|(_, value)| value.clone()).collect();
    let after = edit.values(before.clone());
    // What is added stands at the end, what is changed where the field stood.
    if let Some(new) = after.strip_prefix(before.as_slice()) {
        headers.extend(new.iter().map(|value| (name.to_vec(), value.clone())));
        return;
    }
    let at = headers.iter().position(|(known, _)| is_it(known)).unwrap_or(headers.len());
    headers.retain(|(known, _)| !is_it(known));
    headers.splice(at..at, after.into_iter().map(|value| (name.to_vec(), value)));
}

impl Host for Described {
    fn phase(&self) -> Phase {
        self.phase
    }

    fn speaks_http(&self) -> bool {
        !self.raw
    }

    fn method(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.method)
    }

    fn set_method(&mut self, method: &[u8]) -> Result<(), Refusal> {
        if !is_token(method) {
            return Err("it is not a method");
        }
        self.method = method.to_vec();
        Ok(())
    }

    fn target(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.target)
    }

    fn set_target(&mut self, target: &[u8]) -> Result<(), Refusal> {
        if target.first() != Some(&b'/') || !target.iter().copied().all(is_target_byte) {
            return Err("it is not the path of a URL");
        }
        self.target = target.to_vec();
        Ok(())
    }

    fn version(&self, side: Side) -> &'static str {
        self.message(side).version
    }

    fn field(&self, side: Side, name: &[u8], each: &mut dyn FnMut(&[u8])) {
        for (known, value) in &self.message(side).headers {
            if known.eq_ignore_ascii_case(name) {
                each(value);
            }
        }
    }

    fn fields(&self, side: Side, each: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in &self.message(side).headers {
            each(name, value);
        }
    }

    fn edit(&mut self, side: Side, edit: Edit<'_>) -> Result<(), Refusal> {
        let name = edit.field();
        if !is_token(name) {
            return Err("it is not the name of a header");
        }
        if is_framing(name) {
            return Err("it belongs to the connection, which is the proxy's own");
        }
        if edit.parts().concat().iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
            return Err("its value holds control bytes");
        }
        if side == Side::Response && self.phase == Phase::Request {
            self.pending.push(edit.into());
        } else {
            apply(&mut self.message_mut(side).headers, edit);
        }
        Ok(())
    }

    fn status(&self) -> u16 {
        self.status.0
    }

    fn reason(&self) -> Cow<'_, [u8]> {
        match self.status.1.as_slice() {
            b"" => usual_reason(self.status.0).as_bytes().into(),
            reason => reason.into(),
        }
    }

    fn set_status(&mut self, status: u16, reason: &[u8]) -> Result<(), Refusal> {
        if !(100..=999).contains(&status) || reason.iter().any(u8::is_ascii_control) {
            return Err("it is not a status");
        }
        self.status = (status, reason.to_vec());
        Ok(())
    }

    fn body(&self, side: Side) -> Body<'_> {
        let message = self.message(side);
        let complete = message.body.is_empty() || message.arrived > message.body.len();
        let bytes = message.body.get(..message.arrived).unwrap_or(&message.body);
        Body { bytes, complete }
    }

    fn set_body(&mut self, side: Side, body: Vec<u8>) -> Result<(), Refusal> {
        let message = self.message_mut(side);
        let length = body.len().to_string().into_bytes();
        apply(&mut message.headers, Edit::Remove(b"Transfer-Encoding"));
        apply(&mut message.headers, Edit::Set(b"Content-Length", &length));
        message.body = body;
        message.arrived = usize::MAX;
        message.refused = None;
        Ok(())
    }

    fn client(&self) -> SocketAddr {
        self.client
    }

    fn local(&self) -> SocketAddr {
        self.local
    }

    fn node_connection(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.node_connection
    }

    fn virtual_server(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.virtual_server)
    }

    fn pool(&self) -> Option<Cow<'_, str>> {
        self.chosen_pool().map(Cow::Owned)
    }

    fn node(&self) -> Option<Cow<'_, str>> {
        self.node.as_deref().map(Cow::Borrowed)
    }

    fn persistence(&self) -> Option<Cow<'_, str>> {
        self.orders
            .iter()
            .rev()
            .find_map(|order| match order {
                Order::Persistence(class) => Some(class.as_deref()),
                _ => None,
            })
            .flatten()
            .map(String::from_utf8_lossy)
    }

    fn service_class(&self) -> Option<Cow<'_, str>> {
        let ordered = self.orders.iter().rev().find_map(|order| match order {
            Order::ServiceLevel(class) => Some(class.as_deref()),
            _ => None,
        });
        ordered.flatten().map(String::from_utf8_lossy)
    }

    fn bandwidth_class(&self, side: Side) -> Option<Cow<'_, str>> {
        let ordered = self.orders.iter().rev().find_map(|order| match order {
            Order::Bandwidth(of, class) if *of == side => Some(class.as_deref()),
            _ => None,
        });
        ordered.flatten().map(String::from_utf8_lossy)
    }

    fn retries(&self) -> u32 {
        self.retries
    }

    fn is_resendable(&self) -> bool {
        self.resendable
    }

    fn is_logged(&self) -> bool {
        let ordered = self.orders.iter().rev().find_map(|order| match order {
            Order::LogRequest(logged) => Some(*logged),
            _ => None,
        });
        ordered.unwrap_or(true)
    }

    fn max_transaction_duration(&self) -> Option<Duration> {
        self.orders.iter().rev().find_map(|order| match order {
            Order::MaxTransactionDuration(time) => Some(*time),
            _ => None,
        })
    }

    fn times(&self) -> Times {
        self.times
    }

    fn memory(&self) -> usize {
        [Side::Request, Side::Response].iter().map(|&side| self.body(side).bytes.len()).sum()
    }

    fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    fn tls(&self, fact: TlsFact) -> Option<Cow<'_, str>> {
        self.tls.as_ref()?.get(&fact).map(|text| Cow::Borrowed(text.as_str()))
    }

    fn client_certificates(&self) -> Vec<Cow<'_, [u8]>> {
        self.client_certificates.iter().map(|der| Cow::Borrowed(der.as_slice())).collect()
    }

    fn server_certificate(&self) -> Option<Cow<'_, [u8]>> {
        self.server_certificate.as_deref().map(Cow::Borrowed)
    }

    fn completion(&self) -> CompletionCode {
        self.completion
    }

    fn order(&mut self, order: Order) -> bool {
        let possible = match &order {
            Order::Pool(name, _) => name == b"discard" || self.pool_named(name).is_some(),
            Order::Persistence(Some(class)) => self
                .persistence_classes
                .as_ref()
                .is_none_or(|known| known.iter().any(|known| known.as_bytes() == class)),
            Order::ServiceLevel(Some(class)) => self.service_level(class).is_some(),
            Order::Bandwidth(_, Some(class)) => self
                .bandwidth_classes
                .as_ref()
                .is_none_or(|known| known.iter().any(|known| known.as_bytes() == class)),
            Order::Retry => self.resendable,
            Order::RemoteAddress(address) => {
                self.client.set_ip(*address);
                true
            }
            Order::StreamStart { .. } | Order::Reply(_) => {
                self.stream.is_none() && self.phase != Phase::Completion
            }
            Order::StreamFinish | Order::StreamContinue => match &mut self.stream {
                Some(stream) if !stream.finished && !stream.continued => {
                    stream.finished = order == Order::StreamFinish;
                    stream.continued = !stream.finished;
                    true
                }
                _ => false,
            },
            Order::Skip(count) => {
                let message = &mut self.request;
                message.body.drain(..(*count).min(message.body.len()));
                message.arrived = message.arrived.saturating_sub(*count);
                true
            }
            Order::Append(data) => {
                self.response.body.extend_from_slice(data);
                self.response.arrived = self.response.arrived.saturating_add(data.len());
                true
            }
            Order::Flush(count) => {
                let body = &mut self.response.body;
                let count = count.unwrap_or(body.len()).min(body.len());
                self.flushed.extend(body.drain(..count));
                self.response.arrived = self.response.arrived.saturating_sub(count);
                true
            }
            _ => true,
        };
        if possible {
            if matches!(order, Order::StreamStart { .. }) {
                self.stream = Some(Stream::default());
            }
            self.orders.push(order);
        }
        possible
    }

    fn close_socket(&mut self, socket: u32) -> bool {
        self.sockets.remove(&socket)
    }
}

//! What rules did with a described request, for people.

use std::fmt::Write as _;

use super::Described;
use crate::{
    host::{Edit, Level, Order, Phase, Reply, Side},
    library::{is_framing, usual_reason},
};

/// Most bytes of a body that are shown.
const SHOWN: usize = 2048;

impl Described {
    /// What rules did: the request as it goes to the node or the reply in its place, the response as it goes to the
    /// client, and the event log. Ends with a line end. Bytes that cannot be shown are escaped.
    pub fn report(&self) -> String {
        let mut text = String::new();
        self.outcome(&mut text);
        for order in &self.orders {
            if let Some(line) = other_order(order) {
                let _ = writeln!(text, "Also: {line}");
            }
        }
        for edit in &self.pending {
            let name = shown(edit.get().field());
            let _ = match edit.get() {
                Edit::Set(_, value) => writeln!(text, "Response will have: {name}: {}", shown(value)),
                Edit::Add(_, value) => writeln!(text, "Response will also have: {name}: {}", shown(value)),
                Edit::Append(_, value) => {
                    writeln!(text, "Response will have at the end of {name}: {}", shown(value))
                }
                Edit::Remove(_) => writeln!(text, "Response will not have: {name}"),
                Edit::SetCookie(cookie, value, options) => {
                    let options =
                        if options.is_empty() { String::new() } else { format!("; {}", shown(options)) };
                    writeln!(
                        text,
                        "Response will set the cookie: {}={}{options}",
                        shown(cookie),
                        shown(value)
                    )
                }
                Edit::RemoveCookie(cookie) => {
                    writeln!(text, "Response will not set the cookie: {}", shown(cookie))
                }
            };
        }
        for (number, count) in &self.counters {
            let _ = writeln!(text, "User counter {number}: {count}");
        }
        for (id, message) in &self.events {
            let _ = writeln!(text, "Event {}: {}", shown(id), shown(message));
        }
        for (level, message) in &self.lines {
            let level = match level {
                Level::Info => "INFO",
                Level::Warn => "WARN",
                Level::Error => "ERROR",
            };
            let _ = writeln!(text, "Log {level}: {}", shown(message));
        }
        text
    }

    /// Where the request, or the response, goes.
    fn outcome(&self, text: &mut String) {
        let final_order = self.orders.iter().rev().find(|order| {
            matches!(
                order,
                Order::Discard
                    | Order::Close { .. }
                    | Order::Reply(_)
                    | Order::Retry
                    | Order::StreamStart { .. }
                    | Order::Respond(_)
            )
        });
        match final_order {
            Some(Order::Discard) => text.push_str("The connection is closed without a reply.\n"),
            Some(Order::Close { data, read }) => {
                let read = if *read { " after reading what the client still sends" } else { "" };
                let _ = writeln!(text, "The connection is closed{read}, behind these bytes:");
                body(text, data);
            }
            Some(Order::Reply(reply)) => {
                text.push_str("The client gets this reply:\n");
                head(text, reply);
                body(text, &reply.body);
            }
            Some(Order::Retry) => text.push_str("The request is sent to a node again.\n"),
            Some(Order::StreamStart { reply, length, keep_headers }) => {
                text.push_str("The client gets this reply, written in pieces:\n");
                let mut started = reply.clone();
                if *keep_headers {
                    let kept = self.response.headers.iter().filter(|(name, _)| stays(name, reply));
                    started.headers = kept.chain(&reply.headers).cloned().collect();
                }
                let (name, value) = match length {
                    Some(length) => ("Content-Length", length.to_string()),
                    None => ("Transfer-Encoding", "chunked".to_owned()),
                };
                started.headers.push((name.into(), value.into()));
                head(text, &started);
                let stream = self.stream.clone().unwrap_or_default();
                body(text, &stream.written);
                if stream.continued {
                    text.push_str("… and the rest from the node.\n");
                }
            }
            Some(Order::Respond(data)) => {
                text.push_str("The client gets these bytes, and no node anything:\n");
                lines(text, data);
            }
            _ if self.phase == Phase::Request => self.forwarded(text),
            _ if self.raw => {
                text.push_str("The client gets these bytes:\n");
                lines(text, &[&*self.flushed, &self.response.body].concat());
            }
            _ => {
                text.push_str("The client gets this response:\n");
                let (status, reason) = &self.status;
                let reason = if reason.is_empty() { usual_reason(*status).as_bytes() } else { reason };
                let _ = writeln!(text, "  {} {status} {}", self.response.version, shown(reason));
                fields(text, &self.response.headers);
                body(text, &self.response.body);
            }
        }
    }

    fn forwarded(&self, text: &mut String) {
        let chosen = self.orders.iter().rev().find_map(|order| match order {
            Order::Pool(name, node) => Some((name, node)),
            _ => None,
        });
        let what = if self.raw { "these bytes" } else { "this request" };
        let _ = match (chosen, &self.default_pool) {
            (Some((name, _)), _) if name == b"discard" => {
                text.push_str("The connection is closed without a reply.\n");
                return;
            }
            (Some((name, Some((host, port)))), _) => {
                writeln!(text, "Node {}:{port} with pool {} gets {what}:", shown(host), shown(name))
            }
            (Some((name, None)), _) => writeln!(text, "Pool {} gets {what}:", shown(name)),
            (None, Some(name)) => writeln!(text, "The default pool {name} gets {what}:"),
            (None, None) => writeln!(text, "There is no pool for {what}:"),
        };
        if self.raw {
            let ends = self.orders.iter().rev().find_map(|order| match order {
                Order::EndsAt(end) => Some(*end),
                _ => None,
            });
            let bytes = &*self.request.body;
            let (request, behind) = ends.and_then(|end| bytes.split_at_checked(end)).unwrap_or((bytes, b""));
            lines(text, request);
            if !behind.is_empty() {
                text.push_str("The next request begins with these bytes:\n");
                lines(text, behind);
            }
            return;
        }
        let version = self.request.version;
        let _ = writeln!(text, "  {} {} {version}", shown(&self.method), shown(&self.target));
        fields(text, &self.request.headers);
        body(text, &self.request.body);
    }
}

impl Order {
    /// What is ordered, as a phrase: `pool web`, `a reply: 302 Found`.
    pub fn phrase(&self) -> String {
        match self {
            Self::Pool(name, None) => format!("pool {}", shown(name)),
            Self::Pool(name, Some((host, port))) => {
                format!("node {}:{port} with the settings of pool {}", shown(host), shown(name))
            }
            Self::Discard => "the connection is closed without a reply".to_owned(),
            Self::Close { data, .. } => format!("the connection is closed behind {} bytes", data.len()),
            Self::Reply(reply) | Self::StreamStart { reply, .. } => {
                let usual = usual_reason(reply.status).as_bytes();
                let reason = if reply.reason.is_empty() { usual } else { &reply.reason };
                let location = reply.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"location"));
                let to = location.map(|(_, value)| format!(" to {}", shown(value))).unwrap_or_default();
                format!("a reply: {} {}{to}", reply.status, shown(reason))
            }
            Self::Retry => "the request is sent to a node again".to_owned(),
            Self::Respond(data) => format!("the client is answered with {}", shown(data)),
            Self::StreamFinish => "the reply is finished".to_owned(),
            Self::StreamContinue => "the rest of the reply comes from the node".to_owned(),
            _ => other_order(self).unwrap_or_default(),
        }
    }
}

/// A line for an order that does not say where the request goes.
fn other_order(order: &Order) -> Option<String> {
    Some(match order {
        Order::AvoidNode(node) => format!("node {} is avoided", shown(node)),
        Order::Persistence(Some(class)) => format!("session persistence class {}", shown(class)),
        Order::Persistence(None) => "session persistence as of the pool".to_owned(),
        Order::ServiceLevel(Some(class)) => format!("service level class {}", shown(class)),
        Order::ServiceLevel(None) => "no service level class".to_owned(),
        Order::Bandwidth(side, class) => match (side, class) {
            (Side::Request, Some(class)) => format!("bandwidth class {} to the node", shown(class)),
            (Side::Response, Some(class)) => format!("bandwidth class {} to the client", shown(class)),
            (Side::Request, None) => "no bandwidth class to the node".to_owned(),
            (Side::Response, None) => "no bandwidth class to the client".to_owned(),
        },
        Order::PersistenceKey(key) => format!("session persistence key {}", shown(key)),
        Order::PersistenceNode(node) => format!("session persistence node {}", shown(node)),
        Order::RemoteAddress(address) => format!("the client's address is {address}"),
        Order::Idempotent(true) => "the request may be sent again".to_owned(),
        Order::Idempotent(false) => "the request may not be sent again".to_owned(),
        Order::MaxReplyTime(time) => format!("a node has {time:?} to reply"),
        Order::MaxAttempts(number) => format!("at most {number} nodes are tried"),
        Order::MaxTimedOutAttempts(number) => format!("at most {number} nodes are tried after timeouts"),
        Order::IdleTimeout(time) => format!("the connection may be idle for {time:?}"),
        Order::MaxTransactionDuration(time) => format!("the exchange may take {time:?}"),
        Order::ServerName(name) => format!("TLS to the node asks for {}", shown(name)),
        Order::LogRequest(true) => "the access log gets the request".to_owned(),
        Order::LogRequest(false) => "the access log does not get the request".to_owned(),
        Order::EndsAt(bytes) => format!("the request has {bytes} bytes"),
        Order::Skip(bytes) => format!("{bytes} bytes of the client are dropped"),
        Order::Append(data) => format!("the response is followed by {}", shown(data)),
        Order::Flush(_) => "the response so far is sent".to_owned(),
        Order::CloseNode => "the connection to the node is closed".to_owned(),
        Order::Pool(..)
        | Order::Discard
        | Order::Close { .. }
        | Order::Reply(_)
        | Order::Respond(_)
        | Order::Retry
        | Order::StreamStart { .. }
        | Order::StreamFinish
        | Order::StreamContinue => return None,
    })
}

fn head(text: &mut String, reply: &Reply) {
    let usual = usual_reason(reply.status).as_bytes();
    let reason = if reply.reason.is_empty() { usual } else { &reply.reason };
    let _ = writeln!(text, "  HTTP/1.1 {} {}", reply.status, shown(reason));
    fields(text, &reply.headers);
}

/// Whether a field of the node's stays in a reply that takes the place of its response: not if the reply has one of this
/// name, nor where it says how long the node's body is.
fn stays(name: &[u8], reply: &Reply) -> bool {
    !is_framing(name) && !reply.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
}

fn fields(text: &mut String, headers: &[(Vec<u8>, Vec<u8>)]) {
    for (name, value) in headers {
        let _ = writeln!(text, "  {}: {}", shown(name), shown(value));
    }
}

fn body(text: &mut String, bytes: &[u8]) {
    if !bytes.is_empty() {
        text.push('\n');
        lines(text, bytes);
    }
}

fn lines(text: &mut String, bytes: &[u8]) {
    let piece = bytes.get(..SHOWN).unwrap_or(bytes);
    for line in piece.strip_suffix(b"\n").unwrap_or(piece).split(|&byte| byte == b'\n') {
        let _ = writeln!(text, "  {}", shown(line));
    }
    if piece.len() < bytes.len() {
        let _ = writeln!(text, "  … {} bytes in all", bytes.len());
    }
}

/// Text as it is, other bytes escaped.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() && letter != '\t' {
                text.extend(letter.escape_default());
            } else {
                text.push(letter);
            }
        }
        let _ = write!(text, "{}", chunk.invalid().escape_ascii());
    }
    text
}

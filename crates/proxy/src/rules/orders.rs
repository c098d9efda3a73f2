//! Orders of rules, noted for when the phase is over. The last of a kind wins.

use std::{net::SocketAddr, sync::Arc};

use tidegate_trafficscript::host::{Order, Side};

use super::{
    said::{ChosenBandwidth, ChosenLevel, ChosenPool, Ending, Limit},
    seen::{Seen, address, named_object},
    stage::Stage,
    stream,
};
use crate::connection::Client;

/// Most nodes that rules of one request can avoid.
const MAX_AVOIDED: usize = 64;

/// Notes an order. False = it cannot be carried out.
pub(super) fn take(seen: &mut Seen<'_, '_>, order: Order) -> bool {
    match order {
        Order::Pool(name, node) => return pool(seen, &name, node),
        Order::Persistence(class) => return persistence(seen, class.as_deref()),
        Order::Discard => end(seen, Ending::Discard),
        Order::Close { data, read } => end(seen, Ending::Close { data, read }),
        Order::Reply(reply) => end(seen, Ending::Reply(reply)),
        Order::Retry => {
            if !seen.stage.is_resendable() {
                return false;
            }
            end(seen, Ending::Retry);
        }
        Order::AvoidNode(node) => {
            let avoided = &mut seen.exchange.said_mut().avoided;
            if avoided.len() >= MAX_AVOIDED {
                return false;
            }
            avoided.push(String::from_utf8_lossy(&node).into());
        }
        Order::Bandwidth(side, class) => return bandwidth(seen, side, class.as_deref()),
        Order::ServiceLevel(class) => return service_level(seen, class.as_deref()),
        Order::PersistenceKey(key) => seen.exchange.said_mut().persistence.key = Some(key),
        Order::PersistenceNode(node) => {
            let node = String::from_utf8_lossy(&node).into();
            seen.exchange.said_mut().persistence.node = Some(node);
        }
        Order::RemoteAddress(ip) => {
            let port = seen.client.peer.port();
            let before = seen.client.pretend(SocketAddr::new(ip, port));
            seen.exchange.said_mut().client_before.get_or_insert(before);
        }
        Order::Idempotent(yes) => seen.exchange.said_mut().limits.idempotent = Some(yes),
        Order::MaxReplyTime(limit) => {
            seen.exchange.said_mut().limits.max_reply_time = Limit::written(limit);
        }
        Order::MaxAttempts(most) => seen.exchange.said_mut().limits.max_attempts = Limit::written(most),
        Order::MaxTimedOutAttempts(most) => {
            seen.exchange.said_mut().limits.max_timed_out_attempts = Limit::written(most);
        }
        Order::IdleTimeout(limit) => seen.exchange.said_mut().limits.idle = Limit::written(limit),
        Order::MaxTransactionDuration(limit) => {
            seen.exchange.said_mut().limits.max_transaction_duration = Limit::written(limit);
        }
        Order::ServerName(name) => seen.exchange.said_mut().server_name = Some(name),
        Order::LogRequest(yes) => seen.exchange.said_mut().logged = Some(yes),
        Order::StreamStart { reply, length, keep_headers } => {
            return stream::start(seen, reply, length, keep_headers);
        }
        Order::StreamFinish => return stream::end(seen, Ending::Streamed),
        Order::StreamContinue => return stream::end(seen, Ending::StreamedOn),
        Order::EndsAt(_)
        | Order::Skip(_)
        | Order::Respond(_)
        | Order::Append(_)
        | Order::Flush(_)
        | Order::CloseNode => return talk(seen, order),
    }
    true
}

/// Orders about bytes, where the protocol is not HTTP.
fn talk(seen: &mut Seen<'_, '_>, order: Order) -> bool {
    let Some(talk) = &mut seen.exchange.said_mut().talk else { return false };
    match order {
        Order::EndsAt(end) => talk.input.ends_at(end),
        Order::Skip(count) => talk.input.skip(count),
        Order::Respond(data) => talk.reply = Some(data),
        Order::Append(data) => return talk.output.append(&data),
        Order::Flush(count) => talk.output.flush(count),
        Order::CloseNode => talk.output.closes = true,
        _ => return false,
    }
    true
}

/// Notes what happens instead of going on.
pub(super) fn end(seen: &mut Seen<'_, '_>, ending: Ending) {
    seen.exchange.said_mut().ending = Some(ending);
}

/// `pool.use` and `pool.select`.
fn pool(seen: &mut Seen<'_, '_>, name: &[u8], node: Option<(Vec<u8>, u16)>) -> bool {
    let pool = if name == b"discard" {
        None
    } else {
        let Some(pool) = named_object(&seen.client.worker.view().pools, name).map(Arc::clone) else {
            return false;
        };
        Some(pool)
    };
    let (pool, fixed_node) = match (pool, node) {
        (Some(pool), Some((host, port))) => {
            let Some(ip) = address(&host) else { return false };
            let node = SocketAddr::new(ip, port);
            (
                Some(seen.client.worker.rules.strangers.pool_for(&seen.client.worker, pool, node)),
                Some(node.to_string()),
            )
        }
        (pool, _) => (pool, None),
    };
    let said = seen.exchange.said_mut();
    said.pool = Some(ChosenPool { pool });
    said.fixed_node = fixed_node.map(Into::into);
    true
}

/// `connection.setServiceLevelClass`.
fn service_level(seen: &mut Seen<'_, '_>, class: Option<&[u8]>) -> bool {
    let level =
        class.map(|name| named_object(&seen.client.worker.view().service_levels, name).map(Arc::clone));
    if matches!(level, Some(None)) {
        return false;
    }
    seen.exchange.said_mut().service_level = Some(ChosenLevel { level: level.flatten() });
    true
}

/// `request.setBandwidthClass` and `response.setBandwidthClass`: holds at once, for what is on its way too.
fn bandwidth(seen: &mut Seen<'_, '_>, side: Side, class: Option<&[u8]>) -> bool {
    let name = match class {
        None => None,
        Some(name) => {
            let view = seen.client.worker.view();
            let Some(class) = named_object(&view.bandwidth, name) else { return false };
            Some(class.settings.name.clone())
        }
    };
    let Client { worker, deadline, stream, .. } = &mut *seen.client;
    let chosen = &mut seen.exchange.said_mut().bandwidth;
    match (side, &mut seen.stage) {
        (Side::Response, _) => {
            stream.limit(name.as_ref(), worker, deadline);
            chosen.client = Some(ChosenBandwidth { class: name });
        }
        (Side::Request, stage) => {
            match stage {
                Stage::Response { answer, .. } => {
                    answer.connection.stream.limit(name.as_ref(), worker, deadline);
                }
                Stage::Spoken { leg, .. } => leg.connection.stream.limit(name.as_ref(), worker, deadline),
                Stage::Request | Stage::Completion(_) => {}
            }
            chosen.node = Some(ChosenBandwidth { class: name });
        }
    }
    true
}

/// `connection.setPersistence`.
fn persistence(seen: &mut Seen<'_, '_>, class: Option<&[u8]>) -> bool {
    let class = match class {
        None => None,
        Some(name) => {
            let Some(class) = named_object(&seen.client.worker.view().persistence, name).map(Arc::clone)
            else {
                return false;
            };
            Some(class)
        }
    };
    seen.exchange.said_mut().persistence.class = class;
    true
}

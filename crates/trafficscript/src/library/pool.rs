//! `pool.*`: which pool serves the request, and how pools are.

use std::net::IpAddr;

use super::{
    Call, Function, Interrupt, Outcome, http, number,
    row::{REQUEST, works},
};
use crate::{
    host::{Answer, Need, NodeState, Order, PoolNode, tag},
    value::Value,
};

/// The built-in pool that closes the connection.
const DISCARD: &[u8] = b"discard";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("pool.use", "pool[, host, port]", (1, 3),
        "Serves the request from this pool and ends the rules of the phase; with host and port from that \
         node, which need not be in the pool (a name is looked up, which may wait; without an address the \
         pool chooses). The pool `discard` closes the connection; an unknown one is \
         the default pool, with a warning.",
        use_pool).only(REQUEST).names_pool().waits(),
    works("pool.select", "pool[, host, port]", (1, 3),
        "As pool.use, but the rules go on and later ones can choose again. 1 if there is such a pool, else \
         0.",
        select).only(REQUEST).names_pool().waits(),
    works("pool.activenodes", "pool", (1, 1),
        "Number of the pool's nodes that take requests, draining ones left out.",
        |call| count(call, NodeState::Active)),
    works("pool.failednodes", "pool", (1, 1),
        "Number of the pool's nodes that have failed.",
        |call| count(call, NodeState::Failed)),
    works("pool.drainingnodes", "pool", (1, 1),
        "Number of the pool's nodes that are draining.",
        |call| count(call, NodeState::Draining)),
    works("pool.disablednodes", "pool", (1, 1),
        "Number of the pool's nodes that are disabled.",
        |call| count(call, NodeState::Disabled)),
    works("pool.listallnodes", "pool", (1, 1), "Array of the pool's nodes.", |call| list(call, None)),
    works("pool.listactivenodes", "pool", (1, 1),
        "Array of the pool's nodes that take requests.",
        |call| list(call, Some(NodeState::Active))),
    works("pool.listfailednodes", "pool", (1, 1),
        "Array of the pool's nodes that have failed.",
        |call| list(call, Some(NodeState::Failed))),
    works("pool.listdrainingnodes", "pool", (1, 1),
        "Array of the pool's nodes that are draining.",
        |call| list(call, Some(NodeState::Draining))),
    works("pool.listdisablednodes", "pool", (1, 1),
        "Array of the pool's nodes that are disabled.",
        |call| list(call, Some(NodeState::Disabled))),
    works("pool.checknode", "pool, host, port", (3, 3),
        "State of a node: ACTIVE, DRAINING, DISABLED, DEAD, NOTINPOOL, NOSUCHPOOL or NOSUCHHOST (not an \
         address, and not a host of the pool).",
        check_node),
];

/// Takes the order. False with a warning if there is no such pool.
fn order(call: &mut Call<'_, '_>) -> Result<bool, Interrupt> {
    let pool = call.text(0)?;
    let node = if call.has(1) {
        let (host, port) = (call.text(1)?.to_vec(), call.int(2)?);
        match u16::try_from(port) {
            Ok(port @ 1..) if !host.is_empty() => address_of(call, host)?.map(|host| (host, port)),
            _ => {
                call.warn("host and port do not name a node; the pool chooses one")?;
                None
            }
        }
    } else {
        None
    };
    let known = call.host.order(Order::Pool(pool.to_vec(), node));
    if !known {
        let message = format!("there is no pool `{}`; the default pool is used", pool.escape_ascii());
        call.warn_as(tag::NO_POOL, &message)?;
    }
    Ok(known)
}

/// The address of a host; waits for the name to be looked up. `None` with a warning if it has none.
fn address_of(call: &mut Call<'_, '_>, host: Vec<u8>) -> Result<Option<Vec<u8>>, Interrupt> {
    let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(&host);
    if std::str::from_utf8(bare).is_ok_and(|text| text.parse::<IpAddr>().is_ok()) {
        return Ok(Some(bare.to_vec()));
    }
    match call.answer() {
        None => Err(Interrupt::Wait(Box::new(Need::ResolveAny(host)))),
        Some(Answer::Resolved(address)) if !address.is_empty() => Ok(Some(address)),
        Some(_) => {
            let host = host.escape_ascii();
            call.warn(&format!("no address was found for the host `{host}`; the pool chooses the node"))?;
            Ok(None)
        }
    }
}

fn use_pool<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if &call.text(0)?[..] == DISCARD {
        call.host.order(Order::Discard);
    } else {
        order(call)?;
    }
    Err(Interrupt::EndPhase)
}

fn select<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    Ok(Value::flag(order(call)?))
}

/// The nodes of the pool that the first argument names; none with a warning if there is no such pool.
fn nodes(call: &mut Call<'_, '_>) -> Result<Vec<PoolNode>, Interrupt> {
    let pool = call.text(0)?;
    let Some(nodes) = call.host.pool_nodes(&pool) else {
        call.warn_as(tag::NO_POOL_NODES, &format!("there is no pool `{}`", pool.escape_ascii()))?;
        return Ok(Vec::new());
    };
    call.charge(nodes.len() * size_of::<PoolNode>())?;
    Ok(nodes)
}

fn count<'p>(call: &mut Call<'_, 'p>, state: NodeState) -> Outcome<'p> {
    Ok(number(nodes(call)?.iter().filter(|node| node.state == state).count()))
}

fn list<'p>(call: &mut Call<'_, 'p>, state: Option<NodeState>) -> Outcome<'p> {
    let nodes = nodes(call)?;
    let listed = nodes.iter().filter(|node| state.is_none_or(|state| node.state == state));
    http::array(call, listed.map(|node| node.label.as_bytes().to_vec()))
}

fn check_node<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (pool, host, port) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let host = String::from_utf8_lossy(&host).into_owned();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let of_host = |node: &PoolNode| {
        node.label.rsplit_once(':').is_some_and(|(known, _)| {
            known.trim_start_matches('[').trim_end_matches(']').eq_ignore_ascii_case(host)
        })
    };
    let of_port =
        |node: &PoolNode| node.label.rsplit_once(':').is_some_and(|(_, known)| known.parse() == Ok(port));
    let state = match call.host.pool_nodes(&pool) {
        None => "NOSUCHPOOL",
        Some(nodes) => match nodes.iter().find(|node| of_host(node) && of_port(node)) {
            Some(node) => match node.state {
                NodeState::Active => "ACTIVE",
                NodeState::Draining => "DRAINING",
                NodeState::Disabled => "DISABLED",
                NodeState::Failed => "DEAD",
            },
            None if host.parse::<IpAddr>().is_ok() || nodes.iter().any(of_host) => "NOTINPOOL",
            None => "NOSUCHHOST",
        },
    };
    call.make(state)
}

//! `net.*`: names and addresses.

use std::net::IpAddr;

use super::{
    Call, Function, Outcome,
    row::{TRAFFIC, works},
};
use crate::{
    host::{Answer, Need},
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("net.dns.resolveHost", "name", (1, 1),
        "An IPv4 address of a name; empty if it has none.",
        |call| resolve(call, false)).only(TRAFFIC).waits(),
    works("net.dns.resolveHost6", "name", (1, 1),
        "An IPv6 address of a name; empty if it has none.",
        |call| resolve(call, true)).only(TRAFFIC).waits(),
    works("net.dns.resolveIP", "address", (1, 1),
        "The name of an address; the address itself if it has none.",
        resolve_address).only(TRAFFIC).waits(),
];

fn resolve<'p>(call: &mut Call<'_, 'p>, six: bool) -> Outcome<'p> {
    /// RFC 1035 §2.3.4.
    const LONGEST: usize = 255;
    match call.answer() {
        Some(Answer::Resolved(address)) => return call.make(address),
        Some(_) => return Ok(Value::EMPTY),
        None => {}
    }
    let name = call.text(0)?;
    let name = name.trim_ascii();
    let address = std::str::from_utf8(name).ok().and_then(|name| name.parse::<IpAddr>().ok());
    match address {
        Some(address) if address.is_ipv6() == six => call.make(address.to_string()),
        Some(_) => Ok(Value::EMPTY),
        None if name.is_empty() || name.len() > LONGEST => Ok(Value::EMPTY),
        None => call.wait(Need::Resolve(name.to_vec(), six)),
    }
}

fn resolve_address<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let text = call.text(0)?;
    match call.answer() {
        Some(Answer::Resolved(name)) if !name.is_empty() => return call.make(name),
        Some(_) => return Ok(text.into()),
        None => {}
    }
    match std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()) {
        Some(address) => call.wait(Need::ResolveAddress(address)),
        None => Ok(text.into()),
    }
}

//! `data.*`, `data.local.*`, `connection.data.*`: values that outlive a rule.

use super::{Call, Function, Outcome, number, row::works, stored};
use crate::{
    host::{Store, tag},
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("data.set", "key, value", (2, 2),
        "Stores a value for all rules of this process. 1, or 0 if there is no room.",
        |call| set(call, Store::Process)),
    works("data.get", "key", (1, 1),
        "A stored value; scalars come back as strings. Empty if there is none.",
        |call| get(call, Store::Process)),
    works("data.remove", "key", (1, 1),
        "Removes a stored value. 1, or 0 if there was none.",
        |call| remove(call, Store::Process)),
    works("data.reset", "[prefix]", (0, 1),
        "Removes every stored value, or those whose keys begin with the prefix.",
        |call| reset(call, Store::Process)),
    works("data.getMemoryFree", "", (0, 0),
        "Bytes there is room for.",
        |call| Ok(free(call, Store::Process))),
    works("data.getMemoryUsage", "", (0, 0), "Bytes in use.", |call| Ok(used(call, Store::Process))),
    works("data.local.set", "key, value", (2, 2),
        "Stores a value for the rules of this worker. 1, or 0 if there is no room.",
        |call| set(call, Store::Worker)),
    works("data.local.get", "key", (1, 1),
        "A value stored by this worker; empty if there is none.",
        |call| get(call, Store::Worker)),
    works("data.local.remove", "key", (1, 1),
        "Removes a value stored by this worker. 1, or 0 if there was none.",
        |call| remove(call, Store::Worker)),
    works("data.local.reset", "[prefix]", (0, 1),
        "Removes every value stored by this worker, or those whose keys begin with the prefix.",
        |call| reset(call, Store::Worker)),
    works("data.local.getMemoryFree", "", (0, 0),
        "Bytes there is room for at this worker.",
        |call| Ok(free(call, Store::Worker))),
    works("data.local.getMemoryUsage", "", (0, 0),
        "Bytes in use at this worker.",
        |call| Ok(used(call, Store::Worker))),
    works("connection.data.set", "key, value", (2, 2),
        "Stores a value for the later rules of this connection. 1, or 0 if there is no room.",
        |call| set(call, Store::Connection)),
    works("connection.data.get", "key", (1, 1),
        "A value stored for this connection; empty if there is none.",
        |call| get(call, Store::Connection)),
];

fn set<'p>(call: &mut Call<'_, 'p>, store: Store) -> Outcome<'p> {
    let key = call.text(0)?;
    let (_, room) = call.host.usage(store);
    let Some(bytes) = stored::encode(&call.value(1), room) else {
        call.warn(&format!("the value of `{}` is too large or nested too deep", key.escape_ascii()))?;
        return Ok(Value::Int(0));
    };
    call.charge(bytes.len())?;
    let stored = call.host.store(store, &key, &bytes);
    if !stored {
        call.notice(tag::STORE_FULL, &format!("there is no room to store `{}`", key.escape_ascii()));
    }
    Ok(Value::flag(stored))
}

fn get<'p>(call: &mut Call<'_, 'p>, store: Store) -> Outcome<'p> {
    let key = call.text(0)?;
    let Some(bytes) = call.host.load(store, &key) else { return Ok(Value::EMPTY) };
    call.charge(bytes.len())?;
    Ok(stored::decode(&bytes).unwrap_or(Value::EMPTY))
}

fn remove<'p>(call: &mut Call<'_, 'p>, store: Store) -> Outcome<'p> {
    let key = call.text(0)?;
    Ok(Value::flag(call.host.remove(store, &key)))
}

fn reset<'p>(call: &mut Call<'_, 'p>, store: Store) -> Outcome<'p> {
    let prefix = call.text(0)?;
    call.host.reset(store, &prefix);
    Ok(Value::EMPTY)
}

fn used<'p>(call: &Call<'_, 'p>, store: Store) -> Value<'p> {
    number(call.host.usage(store).0)
}

fn free<'p>(call: &Call<'_, 'p>, store: Store) -> Value<'p> {
    let (used, most) = call.host.usage(store);
    number(most.saturating_sub(used))
}

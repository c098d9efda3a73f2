//! `http.*`: switches of features around the exchange, and `http.setIdempotent`.

use crate::{
    host::Order,
    library::{
        Call, Function, Outcome,
        row::{REQUEST, TRAFFIC, never, switch, works},
    },
    value::Value,
};

const CACHE: &str = "caching of responses";
const COMPRESSION: &str = "compression of responses";
const NO_OPTIMISER: &str = "there is no content optimiser";
const NO_KERBEROS: &str = "there is no Kerberos protocol transition";

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.setIdempotent", "flag", (1, 1),
        "Says whether the request may be sent again when a node fails, whatever its method.",
        set_idempotent).only(TRAFFIC),
    switch("http.cache.disable", "", (0, 0),
        "The response is not kept, and in a request rule none is looked for.",
        CACHE, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    switch("http.cache.enable", "", (0, 0),
        "The response is kept if it can be.",
        CACHE, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    switch("http.cache.exists", "[pool]", (0, 1),
        "1 if there is a kept response for the request, else 0.",
        CACHE, |_| Ok(Value::Int(0))).only(REQUEST),
    switch("http.cache.respondIfCached", "[pool]", (0, 1),
        "Replies with the kept response, if there is one, and ends the rules of the phase.",
        CACHE, |_| Ok(Value::EMPTY)).only(REQUEST),
    switch("http.cache.setkey", "key", (1, 1),
        "Tells apart responses that are kept for the same URL.",
        CACHE, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    switch("http.compress.enable", "", (0, 0),
        "The response is compressed if it can be. 0 if it will be, else 1.",
        COMPRESSION, |_| Ok(Value::Int(1))).only(TRAFFIC),
    switch("http.compress.disable", "", (0, 0),
        "The response is not compressed.",
        COMPRESSION, |_| Ok(Value::EMPTY)).only(TRAFFIC),
    never("http.aptimizer.use", "scope, profile", (2, 2), "Optimises the page.", NO_OPTIMISER),
    switch("http.aptimizer.bypass", "", (0, 0),
        "The page is not optimised.",
        "a content optimiser", |_| Ok(Value::EMPTY)),
    never("http.kerberos.getClientPrincipalName", "", (0, 0), "Principal of the client.", NO_KERBEROS),
    never("http.kerberos.setClientPrincipalName", "name", (1, 1),
        "Sets the principal of the client.",
        NO_KERBEROS),
    never("http.kerberos.getDelegatedTicket", "", (0, 0), "Delegated ticket.", NO_KERBEROS),
    never("http.kerberos.getPrincipal", "", (0, 0), "Principal of the traffic manager.", NO_KERBEROS),
    never("http.kerberos.setPrincipal", "name", (1, 1),
        "Sets the principal of the traffic manager.",
        NO_KERBEROS),
    never("http.kerberos.getTargetPrincipalName", "", (0, 0), "Principal of the node.", NO_KERBEROS),
    never("http.kerberos.setTargetPrincipalName", "name", (1, 1),
        "Sets the principal of the node.",
        NO_KERBEROS),
    never("http.kerberos.isEnabled", "", (0, 0), "Whether protocol transition is on.", NO_KERBEROS),
    never("http.kerberos.setEnabled", "flag", (1, 1), "Switches protocol transition.", NO_KERBEROS),
];

fn set_idempotent<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let flag = call.truth(0);
    call.host.order(Order::Idempotent(flag));
    Ok(Value::EMPTY)
}

//! `http.*`: parameters of forms, from the query and from a body of type `application/x-www-form-urlencoded`.

use indexmap::IndexMap;

use super::{Pair, array, body, field, hash, url};
use crate::{
    host::{Phase, Side},
    library::{
        Call, Function, Interrupt, Outcome,
        make::charge_elements,
        row::{deprecated, works},
    },
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.getFormParam", "name[, separator]", (1, 2),
        "Value of a parameter, decoded: of the query, else of the body. The first one, or all joined by the \
         separator; empty if there is none.",
        get_form_param).waits(),
    works("http.getFormParams", "", (0, 0),
        "Hash of the parameters; one that is repeated has an array as value.",
        get_form_params).waits(),
    works("http.listFormParamNames", "", (0, 0), "Array of the names of the parameters.", |call| {
        let parameters = all(call)?;
        array(call, parameters.into_keys())
    }).waits(),
    works("http.doesFormParamExist", "name", (1, 1),
        "1 if there is a parameter of this name, else 0.",
        |call| {
            let name = call.text(0)?;
            Ok(Value::flag(!values(call, &name)?.is_empty()))
        }).waits(),
    deprecated("http.getFormParamNames", "[separator]", (0, 1), "http.listFormParamNames", |call| {
        let parameters = all(call)?;
        let separator = if call.has(0) { call.text(0)?.to_vec() } else { b" ".to_vec() };
        let names: Vec<Vec<u8>> = parameters.into_keys().collect();
        call.make(names.join(&separator[..]))
    }).but("gives one string, with the separator (a space) between the names").waits(),
];

/// Instructions that a parameter counts for, whoever wants it.
const PAIR_COST: u32 = 2;

/// Name and value of every parameter in a query or a body. Looking at them counts.
fn each_parameter(
    call: &mut Call<'_, '_>,
    text: &[u8],
    mut each: impl FnMut(&mut Call<'_, '_>, Pair) -> Result<(), Interrupt>,
) -> Result<(), Interrupt> {
    for pair in text.split(|&byte| byte == b'&') {
        call.meter.steps(PAIR_COST)?;
        call.meter.work(pair.len())?;
        if pair.is_empty() {
            continue;
        }
        let at = pair.iter().position(|&byte| byte == b'=');
        let (name, value) = match at {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        each(call, (url::decode(name, true), url::decode(value, true)))?;
    }
    Ok(())
}

fn query(call: &mut Call<'_, '_>) -> Result<Vec<u8>, Interrupt> {
    let query = url::split(&call.host.target()).1.unwrap_or_default().to_vec();
    call.meter.work(query.len())?;
    Ok(query)
}

/// The body, after waiting for it; empty if it is no form, and behind the request rules, when it is on its way to the node.
fn form(call: &mut Call<'_, '_>) -> Result<Vec<u8>, Interrupt> {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let kind = field(call, Side::Request, b"content-type")?;
    let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(FORM) || call.host.phase() != Phase::Request {
        return Ok(Vec::new());
    }
    Ok(body(call, Side::Request, 0)?.unwrap_or_default())
}

/// The values of a parameter: those of the query, else those of the body.
fn values(call: &mut Call<'_, '_>, name: &[u8]) -> Result<Vec<Vec<u8>>, Interrupt> {
    let query = query(call)?;
    let found = of_name(call, &query, name)?;
    if found.is_empty() {
        let form = form(call)?;
        return of_name(call, &form, name);
    }
    Ok(found)
}

fn of_name(call: &mut Call<'_, '_>, text: &[u8], name: &[u8]) -> Result<Vec<Vec<u8>>, Interrupt> {
    let mut values = Vec::new();
    each_parameter(call, text, |call, (known, value)| {
        if known == name {
            charge_elements(call, 1, values.len() + 1)?;
            values.push(value);
        }
        Ok(())
    })?;
    Ok(values)
}

/// Every parameter with its values. Those of the body count where the query has none of their name.
fn all(call: &mut Call<'_, '_>) -> Result<IndexMap<Vec<u8>, Vec<Vec<u8>>>, Interrupt> {
    let mut all: IndexMap<Vec<u8>, Vec<Vec<u8>>> = IndexMap::new();
    let mut count = 0;
    for (text, is_query) in [(query(call)?, true), (form(call)?, false)] {
        let of_query = all.len();
        each_parameter(call, &text, |call, (name, value)| {
            count += 1;
            charge_elements(call, 1, count)?;
            let entry = all.entry(name);
            if is_query || entry.index() >= of_query {
                entry.or_default().push(value);
            }
            Ok(())
        })?;
    }
    Ok(all)
}

fn get_form_param<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let name = call.text(0)?;
    let values = values(call, &name)?;
    if call.has(1) {
        let separator = call.text(1)?;
        return call.make(values.join(&separator[..]));
    }
    call.make(values.into_iter().next().unwrap_or_default())
}

fn get_form_params<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let mut entries = Vec::new();
    for (name, mut values) in all(call)? {
        let value = if values.len() == 1 {
            call.make(values.pop().unwrap_or_default())?
        } else {
            array(call, values)?
        };
        entries.push((name, value));
    }
    hash(call, entries)
}

//! `http.*`: parameters of forms, from the query and from a body of type `application/x-www-form-urlencoded`.

use indexmap::IndexMap;

use super::{Pair, array, body, field, hash, url};
use crate::{
    host::{Phase, Side},
    library::{
        Call, Function, Interrupt, Outcome,
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
    }).waits(),
];

/// Name and value of every parameter in a query or a body.
fn parameters(text: &[u8]) -> impl Iterator<Item = Pair> {
    text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=');
        let (name, value) = match at {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        (url::decode(name, true), url::decode(value, true))
    })
}

fn in_query(call: &mut Call<'_, '_>) -> Result<Vec<Pair>, Interrupt> {
    let query = url::split(&call.host.target()).1.unwrap_or_default().to_vec();
    call.charge(query.len())?;
    Ok(parameters(&query).collect())
}

/// Parameters of the body, after waiting for it; none if it is no form, and none behind the request rules, when the body
/// is on its way to the node.
fn in_body(call: &mut Call<'_, '_>) -> Result<Vec<Pair>, Interrupt> {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let kind = field(call, Side::Request, b"content-type");
    let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(FORM) || call.host.phase() != Phase::Request {
        return Ok(Vec::new());
    }
    Ok(body(call, Side::Request, 0)?.map(|body| parameters(&body).collect()).unwrap_or_default())
}

/// The values of a parameter: those of the query, else those of the body.
fn values(call: &mut Call<'_, '_>, name: &[u8]) -> Result<Vec<Vec<u8>>, Interrupt> {
    let of_name = |parameters: Vec<Pair>| -> Vec<Vec<u8>> {
        parameters.into_iter().filter(|(known, _)| known == name).map(|(_, value)| value).collect()
    };
    let found = of_name(in_query(call)?);
    if found.is_empty() { Ok(of_name(in_body(call)?)) } else { Ok(found) }
}

/// Every parameter with its values. Those of the body count where the query has none of their name.
fn all(call: &mut Call<'_, '_>) -> Result<IndexMap<Vec<u8>, Vec<Vec<u8>>>, Interrupt> {
    let mut all: IndexMap<Vec<u8>, Vec<Vec<u8>>> = IndexMap::new();
    for (name, value) in in_query(call)? {
        all.entry(name).or_default().push(value);
    }
    let of_query = all.len();
    for (name, value) in in_body(call)? {
        let entry = all.entry(name);
        if entry.index() >= of_query {
            entry.or_default().push(value);
        }
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

//! `http.*`: cookies of the request and of the response.

use super::{Pair, edit, field_value, hash_of_strings, joined};
use crate::{
    host::{Edit, Side, cookie_parts},
    library::{
        Call, Function, Interrupt, Outcome,
        row::{ANSWERED, TRAFFIC, deprecated, works},
    },
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.getCookie", "name", (1, 1),
        "Value of a cookie of the request; empty if there is none.",
        get_cookie),
    deprecated("http.cookie", "name", (1, 1), "http.getCookie", get_cookie),
    works("http.getCookies", "", (0, 0), "Hash of the cookies of the request.", |call| {
        let cookies = request_cookies(call)?;
        hash_of_strings(call, cookies)
    }),
    works("http.setCookie", "name, value", (2, 2),
        "Sets a cookie of the request, as the node gets it.",
        set_cookie).only(TRAFFIC),
    works("http.removeCookie", "name", (1, 1),
        "Removes a cookie from the request.",
        remove_cookie).only(TRAFFIC),
    works("http.getResponseCookie", "name", (1, 1),
        "Value of a cookie that the response sets; empty if it does not.",
        |call| {
            let name = call.text(0)?;
            let cookies = response_cookies(call)?;
            let value = cookies.iter().find_map(|cookie| {
                let (known, value, _) = cookie_parts(cookie);
                (known == &name[..]).then(|| value.to_vec())
            });
            call.make(value.unwrap_or_default())
        }).only(ANSWERED),
    works("http.getResponseCookies", "", (0, 0), "Hash of the cookies that the response sets.", |call| {
        let cookies = response_cookies(call)?;
        let pairs = cookies.iter().map(|cookie| {
            let (name, value, _) = cookie_parts(cookie);
            (name.to_vec(), value.to_vec())
        });
        hash_of_strings(call, pairs.collect())
    }).only(ANSWERED),
    works("http.setResponseCookie", "name, value[, options]", (2, 3),
        "Sets a cookie at the client. Options as in `Set-Cookie`, such as `path=/; secure`; without them a \
         cookie that the response sets already keeps its own.",
        set_response_cookie).only(TRAFFIC),
    works("http.removeResponseCookie", "name", (1, 1),
        "Removes a cookie from those that the response sets.",
        remove_response_cookie).only(TRAFFIC),
];

/// Name and value of every cookie of the request, in their order.
fn request_cookies(call: &mut Call<'_, '_>) -> Result<Vec<Pair>, Interrupt> {
    let whole = joined(call, Side::Request, b"cookie", b"; ")?.unwrap_or_default();
    Ok(whole
        .split(|&byte| byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair_parts(pair);
            (name.to_vec(), value.to_vec())
        })
        .collect())
}

fn pair_parts(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|&byte| byte == b'=') {
        Some(at) => (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()),
        None => (pair, b""),
    }
}

fn get_cookie<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let name = call.text(0)?;
    let cookies = request_cookies(call)?;
    let value = cookies.into_iter().find(|(known, _)| known == &name[..]);
    call.make(value.map(|(_, value)| value).unwrap_or_default())
}

/// Name and value of a cookie as they can be sent; `None` with a warning if the name cannot be one. In the value, what
/// would end it is left out with a warning.
fn sendable(call: &mut Call<'_, '_>, name: &[u8], value: &[u8]) -> Result<Option<Pair>, Interrupt> {
    let is_name = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(byte);
    if name.is_empty() || !name.iter().all(is_name) {
        call.warn(&format!("`{}` cannot be the name of a cookie; it is not set", name.escape_ascii()))?;
        return Ok(None);
    }
    let mut value = field_value(call, value)?.into_owned();
    if value.contains(&b';') {
        call.warn("the value of a cookie held `;`, which is left out")?;
        value.retain(|&byte| byte != b';');
    }
    Ok(Some((name.to_vec(), value)))
}

fn write_cookies(call: &mut Call<'_, '_>, cookies: &[Pair]) -> Result<(), Interrupt> {
    if cookies.is_empty() {
        edit(call, Side::Request, Edit::Remove(b"cookie"))?;
        return Ok(());
    }
    let pairs: Vec<Vec<u8>> =
        cookies.iter().map(|(name, value)| [name.as_slice(), b"=", value].concat()).collect();
    let whole = pairs.join(&b"; "[..]);
    call.charge(whole.len())?;
    edit(call, Side::Request, Edit::Set(b"Cookie", &whole))?;
    Ok(())
}

fn set_cookie<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (name, value) = (call.text(0)?, call.text(1)?);
    let Some((name, value)) = sendable(call, &name, &value)? else { return Ok(Value::EMPTY) };
    let mut cookies = request_cookies(call)?;
    match cookies.iter().position(|(known, _)| *known == name) {
        Some(at) => {
            cookies.iter_mut().skip(at).take(1).for_each(|(_, old)| old.clone_from(&value));
            let mut first = true;
            cookies.retain(|(known, _)| *known != name || std::mem::take(&mut first));
        }
        None => cookies.push((name, value)),
    }
    write_cookies(call, &cookies)?;
    Ok(Value::EMPTY)
}

fn remove_cookie<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let name = call.text(0)?;
    let mut cookies = request_cookies(call)?;
    let before = cookies.len();
    cookies.retain(|(known, _)| known != &name[..]);
    if cookies.len() != before {
        write_cookies(call, &cookies)?;
    }
    Ok(Value::EMPTY)
}

/// The `Set-Cookie` fields of the response.
fn response_cookies(call: &mut Call<'_, '_>) -> Result<Vec<Vec<u8>>, Interrupt> {
    let mut cookies = Vec::new();
    call.host.field(Side::Response, b"set-cookie", &mut |value| cookies.push(value.to_vec()));
    call.meter.work(cookies.iter().map(Vec::len).sum())?;
    Ok(cookies)
}

fn set_response_cookie<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let (name, value) = (call.text(0)?, call.text(1)?);
    let options = call.text(2)?;
    let Some((name, value)) = sendable(call, &name, &value)? else { return Ok(Value::EMPTY) };
    let options = field_value(call, &options)?;
    let given = options.trim_ascii_start();
    let given = given.strip_prefix(b";").unwrap_or(given).trim_ascii();
    edit_cookies(call, Edit::SetCookie(&name, &value, given))
}

fn remove_response_cookie<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let name = call.text(0)?;
    edit_cookies(call, Edit::RemoveCookie(&name))
}

/// Edits the cookies that the response sets, or will set.
fn edit_cookies<'p>(call: &mut Call<'_, 'p>, change: Edit<'_>) -> Outcome<'p> {
    let held = response_cookies(call)?.iter().map(Vec::len).sum();
    call.charge(held)?;
    edit(call, Side::Response, change)?;
    Ok(Value::EMPTY)
}

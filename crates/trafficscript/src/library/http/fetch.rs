//! `http.request.*`: requests that a rule makes to other servers.

use std::time::Duration;

use super::reply;
use crate::{
    host::{Answer, Fetch, Fetched, Need},
    library::{
        ANY, Call, Function, Outcome,
        row::{TRAFFIC, planned, works},
    },
    value::Value,
};

/// The family's functions.
#[rustfmt::skip]
pub(in crate::library) const FUNCTIONS: &[Function] = &[
    works("http.request.get", "url[, headers[, timeout]]", (1, 3),
        "Body of what another server replies to a GET; timeout in seconds. $1: status (0 = there is no \
         reply), $2: type or what went wrong, $3: header fields as text, $4: status line.",
        |call| fetch(call, "GET", false)).only(TRAFFIC).waits(),
    works("http.request.head", "url[, headers[, timeout]]", (1, 3),
        "Asks another server with HEAD; timeout in seconds. $1 to $4 as of http.request.get.",
        |call| fetch(call, "HEAD", false)).only(TRAFFIC).waits(),
    works("http.request.delete", "url[, headers[, timeout]]", (1, 3),
        "Asks another server with DELETE; timeout in seconds. $1 to $4 as of http.request.get.",
        |call| fetch(call, "DELETE", false)).only(TRAFFIC).waits(),
    works("http.request.post", "url, data[, headers[, timeout]]", (2, 4),
        "Sends data to another server with POST; timeout in seconds. $1 to $4 as of http.request.get.",
        |call| fetch(call, "POST", true)).only(TRAFFIC).waits(),
    works("http.request.put", "url, data[, headers[, timeout]]", (2, 4),
        "Sends data to another server with PUT; timeout in seconds. $1 to $4 as of http.request.get.",
        |call| fetch(call, "PUT", true)).only(TRAFFIC).waits(),
    planned("http.request.ssl.get", "url[, certificate…][, headers[, timeout]]", (1, ANY),
        "As http.request.get, trusting the certificates given only.", "requests that trust the given certificates only; http.request.get trusts those of the system"),
];

fn fetch<'p>(call: &mut Call<'_, 'p>, method: &'static str, sends: bool) -> Outcome<'p> {
    if let Some(answer) = call.answer() {
        return match answer {
            Answer::Fetched(Ok(fetched)) => give(call, fetched),
            Answer::Fetched(Err(why)) => fail(call, why.as_bytes()),
            Answer::Refused(why) => fail(call, why.as_bytes()),
            _ => fail(call, b"no answer"),
        };
    }
    let url = call.text(0)?.trim_ascii().to_vec();
    let known = [&b"http://"[..], b"https://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
    if known && let Some(byte) = url.iter().find(|byte| !super::url::is_target_byte(**byte)) {
        let what = match byte {
            b' ' => "a space (write %20)".to_owned(),
            0x80.. => {
                "bytes that are not ASCII (write them as %XX, such as string.urlencode does)".to_owned()
            }
            _ => format!("the byte `{}`, which may not stand in one", byte.escape_ascii()),
        };
        call.warn(&format!("the URL `{}` holds {what}; nothing is fetched", url.escape_ascii()))?;
        return fail(call, format!("the URL holds {what}").as_bytes());
    }
    if !known {
        call.warn(&format!("`{}` is not an http or https URL; nothing is fetched", url.escape_ascii()))?;
        return fail(call, b"not an http or https URL");
    }
    let body = if sends { call.text(1)?.to_vec() } else { Vec::new() };
    let at = 1 + usize::from(sends);
    let text = call.text(at)?;
    let headers = reply::headers(call, b"", &text)?;
    let seconds = call.double(at + 1)?;
    let timeout = (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten();
    call.charge(body.len())?;
    call.wait(Need::Fetch(Box::new(Fetch { method, url, headers, body, timeout })))
}

fn give<'p>(call: &mut Call<'_, 'p>, fetched: Fetched) -> Outcome<'p> {
    call.set_capture(1, i64::from(fetched.status));
    for (number, bytes) in [(2, fetched.content_type), (3, fetched.head), (4, fetched.status_line)] {
        let value = call.make(bytes)?;
        call.set_capture(number, value);
    }
    call.make(fetched.body)
}

fn fail<'p>(call: &mut Call<'_, 'p>, why: &[u8]) -> Outcome<'p> {
    call.set_capture(1, 0);
    call.set_capture(2, why);
    call.set_capture(3, Value::EMPTY);
    call.set_capture(4, Value::EMPTY);
    Ok(Value::EMPTY)
}

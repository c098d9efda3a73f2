//! `http.request.*`: requests that a rule makes to other servers.

use std::time::Duration;

use x509_parser::pem::Pem;

use super::reply;
use crate::{
    host::{Answer, Fetch, Fetched, Need},
    library::{
        ANY, Call, Function, Interrupt, Outcome, make,
        row::{TRAFFIC, works},
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
    works("http.request.ssl.get", "url[, certificate…][, headers[, timeout]]", (1, ANY),
        "As http.request.get from an https server that has to be vouched for by one of the given certificates: an \
         array of PEM texts, or such texts one behind the other. Without any, those of the machine count. The \
         connection is used once. $1 to $4 as of http.request.get.",
        fetch_verified).only(TRAFFIC).waits(),
];

/// Most certificates that a rule can give.
const MOST_CERTIFICATES: usize = 64;

fn fetch<'p>(call: &mut Call<'_, 'p>, method: &'static str, sends: bool) -> Outcome<'p> {
    if let Some(answer) = call.answer() {
        return answered(call, answer);
    }
    let Some(url) = url(call, &[b"http://", b"https://"], "an http or https URL")? else {
        return Ok(Value::EMPTY);
    };
    let body = if sends { call.text(1)?.to_vec() } else { Vec::new() };
    ask(call, Fetch { method, url, body, ..BARE }, 1 + usize::from(sends))
}

fn fetch_verified<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    if let Some(answer) = call.answer() {
        return answered(call, answer);
    }
    let Some(url) = url(call, &[b"https://"], "an https URL")? else { return Ok(Value::EMPTY) };
    let mut texts = Vec::new();
    let mut at = 1;
    let mut given = false;
    if matches!(call.arguments.get(at), Some(Value::Container(_))) {
        for element in make::elements_at(call, at)? {
            texts.push(make::text_of(call, &element)?.to_vec());
        }
        at += 1;
        given = true;
    }
    while call.has(at) {
        let text = call.text(at)?;
        if !text.trim_ascii_start().starts_with(b"-----BEGIN") {
            break;
        }
        texts.push(text.to_vec());
        at += 1;
        given = true;
    }
    if call.has(at + 2) {
        call.warn("http.request.ssl.get is given more than certificates, headers and a timeout")?;
    }
    let trusted = match (given, certificates(&texts)) {
        (false, _) => None,
        (true, Ok(certificates)) => Some(certificates),
        (true, Err(why)) => {
            call.warn(&format!("{why}; nothing is fetched"))?;
            return fail(call, why.as_bytes());
        }
    };
    ask(call, Fetch { method: "GET", url, trusted, ..BARE }, at)
}

/// Certificates (DER) of PEM texts, one at least. The error is for the author of the rule.
fn certificates(texts: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, String> {
    let mut found = Vec::new();
    for text in texts {
        for pem in Pem::iter_from_buffer(text) {
            let pem = pem.map_err(|error| format!("a certificate is not PEM: {error}"))?;
            if pem.label != "CERTIFICATE" {
                return Err(format!("a PEM text holds a {}, not a certificate", pem.label));
            }
            pem.parse_x509().map_err(|error| format!("a certificate cannot be read: {error}"))?;
            found.push(pem.contents);
            if found.len() > MOST_CERTIFICATES {
                return Err(format!("more than {MOST_CERTIFICATES} certificates are given"));
            }
        }
    }
    if found.is_empty() { Err("no certificate is given".to_owned()) } else { Ok(found) }
}

/// A request of which nothing is said.
const BARE: Fetch = Fetch {
    method: "GET",
    url: Vec::new(),
    headers: Vec::new(),
    body: Vec::new(),
    timeout: None,
    trusted: None,
};

/// The URL, with one of the schemes. What is none has been told.
fn url(call: &mut Call<'_, '_>, schemes: &[&[u8]], wanted: &str) -> Result<Option<Vec<u8>>, Interrupt> {
    let url = call.text(0)?.trim_ascii().to_vec();
    let known = schemes
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
    if !known {
        call.warn(&format!("`{}` is not {wanted}; nothing is fetched", url.escape_ascii()))?;
        fail(call, format!("not {wanted}").as_bytes())?;
        return Ok(None);
    }
    if let Some(byte) = url.iter().find(|byte| !super::url::is_target_byte(**byte)) {
        let what = match byte {
            b' ' => "a space (write %20)".to_owned(),
            0x80.. => {
                "bytes that are not ASCII (write them as %XX, such as string.urlencode does)".to_owned()
            }
            _ => format!("the byte `{}`, which may not stand in one", byte.escape_ascii()),
        };
        call.warn(&format!("the URL `{}` holds {what}; nothing is fetched", url.escape_ascii()))?;
        fail(call, format!("the URL holds {what}").as_bytes())?;
        return Ok(None);
    }
    Ok(Some(url))
}

/// Waits for the request, with the headers and the timeout that arguments from `at` on give.
fn ask<'p>(call: &mut Call<'_, 'p>, fetch: Fetch, at: usize) -> Outcome<'p> {
    let text = call.text(at)?;
    let headers = reply::headers(call, b"", &text)?;
    let seconds = call.double(at + 1)?;
    let timeout = (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten();
    let certificates = fetch.trusted.iter().flatten().map(Vec::len).sum::<usize>();
    call.charge(fetch.body.len().saturating_add(certificates))?;
    call.wait(Need::Fetch(Box::new(Fetch { headers, timeout, ..fetch })))
}

fn answered<'p>(call: &mut Call<'_, 'p>, answer: Answer) -> Outcome<'p> {
    match answer {
        Answer::Fetched(Ok(fetched)) => give(call, fetched),
        Answer::Fetched(Err(why)) => fail(call, why.as_bytes()),
        Answer::Refused(why) => fail(call, why.as_bytes()),
        _ => fail(call, b"no answer"),
    }
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

//! Edits of header fields: what a rule orders, and what becomes of the values of one field. An edit of a response that has
//! not come yet is kept and made when it is there.

/// Fields that frame a message or belong to one connection. They are the proxy's own: a host refuses to edit them.
pub const FRAMING: [&[u8]; 9] = [
    b"connection",
    b"content-length",
    b"expect",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// An edit of a message's header fields. Names are compared without regard to case.
///
/// The host refuses what would not be a header field (RFC 9110 §5.1, §5.5) and the fields that frame the message
/// (`Connection`, `Content-Length`, `Transfer-Encoding` and the like), which are the proxy's own.
#[derive(Clone, Copy, Debug)]
pub enum Edit<'a> {
    /// The field has this value and no other.
    Set(&'a [u8], &'a [u8]),
    /// One more field of this name.
    Add(&'a [u8], &'a [u8]),
    /// Behind the values that the field has, and `, `; the field is added if there is none.
    Append(&'a [u8], &'a [u8]),
    /// No field of this name.
    Remove(&'a [u8]),
    /// A cookie that the response sets: name, value and options (empty = those it has).
    SetCookie(&'a [u8], &'a [u8], &'a [u8]),
    /// The response does not set this cookie.
    RemoveCookie(&'a [u8]),
}

const SET_COOKIE: &[u8] = b"Set-Cookie";

impl<'a> Edit<'a> {
    /// Name of the field.
    pub fn field(&self) -> &'a [u8] {
        match *self {
            Self::Set(name, _) | Self::Add(name, _) | Self::Append(name, _) | Self::Remove(name) => name,
            Self::SetCookie(..) | Self::RemoveCookie(_) => SET_COOKIE,
        }
    }

    /// What it brings along, the name of the field left out.
    pub fn parts(&self) -> [&'a [u8]; 3] {
        match *self {
            Self::Set(_, value) | Self::Add(_, value) | Self::Append(_, value) => [value, b"", b""],
            Self::Remove(_) => [b"", b"", b""],
            Self::SetCookie(name, value, options) => [name, value, options],
            Self::RemoveCookie(name) => [name, b"", b""],
        }
    }

    /// The values of the field once the edit is made, of those it had `before`.
    pub fn values(&self, mut before: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match *self {
            Self::Set(_, value) => vec![value.to_vec()],
            Self::Remove(_) => Vec::new(),
            Self::Add(_, value) => {
                before.push(value.to_vec());
                before
            }
            // RFC 6265 §3: cookies cannot be joined.
            Self::Append(name, value) if before.is_empty() || name.eq_ignore_ascii_case(SET_COOKIE) => {
                before.push(value.to_vec());
                before
            }
            Self::Append(_, value) => {
                let mut whole = before.join(&b", "[..]);
                if !whole.is_empty() {
                    whole.extend_from_slice(b", ");
                }
                whole.extend_from_slice(value);
                vec![whole]
            }
            Self::SetCookie(name, value, options) => {
                let mut new = [name, b"=", value].concat();
                let known = before.iter_mut().find(|field| cookie_parts(field).0 == name);
                if !options.is_empty() {
                    new.extend_from_slice(b"; ");
                    new.extend_from_slice(options);
                } else if let Some(old) = &known {
                    new.extend_from_slice(cookie_parts(old).2);
                }
                match known {
                    Some(old) => *old = new,
                    None => before.push(new),
                }
                before
            }
            Self::RemoveCookie(name) => {
                before.retain(|field| cookie_parts(field).0 != name);
                before
            }
        }
    }
}

/// Name, value and options of a `Set-Cookie` field; the options begin with their `;`.
pub(crate) fn cookie_parts(field: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let end = field.iter().position(|&byte| byte == b';').unwrap_or(field.len());
    let (pair, options) = field.split_at(end);
    let pair = pair.trim_ascii();
    match pair.iter().position(|&byte| byte == b'=') {
        Some(at) => (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii(), options),
        None => (pair, b"", options),
    }
}

/// An edit that waits for its message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the edits of `Edit` by name")]
pub enum OwnedEdit {
    Set(Vec<u8>, Vec<u8>),
    Add(Vec<u8>, Vec<u8>),
    Append(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    SetCookie(Vec<u8>, Vec<u8>, Vec<u8>),
    RemoveCookie(Vec<u8>),
}

impl OwnedEdit {
    /// The edit.
    pub fn get(&self) -> Edit<'_> {
        match self {
            Self::Set(name, value) => Edit::Set(name, value),
            Self::Add(name, value) => Edit::Add(name, value),
            Self::Append(name, value) => Edit::Append(name, value),
            Self::Remove(name) => Edit::Remove(name),
            Self::SetCookie(name, value, options) => Edit::SetCookie(name, value, options),
            Self::RemoveCookie(name) => Edit::RemoveCookie(name),
        }
    }
}

impl From<Edit<'_>> for OwnedEdit {
    fn from(edit: Edit<'_>) -> Self {
        match edit {
            Edit::Set(name, value) => Self::Set(name.to_vec(), value.to_vec()),
            Edit::Add(name, value) => Self::Add(name.to_vec(), value.to_vec()),
            Edit::Append(name, value) => Self::Append(name.to_vec(), value.to_vec()),
            Edit::Remove(name) => Self::Remove(name.to_vec()),
            Edit::SetCookie(name, value, options) => {
                Self::SetCookie(name.to_vec(), value.to_vec(), options.to_vec())
            }
            Edit::RemoveCookie(name) => Self::RemoveCookie(name.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_field() {
        let made = |edit: Edit<'_>, before: &[&str]| {
            let before = before.iter().map(|value| value.as_bytes().to_vec()).collect();
            let after = edit.values(before).into_iter().map(|value| String::from_utf8(value).unwrap());
            after.collect::<Vec<_>>()
        };
        assert_eq!(made(Edit::Append(b"A", b"3"), &["1", "2"]), ["1, 2, 3"]);
        assert_eq!(made(Edit::Append(b"A", b"3"), &[]), ["3"]);
        assert_eq!(made(Edit::Append(b"A", b"3"), &[""]), ["3"]);
        assert_eq!(made(Edit::Append(b"set-cookie", b"b=2"), &["a=1"]), ["a=1", "b=2"]);
        let cookies = ["a=1; Path=/", "b=2"];
        assert_eq!(made(Edit::SetCookie(b"a", b"3", b""), &cookies), ["a=3; Path=/", "b=2"]);
        assert_eq!(made(Edit::SetCookie(b"a", b"3", b"secure"), &cookies), ["a=3; secure", "b=2"]);
        assert_eq!(made(Edit::SetCookie(b"c", b"3", b""), &cookies), ["a=1; Path=/", "b=2", "c=3"]);
        assert_eq!(made(Edit::RemoveCookie(b"a"), &cookies), ["b=2"]);
    }
}

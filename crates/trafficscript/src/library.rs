//! The functions rules can call: one table per family, each row a name, its arguments, where it may be called, and what
//! does it. The documentation page, the compiler's diagnostics and the calls themselves come from the same rows.

#![allow(clippy::unnecessary_wraps, reason = "all functions of the catalogue have one signature")]

mod array;
mod auth;
mod call;
mod clock;
mod connection;
mod cost;
mod counter;
mod data;
mod geo;
mod glb;
mod hash;
mod http;
mod java;
mod json;
mod lang;
mod log;
mod make;
mod math;
mod net;
mod pool;
mod rate;
mod raw;
mod request;
mod resource;
mod response;
mod row;
mod rtsp;
mod rule;
mod sip;
mod slm;
mod ssl;
mod stats;
mod stored;
mod string;
mod sys;
mod tcp;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;
mod xml;

pub use self::call::{Argument, CAPTURES, Call, Interrupt, Outcome, Site};
pub(crate) use self::cost::NUMBER;
pub use self::http::status::usual_reason;
pub(crate) use self::http::{is_framing, reply::is_token, url::is_target_byte};
use std::{collections::HashMap, sync::LazyLock};

use crate::{host::Phase, value::Value};

/// A function of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// As the manual spells it; rules may use any case.
    pub name: &'static str,
    /// Names of the arguments, optional ones in brackets, `…` for any number: `s[, separator]`.
    pub arguments: &'static str,
    /// Fewest and most arguments.
    pub arity: (u8, u8),
    /// Phases in which it may be called; empty = all.
    pub phases: &'static [Phase],
    /// What it gives, for people: one line with units and secondary results. Of an old name, how it differs; mostly empty.
    pub summary: &'static str,
    /// Whether it works.
    pub status: Status,
    /// Facts for the compiler.
    pub traits: Traits,
}

impl Function {
    /// What has to be known of a protocol for it to be called.
    pub(crate) fn subject(&self) -> Subject {
        if self.traits.bytes {
            Subject::Bytes
        } else if self.name.starts_with("http.") && !self.name.starts_with("http.request.") {
            Subject::Http
        } else {
            Subject::Any
        }
    }
}

/// What a function is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Nothing that protocols differ in.
    Any,
    /// Messages of HTTP.
    Http,
    /// The bytes of protocols of which nothing else is known.
    Bytes,
}

impl Subject {
    /// Whether it is there with a protocol.
    pub(crate) fn is_there(self, speaks_http: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Http => speaks_http,
            Self::Bytes => !speaks_http,
        }
    }

    /// Why a function of this name cannot be called, for people.
    #[cold]
    pub(crate) fn is_missing(self, name: &str) -> String {
        let not = if self == Self::Bytes { "not " } else { "" };
        format!("{name} is for virtual servers whose protocol is {not}http")
    }
}

/// No upper bound on the number of arguments.
pub const ANY: u8 = u8::MAX;

/// Whether a function works.
#[derive(Clone, Copy, Debug)]
pub enum Status {
    /// Done by this.
    Works(Native),
    /// An old name of another function; calling it is a warning when compiling.
    Deprecated {
        /// The function to use.
        instead: &'static str,
        /// The doing.
        does: Native,
    },
    /// Accepted without effect until the feature exists; calling it is a note when compiling.
    Switch {
        /// The doing.
        does: Native,
        /// The feature.
        waits_for: &'static str,
    },
    /// Not supported yet, and what it waits for; calling it is an error when compiling.
    Planned(&'static str),
    /// Will not be done, and why.
    Never(&'static str),
}

/// Facts about a function that the compiler needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// The first argument is a container that it changes: an unset variable there becomes an empty one.
    pub changes_first: bool,
    /// The argument at this index is a regular expression, the one at the next index (if so) its flags: compiled with the rule
    /// when both are constant.
    pub pattern: Option<(u8, Option<u8>)>,
    /// The argument at this index names a pool, which must be a literal.
    pub pool: Option<u8>,
    /// The first argument names a bandwidth class.
    pub bandwidth: bool,
    /// It can suspend the rule.
    pub waits: bool,
    /// It looks into a database of places.
    pub places: bool,
    /// It sends the request elsewhere, answers it, or ends the connection.
    pub diverts: bool,
    /// It is about the bytes of protocols other than HTTP.
    pub bytes: bool,
}

/// The doing of a function.
pub type Native = for<'c, 'p> fn(&mut Call<'c, 'p>) -> Outcome<'p>;

/// Families of functions, in the order of the documentation.
const FAMILIES: &[&[Function]] = &[
    lang::FUNCTIONS,
    math::FUNCTIONS,
    array::FUNCTIONS,
    hash::FUNCTIONS,
    json::FUNCTIONS,
    string::search::FUNCTIONS,
    string::cut::FUNCTIONS,
    string::replace::FUNCTIONS,
    string::pattern::FUNCTIONS,
    string::encode::FUNCTIONS,
    string::html::FUNCTIONS,
    string::digest::FUNCTIONS,
    string::cipher::FUNCTIONS,
    string::numbers::FUNCTIONS,
    string::format::FUNCTIONS,
    string::address::FUNCTIONS,
    string::date::FUNCTIONS,
    xml::FUNCTIONS,
    http::request::FUNCTIONS,
    http::cookies::FUNCTIONS,
    http::forms::FUNCTIONS,
    http::body::FUNCTIONS,
    http::response::FUNCTIONS,
    http::reply::FUNCTIONS,
    http::stream::FUNCTIONS,
    http::fetch::FUNCTIONS,
    http::switches::FUNCTIONS,
    request::FUNCTIONS,
    response::FUNCTIONS,
    connection::FUNCTIONS,
    pool::FUNCTIONS,
    data::FUNCTIONS,
    counter::FUNCTIONS,
    rate::FUNCTIONS,
    slm::FUNCTIONS,
    log::FUNCTIONS,
    stats::FUNCTIONS,
    resource::FUNCTIONS,
    rule::FUNCTIONS,
    sys::FUNCTIONS,
    net::FUNCTIONS,
    tcp::FUNCTIONS,
    ssl::FUNCTIONS,
    auth::FUNCTIONS,
    geo::FUNCTIONS,
    java::FUNCTIONS,
    sip::FUNCTIONS,
    rtsp::FUNCTIONS,
    glb::FUNCTIONS,
];

/// Every function of the catalogue, in the order of the documentation.
pub fn functions() -> impl Iterator<Item = &'static Function> {
    FAMILIES.iter().copied().flatten()
}

/// Names of all functions, for hints.
pub(crate) fn names<'n>() -> impl Iterator<Item = &'n str> {
    let names = functions().map(|function| -> &'n str { function.name });
    #[cfg(test)]
    let names = names.chain(crate::testing::FUNCTIONS.iter().map(|function| function.name));
    names
}

/// A count as integer; one that is too large for it, as no count is, gives the largest.
fn number<'p>(count: impl TryInto<i64>) -> Value<'p> {
    Value::Int(count.try_into().unwrap_or(i64::MAX))
}

/// A function by its name in lower case.
pub fn find(name: &str) -> Option<&'static Function> {
    static NAMES: LazyLock<HashMap<String, &'static Function>> = LazyLock::new(|| {
        functions().map(|function| (function.name.to_ascii_lowercase(), function)).collect()
    });
    let found = NAMES.get(name).copied();
    #[cfg(test)]
    let found = found.or_else(|| {
        let more = crate::testing::FUNCTIONS.iter();
        more.into_iter().find(|function| function.name.eq_ignore_ascii_case(name))
    });
    found
}

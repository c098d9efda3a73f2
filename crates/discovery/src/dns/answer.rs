//! Message bytes to answer: one pure function, the only place that reads what a name server sent.
//!
//! A message that does not answer the open question is told apart from one that does and cannot be read: the
//! first is ignored, the second fails the attempt. Aliases are followed inside the message.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    net::IpAddr,
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType},
};

use super::name::key;

/// Longest chain of aliases that is followed.
pub const MAX_ALIASES: usize = 8;
/// Largest UDP answer asked for (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1232;
/// Bytes of a message header.
const HEADER: usize = 12;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The full name.
    pub name: Name,
    /// The kind of record.
    pub kind: RecordKind,
}

/// The kinds of record that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services.
    Srv,
    /// The name of an address.
    Ptr,
}

impl RecordKind {
    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Srv => RecordType::SRV,
            Self::Ptr => RecordType::PTR,
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
            Self::Ptr => "PTR",
        })
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, super::name::show(&self.name))
    }
}

/// What a name server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The response code, extended by EDNS.
    pub code: Code,
    /// The server cut the answer short.
    pub truncated: bool,
    /// The records at the end of the chain of aliases.
    pub records: Records,
    /// Smallest TTL of the records used, aliases included.
    pub ttl: Option<Duration>,
    /// The last name of the chain, where its records are not in the message.
    pub alias: Option<Name>,
    /// Addresses in the additional section, by [`key`] of their name.
    pub glue: BTreeMap<String, Vec<Glue>>,
}

/// The response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// NOERROR.
    Ok,
    /// NXDOMAIN.
    NoSuchName,
    /// FORMERR.
    FormatError,
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// Any other, by number.
    Other(u16),
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("NOERROR"),
            Self::NoSuchName => f.write_str("NXDOMAIN"),
            Self::FormatError => f.write_str("FORMERR"),
            Self::ServerFailure => f.write_str("SERVFAIL"),
            Self::Refused => f.write_str("REFUSED"),
            Self::Other(code) => write!(f, "response code {code}"),
        }
    }
}

/// Records of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// A or AAAA, in the order sent.
    Addresses(Vec<IpAddr>),
    /// SRV.
    Services(Vec<Service>),
    /// PTR.
    Names(Vec<Name>),
}

impl Records {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Addresses(list) => list.is_empty(),
            Self::Services(list) => list.is_empty(),
            Self::Names(list) => list.is_empty(),
        }
    }
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Lower is preferred.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name of the host; the root means "deliberately none".
    pub target: Name,
}

/// An address of the additional section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glue {
    /// The address.
    pub address: IpAddr,
    /// Its TTL.
    pub ttl: Duration,
}

/// Why a message is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It does not belong to the open question; the answer may yet come.
    Foreign(&'static str),
    /// It belongs to it and cannot be read.
    Malformed(String),
    /// Its aliases form a loop or a chain of more than [`MAX_ALIASES`].
    Aliases,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(why) => write!(f, "not an answer to the question: {why}"),
            Self::Malformed(why) => write!(f, "malformed answer: {why}"),
            Self::Aliases => write!(f, "its CNAME records form a loop or a chain of more than {MAX_ALIASES}"),
        }
    }
}

/// The bytes of a query.
pub fn query(question: &Question, id: u16, edns: bool) -> Result<Vec<u8>, String> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(question.name.clone(), question.kind.record_type()));
    if edns {
        let mut options = Edns::new();
        options.set_max_payload(UDP_PAYLOAD).set_version(0);
        message.set_edns(options);
    }
    message.to_vec().map_err(|error| error.to_string())
}

/// Reads `bytes` as the answer to the query `id` for `question`.
pub fn read(bytes: &[u8], question: &Question, id: u16) -> Result<Answer, NoAnswer> {
    let Some(header) = bytes.get(..HEADER) else { return Err(NoAnswer::Foreign("shorter than a header")) };
    if u16::from_be_bytes([header[0], header[1]]) != id {
        return Err(NoAnswer::Foreign("another id"));
    }
    if header[2] & 0x80 == 0 {
        return Err(NoAnswer::Foreign("a query"));
    }
    let cut = header[2] & 0x02 != 0;
    let code = u16::from(header[3] & 0x0f);
    let message = match Message::from_vec(bytes) {
        Ok(message) => message,
        // Some servers cut in the middle of a record. Only the flag matters then.
        Err(_) if cut && echoes(bytes, question) => return Ok(bare(Code::from(code), true, question)),
        Err(error) => return Err(NoAnswer::Malformed(error.to_string())),
    };
    if message.metadata.op_code != OpCode::Query {
        return Err(NoAnswer::Foreign("another operation"));
    }
    let code = Code::from(u16::from(message.metadata.response_code));
    match message.queries.as_slice() {
        [asked] => {
            let same = asked.query_type() == question.kind.record_type()
                && asked.query_class() == DNSClass::IN
                && key(asked.name()) == key(&question.name);
            if !same {
                return Err(NoAnswer::Foreign("another question"));
            }
        }
        // Servers that could not read the query may leave it out.
        [] if !matches!(code, Code::Ok | Code::NoSuchName) => return Ok(bare(code, cut, question)),
        [] => return Err(NoAnswer::Foreign("no question")),
        _ => return Err(NoAnswer::Foreign("several questions")),
    }
    follow(&message, question, code, cut)
}

/// Whether the question section of a message that cannot be read as a whole is ours.
fn echoes(bytes: &[u8], question: &Question) -> bool {
    use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
    if bytes[4..6] != [0, 1] {
        return false;
    }
    let mut decoder = BinDecoder::new(&bytes[HEADER..]);
    Query::read(&mut decoder).is_ok_and(|asked| {
        asked.query_type() == question.kind.record_type() && key(asked.name()) == key(&question.name)
    })
}

fn bare(code: Code, truncated: bool, question: &Question) -> Answer {
    let records = match question.kind {
        RecordKind::Srv => Records::Services(Vec::new()),
        RecordKind::A | RecordKind::Aaaa => Records::Addresses(Vec::new()),
        RecordKind::Ptr => Records::Names(Vec::new()),
    };
    Answer { code, truncated, records, ttl: None, alias: None, glue: BTreeMap::new() }
}

impl From<u16> for Code {
    fn from(code: u16) -> Self {
        match code {
            0 => Self::Ok,
            1 => Self::FormatError,
            2 => Self::ServerFailure,
            3 => Self::NoSuchName,
            5 => Self::Refused,
            other => Self::Other(other),
        }
    }
}

/// Walks the aliases from the question to its records.
fn follow(message: &Message, question: &Question, code: Code, truncated: bool) -> Result<Answer, NoAnswer> {
    let mut answer = bare(code, truncated, question);
    let mut ttl: Option<u32> = None;
    let mut lower = |seconds: u32| ttl = Some(ttl.map_or(seconds, |least| least.min(seconds)));
    let mut aliases: BTreeMap<String, (&Name, u32)> = BTreeMap::new();
    for record in message.answers.iter().filter(|record| record.dns_class == DNSClass::IN) {
        if let RData::CNAME(target) = &record.data {
            aliases.entry(key(&record.name)).or_insert((&target.0, record.ttl));
        }
    }
    let mut end = &question.name;
    let mut at = key(end);
    let mut seen = HashSet::from([at.clone()]);
    while let Some((target, seconds)) = aliases.get(&at) {
        lower(*seconds);
        at = key(target);
        end = target;
        if seen.len() > MAX_ALIASES || !seen.insert(at.clone()) {
            return Err(NoAnswer::Aliases);
        }
    }
    for record in message.answers.iter().filter(|record| record.dns_class == DNSClass::IN) {
        if key(&record.name) != at {
            continue;
        }
        match (&record.data, question.kind, &mut answer.records) {
            (RData::A(a), RecordKind::A, Records::Addresses(list)) => list.push(a.0.into()),
            (RData::AAAA(a), RecordKind::Aaaa, Records::Addresses(list)) => list.push(a.0.into()),
            (RData::SRV(srv), RecordKind::Srv, Records::Services(list)) => list.push(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.clone(),
            }),
            (RData::PTR(name), RecordKind::Ptr, Records::Names(list)) => list.push(name.0.clone()),
            _ => continue,
        }
        lower(record.ttl);
    }
    if answer.records.is_empty() && seen.len() > 1 {
        answer.alias = Some(end.clone());
    }
    answer.ttl = ttl.map(|seconds| Duration::from_secs(seconds.into()));
    if question.kind == RecordKind::Srv {
        for record in message.additionals.iter().chain(&message.answers) {
            let address: IpAddr = match &record.data {
                RData::A(a) => a.0.into(),
                RData::AAAA(a) => a.0.into(),
                _ => continue,
            };
            let ttl = Duration::from_secs(record.ttl.into());
            answer.glue.entry(key(&record.name)).or_default().push(Glue { address, ttl });
        }
    }
    Ok(answer)
}

impl Answer {
    /// Whether the code says that the name does not exist. A chain of aliases that ends in nothing counts.
    pub fn says_no_such_name(&self) -> bool {
        self.code == Code::NoSuchName
    }

    /// Whether the name exists and has no record of the kind.
    pub fn says_no_data(&self) -> bool {
        self.code == Code::Ok && self.records.is_empty() && self.alias.is_none()
    }
}

/// The response code of hickory, for counting.
impl From<ResponseCode> for Code {
    fn from(code: ResponseCode) -> Self {
        Self::from(u16::from(code))
    }
}

#[cfg(test)]
mod tests;

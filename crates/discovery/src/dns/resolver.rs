//! Single questions: the addresses of a name, the name of an address. Nothing is remembered or held here.
//!
//! Whoever asks bounds how many ask at a time and keeps what was found for its TTL.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hickory_proto::rr::Name;

use super::{
    Client,
    answer::{Question, RecordKind, Records},
    exchange::Plan,
    name, targets,
};
use crate::{options::Family, tally::Tally};

/// Asks the name servers of the resolver configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver {
    client: Arc<Client>,
    tally: Arc<Tally>,
}

/// What a question found, nothing included: that is an answer too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<T> {
    /// What was found, in the order of the answer.
    pub found: Vec<T>,
    /// How long it holds; unknown where nothing was found.
    pub ttl: Option<Duration>,
}

impl Resolver {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client, tally: Arc::default() }
    }

    /// The addresses of a name, by the search list unless it ends with a dot. Asks for at most `limit`. The error
    /// says what each server said.
    pub async fn addresses(
        &self,
        name: &str,
        family: Family,
        limit: Duration,
    ) -> Result<Resolved<IpAddr>, String> {
        let parsed = name::parse(name).map_err(|why| format!("{name:?} cannot be a DNS name: {why}"))?;
        let conf = self.client.conf();
        let kind = match family {
            Family::V4 => RecordKind::A,
            Family::V6 => RecordKind::Aaaa,
        };
        let candidates = name::candidates(&parsed, &conf.search, conf.ndots.unwrap_or(1));
        self.first(candidates, kind, limit, |records| match records {
            Records::Addresses(list) => list,
            Records::Services(_) | Records::Names(_) => Vec::new(),
        })
        .await
    }

    /// The names of an address, without final dot.
    pub async fn names(&self, address: IpAddr, limit: Duration) -> Result<Resolved<String>, String> {
        let mut name = Name::from(address.to_canonical());
        name.set_fqdn(true);
        self.first(vec![name], RecordKind::Ptr, limit, |records| match records {
            Records::Names(list) => list.iter().map(name::key).collect(),
            Records::Addresses(_) | Records::Services(_) => Vec::new(),
        })
        .await
    }

    /// The first of the full names that has records; a server that fails ends the walk.
    async fn first<T>(
        &self,
        candidates: Vec<Name>,
        kind: RecordKind,
        limit: Duration,
        read: impl Fn(Records) -> Vec<T>,
    ) -> Result<Resolved<T>, String> {
        let conf = self.client.conf();
        let plan = Plan::new(&self.client, &conf, &conf.servers, limit);
        for name in candidates {
            let question = Question { name, kind };
            let chain = targets::chain(&self.client, &self.tally, &plan, question).await?;
            let found = read(chain.answer.records);
            if !found.is_empty() {
                return Ok(Resolved { found, ttl: chain.ttl });
            }
        }
        Ok(Resolved { found: Vec::new(), ttl: None })
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, str::FromStr as _};

    use hickory_proto::{
        op::{Message, MessageType, ResponseCode},
        rr::{
            RData, Record, RecordType,
            rdata::{A, AAAA, CNAME, PTR},
        },
    };
    use tokio::net::UdpSocket;

    use super::*;
    use crate::DiscoveryOptions;

    const LIMIT: Duration = Duration::from_secs(20);

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn records(asked: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let record = |ttl, data| Record::from_rdata(asked.clone(), ttl, data);
        Some(match (&*name::key(asked), kind) {
            ("web.ns.test", RecordType::A) => {
                vec![record(7, RData::A(A::new(192, 0, 2, 1))), record(9, RData::A(A::new(192, 0, 2, 2)))]
            }
            ("web.test", RecordType::AAAA) => {
                vec![record(60, RData::AAAA(AAAA("2001:db8::1".parse().unwrap())))]
            }
            ("alias.test", RecordType::A) => vec![record(5, RData::CNAME(CNAME(name("web.ns.test."))))],
            ("web.test" | "alias.test", _) => Vec::new(),
            ("1.2.0.192.in-addr.arpa", RecordType::PTR) => {
                vec![record(30, RData::PTR(PTR(name("Web.Example."))))]
            }
            (v6, RecordType::PTR)
                if v6.starts_with("1.0.0.0.") && v6.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa") =>
            {
                vec![record(30, RData::PTR(PTR(name("six.example."))))]
            }
            _ => return None,
        })
    }

    /// A name server on loopback.
    async fn serve(socket: UdpSocket) {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let (asked, kind) = (message.queries[0].name().clone(), message.queries[0].query_type());
            if name::key(&asked) == "broken.test" {
                message.metadata.response_code = ResponseCode::ServFail;
            } else {
                match records(&asked, kind) {
                    Some(records) => drop(message.add_answers(records)),
                    None => message.metadata.response_code = ResponseCode::NXDomain,
                }
            }
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    }

    async fn resolver() -> (tempfile::TempDir, Resolver) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server: SocketAddr = socket.local_addr().unwrap();
        drop(tokio::spawn(serve(socket)));
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("resolv.conf");
        let text =
            format!("nameserver {}:{}\nsearch ns.test test\noptions ndots:2\n", server.ip(), server.port());
        std::fs::write(&file, text).unwrap();
        let options = DiscoveryOptions { resolv_conf: file, ..DiscoveryOptions::new(home.path()) };
        (home, Resolver::new(Arc::new(Client::new(Arc::new(options)))))
    }

    #[tokio::test]
    async fn names_and_addresses() {
        let (_home, resolver) = resolver().await;
        let v4 = async |name: &str| {
            resolver.addresses(name, Family::V4, LIMIT).await.map(|resolved| {
                let texts: Vec<String> = resolved.found.iter().map(ToString::to_string).collect();
                (texts.join(" "), resolved.ttl.map(|ttl| ttl.as_secs()))
            })
        };
        assert_eq!(v4("web").await, Ok(("192.0.2.1 192.0.2.2".into(), Some(7))), "by the search list");
        assert_eq!(v4("WEB.ns.test.").await, Ok(("192.0.2.1 192.0.2.2".into(), Some(7))));
        assert_eq!(v4("alias.test.").await, Ok(("192.0.2.1 192.0.2.2".into(), Some(5))), "an alias");
        assert_eq!(v4("nowhere").await, Ok((String::new(), None)));
        assert!(v4("broken.test.").await.unwrap_err().contains("SERVFAIL"));
        assert!(v4("a..b").await.unwrap_err().contains("cannot be a DNS name"));
        let v6 = resolver.addresses("web", Family::V6, LIMIT).await.unwrap();
        assert_eq!(v6.found, ["2001:db8::1".parse::<IpAddr>().unwrap()]);

        let named =
            async |address: &str| resolver.names(address.parse().unwrap(), LIMIT).await.unwrap().found;
        assert_eq!(named("192.0.2.1").await, ["web.example"]);
        assert_eq!(named("::ffff:192.0.2.1").await, ["web.example"]);
        assert_eq!(named("2001:db8::1").await, ["six.example"]);
        assert_eq!(named("192.0.2.9").await, [""; 0]);
    }
}

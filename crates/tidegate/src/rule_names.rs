//! The seam between rules and name servers: what the proxy asks, discovery's resolver answers.

use std::time::Duration;

use tidegate_discovery::{Family, Resolver};
use tidegate_proxy::names::{Found, Looking, Lookup, Question};

/// Asks the name servers of the resolver configuration for rules.
#[derive(Debug)]
pub(crate) struct RuleNames(pub(crate) Resolver);

impl Lookup for RuleNames {
    fn look_up(&self, question: Question, limit: Duration) -> Looking {
        let resolver = self.0.clone();
        Box::pin(async move {
            let (name, family) = match question {
                Question::V4(name) => (name, Family::V4),
                Question::V6(name) => (name, Family::V6),
                Question::NameOf(address) => {
                    let names = resolver.names(address, limit).await?;
                    let name = names.found.into_iter().next();
                    return Ok(Found { addresses: Vec::new(), name, ttl: names.ttl });
                }
            };
            let resolved = resolver.addresses(&name, family, limit).await?;
            Ok(Found { addresses: resolved.found, name: None, ttl: resolved.ttl })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hickory_proto::{
        op::{Message, MessageType},
        rr::{
            Name, RData, Record, RecordType,
            rdata::{A, PTR},
        },
    };
    use tidegate_discovery::{Discovery, DiscoveryOptions};
    use tokio::net::UdpSocket;

    use super::*;

    /// Answers every question.
    async fn serve(socket: UdpSocket) {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..length]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let asked = message.queries[0].clone();
            let data = match asked.query_type() {
                RecordType::A => Some(RData::A(A::new(192, 0, 2, 1))),
                RecordType::PTR => Some(RData::PTR(PTR(Name::from_ascii("web.example.").unwrap()))),
                _ => None,
            };
            message.add_answers(data.map(|data| Record::from_rdata(asked.name().clone(), 30, data)));
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_question_gets_its_answer() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("resolv.conf");
        std::fs::write(&file, format!("nameserver {}\n", socket.local_addr().unwrap())).unwrap();
        drop(tokio::spawn(serve(socket)));
        let options = DiscoveryOptions { resolv_conf: file, ..DiscoveryOptions::new(home.path()) };
        let (discovery, _events) = Discovery::start(options).unwrap();
        let names = RuleNames(discovery.resolver());
        let ask = async |question| names.look_up(question, Duration::from_secs(20)).await.unwrap();
        let ttl = Some(Duration::from_secs(30));
        let web: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(
            ask(Question::V4("web.example.".into())).await,
            Found { addresses: vec![web], name: None, ttl }
        );
        assert_eq!(ask(Question::V6("web.example.".into())).await, Found::default());
        let named = Found { addresses: Vec::new(), name: Some("web.example".into()), ttl };
        assert_eq!(ask(Question::NameOf(web)).await, named);
    }
}

//! The demo's DNS server: authoritative for one headless service, over UDP and TCP on loopback.
//!
//! It answers as CoreDNS does for `_http._tcp.sample.demo.svc.cluster.local`: one SRV record per node with the
//! address of its target beside it. All nodes have the address 127.0.0.1, so their ports tell them apart.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SOA, SRV},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::{Duration, timeout},
};

/// The zone.
const ZONE: &str = "cluster.local.";
/// The headless service.
const SERVICE: &str = "sample.demo.svc.cluster.local.";
/// The name whose SRV records list the nodes.
pub(crate) const SERVICE_NAME: &str = "_http._tcp.sample.demo.svc.cluster.local.";
/// Seconds that an answer may be kept: short, so that a spectator need not wait.
const TTL: u32 = 1;
/// Largest query, bytes.
const MAX_QUERY: usize = 4096;
/// Largest UDP answer, as CoreDNS is commonly set up.
const MAX_UDP: u16 = 1232;
/// TCP connections at a time.
const MAX_TCP: usize = 32;
/// Longest time a TCP client may take for a query.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);

/// The nodes in DNS: number and port of each. Shared with whoever scales the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Service(Arc<Mutex<BTreeMap<u32, u16>>>);

impl Service {
    /// Puts a node into DNS.
    pub(crate) fn add(&self, number: u32, port: u16) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, port);
    }

    /// Takes a node out.
    pub(crate) fn remove(&self, number: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    fn nodes(&self) -> BTreeMap<u32, u16> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers queries for `service` until dropped. Returns the server's address.
pub(crate) async fn start(service: Service) -> io::Result<SocketAddr> {
    let (udp, tcp) = bind().await?;
    let address = udp.local_addr()?;
    tokio::spawn(serve_udp(udp, service.clone()));
    tokio::spawn(serve_tcp(tcp, service));
    Ok(address)
}

/// One free port for both.
async fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut fault = None;
    for _ in 0..16 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => fault = Some(error),
        }
    }
    Err(fault.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

async fn serve_udp(socket: UdpSocket, service: Service) {
    let mut query = [0; MAX_QUERY];
    loop {
        // An error here belongs to an earlier answer that its client no longer wanted.
        let Ok((length, client)) = socket.recv_from(&mut query).await else { continue };
        if let Some(answer) = answer(&service.nodes(), &query[..length], Transport::Udp) {
            drop(socket.send_to(&answer, client).await);
        }
    }
}

async fn serve_tcp(listener: TcpListener, service: Service) {
    let places = Arc::new(Semaphore::new(MAX_TCP));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = service.clone();
        tokio::spawn(async move {
            drop(serve_connection(stream, service).await);
            drop(place);
        });
    }
}

async fn serve_connection(mut stream: TcpStream, service: Service) -> io::Result<()> {
    loop {
        let length = timeout(TCP_TIMEOUT, stream.read_u16()).await??;
        let mut query = vec![0; usize::from(length)];
        timeout(TCP_TIMEOUT, stream.read_exact(&mut query)).await??;
        let Some(answer) = answer(&service.nodes(), &query, Transport::Tcp) else { return Ok(()) };
        let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
        stream.write_u16(length).await?;
        stream.write_all(&answer).await?;
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Transport {
    Udp,
    Tcp,
}

/// The answer to a query, or `None` for what is no query.
fn answer(nodes: &BTreeMap<u32, u16>, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let [question] = query.queries.as_slice() else { return None };
    if query.metadata.message_type != MessageType::Query || query.metadata.op_code != OpCode::Query {
        return None;
    }
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.add_query(question.clone());
    fill(&mut answer, question, nodes)?;
    let mut limit = 512;
    if let Some(edns) = &query.edns {
        limit = edns.max_payload().clamp(512, MAX_UDP);
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP);
        answer.set_edns(edns);
    }
    let bytes = answer.to_vec().ok()?;
    if transport == Transport::Udp && bytes.len() > usize::from(limit) {
        return answer.truncate().to_vec().ok();
    }
    Some(bytes)
}

/// Records of the demo's only service; everything else does not exist.
fn fill(answer: &mut Message, question: &Query, nodes: &BTreeMap<u32, u16>) -> Option<()> {
    let name = question.name();
    let kind = question.query_type();
    let zone = Name::from_ascii(ZONE).ok()?;
    if !zone.zone_of(name) {
        answer.metadata.authoritative = false;
        answer.metadata.response_code = ResponseCode::Refused;
        return Some(());
    }
    let service = Name::from_ascii(SERVICE).ok()?;
    let address = RData::A(A(Ipv4Addr::LOCALHOST));
    let mut exists = false;
    if *name == service || *name == Name::from_ascii(SERVICE_NAME).ok()? {
        // A headless service without ready nodes gives NXDOMAIN in Kubernetes.
        exists = !nodes.is_empty();
        if kind == RecordType::SRV {
            for (number, port) in nodes {
                let target = target(*number)?;
                answer.add_answer(Record::from_rdata(
                    name.clone(),
                    TTL,
                    RData::SRV(SRV::new(0, 100, *port, target.clone())),
                ));
                answer.add_additional(Record::from_rdata(target, TTL, address.clone()));
            }
        } else if kind == RecordType::A && *name == service && exists {
            answer.add_answer(Record::from_rdata(name.clone(), TTL, address));
        }
    } else if nodes.keys().any(|number| target(*number).as_ref() == Some(name)) {
        exists = true;
        if kind == RecordType::A {
            answer.add_answer(Record::from_rdata(name.clone(), TTL, address));
        }
    }
    if !exists {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    if answer.answers.is_empty() {
        answer.add_authority(Record::from_rdata(
            zone,
            TTL,
            RData::SOA(SOA::new(
                Name::from_ascii("ns.dns.cluster.local.").ok()?,
                Name::from_ascii("hostmaster.cluster.local.").ok()?,
                1,
                7200,
                1800,
                86_400,
                TTL,
            )),
        ));
    }
    Some(())
}

fn target(number: u32) -> Option<Name> {
    Name::from_ascii(format!("node-{number}.{SERVICE}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(nodes: &[(u32, u16)], name: &str, kind: RecordType, transport: Transport) -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let nodes = nodes.iter().copied().collect();
        Message::from_vec(&answer(&nodes, &query.to_vec().unwrap(), transport).unwrap()).unwrap()
    }

    #[test]
    fn every_node_has_an_srv_record_and_its_address_beside_it() {
        let nodes = [(1, 1001), (2, 1002)];
        let answer = ask(&nodes, SERVICE_NAME, RecordType::SRV, Transport::Udp);
        let ports: Vec<u16> = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv.port),
                _ => None,
            })
            .collect();
        assert_eq!(ports, [1001, 1002]);
        assert_eq!(answer.additionals.len(), 2);
        assert!(answer.metadata.authoritative);
        let other = ask(&nodes, SERVICE_NAME, RecordType::AAAA, Transport::Udp);
        assert_eq!((other.metadata.response_code, other.answers.len()), (ResponseCode::NoError, 0));
        let target = ask(&nodes, "node-2.sample.demo.svc.cluster.local.", RecordType::A, Transport::Udp);
        assert_eq!(target.answers.len(), 1);
    }

    #[test]
    fn what_is_not_there_is_answered_as_kubernetes_does() {
        let none = ask(&[], SERVICE_NAME, RecordType::SRV, Transport::Udp);
        assert_eq!(none.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(none.authorities.len(), 1);
        let foreign = ask(&[(1, 1)], "example.com.", RecordType::A, Transport::Udp);
        assert_eq!(foreign.metadata.response_code, ResponseCode::Refused);
    }

    #[test]
    fn a_long_answer_is_truncated_over_udp_only() {
        let nodes: Vec<(u32, u16)> = (1..40).map(|number| (number, 1000)).collect();
        assert!(ask(&nodes, SERVICE_NAME, RecordType::SRV, Transport::Udp).metadata.truncation);
        let whole = ask(&nodes, SERVICE_NAME, RecordType::SRV, Transport::Tcp);
        assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 39));
    }

    #[test]
    fn noise_has_no_answer() {
        assert_eq!(answer(&BTreeMap::new(), b"noise", Transport::Udp), None);
        assert_eq!(answer(&BTreeMap::new(), &[], Transport::Tcp), None);
    }
}

//! An authoritative DNS server over UDP and TCP, changed while it runs, that can fail in every usual way.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, SOA, SRV},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    task::{JoinHandle, JoinSet},
};

use crate::wait::eventually;

/// Largest UDP answer.
const MAX_UDP: u16 = 1232;

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// From the records.
    #[default]
    Answer,
    /// Not at all.
    Drop,
    /// With SERVFAIL.
    ServFail,
    /// With REFUSED.
    Refused,
    /// With NXDOMAIN.
    NxDomain,
    /// Without records and without error.
    NoData,
    /// Over UDP with nothing but the truncation bit; over TCP from the records.
    Truncate,
    /// With bytes that are no DNS message.
    Garbage,
    /// With the records and the identifier of another query.
    WrongId,
}

#[derive(Debug, Default)]
struct Zone {
    mode: Mode,
    ttl: u32,
    records: BTreeMap<Name, Vec<RData>>,
}

#[derive(Debug, Default)]
struct Shared {
    zone: Mutex<Zone>,
    udp: AtomicUsize,
    tcp: AtomicUsize,
}

/// The server. It stops when dropped.
#[derive(Debug)]
pub struct Dns {
    /// Where it listens, UDP and TCP.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Dns {
    /// Starts without records; answers may be kept for one second.
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let shared = Arc::new(Shared::default());
        shared.zone.lock().unwrap().ttl = 1;
        let mut dns = Self { address: udp.local_addr().unwrap(), shared, tasks: Vec::new() };
        dns.serve(udp, tcp);
        dns
    }

    fn serve(&mut self, udp: UdpSocket, tcp: TcpListener) {
        self.tasks = vec![
            tokio::spawn(serve_udp(udp, Arc::clone(&self.shared))),
            tokio::spawn(serve_tcp(tcp, Arc::clone(&self.shared))),
        ];
    }

    /// Closes its sockets.
    pub async fn stop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            drop(task.await);
        }
    }

    /// Listens again where it did before.
    pub async fn restart(&mut self) {
        let address = self.address;
        // Meanwhile the system may have lent the port to a connection of another test.
        let (udp, tcp) = eventually("the address of the DNS server to be free", async || {
            let udp = UdpSocket::bind(address).await.ok()?;
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).ok()?;
            Some((udp, socket.listen(32).ok()?))
        })
        .await;
        self.serve(udp, tcp);
    }

    /// Changes how it answers.
    pub fn mode(&self, mode: Mode) {
        self.shared.zone.lock().unwrap().mode = mode;
    }

    /// Changes how long answers may be kept, seconds.
    pub fn ttl(&self, ttl: u32) {
        self.shared.zone.lock().unwrap().ttl = ttl;
    }

    /// Queries received over UDP and TCP.
    pub fn queries(&self) -> (usize, usize) {
        (self.shared.udp.load(Relaxed), self.shared.tcp.load(Relaxed))
    }

    /// The nodes of a headless service: one SRV record each, the target named after the port.
    pub fn service(&self, name: &str, nodes: &[SocketAddr]) {
        let mut zone = self.shared.zone.lock().unwrap();
        let service = absolute(name);
        let suffix = format!(".pods.{service}");
        zone.records.retain(|name, _| !name.to_string().ends_with(&suffix));
        let mut records = Vec::new();
        for node in nodes {
            let target = absolute(&format!("n{}{suffix}", node.port()));
            records.push(RData::SRV(SRV::new(0, 100, node.port(), target.clone())));
            zone.records.entry(target).or_default().push(address(node.ip()));
        }
        zone.records.insert(service, records);
    }

    /// The addresses of a name.
    pub fn host(&self, name: &str, addresses: &[IpAddr]) {
        let records = addresses.iter().copied().map(address).collect();
        self.shared.zone.lock().unwrap().records.insert(absolute(name), records);
    }

    /// Another name for a name.
    pub fn alias(&self, name: &str, target: &str) {
        let record = RData::CNAME(CNAME(absolute(target)));
        self.shared.zone.lock().unwrap().records.insert(absolute(name), vec![record]);
    }

    /// Takes a name away.
    pub fn remove(&self, name: &str) {
        self.shared.zone.lock().unwrap().records.remove(&absolute(name));
    }
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    name
}

fn address(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut query = [0; 4096];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut query).await else { continue };
        shared.udp.fetch_add(1, Relaxed);
        if let Some(answer) = answer(&shared, &query[..length], true) {
            drop(socket.send_to(&answer, client).await);
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move { drop(serve_connection(stream, &shared).await) });
    }
}

async fn serve_connection(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await?;
        shared.tcp.fetch_add(1, Relaxed);
        if let Some(answer) = answer(shared, &query, false) {
            stream.write_u16(u16::try_from(answer.len()).unwrap()).await?;
            stream.write_all(&answer).await?;
        }
    }
}

fn answer(shared: &Shared, query: &[u8], udp: bool) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?;
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let zone = shared.zone.lock().unwrap();
    let id = query.metadata.id.wrapping_add(u16::from(zone.mode == Mode::WrongId));
    let mut answer = Message::response(id, OpCode::Query);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.add_query(question.clone());
    let mut limit = 512;
    if let Some(edns) = &query.edns {
        limit = edns.max_payload().clamp(512, MAX_UDP);
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP);
        answer.set_edns(edns);
    }
    match zone.mode {
        Mode::Drop => return None,
        Mode::Garbage => return Some(vec![0xff; 40]),
        Mode::ServFail => answer.metadata.response_code = ResponseCode::ServFail,
        Mode::Refused => answer.metadata.response_code = ResponseCode::Refused,
        Mode::NxDomain => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            authority(&mut answer, &zone);
        }
        Mode::NoData => authority(&mut answer, &zone),
        Mode::Truncate if udp => return answer.truncate().to_vec().ok(),
        Mode::Answer | Mode::Truncate | Mode::WrongId => {
            fill(&mut answer, &zone, question.name(), question.query_type());
        }
    }
    let bytes = answer.to_vec().ok()?;
    if udp && bytes.len() > usize::from(limit) {
        return answer.truncate().to_vec().ok();
    }
    Some(bytes)
}

fn fill(answer: &mut Message, zone: &Zone, name: &Name, kind: RecordType) {
    let mut name = name.clone();
    for _ in 0..8 {
        let Some(records) = zone.records.get(&name) else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            break;
        };
        let mut alias = None;
        for record in records {
            if let RData::CNAME(CNAME(target)) = record {
                alias = Some(target.clone());
            } else if record.record_type() != kind {
                continue;
            }
            answer.add_answer(Record::from_rdata(name.clone(), zone.ttl, record.clone()));
            if let RData::SRV(srv) = record {
                for address in zone.records.get(&srv.target).into_iter().flatten() {
                    answer.add_additional(Record::from_rdata(srv.target.clone(), zone.ttl, address.clone()));
                }
            }
        }
        // A headless service without ready nodes does not exist in Kubernetes.
        if records.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        match alias {
            Some(target) => name = target,
            None => break,
        }
    }
    if answer.answers.is_empty() {
        authority(answer, zone);
    }
}

fn authority(answer: &mut Message, zone: &Zone) {
    let soa = SOA::new(
        absolute("ns.cluster.local"),
        absolute("hostmaster.cluster.local"),
        1,
        7200,
        1800,
        86_400,
        zone.ttl,
    );
    answer.add_authority(Record::from_rdata(absolute("cluster.local"), zone.ttl, RData::SOA(soa)));
}

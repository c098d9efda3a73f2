//! One question to the name servers until one answers: a fresh socket and a random id for each attempt, TCP when
//! an answer was cut short, the next server after silence or refusal. Earlier attempts go on listening while
//! later ones wait, so a late answer is not lost.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Client,
    answer::{self, Answer, Code, NoAnswer, Question},
    resolv_conf::ResolvConf,
};
use crate::tally::Tally;

/// Messages on one socket or connection that may answer no open question before the attempt is given up.
const MAX_FOREIGN: usize = 64;
/// Largest message.
const MAX_MESSAGE: usize = 65_535;
/// Most attempts of one exchange.
const MAX_ATTEMPTS: usize = 32;

/// An answer NOERROR or NXDOMAIN and who gave it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) server: SocketAddr,
    pub(crate) answer: Answer,
    /// The answer came over UDP cut short and could not be had whole: why.
    pub(crate) cut: Option<String>,
}

/// What an exchange may do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Servers in the order to ask.
    pub(crate) servers: Vec<SocketAddr>,
    /// Rounds through them.
    pub(crate) attempts: u32,
    /// Wait for one answer before the next attempt.
    pub(crate) patience: Duration,
    /// No UDP.
    pub(crate) tcp_only: bool,
    /// When it ends at last.
    pub(crate) deadline: Instant,
}

impl Plan {
    /// Asks `servers` as the resolver configuration says, at most for `limit`.
    pub(crate) fn new(client: &Client, conf: &ResolvConf, servers: &[SocketAddr], limit: Duration) -> Self {
        let timing = &client.options.timing;
        let first = if conf.rotate { fastrand::usize(..) } else { 0 };
        Self {
            servers: client.servers.order(servers, first, client.now()),
            attempts: conf.attempts.unwrap_or(timing.attempts),
            patience: conf.timeout.map_or(timing.attempt_timeout, |given| given.min(timing.attempt_timeout)),
            tcp_only: conf.tcp_only,
            deadline: Instant::now() + limit,
        }
    }
}

enum Failed {
    /// The server said no; it is not asked again in this exchange.
    Code(Code),
    /// The network or the message; worth another attempt.
    Other(String),
}

type Cut = Arc<Mutex<Option<(SocketAddr, Answer, String)>>>;

/// Asks `question` by `plan`. The error says of each server what went wrong.
pub(crate) async fn exchange(
    client: &Arc<Client>,
    tally: &Arc<Tally>,
    plan: &Plan,
    question: &Question,
) -> Result<Reply, String> {
    let cut: Cut = Arc::default();
    let mut queue: Vec<SocketAddr> =
        (0..plan.attempts.max(1)).flat_map(|_| plan.servers.iter().copied()).collect();
    queue.truncate(MAX_ATTEMPTS);
    queue.reverse();
    let mut faults: Vec<(SocketAddr, String)> = Vec::new();
    let mut attempts = JoinSet::new();
    let mut latest: Option<(tokio::task::Id, SocketAddr)> = None;
    let mut patience = plan.deadline;
    loop {
        if latest.is_none() {
            let Some(server) = queue.pop() else {
                // Earlier attempts may still be answered, but nothing waits for them alone.
                break;
            };
            let attempt = attempt(
                Arc::clone(client),
                Arc::clone(tally),
                Arc::clone(&cut),
                server,
                question.clone(),
                plan.tcp_only,
                plan.deadline,
            );
            latest = Some((attempts.spawn(attempt).id(), server));
            patience = (Instant::now() + plan.patience).min(plan.deadline);
        }
        tokio::select! {
            Some(done) = attempts.join_next_with_id() => {
                let Ok((id, (server, result))) = done else { latest = None; continue };
                match result {
                    Ok(answer) => {
                        client.servers.answered(server);
                        return Ok(Reply { server, answer, cut: None });
                    }
                    Err(fault) => {
                        match &fault {
                            Failed::Code(code) => {
                                queue.retain(|queued| *queued != server);
                                if *code == Code::Refused {
                                    client.servers.failed(server, &client.options.timing, client.now());
                                } else {
                                    client.servers.answered(server);
                                }
                            }
                            Failed::Other(_) => {
                                client.servers.failed(server, &client.options.timing, client.now());
                            }
                        }
                        let text = match fault { Failed::Code(code) => code.to_string(), Failed::Other(why) => why };
                        note(&mut faults, server, text);
                        if latest.is_some_and(|(latest, _)| latest == id) {
                            latest = None;
                        }
                    }
                }
            }
            () = sleep_until(patience) => {
                if let Some((_, server)) = latest.take() {
                    tally.count(|counters| counters.timeouts += 1);
                    client.servers.failed(server, &client.options.timing, client.now());
                    note(&mut faults, server, format!("no answer in {:?}", plan.patience));
                }
                if Instant::now() >= plan.deadline {
                    break;
                }
            }
        }
    }
    let cut = cut.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((server, answer, why)) = cut {
        return Ok(Reply { server, answer, cut: Some(why) });
    }
    let list: Vec<String> = faults.iter().map(|(server, why)| format!("{server}: {why}")).collect();
    Err(if list.is_empty() { "no name server to ask".to_owned() } else { list.join("; ") })
}

/// Keeps one fault for each server, the last.
fn note(faults: &mut Vec<(SocketAddr, String)>, server: SocketAddr, text: String) {
    match faults.iter_mut().find(|(known, _)| *known == server) {
        Some((_, known)) => *known = text,
        None => faults.push((server, text)),
    }
}

/// One attempt at one server, which listens until the deadline.
async fn attempt(
    client: Arc<Client>,
    tally: Arc<Tally>,
    cut: Cut,
    server: SocketAddr,
    question: Question,
    tcp_only: bool,
    deadline: Instant,
) -> (SocketAddr, Result<Answer, Failed>) {
    let result = timeout_at(deadline, async {
        let edns = client.servers.edns(server, client.now());
        match ask(&tally, &cut, server, &question, tcp_only, edns).await {
            // FORMERR; some servers say NOTIMP or BADVERS to EDNS.
            Err(Failed::Code(Code::FormatError | Code::Other(4 | 16))) if edns => {
                client.servers.no_edns(server, &client.options.timing, client.now());
                ask(&tally, &cut, server, &question, tcp_only, false).await
            }
            result => result,
        }
    });
    (server, result.await.unwrap_or_else(|_| Err(Failed::Other("no answer in time".to_owned()))))
}

async fn ask(
    tally: &Tally,
    cut: &Cut,
    server: SocketAddr,
    question: &Question,
    tcp_only: bool,
    edns: bool,
) -> Result<Answer, Failed> {
    if tcp_only {
        return judge(tally, over_tcp(tally, server, question, edns).await?);
    }
    let answer = judge(tally, over_udp(tally, server, question, edns).await?)?;
    if !answer.truncated {
        return Ok(answer);
    }
    tally.count(|counters| counters.truncated += 1);
    let keep = |why: String| {
        *cut.lock().unwrap_or_else(PoisonError::into_inner) = Some((server, answer.clone(), why));
    };
    keep(format!(
        "the answer of {server} over UDP was cut short and TCP gave none in time; is TCP port {} blocked?",
        server.port()
    ));
    match over_tcp(tally, server, question, edns).await {
        Ok(whole) => {
            let whole = judge(tally, whole)?;
            if whole.truncated {
                tally.count(|counters| counters.truncated += 1);
            }
            Ok(whole)
        }
        Err(Failed::Other(why)) => {
            keep(format!(
                "the answer of {server} over UDP was cut short and TCP failed ({why}); is TCP port {} blocked?",
                server.port()
            ));
            Err(Failed::Other(format!("TCP: {why}")))
        }
        Err(code) => Err(code),
    }
}

/// Counts the response code; a failure code is no answer.
fn judge(tally: &Tally, answer: Answer) -> Result<Answer, Failed> {
    tally.count(|counters| match answer.code {
        Code::Ok if answer.says_no_data() && !answer.truncated => counters.nodata += 1,
        Code::Ok => {}
        Code::NoSuchName => counters.nxdomain += 1,
        Code::FormatError => counters.formerr += 1,
        Code::ServerFailure => counters.servfail += 1,
        Code::Refused => counters.refused += 1,
        Code::Other(_) => counters.other_rcodes += 1,
    });
    match answer.code {
        Code::Ok | Code::NoSuchName => Ok(answer),
        code => Err(Failed::Code(code)),
    }
}

/// A random id from the system: it is half of what keeps forged answers out.
fn random_id() -> Result<u16, Failed> {
    getrandom::u32().map(|random| random as u16).map_err(|error| Failed::Other(error.to_string()))
}

fn network(tally: &Tally, error: &io::Error) -> Failed {
    tally.count(|counters| counters.transport_errors += 1);
    Failed::Other(match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection was closed before the answer was complete".to_owned(),
        _ => error.to_string(),
    })
}

/// What to do with a message that may be the answer.
fn accept(tally: &Tally, bytes: &[u8], question: &Question, id: u16) -> Option<Result<Answer, Failed>> {
    match answer::read(bytes, question, id) {
        Ok(answer) => Some(Ok(answer)),
        Err(NoAnswer::Foreign(_)) => {
            tally.count(|counters| counters.ignored_replies += 1);
            None
        }
        Err(error) => {
            tally.count(|counters| counters.malformed += 1);
            Some(Err(Failed::Other(error.to_string())))
        }
    }
}

async fn over_udp(
    tally: &Tally,
    server: SocketAddr,
    question: &Question,
    edns: bool,
) -> Result<Answer, Failed> {
    let id = random_id()?;
    let query = answer::query(question, id, edns).map_err(Failed::Other)?;
    let any = if server.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let run = async {
        // A fresh port each time: a stale entry in connection tracking then never matters.
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        tally.count(|counters| counters.udp_queries += 1);
        socket.send(&query).await?;
        let mut buffer = vec![0; MAX_MESSAGE];
        for _ in 0..MAX_FOREIGN {
            let length = socket.recv(&mut buffer).await?;
            if let Some(result) = accept(tally, &buffer[..length], question, id) {
                return Ok(result);
            }
        }
        Ok(Err(Failed::Other("too many messages that answer no question".to_owned())))
    };
    run.await.unwrap_or_else(|error: io::Error| Err(network(tally, &error)))
}

async fn over_tcp(
    tally: &Tally,
    server: SocketAddr,
    question: &Question,
    edns: bool,
) -> Result<Answer, Failed> {
    let id = random_id()?;
    let query = answer::query(question, id, edns).map_err(Failed::Other)?;
    let run = async {
        tally.count(|counters| counters.tcp_queries += 1);
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
        let mut message = length.to_be_bytes().to_vec();
        message.extend_from_slice(&query);
        stream.write_all(&message).await?;
        let mut buffer = Vec::new();
        for _ in 0..MAX_FOREIGN {
            let length = usize::from(stream.read_u16().await?);
            buffer.resize(length, 0);
            stream.read_exact(&mut buffer).await?;
            if let Some(result) = accept(tally, &buffer, question, id) {
                return Ok(result);
            }
        }
        Ok(Err(Failed::Other("too many messages that answer no question".to_owned())))
    };
    run.await.unwrap_or_else(|error: io::Error| Err(network(tally, &error)))
}

//! The probe `ping`: ICMP echo.
//!
//! Uses the unprivileged echo socket of Linux where `net.ipv4.ping_group_range` lets this process have one, else a raw
//! socket where it holds CAP_NET_RAW. With neither, the probe cannot be run, which says nothing about the machine.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;

use super::{Outcome, in_words};

/// A lost request is sent again after this long, until the monitor's timeout.
const RESEND: Duration = Duration::from_secs(1);

/// Bytes that tell our answer from others'.
const TOKEN: usize = 16;

/// Bytes of an ICMP echo header.
const HEADER: usize = 8;

/// Largest answer that is looked at: an IP header with options, and an echo of ours.
const MAX_ANSWER: usize = 128;

pub(super) async fn run(ip: IpAddr) -> Outcome {
    let ip = ip.to_canonical();
    let (socket, raw) = match open(ip) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Outcome::Unable(
                "this process may not send ICMP; widen net.ipv4.ping_group_range, grant NET_RAW, or use a connect monitor"
                    .into(),
            );
        }
        Err(error) => return Outcome::Unable(format!("no ICMP socket: {error}")),
    };
    match exchange(socket, ip, raw).await {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(in_words(&error)),
    }
}

/// A non-blocking ICMP socket, and whether it is a raw one.
fn open(ip: IpAddr) -> io::Result<(Socket, bool)> {
    let (domain, protocol) = match ip {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(_) => (Socket::new(domain, Type::RAW, Some(protocol))?, true),
    };
    socket.set_nonblocking(true)?;
    Ok((socket, raw))
}

async fn exchange(socket: Socket, ip: IpAddr, raw: bool) -> io::Result<()> {
    socket.connect(&SockAddr::from(SocketAddr::new(ip, 0)))?;
    // Tokio's UDP socket sends and receives on any datagram socket; it need not be UDP.
    let socket = UdpSocket::from_std(socket.into())?;
    let mut token = [0; TOKEN];
    fastrand::fill(&mut token);
    let identifier = fastrand::u16(..);
    for sequence in (0..=u16::MAX).cycle() {
        socket.send(&request(ip.is_ipv6(), identifier, sequence, token)).await?;
        if let Ok(answered) = tokio::time::timeout(RESEND, answer(&socket, ip.is_ipv6(), raw, token)).await {
            return answered;
        }
    }
    Ok(())
}

/// Waits for the echo of `token`. A raw socket sees every ICMP packet of its peer.
async fn answer(socket: &UdpSocket, v6: bool, raw: bool, token: [u8; TOKEN]) -> io::Result<()> {
    let mut packet = [0; MAX_ANSWER];
    loop {
        let length = socket.recv(&mut packet).await?;
        if is_echo(&packet[..length], v6, raw, token) {
            return Ok(());
        }
    }
}

/// An echo request. Its checksum counts only for raw IPv4 sockets; elsewhere the system writes its own.
fn request(v6: bool, identifier: u16, sequence: u16, token: [u8; TOKEN]) -> [u8; HEADER + TOKEN] {
    let mut packet = [0; HEADER + TOKEN];
    packet[0] = if v6 { 128 } else { 8 };
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet[HEADER..].copy_from_slice(&token);
    let sum = packet
        .chunks_exact(2)
        .fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Whether a packet is the answer to a request with `token`. Raw IPv4 sockets hand over the IP header as well.
fn is_echo(packet: &[u8], v6: bool, raw: bool, token: [u8; TOKEN]) -> bool {
    let icmp = if raw && !v6 {
        let header = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
        packet.get(header..).unwrap_or_default()
    } else {
        packet
    };
    icmp.first() == Some(&if v6 { 129 } else { 0 }) && icmp.get(HEADER..) == Some(&token[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_echo_of_our_request_counts() {
        let token = [7; TOKEN];
        let mut echo = request(false, 1, 2, token);
        assert!(!is_echo(&echo, false, false, token), "our own request seen on loopback");
        echo[0] = 0;
        assert!(is_echo(&echo, false, false, token));
        assert!(!is_echo(&echo, false, false, [8; TOKEN]));
        let with_ip: Vec<u8> = [0x46].into_iter().chain([0; 23]).chain(echo).collect();
        assert!(is_echo(&with_ip, false, true, token));
        for length in 0..with_ip.len() {
            assert!(!is_echo(&with_ip[..length], false, true, token));
        }
        let mut echo = request(true, 1, 2, token);
        echo[0] = 129;
        assert!(is_echo(&echo, true, true, token));
    }

    #[test]
    fn the_checksum_makes_the_sum_all_ones() {
        let packet = request(false, 0xffff, 0xfffe, [0xff; TOKEN]);
        let sum: u32 =
            packet.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}

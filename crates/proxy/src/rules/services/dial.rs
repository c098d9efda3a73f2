//! A TCP connection to a server that a rule names: its addresses, tried one after the other.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::net::TcpStream;

use super::names::Names;

/// Addresses of a server that are tried.
const MOST_ADDRESSES: usize = 8;

/// Longest time for one of several addresses of a server.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The addresses of a host by name or address, those of IPv4 if it has any. The error is for people.
pub(super) async fn addresses(names: &Names, host: &[u8]) -> Result<Vec<IpAddr>, String> {
    let mut addresses = names.addresses(host, false).await;
    if addresses.is_empty() {
        addresses = names.addresses(host, true).await;
    }
    addresses.truncate(MOST_ADDRESSES);
    if addresses.is_empty() {
        return Err(format!("{} has no address", String::from_utf8_lossy(host)));
    }
    Ok(addresses)
}

/// Connects to the first address that answers. To be limited in time by the caller. The error is for people.
pub(super) async fn dial(names: &Names, host: &[u8], port: u16) -> Result<TcpStream, String> {
    let mut fault = String::new();
    for address in addresses(names, host).await? {
        let address = SocketAddr::new(address, port);
        match tokio::time::timeout(CONNECT_TIME, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Worth nothing but speed.
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Ok(Err(error)) => fault = format!("{address}: {error}"),
            Err(_) => fault = format!("{address}: no connection within {CONNECT_TIME:?}"),
        }
    }
    Err(fault)
}

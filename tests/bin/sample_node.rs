//! A node in a process of its own: `sample-node LABEL PORT` (0 = any), which prints its address and answers every
//! request with 200 and its label until it is killed.

use std::{
    io::{self, Write as _},
    net::Ipv4Addr,
};

use tidegate_harness::node::serve_label;
use tokio::net::TcpSocket;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let label = arguments.next().unwrap_or_else(|| "sample".to_owned());
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(0);
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    let listener = socket.listen(1024)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    serve_label(&label, listener).await;
    Ok(())
}

//! Nodes in processes of their own, which can be killed and stopped.

use std::{net::SocketAddr, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{tidegate::built, wait::within};

/// A `sample-node` process. It is killed when dropped.
#[derive(Debug)]
pub struct ProcessNode {
    /// Where it listens.
    pub address: SocketAddr,
    label: String,
    child: Child,
}

impl ProcessNode {
    /// Starts one on a port the system chooses.
    pub async fn start(label: &str) -> Self {
        Self::launch(label, 0).await
    }

    async fn launch(label: &str, port: u16) -> Self {
        let mut child = Command::new(built("sample-node"))
            .args([label, &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = within("the node's address", lines.next_line()).await.unwrap().expect("a line");
        Self { address: line.parse().unwrap(), label: label.to_owned(), child }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().expect("a running node")).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub async fn kill(&mut self) {
        within("end of the node", self.child.kill()).await.unwrap();
    }

    /// Starts it again where it was.
    pub async fn restart(&mut self) {
        *self = Self::launch(&self.label.clone(), self.address.port()).await;
    }
}

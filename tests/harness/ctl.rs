//! `tidegate ctl` and its like as processes, with what they print.

use std::{env, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    Tidegate, Value,
    rest::{PASSWORD, Rest},
    tidegate::built,
    wait::within,
};

/// How commands are run.
#[derive(Clone, Debug, Default)]
pub struct Ctl {
    environment: Vec<(String, String)>,
}

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Said {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ctl {
    /// With the password and the address of a Tidegate, trusting its certificate.
    pub async fn of(tidegate: &Tidegate) -> Self {
        let address = Rest::address(tidegate).await;
        Self::default()
            .variable("TIDEGATE_CTL_URL", &format!("https://{address}"))
            .variable("TIDEGATE_ADMIN_PASSWORD", PASSWORD)
            .variable("TIDEGATE_CTL_INSECURE", "true")
    }

    /// With this variable set; empty = not set.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(built("tidegate"));
        command
            .args(arguments)
            .env_clear()
            .envs(["PATH", "HOME", "TMPDIR"].into_iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `tidegate ARGUMENTS` to its end.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, b"").await
    }

    /// As [`Ctl::run`], with this on standard input.
    pub async fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that does not read its input closes it.
        drop(stdin.write_all(input).await);
        drop(stdin);
        let output = within("end of the command", child.wait_with_output()).await.unwrap();
        Said {
            status: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Output of `tidegate ctl ARGUMENTS`, which must succeed.
    pub async fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(&[&["ctl"], arguments].concat()).await;
        assert_eq!(said.status, 0, "{arguments:?}: {said:?}");
        said.out
    }

    /// The JSON that `tidegate ctl ARGUMENTS -o json` prints.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let out = self.ok(&[arguments, &["-o", "json"]].concat()).await;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}"))
    }

    /// Starts `tidegate ctl ARGUMENTS`, which goes on; its lines as they come. It is killed with the child.
    pub fn follow(&self, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut child = self.command(&[&["ctl"], arguments].concat()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }
}

impl Said {
    /// Fails the test unless it ended with this status and said this on standard error.
    pub fn fails(&self, status: i32, told: &str) {
        assert!(self.status == status && self.err.contains(told), "{status} and “{told}” expected: {self:?}");
    }
}

/// Writes a file and gives its path as text.
pub fn file(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

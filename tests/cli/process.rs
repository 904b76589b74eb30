//! An emulator in a process of its own: what it costs is not counted among the costs of this one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use chunkferry::emulator::Log;

pub(crate) struct Process {
    child: Child,
    /// The API base.
    pub(crate) url: String,
}

impl Process {
    /// `chunkferry emulator` on a free port, with these arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chunkferry"))
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ");
        let url = url.unwrap_or_else(|| panic!("it did not start: {line:?}"));
        Self {
            url: url.to_owned(),
            child,
        }
    }

    /// What it saw, asked in the clear: a sink answers so even where it speaks TLS.
    pub(crate) fn log(&self) -> Log {
        let address = self.url.split_once("://").unwrap().1;
        let mut stream = TcpStream::connect(address).unwrap();
        let ask = "GET /_emulator/log HTTP/1.1\r\nhost: emulator\r\nconnection: close\r\n\r\n";
        stream.write_all(ask.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and has nothing to clean up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

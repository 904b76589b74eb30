//! The other end of a measurement: an emulator in discard mode, in a process of its own or on another machine.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::witness::ask;

#[derive(Debug)]
pub(crate) struct Sink {
    /// The API base.
    pub(crate) url: String,
    /// Where it answers questions in the clear.
    pub(crate) address: String,
    /// Held if it is ours; it ends with us.
    child: Option<Child>,
}

/// The account it keeps of itself.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Usage {
    /// Microseconds of CPU time.
    pub(crate) cpu_us: u64,
    /// Connections that calls or chunks came by.
    pub(crate) connections: u64,
}

impl Sink {
    /// Starts one with the chunkferry at `program`; under TLS if there is a file for its authority.
    pub(crate) fn start(program: &Path, ca_file: Option<&Path>) -> io::Result<Self> {
        let mut args = vec![OsStr::new("--sink")];
        if let Some(ca_file) = ca_file {
            args.extend([OsStr::new("--tls"), ca_file.as_os_str()]);
        }
        Self::emulate(program, &args)
    }

    /// Starts an emulator with these arguments.
    pub(crate) fn emulate(program: &Path, args: &[impl AsRef<OsStr>]) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(["--set", "limits=off", "--set", "processing_time=0s"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().strip_prefix("listening on ") {
            Some(url) => {
                let mut sink = Self::at(url);
                sink.child = Some(child);
                Ok(sink)
            }
            None => Err(io::Error::other("the sink did not start")),
        }
    }

    /// One that runs already.
    pub(crate) fn at(url: &str) -> Self {
        let address = url.split_once("://").map_or(url, |(_, address)| address);
        Self {
            url: url.to_owned(),
            address: address.trim_end_matches('/').to_owned(),
            child: None,
        }
    }

    pub(crate) fn usage(&self) -> io::Result<Usage> {
        ask(&self.address, "usage", None)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It has nothing to clean up.
            let _ = child.kill().and_then(|()| child.wait().map(drop));
        }
    }
}

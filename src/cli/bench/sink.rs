//! The server of a measurement: an emulator that discards bodies, in a child process or on another machine.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use chunkferry::emulator::{Client, Process};

#[derive(Debug)]
pub(super) struct Sink {
    /// The API base.
    pub(super) url: String,
    /// Reads its log and its usage.
    pub(super) client: Client,
    /// Killed with this value; none if somebody else runs the emulator.
    _process: Option<Process>,
}

impl Sink {
    /// Starts one with the chunkferry at `program`; under TLS if there is a file for its authority.
    pub(super) fn start(program: &Path, ca_file: Option<&Path>) -> io::Result<Self> {
        let mut args = [
            "--set",
            "limits=off",
            "--set",
            "processing_time=0s",
            "--sink",
        ]
        .map(OsStr::new)
        .to_vec();
        if let Some(ca_file) = ca_file {
            args.extend([OsStr::new("--tls"), ca_file.as_os_str()]);
        }
        let process = Process::start(program, args)?;
        Ok(Self {
            url: process.url().to_owned(),
            client: process.client().clone(),
            _process: Some(process),
        })
    }

    /// One that runs already.
    pub(super) fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: Client::new(url),
            _process: None,
        }
    }
}

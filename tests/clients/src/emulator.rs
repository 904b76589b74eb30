//! The emulator as a process of its own, and its log.

use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Anyhow;

/// Killed when it is dropped.
pub(crate) struct Emulator {
    _process: Child,
    pub(crate) url: String,
}

/// The part of its log that is judged by.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Log {
    pub(crate) requests: Requests,
    pub(crate) inits: u64,
    pub(crate) sessions: Vec<Session>,
    pub(crate) faults: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Requests {
    pub(crate) init: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Session {
    pub(crate) status: String,
    pub(crate) sha256: Option<String>,
    pub(crate) puts: Vec<Put>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Put {
    pub(crate) http_status: Option<u16>,
    pub(crate) why: Option<String>,
}

impl Emulator {
    pub(crate) async fn start(
        command: &Path,
        set: &[&str],
        faults: &[String],
    ) -> Result<Self, Anyhow> {
        let mut start = Command::new(command);
        start
            .args(["emulator", "--listen", "127.0.0.1:0"])
            .args(["--set", "processing_time=0s"]);
        for pair in set {
            start.args(["--set", pair]);
        }
        for fault in faults {
            start.args(["--fault", fault]);
        }
        let mut process = start.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().ok_or("no stdout")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let line = line.ok_or("the emulator did not start")?;
        let url = line.strip_prefix("listening on ").ok_or("no address")?;
        Ok(Self {
            _process: process,
            url: url.to_owned(),
        })
    }

    pub(crate) async fn log(&self) -> Result<Log, Anyhow> {
        let answer = reqwest::get(format!("{}/_emulator/log", self.url)).await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}

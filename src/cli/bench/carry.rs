//! One measured run: uploads videos as any program would, while the kernel counts the costs.

use std::path::PathBuf;
use std::str::FromStr;

use chunkferry::{Event, Job, Ledger, ReadMode};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::exit::Exit;
use crate::{Failure, Globals};

/// The setup of a run. Every other option has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) chunk_size: u64,
    pub(crate) map: bool,
    pub(crate) ledger: bool,
    pub(crate) tls: bool,
    /// One upload for each file, all at once, each for another creator.
    pub(crate) files: Vec<PathBuf>,
    /// The name of the first creator; the others' names are made from it.
    pub(crate) creator: String,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Setup {
    /// The token of each creator.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let name = |index| format!("act.{}-{index}.1", self.creator);
        (0..self.files.len()).map(name).collect()
    }
}

impl FromStr for Setup {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// Sends all files of the setup; ends once they are acknowledged or the measuring process is gone.
pub(super) async fn carry(setup: Setup, globals: &Globals) -> Result<Exit, Failure> {
    let mut options = globals
        .options(globals.state_dir()?)
        .jobs(setup.files.len());
    if let Some(ca_file) = &setup.ca_file {
        options = options.ca_file(ca_file);
    }
    let engine = options.open()?;
    let jobs = setup.files.iter().zip(setup.tokens()).map(|(file, token)| {
        Job::file(file)
            .account(&token, token.clone())
            .content_type("video/mp4")
            .chunk_size(setup.chunk_size)
            .read(if setup.map {
                ReadMode::Map
            } else {
                ReadMode::Read
            })
            .ledger(if setup.ledger {
                Ledger::On
            } else {
                Ledger::Off
            })
            .hand_over(true)
    });
    let runs = jobs.map(|job| {
        let mut handle = engine.upload(job);
        async move {
            while let Some(event) = handle.event().await {
                match event {
                    Event::Retry { cause, .. } => eprintln!("{cause}"),
                    Event::SessionLost { cause } => eprintln!("{cause}"),
                    _ => {}
                }
            }
            handle.await
        }
    });
    let mut nobody = Vec::new();
    let ended = tokio::select! {
        ended = join_all(runs) => ended,
        _ = async { tokio::io::stdin().read_to_end(&mut nobody).await } => return Ok(Exit::TERMINATED),
    };
    for draft in ended {
        draft?;
    }
    Ok(Exit::DELIVERED)
}

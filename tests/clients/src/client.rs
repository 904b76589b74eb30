//! The uploaders.

use std::path::Path;

use tokio::process::Command;

use crate::{Anyhow, TOKEN};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Curl,
    /// With a chunk size from its caller or with its own, 64 MiB.
    TiktokApi {
        own: bool,
    },
    /// Declared as one chunk, or as chunks that it then does not send.
    TiktokRust {
        cut: bool,
    },
    Chunkferry,
}

pub(crate) const CLIENTS: [Client; 4] = [
    Client::Curl,
    Client::TiktokApi { own: false },
    Client::TiktokRust { cut: false },
    Client::Chunkferry,
];

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl script",
            Self::TiktokApi { .. } => "tiktok-api 0.3.0",
            Self::TiktokRust { .. } => "tiktok_rust 0.0.13",
            Self::Chunkferry => "chunkferry",
        }
    }

    /// The index of the last chunk it sends of a video of three chunks.
    pub(crate) fn last(self) -> u64 {
        match self {
            Self::TiktokRust { .. } => 0,
            _ => 2,
        }
    }

    /// A run of it; the same arguments give the same run.
    pub(crate) fn run(
        self,
        command: &Path,
        api: &str,
        file: &Path,
        state: &Path,
    ) -> Result<Command, Anyhow> {
        let me = std::env::current_exe()?;
        let mut run = match self {
            Self::Curl => Command::new("sh"),
            Self::TiktokApi { .. } | Self::TiktokRust { .. } => Command::new(me),
            Self::Chunkferry => Command::new(command),
        };
        match self {
            Self::Curl => {
                run.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/upload.sh"))
                    .arg(file);
                run.env("API", api).env("TOKEN", TOKEN);
            }
            Self::TiktokApi { own } => {
                run.args(["as", "tiktok-api", api]).arg(file);
                run.arg(if own { "own" } else { "small" });
            }
            Self::TiktokRust { cut } => {
                run.args(["as", "tiktok_rust", api]).arg(file);
                run.arg(if cut { "cut" } else { "whole" });
            }
            Self::Chunkferry => {
                run.args([
                    "upload",
                    "--chunk-size",
                    "10MiB",
                    "--content-type",
                    "video/mp4",
                ]);
                run.args(["--api-base", api]).arg(file);
                run.env("CHUNKFERRY_STATE_DIR", state)
                    .env("TIKTOK_ACCESS_TOKEN", TOKEN);
            }
        }
        Ok(run)
    }
}

//! Runs four uploaders against the emulator under one list of faults, and writes down what became of the video.
//!
//! `cargo run --release --manifest-path tests/clients/Cargo.toml` builds the command, plays every row, checks what is
//! claimed, and writes `docs/clients.md`. What arrived is read from the emulator's log, never from a client's words.

mod client;
mod crates;
mod emulator;
mod faults;
mod play;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use client::CLIENTS;
use faults::ROWS;

type Anyhow = Box<dyn std::error::Error + Send + Sync>;

const TOKEN: &str = "act.lena.1";
/// What every client cuts the video into that can cut: three chunks.
const CHUNK: u64 = 10 << 20;
const SIZE: u64 = 32_000_000;

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, client, api, file, chunk] = &*args
        && role == "as"
    {
        return match crates::run(client, api, file, chunk).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    match table().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn table() -> Result<(), Anyhow> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let command = build(&root)?;
    let dir = tempfile::tempdir()?;
    let video = play::Video::new(dir.path(), SIZE)?;

    let mut rows = Vec::new();
    for row in ROWS {
        let [curl, api, rust, ours] =
            CLIENTS.map(|client| play::row(&command, client, row, &video));
        let (curl, api, rust, ours) = tokio::join!(curl, api, rust, ours);
        let cells = [curl?, api?, rust?, ours?];
        println!("{}", report::line(row, &cells));
        rows.push((row, cells));
    }
    let mut sizes = Vec::new();
    for case in play::SIZES {
        let seen = play::size(&command, case, dir.path()).await?;
        println!("{}", report::size_line(case, &seen));
        sizes.push((case, seen));
    }

    let wrong = report::wrong(&rows, &sizes);
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    std::fs::write(root.join("docs/clients.md"), report::page(&rows, &sizes))?;
    Ok(())
}

/// The command as users have it.
fn build(root: &Path) -> Result<PathBuf, Anyhow> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = root.join("Cargo.toml");
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--message-format=json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("the command does not build".into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines();
    let mut executables = messages.filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    Ok(executables
        .find(|path| path.ends_with("chunkferry"))
        .ok_or("no command was built")?)
}

//! Uploads one video and shows how far it is.
//!
//!     cargo run --example upload -- clip.mp4
//!
//! sends the file to an emulator inside this program. With a token of a creator in `TIKTOK_ACCESS_TOKEN` it goes to TikTok.

use std::env;
use std::error::Error;

use chunkferry::emulator::Emulator;
use chunkferry::{Event, Job, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("usage: upload FILE")?;
    // The journal lies here: keep it, and the same call after a crash carries on. An emulator's ends with this program.
    let emulated = tempfile::tempdir()?;
    let emulator = Emulator::start().await?;
    let (options, token) = match env::var("TIKTOK_ACCESS_TOKEN") {
        Ok(token) => (Options::new("state"), token),
        Err(_) => (
            Options::new(emulated.path()).api_base(&emulator.url()),
            "act.lena.1".to_owned(),
        ),
    };
    let engine = options.open()?;
    let (upload, mut watcher) = engine
        .upload(Job::file(file).account("lena", token))
        .split();
    let watch = async {
        while let Some(event) = watcher.event().await {
            let progress = watcher.progress();
            if let Event::ChunkAccepted { index, .. } = event {
                let (confirmed, total) = (progress.confirmed, progress.total);
                println!("chunk {index}: {confirmed} of {total} bytes");
            }
        }
    };
    let (draft, ()) = tokio::join!(upload, watch);
    let draft = draft?;
    println!("{:?} as {}", draft.outcome, draft.publish_id);
    engine.close().await;
    Ok(())
}

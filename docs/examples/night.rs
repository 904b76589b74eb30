//! Uploads several videos for several creators at once, and acts on each end by its kind.
//!
//!     cargo run --example night
//!
//! makes three videos, one of them broken, and sends them to an emulator inside this program.

use std::error::Error;
use std::fs;

use chunkferry::emulator::Emulator;
use chunkferry::{ErrorKind, Job, Options};
use futures::future::join_all;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let emulator = Emulator::start().await?;
    let engine = Options::new(dir.path().join("state"))
        .api_base(&emulator.url())
        .jobs(4)
        .open()?;

    let mut uploads = Vec::new();
    for (creator, bytes) in [("lena", VIDEO), ("mia", VIDEO), ("ole", b"no video")] {
        let file = dir.path().join(format!("{creator}.mp4"));
        fs::write(&file, bytes)?;
        let job = Job::file(&file).account(creator, format!("act.{creator}.1"));
        // All of them wait, run and end by themselves. One engine keeps to each creator's limits.
        uploads.push(engine.upload(job));
    }
    for (upload, creator) in join_all(uploads).await.iter().zip(["lena", "mia", "ole"]) {
        match upload {
            Ok(draft) => println!("{creator}: {}", draft.publish_id),
            Err(error) if error.is_retryable() => println!("{creator}: again later ({error})"),
            Err(error) => match error.kind() {
                ErrorKind::Source => println!("{creator}: a file to look at ({error})"),
                ErrorKind::NeedsPerson => {
                    println!("{creator}: {:?} must act ({error})", error.who_must_act());
                }
                _ => println!("{creator}: {error}, {:?}", error.remedies()),
            },
        }
    }
    engine.close().await;
    Ok(())
}

/// As little as counts as a finished video: an index that lists a video track, and one byte of media.
const VIDEO: &[u8] = b"\0\0\0\x08ftyp\0\0\0\x39moov\0\0\0\x31trak\0\0\0\x29mdia\
    \0\0\0\x21hdlr\0\0\0\0\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09mdat.";

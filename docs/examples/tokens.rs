//! Gets access tokens from a source of its own, which is asked for another one when the service refuses a token.
//!
//!     cargo run --example tokens
//!
//! The emulator inside this program revokes the first token while the upload is on its way.

use std::error::Error;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use chunkferry::emulator::Emulator;
use chunkferry::{Job, Options, Secret, TokenError, TokenSource};
use futures::future::BoxFuture;

/// Counts tokens. A real one asks the token endpoint, and stores the new refresh token before it returns.
struct Tokens(AtomicU32);

impl TokenSource for Tokens {
    fn token<'a>(
        &'a self,
        refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Secret, TokenError>> {
        Box::pin(async move {
            if refused.is_some() {
                self.0.fetch_add(1, Ordering::Relaxed);
                println!("the token was refused: here is another one");
            }
            let number = self.0.load(Ordering::Relaxed);
            Ok(Secret::new(&format!("act.lena.{number}")))
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let emulator = Emulator::builder()
        .fault("status nth=1 revoke_token".parse()?)
        .start()
        .await?;
    let file = dir.path().join("clip.mp4");
    fs::write(
        &file,
        b"any bytes: the content type below is taken as it is",
    )?;
    let engine = Options::new(dir.path().join("state"))
        .api_base(&emulator.url())
        .open()?;
    let job = Job::file(&file)
        .content_type("video/mp4")
        .account("lena", Tokens(AtomicU32::new(1)));
    let draft = engine.upload(job).await?;
    println!("{:?} as {}", draft.outcome, draft.publish_id);
    engine.close().await;
    Ok(())
}

//! Hands videos over to the durable queue: each one ends in one draft, however often this program is killed on the way.
//!
//!     cargo run --example queue -- lena one.mp4 two.mp4
//!
//! sends the files to an emulator inside this program. With a token of the creator in `TOKEN_LENA` they go to TikTok; then the same
//! call after a crash carries on.

use std::env;
use std::error::Error;

use chunkferry::emulator::Emulator;
use chunkferry::{AccountProvider, Engine, Job, Options, Provided, Secret, TokenError};
use futures::future::{BoxFuture, join_all};

/// Knows the tokens of all creators. A real one reads the table of the program that has logged them in.
struct Tokens;

impl AccountProvider for Tokens {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _refused: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<Provided, TokenError>> {
        // The emulator takes any token of this form.
        let token = token_of(account).unwrap_or_else(|| format!("act.{account}.1"));
        Box::pin(async move { Ok(Provided::new(token)) })
    }
}

fn token_of(account: &str) -> Option<String> {
    env::var(format!("TOKEN_{}", account.to_uppercase())).ok()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let account = args.next().ok_or("usage: queue ACCOUNT FILE...")?;
    let files: Vec<String> = args.collect();
    // The queue lies here: keep it. An emulator's ends with this program.
    let emulated = tempfile::tempdir()?;
    let emulator = Emulator::start().await?;
    let options = match token_of(&account) {
        Some(_) => Options::new("state"),
        None => Options::new(emulated.path()).api_base(&emulator.url()),
    };
    let engine = options.accounts(Tokens).open()?;
    let uploads = files.iter().map(|file| upload(&engine, &account, file));
    for ended in join_all(uploads).await {
        ended?;
    }
    engine.close().await;
    Ok(())
}

/// Hands a file over, and waits for its end. The id makes each later call the same job: here it is the file's name, in a program
/// with a database the key of a row.
async fn upload(engine: &Engine, account: &str, file: &str) -> Result<(), chunkferry::Error> {
    let job = Job::file(file).account_name(account).id(file);
    let handle = engine.submit(job).await?;
    println!("accepted {file}");
    let ended = handle.ended().await?;
    if let Some(end) = ended.end {
        let more = end.publish_id.or(end.why).unwrap_or_default();
        println!("{} {file}: {more}", end.outcome);
    }
    Ok(())
}

//! `chunkferry emulator`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use chunkferry::emulator::{Emulator, Fault, Settings};
use clap::Args;

use super::Failure;
use super::exit::Exit;

/// Start a local server that stands in for the API
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Example:\n  chunkferry emulator --listen 127.0.0.1:8787 \
    --set max_chunk=67108864 --fault 'put chunk=7 nth=1 cut=3MB'"
)]
pub(super) struct EmulatorArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// Keep what is received in DIR, one file an upload
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Change a setting
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Let something go wrong
    #[arg(long, value_name = "SCRIPT")]
    fault: Vec<Fault>,
}

impl EmulatorArgs {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let mut settings = Settings::default();
        for pair in &self.set {
            settings
                .set_pair(pair)
                .map_err(|error| Failure::usage(error.to_string()))?;
        }
        let mut builder = Emulator::builder().listen(self.listen).settings(settings);
        if let Some(dir) = self.dir {
            builder = builder.dir(dir);
        }
        builder = self
            .fault
            .into_iter()
            .fold(builder, |builder, fault| builder.fault(fault));
        serve(builder).await.map_err(|error| Failure {
            exit: Exit(1),
            message: format!("The emulator cannot listen on {}: {error}", self.listen),
        })
    }
}

async fn serve(builder: chunkferry::emulator::EmulatorBuilder) -> std::io::Result<Exit> {
    let mut stop = Stop::listen()?;
    let emulator = builder.start().await?;
    let mut stdout = std::io::stdout();
    // Whoever started this server may be gone already; then nobody reads the line.
    let _ = writeln!(stdout, "listening on {}", emulator.url()).and_then(|()| stdout.flush());
    stop.stopped().await;
    Ok(Exit::DELIVERED)
}

/// The signals that end the server.
#[cfg(unix)]
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stop {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn stopped(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Stop;

#[cfg(not(unix))]
impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn stopped(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

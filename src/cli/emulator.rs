//! `chunkferry emulator`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use chunkferry::emulator::{Emulator, Fault, Settings};
use clap::Args;

/// Start a local server that stands in for the API
#[derive(Args)]
#[command(
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

pub(super) fn run(args: EmulatorArgs) -> ExitCode {
    let mut settings = Settings::default();
    for pair in &args.set {
        if let Err(error) = settings.set_pair(pair) {
            return complain(2, &error);
        }
    }
    let mut builder = Emulator::builder().listen(args.listen).settings(settings);
    if let Some(dir) = args.dir {
        builder = builder.dir(dir);
    }
    builder = args
        .fault
        .into_iter()
        .fold(builder, |builder, fault| builder.fault(fault));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| runtime.block_on(serve(builder)));
    match served {
        Ok(code) => code,
        Err(error) => complain(1, &format!("{}: {error}", args.listen)),
    }
}

async fn serve(builder: chunkferry::emulator::EmulatorBuilder) -> std::io::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let emulator = builder.start().await?;
    let mut stdout = std::io::stdout();
    // Whoever started this server may be gone already; then nobody reads the line.
    let _ = writeln!(stdout, "listening on {}", emulator.url()).and_then(|()| stdout.flush());
    stop.stopped().await;
    Ok(ExitCode::SUCCESS)
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

fn complain(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("chunkferry emulator: {error}");
    ExitCode::from(code)
}

//! `chunkferry emulator`.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chunkferry::emulator::{Chaos, Emulator, EmulatorBuilder, Fault, Finding, Settings};
use clap::Args;

/// Where it listens if nobody says otherwise and no command is given that would be told.
const USUAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8787);

/// Start a local server that stands in for the API
#[derive(Args)]
#[command(
    after_help = "Examples:\n  chunkferry emulator --set max_chunk=67108864 --fault 'put chunk=7 nth=1 cut=3MB'\n  \
    chunkferry emulator --strict -- npm test    (the command finds it by CHUNKFERRY_EMULATOR_URL)"
)]
pub(super) struct EmulatorArgs {
    /// Where to listen, port 0 = any [default: 127.0.0.1:8787, with COMMAND any]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Keep what is received in DIR, one file an upload
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Change a setting
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Read settings from FILE, KEY=VALUE lines
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Print every setting and exit
    #[arg(long)]
    list_settings: bool,
    /// Let something go wrong
    #[arg(long, value_name = "SCRIPT")]
    fault: Vec<Fault>,
    /// Read faults from FILE, one script a line
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Let things go wrong by chance, RATE from 0 to 1
    #[arg(long, value_name = "SEED,RATE")]
    chaos: Option<Chaos>,
    /// Speak TLS, and write the authority to trust to CA_FILE
    #[arg(long, value_name = "CA_FILE")]
    tls: Option<PathBuf>,
    /// The origin of upload URLs, if not what the client called
    #[arg(long, value_name = "URL")]
    upload_origin: Option<String>,
    /// With COMMAND: exit 1 if the review finds anything
    #[arg(long, requires = "command")]
    strict: bool,
    /// Run COMMAND against it, print the review, exit as COMMAND does
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// Why it did not start; usage errors exit 2.
struct Refused {
    code: u8,
    why: String,
}

impl Refused {
    fn usage(why: impl Display) -> Self {
        Self {
            code: 2,
            why: why.to_string(),
        }
    }
}

pub(super) fn run(args: EmulatorArgs) -> ExitCode {
    if args.list_settings {
        return list_settings();
    }
    match start(args) {
        Ok(code) => code,
        Err(refused) => {
            eprintln!("chunkferry emulator: {}", refused.why);
            ExitCode::from(refused.code)
        }
    }
}

fn start(args: EmulatorArgs) -> Result<ExitCode, Refused> {
    let (strict, command) = (args.strict, args.command.clone());
    let any = SocketAddr::new(USUAL.ip(), 0);
    let listen = args
        .listen
        .unwrap_or(if command.is_empty() { USUAL } else { any });
    let builder = configure(args)?.listen(listen);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match command.split_first() {
                None => serve(builder).await,
                Some((program, args)) => attend(builder, program, args, strict).await,
            }
        })
    });
    served.map_err(|error| Refused {
        code: 1,
        why: format!("{listen}: {error}"),
    })
}

fn configure(args: EmulatorArgs) -> Result<EmulatorBuilder, Refused> {
    let mut settings = Settings::default();
    if let Some(file) = &args.settings {
        settings.set_lines(&read(file)?).map_err(Refused::usage)?;
    }
    for pair in &args.set {
        settings.set_pair(pair).map_err(Refused::usage)?;
    }
    let mut builder = Emulator::builder().settings(settings);
    if let Some(file) = &args.faults {
        for line in read(file)?.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                builder = builder.fault(line.parse().map_err(Refused::usage)?);
            }
        }
    }
    builder = args.fault.into_iter().fold(builder, EmulatorBuilder::fault);
    if let Some(chaos) = args.chaos {
        builder = builder.chaos(chaos);
    }
    if let Some(dir) = args.dir {
        builder = builder.dir(dir);
    }
    if let Some(file) = args.tls {
        builder = builder.tls(file);
    }
    if let Some(origin) = args.upload_origin {
        builder = builder.upload_origin(origin.trim_end_matches('/'));
    }
    Ok(builder)
}

fn read(file: &Path) -> Result<String, Refused> {
    let text = std::fs::read_to_string(file);
    text.map_err(|error| Refused::usage(format!("{}: {error}", file.display())))
}

/// Serves until it is told to stop.
async fn serve(builder: EmulatorBuilder) -> io::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let emulator = builder.start().await?;
    let mut stdout = io::stdout();
    // Whoever started this server may be gone already; then nobody reads the line.
    let _ = writeln!(stdout, "listening on {}", emulator.url()).and_then(|()| stdout.flush());
    stop.told().await;
    Ok(ExitCode::SUCCESS)
}

/// Serves while a command runs, and ends as it does.
async fn attend(
    builder: EmulatorBuilder,
    program: &OsString,
    args: &[OsString],
    strict: bool,
) -> io::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let emulator = builder.start().await?;
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env("CHUNKFERRY_EMULATOR_URL", emulator.url())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            // A terminal interrupts the command too, and the command decides what that means.
            order = stop.told() => if order == Order::Terminate {
                child.start_kill()?;
            }
        }
    };
    let findings = emulator.review();
    report(&findings);
    Ok(match (status.code(), strict && !findings.is_empty()) {
        (Some(0), true) => ExitCode::FAILURE,
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        (None, _) => ExitCode::from(killed(status)),
    })
}

#[cfg(unix)]
fn killed(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal().and_then(|signal| u8::try_from(signal).ok());
    signal.map_or(1, |signal| 128 + signal)
}

#[cfg(not(unix))]
fn killed(_: std::process::ExitStatus) -> u8 {
    1
}

/// On stderr: stdout belongs to the command.
fn report(findings: &[Finding]) {
    eprintln!("review: {} findings", findings.len());
    for finding in findings {
        let upload = finding.publish_id.as_deref().unwrap_or("-");
        eprintln!(
            "  {} ({}, {upload}): {}",
            finding.rule, finding.creator, finding.what
        );
        eprintln!("    {} [{}]", finding.fact, finding.mark);
    }
}

fn list_settings() -> ExitCode {
    let mut stdout = io::stdout().lock();
    for setting in Settings::list() {
        let written = writeln!(
            stdout,
            "{}={}\n    {} [{}]\n    values: {}",
            setting.key, setting.default, setting.meaning, setting.mark, setting.values
        );
        if written.is_err() {
            break; // The reader has seen enough.
        }
    }
    ExitCode::SUCCESS
}

#[derive(PartialEq)]
enum Order {
    Interrupt,
    Terminate,
}

/// The signals that end the server.
#[cfg(unix)]
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stop {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn told(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::Interrupt,
            _ = self.terminate.recv() => Order::Terminate,
        }
    }
}

#[cfg(not(unix))]
struct Stop;

#[cfg(not(unix))]
impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn told(&mut self) -> Order {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Order::Interrupt,
            Err(_) => Order::Terminate,
        }
    }
}

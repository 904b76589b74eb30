//! `chunkferry emulator`.

mod hints;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chunkferry::Escaped;
use chunkferry::emulator::settings::Auth;
use chunkferry::emulator::{Chaos, Emulator, EmulatorBuilder, Fault, Finding, Settings};
use clap::Args;

use super::Failure;
use super::exit::Exit;
use super::signals::Signals;
use super::size::bytes;
use hints::hints;

/// The default address, unless a command is given that gets the address.
const USUAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8787);

/// Start a local server that stands in for the API
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Examples:\n  chunkferry emulator --set max_chunk=67108864 --fault 'put chunk=7 nth=1 cut=3MB'\n  \
    chunkferry emulator --strict -- npm test    (the command finds it by CHUNKFERRY_EMULATOR_URL)"
)]
pub(super) struct EmulatorArgs {
    /// Where to listen, port 0 = any [default: 127.0.0.1:8787, with COMMAND any]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Keep the last SIZE of videos for the page, 0 = none
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "2GB")]
    keep: u64,
    /// Keep all received videos in DIR, one file each
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
    /// Arm a fault
    #[arg(long, value_name = "SCRIPT")]
    fault: Vec<Fault>,
    /// Read faults from FILE, one script a line
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Hit requests at random, RATE from 0 to 1
    #[arg(long, value_name = "SEED,RATE")]
    chaos: Option<Chaos>,
    /// Speak TLS, and write the authority to trust to CA_FILE
    #[arg(long, value_name = "CA_FILE")]
    tls: Option<PathBuf>,
    /// Origin of upload URLs, if not the called one
    #[arg(long, value_name = "URL")]
    upload_origin: Option<String>,
    /// Answer requests for host NAME, too (repeatable)
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    allow_host: Vec<String>,
    /// With COMMAND: exit 1 if the review finds anything
    #[arg(long, requires = "command")]
    strict: bool,
    /// Discard chunks unread, at the least cost: to measure clients
    #[arg(long, conflicts_with_all = ["dir", "fault", "faults", "chaos"])]
    sink: bool,
    /// Run COMMAND against it, print the review, exit as COMMAND does
    #[arg(last = true)]
    command: Vec<OsString>,
}

impl EmulatorArgs {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        if self.list_settings {
            list_settings();
            return Ok(Exit::DELIVERED);
        }
        let (strict, command) = (self.strict, self.command.clone());
        let any = SocketAddr::new(USUAL.ip(), 0);
        let listen = self
            .listen
            .unwrap_or(if command.is_empty() { USUAL } else { any });
        let settings = settings(&self)?;
        let (ca_file, issued) = (self.tls.clone(), settings.auth == Auth::Issued);
        let builder = configure(self, settings)?.listen(listen);
        let mut signals = Signals::listen()?;
        let served = match command.split_first() {
            None => serve(builder, ca_file.as_deref(), issued, &mut signals).await,
            Some((program, args)) => attend(builder, program, args, strict, &mut signals).await,
        };
        served.map_err(|error| {
            Failure::new(
                Exit(1),
                format!("The emulator cannot run on {listen}: {error}"),
            )
        })
    }
}

/// The settings of the start.
fn settings(args: &EmulatorArgs) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    if let Some(file) = &args.settings {
        settings.set_lines(&read(file)?).map_err(usage)?;
    }
    for pair in &args.set {
        settings.set_pair(pair).map_err(usage)?;
    }
    Ok(settings)
}

fn configure(args: EmulatorArgs, settings: Settings) -> Result<EmulatorBuilder, Failure> {
    let keep = if args.sink { 0 } else { args.keep };
    let mut builder = Emulator::builder().settings(settings).keep(keep);
    if args.sink {
        builder = builder.sink();
    }
    if let Some(file) = &args.faults {
        for line in read(file)?.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                builder = builder.fault(line.parse().map_err(usage)?);
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
    builder = args
        .allow_host
        .into_iter()
        .fold(builder, EmulatorBuilder::allow_host);
    if let Some(origin) = args.upload_origin {
        builder = builder.upload_origin(origin.trim_end_matches('/'));
    }
    Ok(builder)
}

fn host_name(text: &str) -> Result<String, String> {
    let host = url::Host::parse(text);
    host.map(|host| host.to_string())
        .map_err(|_| "give the name alone, without scheme and port".to_owned())
}

/// Starts the emulator, and warns if other machines can reach it.
async fn start(builder: EmulatorBuilder) -> io::Result<Emulator> {
    let emulator = builder.start().await?;
    let address = emulator.address();
    if !address.ip().is_loopback() {
        eprintln!(
            "warning: {address} is not loopback: whoever reaches it uses this server and sees what it received; it has \
             no sign-in"
        );
    }
    Ok(emulator)
}

fn usage(error: impl Display) -> Failure {
    Failure::usage(error.to_string())
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    text.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

/// Serves until it is stopped.
async fn serve(
    builder: EmulatorBuilder,
    ca_file: Option<&Path>,
    issued: bool,
    signals: &mut Signals,
) -> io::Result<Exit> {
    let emulator = start(builder).await?;
    let hints = hints(&emulator, ca_file, issued);
    let mut stdout = io::stdout();
    // The process that started this one may be gone; then nobody reads the lines.
    let _ =
        write!(stdout, "listening on {}\n{hints}", emulator.url()).and_then(|()| stdout.flush());
    signals.first().await;
    Ok(Exit::DELIVERED)
}

/// Serves while a command runs, and exits as the command does.
async fn attend(
    builder: EmulatorBuilder,
    program: &OsString,
    args: &[OsString],
    strict: bool,
    signals: &mut Signals,
) -> io::Result<Exit> {
    let emulator = start(builder).await?;
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env("CHUNKFERRY_EMULATOR_URL", emulator.url())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    let status = tokio::select! {
        status = child.wait() => status?,
        signal = signals.first() => {
            // A terminal interrupts the command, too, and the command decides what follows.
            if signal != Exit::INTERRUPTED {
                child.start_kill()?;
            }
            child.wait().await?
        }
    };
    let findings = emulator.review();
    report(&findings);
    Ok(match (status.code(), strict && !findings.is_empty()) {
        (Some(0), true) => Exit(1),
        (Some(code), _) => Exit(u8::try_from(code).unwrap_or(1)),
        (None, _) => Exit(killed(status)),
    })
}

fn killed(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal().and_then(|signal| u8::try_from(signal).ok());
    signal.map_or(1, |signal| 128 + signal)
}

/// Prints to stderr: stdout belongs to the command.
fn report(findings: &[Finding]) {
    eprintln!("review: {} findings", findings.len());
    for finding in findings {
        let upload = finding.publish_id.as_deref().unwrap_or("-");
        eprintln!(
            "  {} ({}, {upload}): {}",
            finding.rule,
            Escaped::new(&finding.creator),
            Escaped::new(&finding.what)
        );
        eprintln!("    {} [{}]", finding.fact, finding.mark);
    }
}

fn list_settings() {
    let mut stdout = io::stdout().lock();
    for setting in Settings::list() {
        let written = writeln!(
            stdout,
            "{}={}\n    {} [{}]\n    values: {}",
            setting.key, setting.default, setting.meaning, setting.mark, setting.values
        );
        if let Err(error) = written {
            super::terminal::complain(&error);
            break;
        }
    }
}

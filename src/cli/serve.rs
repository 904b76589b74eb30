//! `serve`: one process owns the state directory, takes jobs over HTTP on a Unix socket, and carries each to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chunkferry::{Engine, Error, Escaped, Options, StateDir};
use clap::Args;
use tokio::sync::{Semaphore, watch as latest};
use tokio::time::Instant;

use super::bwlimit::{Bandwidth, bandwidth};
use super::config::WatchEntry;
use super::exit::Exit;
use super::metrics::textfile::Textfile;
use super::remote::Place;
use super::signals::Signals;
use super::size::bytes;
use super::{Failure, Globals, json};

mod access;
mod accounts;
mod api;
mod batch;
mod body;
mod bulk;
mod connections;
mod events;
mod follow;
mod hosts;
mod key_file;
mod keys;
mod listener;
mod metrics;
mod network;
mod notify;
mod page;
mod pattern;
mod problem;
mod request;
mod sources;
mod supervisor;
mod tls;
mod uploads;
mod watch;
mod wish;

use accounts::Named;
use connections::Doors;
use listener::Listener;
use notify::Notify;
use page::Page;
use page::session::Sessions;
use sources::Sources;
use watch::Watches;

/// How long uploads may take to end after the deadline of a drain, and the state directory to become free.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// How often tokens of accounts are renewed that no job has used for long.
const RENEWAL: Duration = Duration::from_secs(12 * 3600);

/// Bodies with many jobs that are in memory at once.
const BATCHES: usize = 4;

/// Videos that are taken in at once.
const BODIES: usize = 16;

/// Take jobs from other programs over HTTP on a Unix socket, and carry each to its end
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry serve --state-dir /var/lib/chunkferry")]
pub(super) struct Serve {
    /// Uploads in flight at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Bytes a second for all files together, such as 30MB
    #[arg(long, value_name = "RATE", value_parser = bandwidth)]
    bwlimit: Option<Bandwidth>,
    /// Where to listen [default: socket in the state directory]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Who may connect: the mode of the socket
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = mode)]
    socket_mode: u32,
    /// Most bytes of videos that came in requests, together
    #[arg(long, value_name = "SIZE", default_value = "20GB", value_parser = bytes)]
    spool_limit: u64,
    /// How long chunks may take to end when it stops
    #[arg(long, value_name = "SECS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=3_600))]
    drain: u64,
    #[command(flatten)]
    address: network::Address,
    /// Run this at each end of a job; the notice is its input
    #[arg(long, value_name = "CMD")]
    on_end: Option<String>,
    /// Write metrics for node_exporter to this file, every 15 s
    #[arg(long, value_name = "FILE")]
    metrics_textfile: Option<PathBuf>,
    /// Put the names of accounts into the metrics
    #[arg(long)]
    metrics_accounts: bool,
    /// A folder to watch besides those of the config file.
    #[arg(skip)]
    watch: Option<WatchEntry>,
}

/// The mode of a socket, in octal. Its owner can always connect.
fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| "it is an octal mode such as 0600 or 0660".to_owned())
}

/// How far the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// No job is accepted any more, and none begins.
    Draining,
    /// No job runs.
    Stopped,
}

/// What the requests share.
struct Service {
    engine: Engine,
    /// The settings that the engine was opened with.
    options: Options,
    globals: Arc<Globals>,
    shown: metrics::Shown,
    stage: latest::Sender<Stage>,
    batches: Semaphore,
    bodies: Semaphore,
    sources: Sources,
    notify: Notify,
    page: Page,
    sessions: Sessions,
    watches: Watches,
}

impl Service {
    fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }

    /// Returns once no job runs any more.
    async fn stopped(&self) {
        stopped(&mut self.stage.subscribe()).await;
    }
}

/// Returns once no job runs any more.
async fn stopped(stage: &mut latest::Receiver<Stage>) {
    // Without a sender the service is gone.
    let _ = stage.wait_for(|stage| *stage == Stage::Stopped).await;
}

impl Serve {
    /// The same with one more watched folder.
    pub(super) fn watching(self, entry: WatchEntry) -> Self {
        Self {
            watch: Some(entry),
            ..self
        }
    }

    pub(super) async fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let textfile = self.metrics_textfile.as_deref();
        let textfile = textfile.map(Textfile::new).transpose()?;
        let mut signals = Signals::listen()?;
        let state_dir = globals.state_dir()?;
        let (network, entrance) = self.address.open().await?.unzip();
        let (globals, remark) = accounts::by_name_alone(globals);
        let globals = Arc::new(globals);
        // Secrets may be in pipes, or come from commands.
        let notify = tokio::select! {
            prepared = Notify::prepare(&globals, self.on_end, &state_dir) => prepared?,
            exit = signals.first() => return Ok(exit),
        };
        let watched = globals.file.watch.iter().cloned().chain(self.watch);
        let watches = Watches::prepare(watched.collect(), &notify).await?;
        let mut options = globals
            .options(state_dir.clone())
            .jobs(self.jobs.into())
            .spool_limit(self.spool_limit)
            .check_creator(true)
            .accounts(Named::new(Arc::clone(&globals)))
            .doing("serve");
        if let Some(limit) = &self.bwlimit {
            options = limit.set(options);
        }
        let opening = options.clone();
        // Files of the options may be pipes, or on a drive that does not answer.
        let engine = tokio::select! {
            opened = tokio::task::spawn_blocking(move || opening.open()) => match opened {
                Ok(opened) => opened?,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            },
            exit = signals.first() => return Ok(exit),
        };
        let path = self.socket.unwrap_or_else(|| state_dir.join("socket"));
        let begun = async {
            let listener = Listener::bind(&path, self.socket_mode)?;
            Ok((listener, notify.start(&engine).await?))
        };
        let (listener, delivering) = match begun.await {
            Ok(begun) => begun,
            Err(failure) => {
                // The jobs of the directory run already.
                engine.shut_down(Duration::ZERO).await;
                return Err(failure);
            }
        };
        let place = Place {
            socket: std::path::absolute(&path).unwrap_or_else(|_| path.clone()),
        };
        if let Err(error) = place.write(&state_dir) {
            eprintln!("Commands do not find this service by its directory: {error}.");
        }
        let (stage, stages) = latest::channel(Stage::Serving);
        let (sessions, browsers) = Sessions::new();
        let service = Arc::new(Service {
            engine: engine.clone(),
            options,
            globals: Arc::clone(&globals),
            shown: metrics::Shown::new(self.metrics_accounts),
            stage,
            batches: Semaphore::new(BATCHES),
            bodies: Semaphore::new(BODIES),
            sources: Sources::new(globals.file.sources.clone()),
            notify,
            page: Page::default(),
            sessions,
            watches,
        });
        let router = access::guarded(
            api::router(Arc::clone(&service)),
            Arc::clone(&service),
            entrance,
        );
        announce(&path, network.as_ref(), service.globals.json);
        let doors = Doors::new(listener, network, browsers);
        let serving = tokio::spawn(doors.serve(router, stages));
        let renewing = {
            let engine = engine.clone();
            tokio::spawn(async move {
                loop {
                    for (account, renewed) in globals.renew_idle().await {
                        let noted = engine.note_token(&account, renewed.as_ref().err()).await;
                        if let Err(error) = noted {
                            tracing::error!(%error, account, "the outbox has no notice of this account");
                        }
                    }
                    tokio::time::sleep(RENEWAL).await;
                }
            })
        };
        let noting = tokio::spawn(Page::listen(Arc::clone(&service)));
        let writing = textfile.clone().map(|file| {
            let service = Arc::clone(&service);
            tokio::spawn(metrics::keep_writing(service, file))
        });
        let fragile = StateDir::new(&state_dir).fragility();
        let fragile = fragile
            .iter()
            .map(|why| format!("The journal in {}: {why}.", state_dir.display()));
        let limit = self.bwlimit.as_ref();
        let rate = limit.and_then(Bandwidth::remark);
        for remark in remark.into_iter().chain(fragile).chain(rate) {
            eprintln!("{remark}");
        }
        let watching = service.watches.start(&engine)?;
        supervisor::tell("READY=1");
        let living = tokio::spawn(supervisor::keep_telling());

        Bandwidth::during(limit, &engine, signals.first()).await;
        supervisor::tell("STOPPING=1");
        renewing.abort();
        // Its clone of the engine has to be gone at the end.
        let _ = renewing.await;
        watching.stop().await;
        service.stage.send_replace(Stage::Draining);
        eprintln!(
            "Uploads end with the chunks in flight, at most {} s; a second signal ends them at once.",
            self.drain
        );
        let deadline = Duration::from_secs(self.drain);
        let until = Instant::now() + deadline;
        let drained = tokio::time::timeout(deadline + LAST_STEPS, engine.shut_down(deadline));
        let drained = drained.await.is_ok();
        service.stage.send_replace(Stage::Stopped);
        // The task that answers requests ends at the stage `Stopped`, and the tasks that deliver notices at `stop`.
        let (_, ()) = tokio::join!(serving, delivering.stop(until));
        living.abort();
        noting.abort();
        // Its clone of the service has to be gone.
        let _ = noting.await;
        if let (Some(file), Some(writing)) = (textfile, writing) {
            writing.abort();
            // Its clone of the engine has to be gone.
            let _ = writing.await;
            file.write_or_say(&metrics::text(&service).await);
        }
        drop(service);
        let closed = tokio::time::timeout(LAST_STEPS, engine.close());
        if !drained || closed.await.is_err() {
            eprintln!("An upload did not end in time; the next start carries on.");
        }
        Ok(Exit::DELIVERED)
    }
}

fn announce(path: &std::path::Path, network: Option<&network::Network>, as_json: bool) {
    let path = path.to_string_lossy();
    let process = std::process::id();
    let socket = Escaped::new(&*path);
    match network {
        Some(network) => {
            let url = network.url();
            eprintln!("Listening on {socket} and {url} (process {process}).");
        }
        None => eprintln!("Listening on {socket} (process {process})."),
    }
    if as_json {
        let url = network.map(network::Network::url);
        let fields = serde_json::json!({ "socket": path, "url": url, "pid": process });
        println!("{}", json::line("listening", None, fields));
    }
}

/// What a program that submits jobs is answered, of an error of the engine.
fn message(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    Escaped::new(&text).to_string()
}

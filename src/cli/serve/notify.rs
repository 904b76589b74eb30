//! Calls at each end: the notices of the outbox are delivered to the targets of `[[notify]]`, at least once each, whatever is
//! restarted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use chunkferry::{Engine, Error, ErrorKind, TokenError};
use reqwest::redirect::Policy;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{NotifyEntry, NotifySecret, NotifyTo};
use crate::exit::Exit;
use crate::globals::Globals;
use crate::{Failure, token};

mod file;
mod routes;
mod send;
mod sign;
mod state;
mod target;

pub(super) use routes::routes;
use send::Receiver;
use sign::SigningKey;
use state::State;
use target::Target;

/// The target of `--on-end`.
const ON_END: &str = "on-end";

/// Notices that are looked at for the first one since this process began.
const RECENT: u64 = 1_000;

/// Whom the service calls.
pub(super) struct Notify {
    targets: Vec<Arc<Target>>,
    dir: PathBuf,
    /// When this process began.
    began: SystemTime,
}

/// The tasks that deliver.
pub(super) struct Delivering {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Notify {
    /// Reads the secrets of the targets, and looks at their files, before any job runs. A file or a command may take a minute.
    pub(super) async fn prepare(
        globals: &Globals,
        on_end: Option<String>,
        state_dir: &Path,
    ) -> Result<Self, Failure> {
        let mut entries = globals.file.notify.clone();
        if let Some(command) = on_end {
            if entries
                .iter()
                .any(|entry| entry.name.eq_ignore_ascii_case(ON_END))
            {
                let text = format!(
                    "An entry of [[notify]] has the name \"{ON_END}\", which is --on-end's. Give the entry another name."
                );
                return Err(Failure::usage(text));
            }
            entries.push(NotifyEntry::on_end(ON_END, command));
        }
        let dir = file::dir(state_dir);
        let mut targets = Vec::new();
        for entry in entries {
            let receiver = receiver(globals, &entry).await?;
            let path = dir.join(format!("{}.json", entry.name));
            file::load(&path)?;
            targets.push(Arc::new(Target::new(entry, receiver, path)));
        }
        Ok(Self {
            targets,
            dir,
            began: SystemTime::now(),
        })
    }

    /// Whether there is a target of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.target(name).is_some()
    }

    /// How many notices each target has not been given yet, those that failed included, by the names of the targets.
    pub(super) async fn behind(&self, engine: &Engine) -> Result<Vec<(&str, usize)>, Error> {
        let mut all = Vec::new();
        for target in &self.targets {
            all.push((&*target.entry.name, target.behind(engine).await?));
        }
        Ok(all)
    }

    fn target(&self, name: &str) -> Option<&Arc<Target>> {
        self.targets.iter().find(|target| target.entry.name == name)
    }

    /// Begins to deliver; each target from where its file says, a new one from the start of this process on.
    pub(super) async fn start(&self, engine: &Engine) -> Result<Delivering, Failure> {
        let (mut tasks, (stop, stopped)) = (JoinSet::new(), watch::channel(false));
        if self.targets.is_empty() {
            return Ok(Delivering { tasks, stop });
        }
        file::make_dir(&self.dir).map_err(|error| file::cannot(&self.dir, &error))?;
        let last = engine.last_notice().await?;
        let mut states = Vec::new();
        for target in &self.targets {
            states.push(file::load(&target.path)?);
        }
        // A journal that was lost to damage, or moved away, counts from 1 again.
        let is_renewed = states.iter().flatten().any(|state| state.is_beyond(last));
        let prefix = format!("msg_{}", file::id(&self.dir, is_renewed)?);
        if is_renewed {
            eprintln!(
                "The outbox of this state directory is a new one: every notice in it is delivered."
            );
        }
        for (target, state) in self.targets.iter().zip(states) {
            let state = match state {
                Some(state) if !is_renewed => state,
                Some(state) => State {
                    given_up: state.given_up,
                    ..State::after(0)
                },
                None => State::after(self.before_us(engine, last).await?),
            };
            let begun = target.begin(state).await;
            begun.map_err(|error| file::cannot(&target.path, &error))?;
        }
        for target in &self.targets {
            let (target, engine) = (Arc::clone(target), engine.clone());
            let (prefix, stopped) = (prefix.clone(), stopped.clone());
            tasks.spawn(async move { target.run(&engine, &prefix, stopped).await });
        }
        Ok(Delivering { tasks, stop })
    }

    /// The last number from before this process began. Jobs run since the engine was opened, and may have ended.
    async fn before_us(&self, engine: &Engine, last: u64) -> Result<u64, Error> {
        let from = last.saturating_sub(RECENT);
        let recent = engine.notices(from, RECENT as usize).await?;
        let ours = recent.iter().find(|notice| notice.at >= self.began);
        Ok(ours.map_or(last, |notice| notice.number - 1))
    }
}

impl Delivering {
    /// Begins no further attempt. Those in flight may take until then, and are then dropped: they are tried again after the next
    /// start.
    pub(super) async fn stop(mut self, until: Instant) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        // What is left is dropped below.
        let _ = tokio::time::timeout_at(until, ended).await;
        self.tasks.shutdown().await;
    }
}

/// Whom an entry calls, with its secret.
async fn receiver(globals: &Globals, entry: &NotifyEntry) -> Result<Receiver, Failure> {
    let (url, secret) = match &entry.to {
        NotifyTo::Command(line) => return Ok(Receiver::Command(line.clone())),
        NotifyTo::Url(url, secret) => (url.clone(), secret),
    };
    let (read, from) = match secret {
        NotifySecret::File(path) => (token::private_lines(path).await, path.display().to_string()),
        NotifySecret::Command(line) => (
            token::run("secret_command", line).await,
            "what secret_command printed".to_owned(),
        ),
    };
    let name = &entry.name;
    let secret = read.map_err(|error| cannot_read(name, &error))?;
    let key = SigningKey::of(secret.expose().trim()).ok_or_else(|| {
        let text = format!("{from} is no secret, which is whsec_ and 24 to 64 bytes in base64");
        cannot_read(name, &text.into())
    })?;
    let client = client(globals, url.scheme() == "http").await?;
    Ok(Receiver::Url { url, key, client })
}

fn cannot_read(name: &str, error: &TokenError) -> Failure {
    let kind = match error.is_temporary() {
        true => ErrorKind::Temporary,
        false => ErrorKind::Usage,
    };
    let text = format!("The secret of the [[notify]] entry \"{name}\" cannot be read: {error}.");
    Failure::new(Exit::of(kind), text)
}

async fn client(globals: &Globals, is_here: bool) -> Result<reqwest::Client, Failure> {
    let failed = |error: reqwest::Error| Failure::usage(format!("No URL can be called: {error}."));
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("chunkferry/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none());
    if is_here {
        // A proxy would be sent in the clear what is for this machine.
        builder = builder.no_proxy();
    }
    if let Some(file) = globals.certificates() {
        let read = tokio::task::spawn_blocking(move || file.pem()).await;
        let pem = read.map_err(|_| Failure::usage("The certificates cannot be read."))??;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(failed)?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(failed)
}

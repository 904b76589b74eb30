//! Uploads, one or many: settings in, drafts out.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::account::Account;
use crate::client::Client;
use crate::draft::Draft;
use crate::error::Error;
use crate::event::{Event, Progress, Tally};
use crate::governor::Governor;
use crate::host::{API_BASE, HostPolicy};
use crate::job::Job;
use crate::journal::{ProgressStore, SledStore};
use crate::remote::without_query;
use crate::retry::Waits;
use crate::source::Pool;
use crate::throttle::Throttle;
use crate::upload::Key;
use crate::wirelog::WireLog;

mod authorised;
mod cargo;
mod carry;
mod drive;
mod look;
mod place;
mod rehash;
mod sending;
mod stop;
mod transfer;
mod vouch;

/// Most uploads that may be in flight at once.
const MOST_JOBS: usize = 10_000;

/// Settings of an [`Engine`]; the defaults are right for the live service.
#[derive(Debug, Clone)]
#[must_use = "settings do nothing until an engine is opened with them"]
pub struct Options {
    state_dir: PathBuf,
    api_base: String,
    upload_host: Option<String>,
    allow_http: bool,
    ca_file: Option<PathBuf>,
    wire_log: Option<PathBuf>,
    bandwidth: Option<u64>,
    jobs: usize,
    doing: String,
}

impl Options {
    /// Starts from the defaults, with the journal in `state_dir`.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            api_base: API_BASE.to_owned(),
            upload_host: None,
            allow_http: false,
            ca_file: None,
            wire_log: None,
            bandwidth: None,
            jobs: 2,
            doing: "uploads".to_owned(),
        }
    }

    /// Another API base, such as an emulator's: https, or http on this machine.
    pub fn api_base(mut self, url: &str) -> Self {
        self.api_base = url.trim_end_matches('/').to_owned();
        self
    }

    /// One more host that upload URLs may name, besides `*.tiktokapis.com` and an overridden API base's own.
    pub fn upload_host(mut self, host: &str) -> Self {
        self.upload_host = Some(host.to_owned());
        self
    }

    /// Permits http to other machines. Tokens and videos then travel in the clear.
    pub const fn allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }

    /// Certificates in PEM to trust besides the system's.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Appends each request and answer, without secrets and bodies, to this file.
    pub fn wire_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.wire_log = Some(path.into());
        self
    }

    /// Bytes per second for all uploads together; at least 1, or [`open`](Self::open) refuses it.
    pub const fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = Some(bytes_per_second);
        self
    }

    /// Uploads in flight at once, 1 to 10,000, or [`open`](Self::open) refuses it; others wait their turn. 2 by default.
    pub const fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// What another process that waits for the state directory is told this one does with it.
    pub fn doing(mut self, what: impl Into<String>) -> Self {
        self.doing = what.into();
        self
    }

    /// Opens the engine. Blocks for some milliseconds, and never waits for another process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) while another process owns the state directory,
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a setting that can't be used, and
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be opened.
    pub fn open(&self) -> Result<Engine, Error> {
        self.check()?;
        let client = self.client()?;
        let journal = SledStore::open(&self.state_dir, &self.doing)?;
        Ok(Engine(Arc::new(Shared {
            api_base: self.api_base.clone(),
            client,
            journal: Arc::new(journal),
            governor: Governor::new(self.jobs),
            throttle: self.bandwidth.map(Throttle::new),
            pool: Pool::default(),
            keys: Mutex::default(),
        })))
    }

    /// Asks the service how far an upload is, without opening the journal.
    ///
    /// # Errors
    ///
    /// What the service answers, or [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if it does not.
    pub async fn ask_status(&self, publish_id: &str, account: &Account) -> Result<Status, Error> {
        let client = self.client()?;
        authorised::ask(&client, account, publish_id).await
    }

    /// Asks the service to end a pull that is under way, without opening the journal. It does its best, and refuses for
    /// one that is nearly done. The next run of the job then tells how the pull ended.
    ///
    /// # Errors
    ///
    /// What the service answers, or [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if it does not.
    pub async fn cancel(&self, publish_id: &str, account: &Account) -> Result<(), Error> {
        let client = self.client()?;
        authorised::cancel(&client, account, publish_id).await
    }

    /// Whether every number is in its range.
    fn check(&self) -> Result<(), Error> {
        if !(1..=MOST_JOBS).contains(&self.jobs) {
            let jobs = self.jobs;
            return Err(Error::usage(format!(
                "{jobs} uploads cannot be in flight at once: it is 1 to {MOST_JOBS}."
            )));
        }
        if self.bandwidth == Some(0) {
            return Err(Error::usage(
                "A bandwidth of 0 bytes a second would never end: it is 1 or more.",
            ));
        }
        Ok(())
    }

    fn client(&self) -> Result<Client, Error> {
        let hosts = HostPolicy::new(&self.api_base, self.upload_host.clone(), self.allow_http)
            .map_err(|reason| {
                // It may hold a password.
                let base = without_query(&self.api_base);
                Error::usage(format!("{base} is not usable: {reason}."))
            })?;
        let wire_log = self
            .wire_log
            .as_deref()
            .map(WireLog::open)
            .transpose()?
            .map(Arc::new);
        Client::new(hosts, Waits::DEFAULT, self.ca_file.as_deref(), wire_log)
    }
}

/// What the service says of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The service's word, such as `PROCESSING_UPLOAD` or `SEND_TO_USER_INBOX`.
    pub status: String,
    /// Why, if it failed.
    pub fail_reason: Option<String>,
    /// Bytes of a file that the service has, if it says so.
    pub uploaded_bytes: Option<u64>,
    /// Bytes of a URL that the service has fetched, if it says so.
    pub downloaded_bytes: Option<u64>,
    /// Whether this is the end of it.
    pub is_final: bool,
}

/// Carries videos to the service and keeps their journal. Cheap to clone; all clones are one engine.
///
/// It owns its state directory until the last clone and the last [`Handle`] are gone. Keep one engine for a process
/// and give it all files.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("api_base", &self.0.api_base)
            .finish_non_exhaustive()
    }
}

struct Shared {
    api_base: String,
    client: Client,
    journal: Arc<dyn ProgressStore>,
    governor: Governor,
    throttle: Option<Throttle>,
    pool: Pool,
    /// Uploads of one key go one after another: two of them could be the same video.
    keys: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

impl Engine {
    /// Opens an engine for the live service, with its journal in `state_dir`. See [`Options`] for everything else.
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(state_dir: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new(state_dir.as_ref()).open()
    }

    /// Carries one video to the creator's inbox, or carries on with it where an earlier call stopped.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](crate::ErrorKind). Whatever the error, what the service has acknowledged is in the journal.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops at once and loses at most the chunk in flight; the same call carries on.
    pub async fn upload(&self, job: Job) -> Result<Draft, Error> {
        let (events, _) = mpsc::unbounded_channel();
        carry::carry(&self.0, &job, Arc::default(), events).await
    }

    /// Starts an upload as a task of its own, to be watched and awaited through its [`Handle`]. Call it within a tokio
    /// runtime. Jobs beyond the limit wait their turn.
    pub fn submit(&self, job: Job) -> Handle {
        let (sender, events) = mpsc::unbounded_channel();
        let tally = Arc::new(Tally::default());
        let (shared, watched) = (Arc::clone(&self.0), Arc::clone(&tally));
        let task = tokio::spawn(async move { carry::carry(&shared, &job, watched, sender).await });
        Handle {
            task,
            events,
            tally,
        }
    }

    /// Drops what the journal knows of an upload, by its id. The same file can then be sent again as if it were new.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be written.
    pub async fn forget(&self, id: &str) -> Result<(), Error> {
        self.0.journal.remove(id.to_owned()).await
    }
}

impl Shared {
    /// The lock under which uploads of this key go one after another.
    fn key_lock(&self, key: &Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(keys.entry(key.clone()).or_default())
    }
}

/// A running upload: a future of its [`Draft`], a queue of its events, and its progress.
///
/// # Cancellation
///
/// Dropping it stops the upload at once; the same job carries on.
#[derive(Debug)]
#[must_use = "dropping a handle stops its upload; await it or keep it"]
pub struct Handle {
    task: JoinHandle<Result<Draft, Error>>,
    events: mpsc::UnboundedReceiver<Event>,
    tally: Arc<Tally>,
}

impl Handle {
    /// The next event; `None` when the upload has ended. Safe to drop between polls.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.tally.snapshot()
    }

    /// Stops it; awaiting it then gives [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn cancel(&self) {
        self.task.abort();
    }
}

impl Future for Handle {
    type Output = Result<Draft, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx).map(|ended| match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => Err(Error::cancelled()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

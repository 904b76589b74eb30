//! Uploads, one or many: settings in, drafts out.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Span;

use crate::account::Account;
use crate::engine::job::Job;
use crate::engine::scheduler::{Place, Scheduler};
use crate::error::Error;
use crate::journal::{Lease, ProgressStore, Record};
use crate::source::Pool;
use crate::tiktok::client::Client;
use crate::tiktok::throttle::Throttle;
use crate::upload::Key;

mod barred;
mod begin;
mod creator;
mod dedup;
pub(crate) mod draft;
mod fetch;
mod handle;
mod init;
pub(crate) mod job;
mod log;
pub(crate) mod metrics;
mod open;
mod options;
mod preflight;
mod queue;
mod record;
mod rehash;
mod run;
pub(crate) mod scheduler;
mod send;
mod sources;
mod stop;
mod tokens;
mod transfer;
mod verify;

use creator::Creators;
pub use handle::{Uploading, Watcher};
use metrics::{Cells, Metrics};
pub use options::{Options, Reached};
use queue::Queue;
pub use queue::{
    Handle, Intake, JobEnd, JobEvent, JobEvents, JobFilter, JobNotice, JobRecord, JobsChanged,
    QueueState,
};
use sources::Sources;

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
/// It owns its state directory until the last clone and the last [`Uploading`] are gone; [`Engine::close`] waits until another
/// engine can open it. Keep one engine for a process
/// and give it all files.
#[derive(Clone)]
pub struct Engine(Arc<Shared>, Option<Arc<Queue>>);

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
    counters: Arc<Cells>,
    journal: Arc<dyn ProgressStore>,
    scheduler: Scheduler,
    throttle: Throttle,
    /// `None` where whose a token is does not matter.
    creators: Option<Creators>,
    pool: Pool,
    sources: Sources,
    /// Whether no upload runs here: the engine only submits jobs.
    only_submits: bool,
    /// Set once uploads are to stop at their next chunk border.
    draining: AtomicBool,
    locks: Mutex<HashMap<Exclusive, Arc<tokio::sync::Mutex<()>>>>,
    /// The ids of uploads that are running.
    running: Mutex<HashSet<String>>,
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

    /// Carries one video to the creator's inbox, or carries on with it where an earlier call stopped: a future of its [`Draft`](crate::Draft), which
    /// also has its events and progress. The upload is a task of its own and begins at once; call this within a tokio runtime. Jobs
    /// beyond the limit wait their turn, and say so by [`Event::Queued`](crate::Event::Queued). The jobs of one account get their
    /// inits in the order of the calls.
    ///
    /// One call, one draft: for jobs that are carried to their ends whatever is restarted, see [`submit`](Self::submit).
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](crate::ErrorKind). Whatever the error, what the service has acknowledged is in the journal.
    /// After the service has said that too many drafts wait in the creator's inbox, other jobs of the account get the
    /// same error without a request; the service is asked again at most once in 5 minutes.
    ///
    /// # Cancellation
    ///
    /// Dropping it asks the task to stop: the chunk in flight is cut and no other is lost, and the same call carries on. Only an init
    /// that was asked for and a call for a token go on until they are answered, two minutes at most: the same call waits for them and
    /// uses what came of them.
    pub fn upload(&self, job: Job) -> Uploading {
        Uploading::start_job(&self.0, job)
    }

    /// Carries an upload of the journal to its end, by its id there; see [`Record::id`](crate::Record::id). Its file is
    /// opened only if bytes of it are missing at the service; a pull that has not reached the service needs its URL again.
    ///
    /// Ends in [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the journal has no such upload of this account
    /// and API, and otherwise as [`upload`](Self::upload).
    pub fn resume(&self, id: &str, account: Account) -> Uploading {
        self.upload(Job::recorded(id).for_account(account))
    }

    /// Asks the service how far an upload is, by the service's name of it. Waits as long as the account's window of 30
    /// questions a minute is full.
    ///
    /// # Errors
    ///
    /// What the service answers, [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if it does not or there is no
    /// token now, and [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) without a token.
    pub async fn status(&self, publish_id: &str, account: &Account) -> Result<Status, Error> {
        let creator = self.0.identify(account).await?;
        let queue = self.0.scheduler.queue(&creator.name);
        let account = account.keeping(Arc::clone(&self.0));
        tokens::ask(&self.0.client, &queue, &account, publish_id).await
    }

    /// Asks the service to end a pull that is under way. It does its best, and refuses for one that is nearly done. The
    /// next run of the job then reports how the pull ended.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn cancel(&self, publish_id: &str, account: &Account) -> Result<(), Error> {
        let creator = self.0.identify(account).await?;
        let account = account.keeping(Arc::clone(&self.0));
        let queue = self.0.scheduler.queue(&creator.name);
        tokens::cancel(&self.0.client, &queue, &account, publish_id).await
    }

    /// Sets the bytes per second for all uploads together, as [`Options::bandwidth`] does at the opening; `None` is no limit. It counts
    /// within a second for uploads under way: the chunk in flight goes on at the new rate. The forecast that refuses a file which cannot
    /// arrive in the hour of its URL goes by the rate that holds when the upload begins.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for less than 1,000 bytes per second; the rate is then as it was.
    pub fn set_bandwidth(&self, bytes_per_second: Option<u64>) -> Result<(), Error> {
        options::check_bandwidth(bytes_per_second)?;
        self.0.throttle.set_rate(bytes_per_second);
        Ok(())
    }

    /// The API base that requests go to, in normal form.
    pub fn api_base(&self) -> &str {
        &self.0.api_base
    }

    /// All uploads of the journal as it is now: those that have ended, and then those that are under way, each oldest first.
    /// [`StateDir::records`](crate::StateDir::records) reads the same without an engine, a little later.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be read.
    pub async fn records(&self) -> Result<Vec<Record>, Error> {
        let running = |id: &str| self.0.running().contains(id);
        Ok(self.0.journal.records(running).await?)
    }

    /// Drops what the journal knows of an upload, by its id, ended or not. The same file can then be sent again as if it were
    /// new.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) if the journal knows no upload of this id, or if that upload is running,
    /// and [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be written.
    pub async fn forget(&self, id: &str) -> Result<(), Error> {
        if self.0.running().contains(id) {
            return Err(Error::usage(format!(
                "The upload {id} is running. Stop it first, and await its end; then forget it."
            )));
        }
        match self.0.journal.remove(id.to_owned()).await? {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "There is no upload \"{id}\" in the journal."
            ))),
        }
    }

    /// Forgets the creator of an account's name, at every API base; the next init under the name records the creator of its
    /// token. Returns whether a creator was recorded; see [`Options::check_creator`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the journal cannot be written.
    pub async fn forget_creator(&self, account: &str) -> Result<bool, Error> {
        let stood = self.0.journal.forget_creator(account.to_owned()).await?;
        if let Some(creators) = &self.0.creators {
            creators.forget(account);
        }
        Ok(stood)
    }

    /// What was done since the counters of this engine began, and what is done now; see [`Metrics`]. Cheap: reads no store. Take it
    /// as often as you show it.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.0.counters.read();
        metrics.queue = self.1.as_ref().and_then(|queue| queue.jobs_now());
        metrics
    }

    /// Drops this clone of the engine, and returns once the state directory is free for another one: when the other clones
    /// and all [`Uploading`]s are gone, and whatever an upload that was dropped had begun has come to its end. A
    /// [wire log](Options::wire_log) is then complete, too. While a clone or a handle is kept somewhere, it waits.
    ///
    /// # Cancellation
    ///
    /// Dropping the future only ends the waiting.
    pub async fn close(self) {
        let (released, written) = (self.0.journal.released(), self.0.client.written());
        drop(self);
        released.wait().await;
        if let Some(written) = written {
            written.wait().await;
        }
    }
}

/// A job's place in the queue of its account: it is taken at once, whenever the job comes to run.
fn place(shared: &Shared, job: &Job) -> Option<Place> {
    let account = job.account.as_ref()?;
    Some(shared.scheduler.queue(account.name()).join())
}

/// What an upload logs carries its id, once it is known, and its account.
fn span(job: &Job) -> Span {
    let account = job.account.as_ref().map(Account::name);
    tracing::info_span!("upload", upload = tracing::field::Empty, account)
}

/// What only one upload at a time may be about. Whoever needs both takes the path first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Exclusive {
    /// A path, for an account: a new job may set an unfinished upload of that path aside.
    Path(String, PathBuf),
    /// A key and the fingerprint of a file: two such files could be the same video.
    Video(Key, Option<String>),
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock under which such uploads go one after another.
    fn lock(&self, of: Exclusive) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Only a map that is full is swept: a sweep for each of a thousand jobs would be a million looks.
        if locks.len() == locks.capacity() {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(of).or_default())
    }
}

/// Counts an upload among those that are running, for as long as this lives.
struct Running {
    shared: Arc<Shared>,
    id: String,
    /// Once its row is this job's.
    _held: Option<Held>,
}

impl Running {
    fn new(shared: &Arc<Shared>, id: &str) -> Self {
        shared.running().insert(id.to_owned());
        Self {
            shared: Arc::clone(shared),
            id: id.to_owned(),
            _held: None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running().remove(&self.id);
    }
}

/// A row that is held under a lease: gives the lease back when it is dropped, so that no lease outlives the job that took it.
struct Held {
    journal: Arc<dyn ProgressStore>,
    id: String,
    lease: Lease,
}

impl Held {
    fn new(shared: &Shared, id: &str, lease: Lease) -> Self {
        Self {
            journal: Arc::clone(&shared.journal),
            id: id.to_owned(),
            lease,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.journal.release(&self.id, self.lease);
    }
}

#[cfg(all(test, feature = "emulator"))]
mod tests;

//! Settings of an engine, and how it is opened with them.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::creator::Creators;
use super::metrics::Counters;
use super::queue::{Queue, Spool};
use super::sources::Sources;
use super::{Engine, Shared, Status, tokens};
use crate::account::Account;
use crate::account::provider::{AccountProvider, Providing};
use crate::account::store::SealKeys;
use crate::answer::{Call, Failure};
use crate::engine::scheduler::{AccountQueue, Scheduler};
use crate::error::Error;
use crate::journal::queue::JobStore;
use crate::journal::{ProgressStore, SledStore};
use crate::secret::without_query;
use crate::source::Pool;
use crate::source::https::UrlSources;
use crate::tiktok::ca_file::CaFile;
use crate::tiktok::client::Client;
use crate::tiktok::hosts::{self, API_BASE, HostPolicy};
use crate::tiktok::throttle::Throttle;
use crate::tiktok::wire_log::WireLog;
use crate::upload::retry::Waits;

mod accounts;
mod sources;
mod spool;

/// Most uploads that may be in flight at once.
const MOST_JOBS: usize = 10_000;

/// Bytes per second that an engine may be held to at the least.
const LEAST_BANDWIDTH: u64 = 1_000;

/// Whether a bandwidth can be used.
pub(super) fn check_bandwidth(bytes_per_second: Option<u64>) -> Result<(), Error> {
    match bytes_per_second {
        Some(bandwidth @ ..LEAST_BANDWIDTH) => Err(Error::usage(format!(
            "A bandwidth of {bandwidth} bytes a second is of no use, as an upload has one hour: it is {LEAST_BANDWIDTH} or more."
        ))),
        _ => Ok(()),
    }
}

/// What a server has answered to [`Options::reach`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reached {
    /// The HTTP status of the answer.
    pub http_status: u16,
    /// The server's clock, in whole seconds, if the answer states it.
    pub server_time: Option<SystemTime>,
}

/// Settings of an [`Engine`]; the defaults are right for the live service.
#[derive(Clone)]
#[must_use = "settings do nothing until an engine is opened with them"]
pub struct Options {
    state_dir: PathBuf,
    api_base: String,
    upload_host: Option<String>,
    allow_http: bool,
    ca_file: Option<CaFile>,
    wire_log: Option<PathBuf>,
    bandwidth: Option<u64>,
    jobs: usize,
    doing: String,
    check_creator: bool,
    paused: bool,
    providing: Option<Arc<Providing>>,
    seal_keys: Option<SealKeys>,
    counters: Option<Counters>,
    spool_limit: u64,
    private_sources: bool,
    url_sources: Option<Arc<dyn UrlSources>>,
    spool_dir: Option<PathBuf>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("state_dir", &self.state_dir)
            .field("api_base", &without_query(&self.api_base))
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The API of the live service, where uploads go by default.
    pub const API_BASE: &'static str = API_BASE;

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
            check_creator: false,
            paused: false,
            providing: None,
            seal_keys: None,
            counters: None,
            spool_limit: spool::LIMIT,
            spool_dir: None,
            private_sources: false,
            url_sources: None,
        }
    }

    /// Another API base, such as an emulator's: https, or http on this machine.
    ///
    /// A video is sent once to each API. Spellings of one URL (capitals, a slash at the end, a default port, `127.1`) are
    /// one API; `localhost` and `127.0.0.1` are two.
    pub fn api_base(mut self, url: &str) -> Self {
        self.api_base = hosts::spelled(url);
        self
    }

    /// One more host that upload URLs may name, besides those of the service's own domain and of an overridden API base.
    pub fn upload_host(mut self, host: &str) -> Self {
        self.upload_host = Some(host.to_owned());
        self
    }

    /// Permits http to other machines. Tokens and videos then travel in the clear.
    pub const fn allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }

    /// Certificates in PEM to trust besides the system's: a path, or a [`CaFile`] that others use, too.
    pub fn ca_file(mut self, file: impl Into<CaFile>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// Appends a JSON line for each request and its answer to this file: without secrets and video bytes, with at most 4 KiB
    /// of an answer's body. A thread of its own writes it, and [`Engine::close`] waits for that thread. If the file cannot be
    /// written later, an error is logged once and the uploads go on.
    pub fn wire_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.wire_log = Some(path.into());
        self
    }

    /// Bytes per second for all uploads together; at least 1,000, or [`open`](Self::open) refuses it. [`Engine::set_bandwidth`] changes it
    /// later. A file that this can't
    /// carry within the hour of its upload URL ends in [`ErrorKind::Usage`](crate::ErrorKind::Usage); see
    /// [`Remedy::RaiseBandwidth`](crate::Remedy::RaiseBandwidth) and [`Job::ignore_forecast`](crate::Job::ignore_forecast).
    pub const fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = Some(bytes_per_second);
        self
    }

    /// Uploads in flight at once, at most 10,000, or [`open`](Self::open) refuses it; others wait their turn. 2 by default. With 0 the
    /// engine only submits jobs, which wait for the next engine, and refuses [`upload`](Engine::upload).
    pub const fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// A label that is shown to a process which waits for the state directory, such as `upload clip.mp4`.
    pub fn doing(mut self, what: impl Into<String>) -> Self {
        self.doing = what.into();
        self
    }

    /// Whether an account's name must stand for one creator. Before an init, each new token of an account is then asked
    /// for the creator's open_id (`GET /v2/user/info/`, scope `user.info.basic`). The journal keeps the first one under that
    /// name, and a token of another creator ends the job in [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) before
    /// its init, until [`Engine::forget_creator`]. The open_id of a creator differs from app to app. Where the question is
    /// refused, or not answered within 5 seconds, the job goes on, and [`Draft::creator_known`](crate::Draft::creator_known)
    /// says that it is not known.
    ///
    /// Off by default: a program that stores tokens by its own users knows whose they are, and saves the call.
    pub const fn check_creator(mut self, check: bool) -> Self {
        self.check_creator = check;
        self
    }

    /// Opens the engine without running the jobs of its queue: they can be submitted, listed and changed, and wait for the next engine
    /// that runs them.
    pub const fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Where [`account`](Self::account) gets tokens by the names of accounts: a table of the caller's own.
    pub fn accounts(mut self, provider: impl AccountProvider) -> Self {
        self.providing = Some(Arc::new(Providing::new(provider)));
        self
    }

    /// An account whose tokens come from the provider, for [`Job::for_account`](crate::Job::for_account); `None` without a
    /// provider. All accounts of one name share a token, also those of clones of these options.
    pub fn account(&self, name: &str) -> Option<Account> {
        Some(self.providing.as_ref()?.account(name))
    }

    /// Keys that seal the files of [`open_accounts`](Self::open_accounts). A file that is in the clear, or sealed by another one of
    /// the keys, is sealed by the first when it is next written. Without keys, files are written in the clear, and a sealed one
    /// ends a call in [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson).
    pub fn seal_keys(mut self, keys: SealKeys) -> Self {
        self.seal_keys = Some(keys);
        self
    }

    /// Counts what is done by everything that is opened with these options: engines, and accounts with their renewals. Without
    /// it, each of them has counters of its own.
    pub fn counters(mut self, counters: Counters) -> Self {
        self.counters = Some(counters);
        self
    }

    /// Opens the engine. Blocks for some milliseconds; never waits for another process, and up to a second for an engine of
    /// this one that is gone but whose last steps are not ([`Engine::close`] waits for them).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) while another process owns the state directory,
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a setting that can't be used or a state directory that belongs
    /// to another user or can be written by everybody, and [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the
    /// journal cannot be opened.
    pub fn open(&self) -> Result<Engine, Error> {
        self.check()?;
        let client = self.client()?;
        let store = Arc::new(SledStore::open(&self.state_dir, &self.doing)?);
        let jobs = Arc::clone(&store) as Arc<dyn JobStore>;
        Ok(self.engine(client, store, Some(jobs), self.spool()?))
    }

    /// Opens the engine with its journal in a store that is open already.
    #[cfg(all(test, feature = "emulator"))]
    pub(crate) fn open_on(&self, journal: Arc<dyn ProgressStore>) -> Result<Engine, Error> {
        self.check()?;
        Ok(self.engine(self.client()?, journal, None, self.spool()?))
    }

    /// Opens the engine with its queue in a store of its own.
    #[cfg(all(test, feature = "emulator"))]
    pub(crate) fn open_queue_on(
        &self,
        journal: Arc<dyn ProgressStore>,
        jobs: Arc<dyn JobStore>,
    ) -> Result<Engine, Error> {
        self.check()?;
        Ok(self.engine(self.client()?, journal, Some(jobs), self.spool()?))
    }

    /// An engine with its journal in this store, and its queue in that one.
    fn engine(
        &self,
        client: Client,
        journal: Arc<dyn ProgressStore>,
        jobs: Option<Arc<dyn JobStore>>,
        spool: Spool,
    ) -> Engine {
        let spool = Arc::new(spool);
        let scheduler = Scheduler::new(self.jobs).keeping(Arc::clone(&journal), &self.api_base);
        let shared = Arc::new(Shared {
            api_base: self.api_base.clone(),
            counters: Arc::clone(client.counters()),
            client,
            journal,
            scheduler,
            throttle: Throttle::new(self.bandwidth),
            creators: self.check_creator.then(Creators::default),
            pool: Pool::default(),
            sources: Sources::new(
                self.private_sources,
                Arc::clone(&spool),
                self.url_sources.clone(),
            ),
            only_submits: self.jobs == 0,
            draining: AtomicBool::new(false),
            locks: Mutex::default(),
            running: Mutex::default(),
        });
        let queue = jobs.map(|store| {
            let (jobs, paused) = (self.jobs, self.paused || self.jobs == 0);
            Arc::new(Queue::start(
                &shared,
                store,
                self.providing.clone(),
                spool,
                jobs,
                paused,
            ))
        });
        Engine(shared, queue)
    }

    /// As [`Engine::status`], while another process owns the state directory. Each call has a connection and a window of
    /// its own, so it is for a single question.
    ///
    /// # Errors
    ///
    /// What the service answers, or [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if it does not.
    pub async fn ask_status(&self, publish_id: &str, account: &Account) -> Result<Status, Error> {
        let client = self.client()?;
        tokens::ask(&client, &AccountQueue::default(), account, publish_id).await
    }

    /// As [`Engine::cancel`], while another process owns the state directory.
    ///
    /// # Errors
    ///
    /// What the service answers, or [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if it does not.
    pub async fn cancel(&self, publish_id: &str, account: &Account) -> Result<(), Error> {
        let client = self.client()?;
        tokens::cancel(&client, &AccountQueue::default(), account, publish_id).await
    }

    /// Whether the API answers at all: one request without a token. Any answer counts, also one of a gateway.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for a setting that can't be used,
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) for a certificate that is not trusted or a proxy that wants
    /// authentication, and [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if there is no answer.
    ///
    /// # Cancellation
    ///
    /// Dropping the future ends the request.
    pub async fn reach(&self) -> Result<Reached, Error> {
        let answer = self.client()?.reach().await;
        let (http_status, server_time) = answer.map_err(|failure| match failure {
            Failure::Untrusted(reason) => Error::untrusted(&reason),
            Failure::Refused(refusal) => Error::refused(Call::Creator, "nobody", refusal),
            failure => Error::temporary(format!("The API was not reached ({failure}).")),
        })?;
        Ok(Reached {
            http_status,
            server_time,
        })
    }

    /// Whether every number is in its range.
    fn check(&self) -> Result<(), Error> {
        if self.jobs > MOST_JOBS {
            let jobs = self.jobs;
            return Err(Error::usage(format!(
                "{jobs} uploads cannot be in flight at once: it is {MOST_JOBS} at most."
            )));
        }
        check_bandwidth(self.bandwidth)
    }

    fn client(&self) -> Result<Client, Error> {
        let hosts = HostPolicy::new(&self.api_base, self.upload_host.clone(), self.allow_http)
            .map_err(|reason| {
                // It may hold a password.
                let base = without_query(&self.api_base);
                Error::api_base(&base, &reason)
            })?;
        let wire_log = self
            .wire_log
            .as_deref()
            .map(WireLog::open)
            .transpose()?
            .map(Arc::new);
        let client = Client::new(hosts, Waits::DEFAULT, self.ca_file.as_ref(), wire_log)?;
        Ok(match &self.counters {
            Some(Counters(cells)) => client.counting(cells),
            None => client,
        })
    }
}

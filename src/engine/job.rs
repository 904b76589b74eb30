//! One video to carry, and how.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::account::{Account, TokenSource};
use crate::error::Error;
use crate::journal::queue::{Change, JobStore};
use crate::secret::{Secret, without_query};
use crate::source::https::Remote;
use crate::source::media::Media;
use crate::source::{Finished, ReadMode};
use crate::upload::retry::{PATIENCE, Waits};

mod check;
mod remote;

/// What to upload, for whom, and how. Everything but the video and the token has a default.
///
/// Values out of their range end the job with [`ErrorKind::Usage`](crate::ErrorKind::Usage) before any request.
#[derive(Debug, Clone)]
#[must_use = "a job does nothing until an engine uploads it"]
pub struct Job {
    pub(crate) what: What,
    pub(crate) account: Option<Account>,
    pub(crate) account_name: Option<String>,
    pub(crate) caller_id: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) give_up: Option<Duration>,
    pub(crate) once: bool,
    pub(crate) notify: Option<String>,
    pub(crate) by: Option<String>,
    /// The row of the queue that the job is of.
    pub(crate) link: Option<Link>,
    pub(crate) chunk_size: Option<u64>,
    pub(crate) content_type: Option<String>,
    pub(crate) again: bool,
    pub(crate) ledger: Ledger,
    pub(crate) verify: bool,
    pub(crate) read: ReadMode,
    pub(crate) finished: Finished,
    pub(crate) processing: Duration,
    pub(crate) patience: Duration,
    pub(crate) hand_over: bool,
    pub(crate) ignore_forecast: bool,
}

/// The row of the queue that a job is of: learns the job's upload before any request for it leaves.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) job: String,
    /// The upload that an earlier run of the job was resolved to.
    pub(crate) upload: Option<String>,
    /// Whether the caller waits for this job, and would carry on an upload that an earlier job has left.
    pub(crate) once: bool,
}

impl Link {
    /// Records the upload that the job is resolved to.
    pub(crate) async fn to(&self, upload: &str) -> Result<(), Error> {
        if self.upload.as_deref() == Some(upload) {
            return Ok(());
        }
        let changed = self.store.change(&self.job, |row| {
            row.upload = Some(upload.to_owned());
            Change::Quiet
        });
        changed.await?;
        Ok(())
    }
}

/// Where the video is.
#[derive(Debug, Clone)]
pub(crate) enum What {
    File {
        path: PathBuf,
    },
    /// Bytes that come with the job, under this name.
    Body {
        name: String,
    },
    /// Wherever it is, opened by the caller.
    Media(Arc<dyn Media>),
    /// Under a URL, read by ranges.
    Remote(Remote),
    Url {
        url: Secret,
        key: Option<String>,
        preflight: bool,
        /// Whether it is sent from here if the service cannot fetch it.
        send_instead: bool,
    },
    /// Wherever it is, by the id of its upload in the journal.
    Recorded {
        id: String,
    },
}

/// Whether the bytes are hashed as they are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ledger {
    /// SHA-256 at each chunk border: a changed file is distinguished from a touched one, and copies are recognised.
    #[default]
    On,
    /// No digests: saves about 0.8 CPU seconds a GiB. A change is noticed by size and time of change alone, and a copy
    /// of a delivered file is sent again.
    Off,
}

impl Job {
    /// A local file: MP4, MOV or WebM, 1 byte to 4 GiB.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::of(What::File {
            path: path.as_ref().to_owned(),
        })
    }

    /// A video that your program reads from wherever it is: MP4, MOV or WebM, 1 byte to 4 GiB. It has all promises of a file. To
    /// carry on after a crash, open it again and make the same job.
    pub fn media(media: impl Media) -> Self {
        Self::of(What::Media(Arc::new(media)))
    }

    /// A video whose bytes come with the job, for [`Engine::take_in`](crate::Engine::take_in): MP4, MOV or WebM, 1 byte to 4 GiB. `name` is
    /// what it is shown as.
    pub fn body(name: &str) -> Self {
        Self::of(What::Body {
            name: name.to_owned(),
        })
    }

    /// A video under a URL, which the service fetches itself: https, on a host with a name that the app has verified, no
    /// redirect, reachable until the service is done, at most an hour. Source: Media Transfer Guide.
    ///
    /// Here the init is the post. If its answer is lost, nobody but the creator can tell whether there is a draft: such
    /// an upload ends in [`ErrorKind::Unknown`](crate::ErrorKind::Unknown), and so does the same job after it, until
    /// [`again`](Self::again) or [`Engine::forget`](crate::Engine::forget) decides. The URL's query, which may hold a
    /// signature, is kept and shown nowhere. Chunk size, content type and ledger mean nothing to it.
    pub fn url(url: &str) -> Self {
        Self::of(What::Url {
            url: Secret::new(url),
            key: None,
            preflight: true,
            send_instead: false,
        })
    }

    /// The video of an upload in the journal.
    pub(crate) fn recorded(id: &str) -> Self {
        Self::of(What::Recorded { id: id.to_owned() })
    }

    fn of(what: What) -> Self {
        Self {
            what,
            account: None,
            account_name: None,
            caller_id: None,
            labels: BTreeMap::new(),
            root: None,
            give_up: None,
            once: false,
            notify: None,
            by: None,
            link: None,
            chunk_size: None,
            content_type: None,
            again: false,
            ledger: Ledger::On,
            verify: false,
            read: ReadMode::Read,
            finished: Finished::default(),
            processing: Waits::DEFAULT.processing,
            patience: PATIENCE,
            hand_over: false,
            ignore_forecast: false,
        }
    }

    /// What it is of, for people: the path of the file, or the URL without its query.
    pub fn name(&self) -> String {
        match &self.what {
            What::File { path } => path.to_string_lossy().into_owned(),
            What::Body { name } => name.clone(),
            What::Media(media) => media.address().to_owned(),
            What::Remote(remote) => remote.address(),
            What::Url { url, .. } => without_query(url.expose()),
            What::Recorded { id } => id.clone(),
        }
    }

    /// The absolute path of a file, the address of other media: two jobs of one address are not carried at once.
    pub(crate) fn address(&self) -> Option<PathBuf> {
        match &self.what {
            What::File { path } => Some(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            What::Media(media) => Some(media.address().into()),
            What::Remote(remote) => Some(remote.address().into()),
            What::Body { .. } | What::Url { .. } | What::Recorded { .. } => None,
        }
    }

    /// Whether the service fetches it from a URL.
    pub const fn is_url(&self) -> bool {
        matches!(self.what, What::Url { .. })
    }

    /// For this account: the user's name of it and its tokens.
    pub fn account(self, name: &str, tokens: impl TokenSource) -> Self {
        self.for_account(Account::new(name, tokens))
    }

    /// For this account.
    pub fn for_account(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }

    /// For the account of this name, whose tokens the engine asks its provider for: for [`Engine::submit`](crate::Engine::submit).
    pub fn account_name(mut self, name: &str) -> Self {
        self.account_name = Some(name.to_owned());
        self
    }

    /// The caller's own id of a queued job, unique for the account: the same job under it once more is the same job. At most 255
    /// characters.
    pub fn id(mut self, id: &str) -> Self {
        self.caller_id = Some(id.to_owned());
        self
    }

    /// A label of a queued job, shown with it and with its notices.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The program that a queued job's end is reported to, by a name that the reader of [`Engine::notices`](crate::Engine::notices)
    /// knows: the engine keeps the name, shows it with the job and its notices, and calls nobody. 1 to 255 characters; anything else
    /// ends the submit with [`ErrorKind::Usage`](crate::ErrorKind::Usage).
    pub fn notify(mut self, name: &str) -> Self {
        self.notify = Some(name.to_owned());
        self
    }

    /// Who submits the job, for people who read its [`JobRecord`](crate::JobRecord): at most 255 characters. Who submits the same job
    /// again is not noted.
    pub fn submitted_by(mut self, name: &str) -> Self {
        self.by = Some(name.to_owned());
        self
    }

    /// For how long a queued job may fail by itself before it is given up: 24 hours by default, at most 30 days. Waits for windows, for
    /// a person, and for a network that is out for all jobs do not count.
    pub const fn give_up_after(mut self, failing: Duration) -> Self {
        self.give_up = Some(failing);
        self
    }

    /// Whether a queued job ends with its first run, however that ends: it is neither tried again nor kept for a person. For a caller
    /// who waits for the end, and who decides what follows. With [`again`](Self::again) such a job needs no [`id`](Self::id).
    ///
    /// A video that was taken in ([`Engine::take_in`](crate::Engine::take_in)) goes with the end of its job. So with an id such a job
    /// waits for its caller for 7 days, as for a person, where another run may end otherwise; without one, which nobody could name, it
    /// is ended where a process that has died had left it.
    pub const fn once(mut self, once: bool) -> Self {
        self.once = once;
        self
    }

    /// Opens the file only if it lies beneath this directory, whatever links are on the way to it and whenever they are changed. A file
    /// that lies outside when it is opened ends the job in [`ErrorKind::Source`](crate::ErrorKind::Source) before any request, and
    /// [`Engine::submit`](crate::Engine::submit) refuses such a job ([`NotAccepted::OutsideRoot`](crate::NotAccepted::OutsideRoot)).
    ///
    /// The path of the file begins with that of the directory and has no `..`. Links on the way to the directory are followed. On
    /// Linux a link beneath it that has an absolute path counts as one that leads outside. Means nothing to a URL and to media.
    pub fn beneath(mut self, root: impl AsRef<Path>) -> Self {
        let root = root.as_ref();
        self.root = Some(std::path::absolute(root).unwrap_or_else(|_| root.to_owned()));
        self
    }

    /// Bytes of a chunk, 5,242,880 to 32,000,000, instead of what the last known rate suggests. An upload that is
    /// carried on keeps the size it was planned with.
    pub const fn chunk_size(mut self, bytes: u64) -> Self {
        self.chunk_size = Some(bytes);
        self
    }

    /// `video/mp4`, `video/quicktime` or `video/webm`, instead of what the file's headers say. They are then not read, so
    /// nothing refuses a file that is unfinished or no video. An upload that is carried on takes the type of the job that carries it on.
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// What identifies the video under a URL, instead of the URL without its query: for URLs that name the same
    /// video by changing paths, or changing videos by the same one. Means nothing to a file, which its bytes identify.
    pub fn key(mut self, text: &str) -> Self {
        if let What::Url { key, .. } = &mut self.what {
            *key = Some(text.to_owned());
        }
        self
    }

    /// Whether a URL is looked at from here before the service is asked to fetch it; by default it is. Leave it out
    /// where only the service can reach the URL.
    pub const fn preflight(mut self, look: bool) -> Self {
        if let What::Url { preflight, .. } = &mut self.what {
            *preflight = look;
        }
        self
    }

    /// Sends the video although the journal holds a finished upload of it. An unfinished one is carried on.
    pub const fn again(mut self, again: bool) -> Self {
        self.again = again;
        self
    }

    /// Begins although [`Options::bandwidth`](crate::Options::bandwidth) is too low to carry the file within the hour that
    /// its upload URL lives. Without this such a job ends in [`ErrorKind::Usage`](crate::ErrorKind::Usage) before any
    /// request. Means nothing to a URL.
    pub const fn ignore_forecast(mut self, ignore: bool) -> Self {
        self.ignore_forecast = ignore;
        self
    }

    /// With or without the ledger.
    pub const fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// How the bytes of a file come into this process.
    pub const fn read(mut self, mode: ReadMode) -> Self {
        self.read = mode;
        self
    }

    /// Sends a file although a program has it open for writing, or may have. Without this such a job ends in
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) before any request. What is posted is one version of the
    /// file all the same.
    pub const fn allow_writer(mut self, allow: bool) -> Self {
        self.finished.always = allow;
        self
    }

    /// For how long a file with an open end (a live WebM, fragmented MP4, a copy in progress) must not have changed, where
    /// the system does not say whether a program has it open for writing: files of other users, network file systems.
    /// 10 seconds by default, 60 on network file systems; zero asks for nothing.
    pub const fn settle(mut self, unchanged: Duration) -> Self {
        self.finished.settle = Some(unchanged);
        self
    }

    /// How long the service may work on the video after the last byte: at most 30 days, 30 minutes by default. Fetching a
    /// URL may take it an hour besides.
    pub const fn wait(mut self, processing: Duration) -> Self {
        self.processing = processing;
        self
    }

    /// For how long nothing may come through, neither a call nor a chunk, before the job ends in
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) and is left to another one to carry on: at most 1 hour, 10
    /// minutes by default. It begins again with each call that is answered and each chunk that is accepted.
    pub const fn patience(mut self, outage: Duration) -> Self {
        self.patience = outage;
        self
    }

    /// Ends when every byte is acknowledged, or the URL is taken, without waiting for the inbox; see
    /// [`Outcome::Sent`](crate::Outcome::Sent).
    pub const fn hand_over(mut self, hand_over: bool) -> Self {
        self.hand_over = hand_over;
        self
    }
}

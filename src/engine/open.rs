//! What a job names, opened as far as that takes no request.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::job::{Job, What};
use super::queue::Spooled;
use super::send::{Sending, needed_again};
use crate::account::Account;
use crate::error::Error;
use crate::journal::Recall;
use crate::secret::escaped::Escaped;
use crate::source::media::Media;
use crate::source::{Access, LocalFile, Object, OpenVideo, Opening};
use crate::tiktok::preflight::Remote;
use crate::upload::event::{Event, Notice};
use crate::upload::plan::Limits;
use crate::upload::{Key, State, Upload, Video};

/// How long the file system may take to store a file's last writes before the user hears of it.
const LONG_SYNC: Duration = Duration::from_secs(2);

/// What a job has at hand.
#[derive(Debug)]
pub(super) enum Given {
    /// A video that is sent from here.
    Media(Box<Sending>),
    /// A URL that the service is to fetch.
    Url(Remote),
    /// What the journal knows of an upload: every byte is at the service, so the file is not needed and may be gone.
    Recorded(Box<Upload>),
}

impl Given {
    /// Opens what the job names; `scopes` are the keys of its account's names at its API.
    pub(super) async fn open(
        shared: &Shared,
        job: &Job,
        scopes: &[Key],
        tell: impl Fn(Event),
    ) -> Result<Self, Error> {
        match &job.what {
            What::File { path } => match Self::file(shared, path, job, tell).await {
                Err(error) if error.is_missing_file() && !job.again => {
                    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                    for scope in scopes {
                        let recall = Recall::Path(scope.clone(), path.clone());
                        let row = shared.journal.recall(recall).await?;
                        if let Some(row) = row.filter(|row| !row.misses_bytes()) {
                            return Ok(Self::Recorded(Box::new(row)));
                        }
                    }
                    Err(error)
                }
                opened => opened,
            },
            What::Body { name } => Err(Error::usage(format!(
                "{name} has no bytes: a video that comes with its job is taken in by a queue."
            ))),
            What::Media(media) => Self::object(shared, Arc::clone(media), job).await,
            What::Remote(remote) => Self::remote(shared, remote, job, tell).await,
            What::Recorded { id } => {
                let row = shared.journal.recall(Recall::Id(id.clone())).await?;
                let is_ours = |row: &Upload| scopes.iter().any(|scope| row.key.has_scope_of(scope));
                let account = job.account.as_ref().map_or("", Account::name);
                let row = row.filter(is_ours);
                let row = row.ok_or_else(|| Error::not_recorded(id, account))?;
                let sealed = matches!(row.state, State::Sealed { .. });
                match row.path() {
                    Some(path) if sealed && path.exists() => {
                        Self::file(shared, path, job, tell).await
                    }
                    _ if !row.misses_bytes() => Ok(Self::Recorded(Box::new(row))),
                    Some(path) => Self::file(shared, path, job, tell).await,
                    None => Err(needed_again(&row)),
                }
            }
            What::Url { url, .. } => {
                let remote = Remote::parse(url, shared.client.is_emulated())?;
                shared.client.redactor().learn_query(&remote.secret());
                Ok(Self::Url(remote))
            }
        }
    }

    /// Opens a local file, and makes sure that it can be sent as far as the file itself shows that.
    async fn file(
        shared: &Shared,
        path: &Path,
        job: &Job,
        tell: impl Fn(Event),
    ) -> Result<Self, Error> {
        let opening = Opening {
            read: job.read,
            finished: job.finished,
            pool: shared.pool.clone(),
            root: job.root.clone(),
        };
        let of = path.to_owned();
        let open = tokio::task::spawn_blocking(move || {
            let file = LocalFile::open(&of, opening)?;
            file.check_writers()?;
            Limits::DOCUMENTED
                .check_file(file.identity().size)
                .map_err(|error| Error::plan(&file.name(), error))?;
            Ok::<_, Error>(file)
        });
        let opening = async {
            let opened = open.await.map_err(|error| {
                Error::not_now(&crate::error::name(path), io::Error::other(error))
            });
            let file = opened??;
            let content_type = match &job.content_type {
                Some(content_type) => content_type.clone(),
                None => file.content_type().await?.to_owned(),
            };
            Ok::<_, Error>((file, content_type))
        };
        tokio::pin!(opening);
        let (file, content_type) = tokio::select! {
            opened = &mut opening => opened?,
            () = tokio::time::sleep(LONG_SYNC) => {
                let name = Escaped::new(&*crate::error::name(path)).to_string();
                tell(Event::Notice(Notice::SlowFileSystem { name }));
                opening.await?
            }
        };
        Ok(Self::to_send(file, content_type, None))
    }

    /// Opens media that the caller has brought.
    pub(super) async fn object(
        shared: &Shared,
        media: Arc<dyn Media>,
        job: &Job,
    ) -> Result<Self, Error> {
        let size = media.opened().size;
        let fits = Limits::DOCUMENTED.check_file(size);
        fits.map_err(|error| Error::plan(&job.name(), error))?;
        let access = Access {
            pool: shared.pool.clone(),
            patience: job.patience,
            verify: job.verify,
        };
        let object = Object::open(media, access).await?;
        let content_type = match &job.content_type {
            Some(content_type) => content_type.clone(),
            None => object.content_type().await?.to_owned(),
        };
        Ok(Self::to_send(object, content_type, None))
    }

    pub(super) fn to_send(
        media: impl OpenVideo,
        content_type: String,
        spooled: Option<Spooled>,
    ) -> Self {
        Self::Media(Box::new(Sending {
            baseline: media.identity(),
            media: Arc::new(media),
            content_type,
            rehash: None,
            compare_first: false,
            unanswered: None,
            ahead: None,
            _spooled: spooled,
        }))
    }

    /// In bytes, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Media(sending) => Some(sending.media.identity().size),
            Self::Url(_) => None,
            Self::Recorded(row) => row.size(),
        }
    }

    /// What the journal finds the video by.
    pub(super) fn video(&self, job: &Job) -> Video {
        match (self, &job.what) {
            (Self::Media(sending), _) => Video::Size(sending.media.identity().size),
            (Self::Url(_), What::Url { key: Some(key), .. }) => Video::Key(key.clone()),
            (Self::Url(remote), _) => Video::Key(remote.shown()),
            (Self::Recorded(row), _) => row.key.video.clone(),
        }
    }

    /// The fingerprint of media: those of one size with different ones are different videos.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::Media(sending) => Some(sending.media.fingerprint()),
            Self::Url(_) => None,
            Self::Recorded(row) => row.fingerprint(),
        }
    }
}

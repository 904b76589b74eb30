//! What is carried: a file, sent from here, or a URL that the service fetches. Where the two differ, they differ here.

use super::Shared;
use super::look::look;
use super::place::{Placed, place, place_recorded, place_url};
use super::sending::Sending;
use super::transfer::Transfer;
use crate::engine::job::{Job, Ledger, What};
use crate::error::Error;
use crate::journal::Recall;
use crate::tiktok::client::Subject;
use crate::tiktok::json::SourceInfo;
use crate::tiktok::preflight::Remote;
use crate::upload::event::Event;
use crate::upload::plan::Chunk;
use crate::upload::{Identity, Key, Origin, Reply, State, Upload, Video};

#[derive(Debug)]
pub(super) enum Cargo {
    File(Box<Sending>),
    Url {
        remote: Remote,
        /// In bytes, once its host has told.
        size: Option<u64>,
    },
    /// What the journal knows of an upload: every byte is at the service, so the file is not needed and may be gone.
    Recorded(Box<Upload>),
}

impl Cargo {
    /// Looks at what the job names, as far as that takes no request.
    pub(super) async fn open(
        shared: &Shared,
        job: &Job,
        scope: &Key,
        tell: impl Fn(Event),
    ) -> Result<Self, Error> {
        Ok(match &job.what {
            What::File { path } => match Sending::open(shared, path, job, tell).await {
                Err(error) if error.is_missing_file() && !job.again => {
                    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                    let recall = Recall::Path(scope.clone(), path);
                    match shared.journal.recall(recall).await? {
                        Some(row) if !row.misses_bytes() => Self::Recorded(Box::new(row)),
                        _ => return Err(error),
                    }
                }
                opened => Self::File(Box::new(opened?)),
            },
            What::Recorded { id } => {
                let row = shared.journal.recall(Recall::Id(id.clone())).await?;
                let row = row.filter(|row| row.key.has_scope_of(scope));
                let row = row.ok_or_else(|| Error::not_recorded(id, &scope.account))?;
                let sealed = matches!(row.state, State::Sealed { .. });
                match row.path() {
                    Some(path) if sealed && path.exists() => {
                        Self::File(Box::new(Sending::open(shared, path, job, tell).await?))
                    }
                    _ if !row.misses_bytes() => Self::Recorded(Box::new(row)),
                    Some(path) => {
                        Self::File(Box::new(Sending::open(shared, path, job, tell).await?))
                    }
                    None => return Err(Error::needs_its_url(id)),
                }
            }
            What::Url { url, .. } => {
                let remote = Remote::parse(url, shared.client.is_emulated())?;
                shared.client.redactor().learn_query(&remote.secret());
                Self::Url { remote, size: None }
            }
        })
    }

    /// In bytes, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::File(sending) => Some(sending.plan.video_size()),
            Self::Url { size, .. } => *size,
            Self::Recorded(row) => row.size(),
        }
    }

    /// What a person should know of it beforehand.
    pub(super) fn remarks(&self) -> Vec<String> {
        match self {
            Self::File(sending) => sending.remarks(),
            Self::Url { .. } | Self::Recorded(_) => Vec::new(),
        }
    }

    /// What the journal finds it by.
    pub(super) fn video(&self, job: &Job) -> Video {
        match (self, &job.what) {
            (Self::File(sending), _) => Video::Size(sending.plan.video_size()),
            (Self::Url { .. }, What::Url { key: Some(key), .. }) => Video::Key(key.clone()),
            (Self::Url { remote, .. }, _) => Video::Key(remote.shown()),
            (Self::Recorded(row), _) => row.key.video.clone(),
        }
    }

    /// The fingerprint of a file: files of one size with different ones are different videos.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::File(sending) => Some(sending.source.fingerprint()),
            Self::Url { .. } => None,
            Self::Recorded(row) => row.fingerprint(),
        }
    }

    /// Which upload of the journal it belongs to.
    pub(super) async fn place(
        &self,
        shared: &Shared,
        key: &Key,
        again: bool,
        tell: impl Fn(Event),
    ) -> Result<Placed, Error> {
        match self {
            Self::File(sending) => place(shared, &sending.source, key, again, tell).await,
            Self::Url { remote, .. } => place_url(shared, &remote.shown(), key, again).await,
            Self::Recorded(row) => place_recorded(shared, row).await,
        }
    }

    /// Looks at a URL before the service is asked to fetch it.
    pub(super) async fn preflight(
        &mut self,
        shared: &Shared,
        job: &Job,
        tell: impl Fn(Event),
    ) -> Result<(), Error> {
        if let (
            Self::Url { remote, size },
            What::Url {
                preflight: true, ..
            },
        ) = (self, &job.what)
        {
            let account = job.account.as_ref();
            let client = shared.client.about(|| Subject {
                account: account.map(|account| account.name().to_owned()),
                ..Subject::default()
            });
            *size = look(&client, remote, tell).await?;
        }
        Ok(())
    }

    pub(super) fn origin(&self) -> Origin {
        match self {
            Self::File(sending) => sending.origin(),
            Self::Url { remote, size } => Origin::Url {
                url: remote.shown(),
                size: *size,
            },
            Self::Recorded(row) => row.origin.clone(),
        }
    }

    /// Updates the origin in an earlier run's row with the size and the content type of this run.
    pub(super) fn amend(&self, origin: &mut Origin) {
        match (self, origin) {
            (Self::Url { size: seen, .. }, Origin::Url { size, .. }) => *size = seen.or(*size),
            (Self::File(sending), Origin::File { content_type, .. }) => {
                content_type.clone_from(&sending.content_type);
            }
            _ => {}
        }
    }

    /// Whether its bytes are hashed here.
    pub(super) fn has_ledger(&self, job: &Job) -> bool {
        matches!(self, Self::File(_)) && job.ledger == Ledger::On
    }

    /// Takes up what earlier runs have left.
    pub(super) async fn carry_on(
        &mut self,
        transfer: &mut Transfer,
        compared: bool,
    ) -> Result<(), Error> {
        match self {
            Self::File(sending) => sending.carry_on(transfer, compared).await,
            Self::Url { .. } | Self::Recorded(_) => Ok(()),
        }
    }

    /// The file as it is now that an init is about to be asked for.
    pub(super) async fn as_of(&self, transfer: &mut Transfer) -> Result<Option<Identity>, Error> {
        match self {
            Self::File(sending) => sending.as_of(transfer).await.map(Some),
            Self::Url { .. } | Self::Recorded(_) => Ok(None),
        }
    }

    /// Everything is sent from the start, of a file as it was just seen.
    pub(super) fn begin(&mut self, as_of: Option<Identity>) {
        if let (Self::File(sending), Some(as_of)) = (self, as_of) {
            sending.begin(as_of);
        }
    }

    /// What the service is asked for.
    pub(super) fn source_info(&self, upload: &Upload) -> Result<SourceInfo, Error> {
        match self {
            Self::File(sending) => Ok(upload.plan().unwrap_or(&sending.plan).into()),
            Self::Url { remote, .. } => Ok(SourceInfo::PullFromUrl {
                video_url: remote.secret(),
            }),
            Self::Recorded(row) => Err(needed_again(row)),
        }
    }

    pub(super) async fn put(
        &mut self,
        transfer: &mut Transfer,
        chunk: Chunk,
    ) -> Result<Reply, Error> {
        match self {
            Self::File(sending) => sending.put(transfer, chunk).await,
            Self::Url { .. } => Ok(Reply::SessionOver(NOTHING_TO_SEND)),
            Self::Recorded(row) => Err(needed_again(row)),
        }
    }

    pub(super) async fn rewind(
        &mut self,
        transfer: &mut Transfer,
        chunks: u32,
    ) -> Result<Reply, Error> {
        match self {
            Self::File(sending) => sending.rewind(transfer, chunks).await,
            Self::Url { .. } => Ok(Reply::SessionOver(NOTHING_TO_SEND)),
            Self::Recorded(row) => Err(needed_again(row)),
        }
    }

    pub(super) async fn adopt(
        &mut self,
        transfer: &mut Transfer,
        chunk: Chunk,
    ) -> Result<Reply, Error> {
        match self {
            Self::File(sending) => sending.adopt(transfer, chunk).await,
            Self::Url { .. } => Ok(Reply::SessionOver(NOTHING_TO_SEND)),
            Self::Recorded(row) => Err(needed_again(row)),
        }
    }
}

/// Only a file has chunks, so only a damaged journal can ask for one of a URL.
const NOTHING_TO_SEND: &str = "what it names is not sent from here";

/// Bytes that seemed to be at the service must be sent, or fetched, once more.
fn needed_again(row: &Upload) -> Error {
    match row.path() {
        Some(path) if path.exists() => Error::temporary(format!(
            "TikTok has not got all bytes of {} after all: the next run of the same upload sends them again.",
            crate::error::name(path)
        )),
        Some(path) => Error::unreadable(path, std::io::ErrorKind::NotFound.into()),
        None => Error::needs_its_url(&row.id),
    }
}

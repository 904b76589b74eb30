//! Videos that lie on a web server: read by ranges, or copied to a file first where the server cannot be read so.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::Shared;
use super::job::Job;
use super::open::Given;
use super::queue::{Of, Spooled};
use super::sources::Sources;
use crate::error::Error;
use crate::secret::escaped::Escaped;
#[cfg(feature = "object-store")]
use crate::source::bucket::{Bucket, BucketSettings};
use crate::source::https::{HttpsVideo, Opened, Remote, Whole, Why};
use crate::source::{Finished, LocalFile, OpenVideo, Opening};
use crate::upload::Address;
use crate::upload::event::{Event, Notice};
use crate::upload::plan::Limits;

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// Copies that are begun before the job is left for later.
const COPIES: u32 = 3;

impl Given {
    /// Opens a video under a URL.
    pub(super) async fn remote(
        shared: &Shared,
        remote: &Remote,
        job: &Job,
        tell: impl Fn(Event),
    ) -> Result<Self, Error> {
        let address = remote.address();
        if !address.starts_with("http") {
            // With what looks like a query, which is refused: a key could be another one without it.
            return Self::bucket(shared, remote.url.expose(), job).await;
        }
        let web = shared.sources.web(&shared.client)?;
        let remote = &shared.sources.complete(remote)?;
        let why = match HttpsVideo::open(web, remote.clone()).await? {
            Opened::Ranges(_) if remote.spool => None,
            Opened::Ranges(video) => return Self::object(shared, Arc::new(video), job).await,
            Opened::Whole(Why::NoRanges) if !remote.spool => {
                return Err(Error::needs_spool(&remote.address(), Why::NoRanges));
            }
            Opened::Whole(why) => Some(why),
        };
        let name = Escaped::new(&*crate::error::name(remote.address().as_ref())).to_string();
        let why = why.map(|why| why.to_string()).unwrap_or_default();
        tell(Event::Notice(Notice::Spooled { name, why }));
        let (file, spooled) = copy(shared, remote).await?;
        let opening = Opening {
            read: job.read,
            // Nobody writes to it any more.
            finished: Finished {
                always: true,
                ..job.finished
            },
            pool: shared.pool.clone(),
            root: None,
        };
        let address = Address::Object(remote.address());
        let spool = Arc::clone(&shared.sources.spool);
        let file = blocking(move || {
            LocalFile::of(file, address, opening).map_err(|error| spool.cannot(error))
        })
        .await?;
        let size = file.identity().size;
        let fits = Limits::DOCUMENTED.check_file(size);
        fits.map_err(|error| Error::plan(&job.name(), error))?;
        let content_type = match &job.content_type {
            Some(content_type) => content_type.clone(),
            None => file.content_type().await?.to_owned(),
        };
        Ok(Self::to_send(file, content_type, Some(spooled)))
    }

    /// Opens a video in a bucket, with the credentials of the environment.
    #[cfg(feature = "object-store")]
    async fn bucket(shared: &Shared, url: &str, job: &Job) -> Result<Self, Error> {
        let mut settings = BucketSettings::from_env();
        if let Some(file) = shared.client.ca_file() {
            settings = settings.certificates(file.pem()?);
        }
        let video = Bucket::open(url, &settings).await?;
        Self::object(shared, Arc::new(video), job).await
    }

    #[cfg(not(feature = "object-store"))]
    #[expect(clippy::unused_async, reason = "with buckets it asks for the object")]
    async fn bucket(_: &Shared, url: &str, _: &Job) -> Result<Self, Error> {
        Err(Error::no_source(
            &crate::secret::without_query(url),
            "this program was built without videos in buckets (feature object-store)",
        ))
    }
}

/// Copies a video to a file of the spool.
async fn copy(shared: &Shared, remote: &Remote) -> Result<(File, Spooled), Error> {
    let mut copies = 0;
    loop {
        let copied = copy_once(&shared.sources, shared, remote).await;
        copies += 1;
        match copied {
            Err(error) if error.is_retryable() && copies < COPIES => {
                tracing::debug!(%error, "a video is copied once more");
            }
            copied => return copied,
        }
    }
}

async fn copy_once(
    sources: &Sources,
    shared: &Shared,
    remote: &Remote,
) -> Result<(File, Spooled), Error> {
    let web = sources.web(&shared.client)?;
    let address = remote.address();
    let mut whole = Whole::open(&web, remote).await?;
    let stated = whole.size();
    let limits = Limits::DOCUMENTED;
    let fits = limits.check_file(stated.unwrap_or(1));
    fits.map_err(|error| Error::plan(&address, error))?;
    let spool = Arc::clone(&sources.spool);
    let begun = Arc::clone(&spool);
    let (spooled, mut file) = blocking(move || {
        let (spooled, file) = begun.make(Of::Copy)?;
        spooled.reserve(stated.unwrap_or(0))?;
        begun.has_room(stated.unwrap_or(0))?;
        Ok((spooled, file))
    })
    .await?;
    let (mut size, mut buffer) = (0_u64, Vec::with_capacity(2 * PIECE));
    loop {
        let next = whole.next().await;
        let next = next.map_err(|error| Error::not_fetched_now(&address, error))?;
        let is_last = next.is_none();
        if let Some(piece) = next {
            size += piece.len() as u64;
            buffer.extend_from_slice(&piece);
        }
        if is_last || buffer.len() >= PIECE {
            limits
                .check_file(size)
                .map_err(|error| Error::plan(&address, error))?;
            spooled.reserve(size.max(stated.unwrap_or(0)))?;
            let spool = Arc::clone(&spool);
            (file, buffer) = blocking(move || {
                file.write_all(&buffer)
                    .map_err(|error| spool.cannot(error))?;
                buffer.clear();
                Ok((file, buffer))
            })
            .await?;
        }
        if is_last {
            break;
        }
    }
    if stated.is_some_and(|stated| stated != size) {
        let error = io::ErrorKind::UnexpectedEof.into();
        return Err(Error::not_fetched_now(&address, error));
    }
    let path = spooled.path();
    // The file is read by another description: this one was opened for writing.
    let file = blocking(move || File::open(path).map_err(|error| spool.cannot(error))).await?;
    Ok((file, spooled))
}

/// Works on the disk, where that may take its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked
        .map_err(|error| Error::not_now("the copy", io::Error::other(error)))
        .flatten()
}

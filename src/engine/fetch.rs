//! Videos that lie on a web server: read by ranges, or copied to a file first where the server cannot be read so.

use std::fs::File;
use std::sync::Arc;

use super::Shared;
use super::job::Job;
use super::open::Given;
use super::queue::Spooled;
use crate::error::Error;
use crate::secret::escaped::Escaped;
#[cfg(feature = "object-store")]
use crate::source::bucket::{self, Bucket, BucketSettings};
use crate::source::https::{self, HttpsVideo, Opened, Remote, Why};
use crate::source::{Finished, LocalFile, OpenVideo, Opening};
use crate::upload::Address;
use crate::upload::event::{Event, Notice};
use crate::upload::plan::Limits;

mod copy;

use copy::{blocking, copy};

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
            return Self::bucket(shared, remote, job, tell).await;
        }
        let web = shared.sources.web(&shared.client)?;
        let remote = &shared.sources.complete(remote)?;
        let why = match HttpsVideo::open(web.clone(), remote.clone()).await? {
            Opened::Ranges(_) if remote.spool => None,
            Opened::Ranges(video) => return Self::object(shared, Arc::new(video), job).await,
            Opened::Whole(Why::NoRanges) if !remote.spool => {
                return Err(Error::needs_spool(&address, Why::NoRanges));
            }
            Opened::Whole(why) => Some(why),
        };
        tell_of_copy(tell, &address, why);
        let spool = &shared.sources.spool;
        let copied = copy(spool, &address, || Box::pin(https::whole(&web, remote))).await?;
        Self::copied(shared, &address, copied, job).await
    }

    /// Opens the copy of a video.
    async fn copied(
        shared: &Shared,
        address: &str,
        (file, spooled): (File, Spooled),
        job: &Job,
    ) -> Result<Self, Error> {
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
        let address = Address::Object(address.to_owned());
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
    async fn bucket(
        shared: &Shared,
        remote: &Remote,
        job: &Job,
        tell: impl Fn(Event),
    ) -> Result<Self, Error> {
        // With what looks like a query, which is refused: a key could be another one without it.
        let url = remote.url.expose();
        let mut settings = BucketSettings::from_env();
        if let Some(file) = shared.client.ca_file() {
            settings = settings.certificates(file.pem()?);
        }
        let why = match Bucket::open(url, &settings).await {
            Ok(video) if !remote.spool => return Self::object(shared, Arc::new(video), job).await,
            Ok(_) => None,
            Err(error) if error.lacks_validator() => Some(Why::NoVersion),
            Err(error) => return Err(error),
        };
        let (address, spool) = (remote.address(), &shared.sources.spool);
        tell_of_copy(tell, &address, why);
        let copied = copy(spool, &address, || Box::pin(bucket::whole(url, &settings))).await?;
        Self::copied(shared, &address, copied, job).await
    }

    #[cfg(not(feature = "object-store"))]
    #[expect(clippy::unused_async, reason = "with buckets it asks for the object")]
    async fn bucket(
        _: &Shared,
        remote: &Remote,
        _: &Job,
        _: impl Fn(Event),
    ) -> Result<Self, Error> {
        Err(Error::no_source(
            &remote.address(),
            "this program was built without videos in buckets (feature object-store)",
        ))
    }
}

/// Says that a video is copied first, and why unless that was asked for.
fn tell_of_copy(tell: impl Fn(Event), address: &str, why: Option<Why>) {
    let name = Escaped::new(&*crate::error::name(address.as_ref())).to_string();
    let why = why.map(|why| why.to_string()).unwrap_or_default();
    tell(Event::Notice(Notice::Spooled { name, why }));
}

//! Jobs of videos that lie on a web server or in a bucket.

use std::sync::Arc;

use super::{Job, What};
use crate::secret::Secret;
use crate::source::https::{Remote, UrlSource};

impl Job {
    /// A video that lies on a web server, read by ranges and sent from here: MP4, MOV or WebM, 1 byte to 4 GiB. It has all promises of
    /// a file. The service needs no access to the server, and the server no verified domain, unlike [`url`](Self::url).
    ///
    /// https only, on a host of the internet unless [`Options::private_sources`](crate::Options::private_sources) allows others; up to
    /// five redirects are followed. The server must answer with ranges, and state the version by a strong `ETag`, or by a
    /// `Last-Modified` that is a minute older than the answer: each answer is compared. A video that changes ends in
    /// [`ErrorKind::SourceChanged`](crate::ErrorKind::SourceChanged). The URL's query, which may hold a signature, is no part of what
    /// the video is known by, and is shown nowhere; for signatures that end before the upload does, see
    /// [`url_source`](Self::url_source).
    pub fn remote(url: &str) -> Self {
        Self::of(What::Remote(Remote {
            url: Secret::new(url),
            headers: Vec::new(),
            renewal: None,
            renewal_name: None,
            spool: false,
        }))
    }

    /// Where a remote video's URL is renewed when its host refuses it. Without this such a job ends in
    /// [`ErrorKind::NeedsPerson`](crate::ErrorKind::NeedsPerson) and keeps its place. Means nothing to another job.
    pub fn url_source(mut self, source: impl UrlSource) -> Self {
        if let What::Remote(remote) = &mut self.what {
            remote.renewal = Some(Arc::new(source));
        }
        self
    }

    /// The same, by the name of a source that [`Options::url_sources`](crate::Options::url_sources) has: for jobs that are submitted to a
    /// queue, as another process can find the source again.
    pub fn url_source_named(mut self, name: &str) -> Self {
        if let What::Remote(remote) = &mut self.what {
            remote.renewal_name = Some(name.to_owned());
        }
        self
    }

    /// A header of each request to the host of a remote video's URL, such as `Authorization`; where a redirect leads elsewhere, it is
    /// left out. The value is a secret, so a queue does not accept such a job. Means nothing to another job.
    pub fn header(mut self, name: &str, value: impl Into<Secret>) -> Self {
        if let What::Remote(remote) = &mut self.what {
            remote.headers.push((name.to_owned(), value.into()));
        }
        self
    }

    /// Whether a remote video is copied to a file of the state directory first, and sent from there: for servers that do not answer
    /// with ranges. A server that does not state a version is copied from anyway. The copy is deleted when the job ends; after a crash
    /// the video is copied anew, and carried on if its bytes are the same. Means nothing to another job.
    pub fn spool(mut self, spool: bool) -> Self {
        if let What::Remote(remote) = &mut self.what {
            remote.spool = spool;
        }
        self
    }

    /// Whether the video under a URL is read from here by ranges and sent, as [`remote`](Self::remote), if the service does not fetch it
    /// for a reason that sending cures: the app has not verified the host (`url_ownership_unverified`), or the pull failed
    /// (`video_pull_failed`, also after the hour that a pull may take). A pull of which nobody knows the end is not sent.
    pub const fn send_instead(mut self, send: bool) -> Self {
        if let What::Url { send_instead, .. } = &mut self.what {
            *send_instead = send;
        }
        self
    }

    /// The job that sends the video which the service was to fetch.
    pub(crate) fn instead(&self) -> Option<Self> {
        let What::Url {
            url,
            send_instead: true,
            ..
        } = &self.what
        else {
            return None;
        };
        let Self { what, .. } = Self::remote(url.expose());
        Some(Self {
            what,
            ..self.clone()
        })
    }

    /// Whether an upload of media that is carried on reads again what was sent, and compares it, although the storage says by its
    /// validator that nothing has changed. A web server may lie there: the `ETag` of nginx is the time in whole seconds and the size.
    /// Of a file, what was sent is always read again. Needs the ledger.
    pub const fn verify_source(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }
}

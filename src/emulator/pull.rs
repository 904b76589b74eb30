//! Fetches the URLs of a PULL_FROM_URL as documented: follows no redirect, and must end within an hour.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use super::endpoint::Endpoint;
use super::http_client::{self, PATIENCE};
use super::retention::UploadWriter;
use super::service::Order;
use super::settings::Settings;
use super::shared::Shared;

/// D MTG: the download task times out after one hour, in the server's time.
const LONGEST: Duration = Duration::from_secs(3600);
/// D PH: 20 MB for each photo.
const LARGEST_PHOTO: u64 = 20_000_000;
/// How often a silent pull checks the clock, in real time.
const GLANCE: Duration = Duration::from_millis(100);

/// Waits for its turn, fetches all URLs, and ends the upload.
pub(crate) async fn fetch(shared: Arc<Shared>, order: Order) {
    let _turn = shared.pulls.acquire().await;
    let Some(mut pull) = Pull::start(&shared, order.session) else {
        return;
    };
    let mut outcome = Ok(());
    for url in &order.urls {
        outcome = pull.one(url).await;
        if outcome.is_err() {
            break;
        }
    }
    pull.end(outcome).await;
}

struct Pull {
    shared: Arc<Shared>,
    session: u64,
    endpoint: Endpoint,
    creator: String,
    settings: Arc<Settings>,
    hasher: Sha256,
    received: u64,
    writer: Option<UploadWriter>,
}

impl Pull {
    fn start(shared: &Arc<Shared>, session: u64) -> Option<Self> {
        let service = shared.service();
        let found = service.sessions.get(&session)?;
        Some(Self {
            shared: Arc::clone(shared),
            session,
            endpoint: found.endpoint,
            creator: found.shown_creator.clone(),
            settings: service.settings(Some(&found.token)),
            hasher: Sha256::new(),
            received: 0,
            writer: None,
        })
    }

    async fn one(&mut self, url: &str) -> io::Result<()> {
        self.tell()?;
        let url = Url::parse(url).map_err(io::Error::other)?;
        let request = Request::new(Full::new(Bytes::new()));
        let ca = self.settings.pull_ca_file.as_deref();
        let response = http_client::send(&url, request, ca, None).await?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!(
                "the host answered {}",
                response.status()
            )));
        }
        let start = self.received;
        let mut body = response.into_body();
        while let Some(frame) = self.wait_for(body.frame()).await? {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                self.take(&data).await?;
            }
            if self.endpoint == Endpoint::PhotoInit && self.received - start > LARGEST_PHOTO {
                return self.fail("picture_size_check_failed", "a photo is larger than 20 MB");
            }
        }
        if let Some(session) = self.shared.service().sessions.get_mut(&self.session) {
            session.ends.push(self.received);
        }
        Ok(())
    }

    /// Waits for more bytes, and checks now and then whether the pull should go on: the server's clock may be moved past
    /// the hour while nothing arrives.
    async fn wait_for<T>(&self, next: impl Future<Output = T>) -> io::Result<T> {
        let mut next = pin!(next);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(next) = tokio::time::timeout(GLANCE, next.as_mut()).await {
                return Ok(next);
            }
            self.tell()?;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    async fn take(&mut self, data: &Bytes) -> io::Result<()> {
        self.hasher.update(data);
        self.received += data.len() as u64;
        if self.received > self.settings.max_file {
            return Err(io::Error::other("the file is too large"));
        }
        self.tell()?;
        if self.writer.is_none() {
            self.writer =
                Some(UploadWriter::open(&self.shared, self.session, self.received, 0).await?);
        }
        if let Some(writer) = &mut self.writer {
            writer.grow(self.received);
            writer.write(data).await?;
        }
        let rate = self.shared.service().settings(None).receive_rate;
        if let Some(rate) = rate {
            self.shared.pace.pass(data.len() as u64, rate).await;
        }
        Ok(())
    }

    /// Records the progress; fails if the pull should not go on.
    fn tell(&self) -> io::Result<()> {
        let mut service = self.shared.service();
        let now = service.now();
        let session = service.sessions.get_mut(&self.session);
        let Some(session) = session.filter(|session| session.failed.is_none()) else {
            return Err(io::Error::other("cancelled"));
        };
        if now.since(session.issued) >= LONGEST {
            return Err(io::Error::other("not done within an hour"));
        }
        session.received = self.received;
        Ok(())
    }

    /// Fails the upload because the fetched file breaks a rule.
    fn fail(&self, reason: &str, why: &str) -> io::Result<()> {
        let mut service = self.shared.service();
        if let Some(session) = service.sessions.get_mut(&self.session) {
            session.failed = Some(reason.to_owned());
        }
        Err(io::Error::other(why))
    }

    async fn end(mut self, mut outcome: io::Result<()>) {
        let photos = self.endpoint == Endpoint::PhotoInit;
        if let Some(mut writer) = self.writer.take()
            && outcome.is_ok()
        {
            outcome = match writer.flush().await {
                Ok(()) => writer.complete(if photos { "photos" } else { "mp4" }).await,
                Err(error) => Err(error),
            };
        }
        let reason = if photos {
            "photo_pull_failed"
        } else {
            "video_pull_failed"
        };
        let mut service = self.shared.service();
        let now = service.now();
        if let Err(error) = &outcome {
            service.note(
                self.endpoint,
                &self.creator,
                format!("the pull failed: {error}"),
            );
        }
        let Some(session) = service.sessions.get_mut(&self.session) else {
            return;
        };
        match outcome {
            Ok(()) if session.failed.is_none() => {
                session.hasher = Some(self.hasher);
                session.complete(now);
            }
            Err(_) if session.failed.is_none() => session.failed = Some(reason.to_owned()),
            _ => {}
        }
    }
}

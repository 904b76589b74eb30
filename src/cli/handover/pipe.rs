//! A video from standard input, for a service.

use bytes::Bytes;
use chunkferry::{Error, Progress};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Followed, segment};
use crate::Failure;
use crate::exit::Exit;
use crate::item::Item;
use crate::pipe::{Found, Pipe, stopped, tell_kept, warn};
use crate::remote::Remote;
use crate::render::View;
use crate::signals::Signals;

/// Pieces that wait for the connection.
const WAITING: usize = 4;

/// How a video came to the service.
pub(super) enum Given {
    /// As this job.
    Job(Value),
    /// Its job has ended well before.
    Before(Value),
    /// A signal came first.
    Stopped(Exit),
}

/// Gives the service the video of standard input, unless it has that already.
pub(super) async fn give(
    remote: &Remote,
    item: &Item,
    view: &View<'_>,
    signals: &mut Signals,
) -> Result<Given, Failure> {
    let record = match item.id() {
        Some(id) => remote.job_under(&item.account, id).await?,
        None => None,
    };
    if let Some(record) = record {
        match Found::of(&record, item)? {
            Found::Delivered => return Ok(Given::Before(record)),
            Found::Kept { job, runs } => {
                tell_kept(view);
                let path = format!("/v1/jobs/{}/retry", segment(&job));
                return Ok(Given::Job(match runs {
                    true => record,
                    false => remote.call(Method::POST, &path, None).await?,
                }));
            }
            Found::Nothing => {}
        }
    }
    warn(item, view);
    let fields = item.wish()?;
    let name = item.name();
    let mut pipe = Pipe::new(&name);
    // A service waits for the next bytes no longer than a minute; the first ones may take their time.
    let first = tokio::select! {
        first = pipe.next() => first?,
        exit = signals.first() => return Ok(Given::Stopped(exit)),
    };
    let (sender, pieces) = mpsc::channel::<Option<Bytes>>(WAITING);
    let reading = async move {
        let mut next = first;
        while let Some(piece) = next {
            view.spooling(pipe.size());
            // A service that does not listen has answered.
            if sender.send(Some(piece)).await.is_err() {
                return Ok(());
            }
            next = pipe.next().await?;
        }
        view.spooled(pipe.size());
        // The service has answered, or reads this.
        let _ = sender.send(None).await;
        Ok(())
    };
    tokio::select! {
        job = remote.take_in(&fields, pieces, reading) => job.map(Given::Job),
        exit = signals.first() => Ok(Given::Stopped(exit)),
    }
}

impl Followed<'_> {
    /// Gives the service the video of standard input, and shows its job until the job ends, or a signal stops it.
    pub(super) async fn pipe(&self, item: &Item, mut signals: Signals) -> Exit {
        let followed = self.follow_pipe(item, &mut signals).await;
        followed.unwrap_or_else(|failure| self.view.fail(&failure))
    }

    async fn follow_pipe(&self, item: &Item, signals: &mut Signals) -> Result<Exit, Failure> {
        let job = match give(self.remote, item, self.view, signals).await? {
            Given::Job(job) => job,
            Given::Before(record) => return Ok(self.view.before(&record)),
            Given::Stopped(exit) => return Ok(stopped(self.view, exit)),
        };
        let id = segment(job["id"].as_str().unwrap_or_default());
        let path = format!("/v1/jobs/{id}/follow");
        let mut lines = self.remote.lines(Method::GET, &path, None).await?;
        let exit = tokio::select! {
            exit = self.watch(&mut lines, None) => return Ok(exit),
            exit = signals.first() => exit,
        };
        if item.id().is_none() {
            let path = format!("/v1/jobs/{id}/cancel");
            self.remote.call(Method::POST, &path, None).await?;
            return Ok(self.watch(&mut lines, Some(exit)).await);
        }
        // The video is kept for the same command, which a job that is cancelled would not do.
        let path = format!("/v1/jobs/{id}/pause");
        self.remote.call(Method::POST, &path, None).await?;
        let cut = Err(Error::cancelled());
        Ok(self.view.end(&cut, exit, Progress::default()))
    }
}

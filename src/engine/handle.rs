//! What a caller holds of an upload that runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{Mutex, Notify, OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::metrics::Cells;
use super::{Shared, log, run};
use crate::engine::draft::Draft;
use crate::engine::job::Job;
use crate::error::Error;
use crate::upload::event::{Event, Progress, Tally};

/// A running upload: a future of its [`Draft`], a queue of its events, and its progress.
///
/// To await it while its events are read, [`split`](Self::split) it:
///
/// ```no_run
/// # async fn example(engine: chunkferry::Engine, job: chunkferry::Job) -> Result<(), chunkferry::Error> {
/// let (upload, mut watcher) = engine.upload(job).split();
/// let watch = async {
///     while let Some(event) = watcher.event().await {
///         println!("{event:?}, {} bytes", watcher.progress().confirmed);
///     }
/// };
/// let (draft, ()) = tokio::join!(upload, watch);
/// println!("{}", draft?.publish_id);
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
///
/// Dropping it stops the upload as dropping [`Engine::upload`](crate::Engine::upload) does; the same job carries on.
#[derive(Debug)]
pub struct Uploading {
    task: JoinHandle<Result<Draft, Error>>,
    stop: Arc<Notify>,
    watcher: Watcher,
}

impl Uploading {
    /// Starts a job at once, in its place in the queue of its account.
    pub(super) fn start_job(shared: &Arc<Shared>, job: Job) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let tally = Arc::new(Tally::default());
        let (watched, door) = (Arc::clone(&tally), Door::default());
        let (span, place) = (super::span(&job), super::place(shared, &job));
        let counters = Arc::clone(&shared.counters);
        let (shared, closing) = (Arc::clone(shared), door.clone());
        let run = async move {
            let ended = run::carry(&shared, &job, place, watched, sender, closing).await;
            log::end(&job.name(), &ended);
            ended
        };
        Self::start(run.instrument(span), door, events, tally, counters)
    }

    /// What stops this upload, for whoever does not hold it.
    pub(super) fn stopper(&self) -> Stopper {
        Stopper {
            stop: Arc::clone(&self.stop),
            tally: Arc::clone(&self.watcher.tally),
        }
    }

    /// Starts `run`, which closes `door` while it must not be stopped.
    pub(super) fn start(
        run: impl Future<Output = Result<Draft, Error>> + Send + 'static,
        door: Door,
        events: mpsc::UnboundedReceiver<Event>,
        tally: Arc<Tally>,
        counters: Arc<Cells>,
    ) -> Self {
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let ended = until_stopped(run, stopped, door).await;
            counters.ended(match &ended {
                Ok(draft) => draft.outcome.as_str(),
                Err(error) => error.kind().as_str(),
            });
            ended
        });
        let watcher = Watcher { events, tally };
        Self {
            task,
            stop,
            watcher,
        }
    }

    /// The next event; `None` when the upload has ended, or after [`split`](Self::split). Safe to drop between polls.
    pub async fn event(&mut self) -> Option<Event> {
        self.watcher.event().await
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.watcher.progress()
    }

    /// The upload, to be awaited or cancelled, and its events and progress, to be read elsewhere meanwhile.
    pub fn split(mut self) -> (Self, Watcher) {
        let (_, events) = mpsc::unbounded_channel();
        let tally = Arc::clone(&self.watcher.tally);
        let watcher = std::mem::replace(&mut self.watcher, Watcher { events, tally });
        (self, watcher)
    }

    /// Stops it; awaiting it then gives [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn cancel(&self) {
        self.stop.notify_one();
    }
}

/// Stops an upload.
#[derive(Debug)]
pub(super) struct Stopper {
    stop: Arc<Notify>,
    tally: Arc<Tally>,
}

impl Stopper {
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    pub(super) fn progress(&self) -> Progress {
        self.tally.snapshot()
    }

    /// Whether nothing of a chunk is on its way that would be lost.
    pub(super) fn is_at_border(&self) -> bool {
        let progress = self.tally.snapshot();
        progress.sent == progress.confirmed
    }
}

impl Future for Uploading {
    type Output = Result<Draft, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx).map(|ended| match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => Err(Error::cancelled()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        })
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// The door through which an upload can be stopped. It is closed from the record of an intent to that of the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Door(Arc<Mutex<()>>);

impl Door {
    /// Closes the door until the guard is dropped. Never returns once the upload is being stopped.
    pub(super) async fn close(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.0).lock_owned().await
    }
}

/// Runs an upload to its end, or until it is asked to stop. A chunk in flight is then cut; what must not be stopped goes on
/// until the door opens, and nobody waits for it.
async fn until_stopped(
    run: impl Future<Output = Result<Draft, Error>> + Send + 'static,
    stop: Arc<Notify>,
    door: Door,
) -> Result<Draft, Error> {
    let mut run = Box::pin(run);
    tokio::select! {
        biased;
        ended = &mut run => return ended,
        () = stop.notified() => {}
    }
    if door.0.try_lock().is_err() {
        let last = async move {
            tokio::select! {
                biased;
                _open = door.close() => {}
                _ended = run => {}
            }
        };
        tokio::spawn(last.in_current_span());
    }
    Err(Error::cancelled())
}

/// The events and the progress of an upload. Dropping it does nothing to the upload.
#[derive(Debug)]
pub struct Watcher {
    events: mpsc::UnboundedReceiver<Event>,
    tally: Arc<Tally>,
}

impl Watcher {
    /// The next event; `None` when the upload has ended. Safe to drop between polls.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How far the upload is now.
    pub fn progress(&self) -> Progress {
        self.tally.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    /// A run that counts seconds, the first three of them behind a closed door.
    async fn run(door: Door, seconds: Arc<AtomicU32>) -> Result<Draft, Error> {
        let mut closed = Some(door.close().await);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if seconds.fetch_add(1, Ordering::Relaxed) == 2 {
                closed = None;
            }
            let _ = &closed;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_not_be_stopped_goes_on_to_its_end_and_not_further() {
        let (door, seconds) = (Door::default(), Arc::new(AtomicU32::new(0)));
        let run = run(door.clone(), Arc::clone(&seconds));
        let (_, events) = mpsc::unbounded_channel();
        let counters = Arc::default();
        let handle = Uploading::start(run, door, events, Arc::default(), counters);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        handle.cancel();
        let error = handle.await.expect_err("it was stopped");
        assert_eq!(error.kind(), crate::ErrorKind::Cancelled);
        assert_eq!(seconds.load(Ordering::Relaxed), 1, "nobody waits for it");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(seconds.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handle_that_is_dropped_stops_its_upload_at_once() {
        struct Dropped(Arc<AtomicU32>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = Arc::new(AtomicU32::new(0));
        let on_drop = Dropped(Arc::clone(&dropped));
        let run = async move {
            let _on_drop = on_drop;
            pending().await
        };
        let (_, events) = mpsc::unbounded_channel();
        drop(Uploading::start(
            run,
            Door::default(),
            events,
            Arc::default(),
            Arc::default(),
        ));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    }
}

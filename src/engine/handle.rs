//! What a caller holds of an upload that runs.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{Mutex, Notify, OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::engine::draft::Draft;
use crate::error::Error;
use crate::upload::event::{Event, Progress, Tally};

/// A running upload: a future of its [`Draft`], a queue of its events, and its progress.
///
/// To await it while its events are read, [`split`](Self::split) it:
///
/// ```no_run
/// # async fn example(engine: chunkferry::Engine, job: chunkferry::Job) -> Result<(), chunkferry::Error> {
/// let (upload, mut watcher) = engine.submit(job).split();
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
pub struct Handle {
    task: JoinHandle<Result<Draft, Error>>,
    stop: Arc<Notify>,
    watcher: Watcher,
}

impl Handle {
    /// Starts `run`, which closes `door` while it must not be stopped.
    pub(super) fn start(
        run: impl Future<Output = Result<Draft, Error>> + Send + 'static,
        door: Door,
        events: mpsc::UnboundedReceiver<Event>,
        tally: Arc<Tally>,
    ) -> Self {
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(until_stopped(run, Arc::clone(&stop), door));
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

impl Future for Handle {
    type Output = Result<Draft, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(cx).map(|ended| match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => Err(Error::cancelled()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        })
    }
}

impl Drop for Handle {
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

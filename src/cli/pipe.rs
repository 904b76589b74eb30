//! A video from standard input. The service asks for the video's size before the first chunk, and a chunk that fails is sent again, so
//! the video is kept in a file first: by the queue of the engine in this process, or by a service.

use std::io::IsTerminal;

use bytes::{Bytes, BytesMut};
use chunkferry::{Account, Engine, Error, ErrorKind, Job, JobEvent, Limits, Progress};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, Stdin};
use tokio::time::{MissedTickBehavior, interval};

use super::Failure;
use super::exit::Exit;
use super::item::Item;
use super::render::View;
use super::signals::Signals;

/// Bytes that are read at a time at most.
const PIECE: usize = 1 << 20;

/// Refuses standard input that nobody writes a video to.
pub(super) fn check() -> Result<(), Failure> {
    match std::io::stdin().is_terminal() {
        true => Err(Failure::usage(
            "Standard input is a terminal. Let a program write the video into the command: ffmpeg … | chunkferry upload - --name clip.mp4. (A file of this name is ./-)",
        )),
        false => Ok(()),
    }
}

/// The bytes of standard input.
pub(super) struct Pipe<'a> {
    stdin: Stdin,
    buffer: BytesMut,
    size: u64,
    name: &'a str,
}

impl<'a> Pipe<'a> {
    /// `name` is what messages call the video.
    pub(super) fn new(name: &'a str) -> Self {
        Self {
            stdin: tokio::io::stdin(),
            buffer: BytesMut::new(),
            size: 0,
            name,
        }
    }

    /// How many bytes came.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes; `None` at the end. Safe to drop between polls.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        self.buffer.reserve(PIECE);
        let read = self.stdin.read_buf(&mut self.buffer).await;
        let read = read.map_err(|error| {
            Failure::temporary(format!(
                "Standard input cannot be read: {error}. Nothing was accepted."
            ))
        })?;
        self.size += read as u64;
        if self.size > Limits::DOCUMENTED.max_file() {
            let most = Limits::DOCUMENTED.max_file();
            return Err(Failure::new(
                Exit::of(ErrorKind::Source),
                format!(
                    "{} cannot be sent: it has more than {most} bytes, and no video may have more. Nothing was accepted.",
                    self.name
                ),
            ));
        }
        Ok((read > 0).then(|| self.buffer.split().freeze()))
    }
}

/// What there is under the id of a video, before anything of the video is read.
pub(super) enum Found {
    /// Nothing that helps: the video is taken in.
    Nothing,
    /// The video is kept for this job.
    Kept { job: String, runs: bool },
    /// The job has ended well.
    Delivered,
}

impl Found {
    /// By the record of the job, as JSON.
    pub(super) fn of(record: &Value, item: &Item) -> Result<Self, Failure> {
        let text = |field: &str| record[field].as_str().unwrap_or_default();
        let (source, name) = (text("source"), item.name());
        if source != name {
            return Err(Failure::usage(format!(
                "The id {} is that of another video of {} ({source}). Give this one an id of its own, or the same --name. Nothing was read.",
                item.id().unwrap_or_default(),
                item.account
            )));
        }
        let outcome = record["end"]["outcome"].as_str().unwrap_or_default();
        let is_good = ["delivered", "already_delivered", "sent"].contains(&outcome);
        Ok(match (text("state"), is_good) {
            ("ended", true) => Self::Delivered,
            ("ended", false) => Self::Nothing,
            (state, _) => Self::Kept {
                job: text("id").to_owned(),
                runs: state == "running",
            },
        })
    }
}

/// Says that an id would have been of use.
pub(super) fn warn(item: &Item, view: &View<'_>) {
    if item.id().is_none() {
        view.note(
            "no_id",
            "it has no --id: after a crash the video has to be sent in again",
        );
    }
}

/// Says that standard input is not read.
pub(super) fn tell_kept(view: &View<'_>) {
    view.note(
        "kept",
        "an earlier run has kept the video: it is carried on with, and standard input is not read",
    );
}

/// Says that a signal came before the video was whole.
pub(super) fn stopped(view: &View<'_>, exit: Exit) -> Exit {
    view.note(
        "not_accepted",
        "nothing was accepted: the same command begins anew",
    );
    view.end(&Err(Error::cancelled()), exit, Progress::default())
}

/// Carries the video in this process, from standard input or from where an earlier run has kept it, to the end of its job.
pub(super) async fn carry(
    engine: &Engine,
    item: &Item,
    (job, account): (Job, Account),
    view: &View<'_>,
    signals: Signals,
) -> Exit {
    let carried = carried(engine, item, (job, account), view, signals).await;
    carried.unwrap_or_else(|failure| view.fail(&failure))
}

async fn carried(
    engine: &Engine,
    item: &Item,
    (job, account): (Job, Account),
    view: &View<'_>,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let record = match item.id() {
        Some(id) => engine.job_under(&item.account, id).await?,
        None => None,
    };
    let found = match record.map(|record| json!(record)) {
        Some(record) => match Found::of(&record, item)? {
            Found::Delivered => return Ok(view.before(&record)),
            found => found,
        },
        None => Found::Nothing,
    };
    let id = match found {
        Found::Kept { job, .. } => {
            tell_kept(view);
            engine.retry_job(&job).await?.id
        }
        _ => {
            warn(item, view);
            let job = job.for_account(account.clone());
            match take_in(engine, item, job, view, &mut signals).await? {
                Ok(id) => id,
                Err(exit) => return Ok(stopped(view, exit)),
            }
        }
    };
    let exit = run(engine, &id, account, view, signals).await?;
    // Nobody can name it any more.
    if item.id().is_none() {
        engine.cancel_job(&id).await?;
    }
    Ok(exit)
}

/// Takes the video in; the id of its job, or the exit code of a signal that came meanwhile.
async fn take_in(
    engine: &Engine,
    item: &Item,
    job: Job,
    view: &View<'_>,
    signals: &mut Signals,
) -> Result<Result<String, Exit>, Failure> {
    let mut intake = engine.take_in(job, None).await?;
    let name = item.name();
    let mut pipe = Pipe::new(&name);
    let taking = async {
        while let Some(piece) = pipe.next().await? {
            view.spooling(pipe.size());
            intake.write(&piece).await?;
        }
        Ok(())
    };
    let taken = tokio::select! {
        taken = taking => taken,
        exit = signals.first() => {
            intake.discard().await;
            return Ok(Err(exit));
        }
    };
    if let Err(failure) = taken {
        intake.discard().await;
        return Err(failure);
    }
    view.spooled(pipe.size());
    Ok(Ok(intake.submit().await?.id().to_owned()))
}

/// Runs the job and shows how it goes.
async fn run(
    engine: &Engine,
    id: &str,
    account: Account,
    view: &View<'_>,
    mut signals: Signals,
) -> Result<Exit, Failure> {
    let mut events = engine.events()?;
    let handle = engine.handle(id).await?;
    let mut running = std::pin::pin!(engine.run_job(id, account));
    let mut tick = interval(view.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut ran, mut record, mut stopped) = (None, None, None);
    // The event with the upload's end comes before the job's run returns.
    while record.is_none() || ran.is_none() {
        tokio::select! {
            biased;
            event = events.next() => match event {
                Some(JobEvent::Upload { job, event }) if job == id => view.event(event),
                Some(JobEvent::Ran { job, ended, progress }) if job == id => {
                    ran = Some((ended, progress));
                }
                Some(_) => {}
                None => break,
            },
            done = &mut running, if record.is_none() => record = Some(done?),
            exit = signals.first(), if stopped.is_none() => {
                stopped = Some(exit);
                let engine = engine.clone();
                tokio::spawn(async move { engine.shut_down(std::time::Duration::ZERO).await });
            }
            _ = tick.tick(), if view.has_begun() => {
                if let Some(progress) = handle.progress() {
                    view.progress(progress);
                }
            }
            // The line of an end was missed.
            () = std::future::ready(()), if record.is_some() => break,
        }
    }
    let end = record.and_then(|record| record.end);
    let Some((ended, progress)) = ran else {
        return Err(Failure::temporary(
            "The upload broke off. Run the same command again: it carries on.",
        ));
    };
    let exit = match (&*ended, stopped) {
        (Ok(_), _) => Exit::DELIVERED,
        (Err(error), Some(exit)) if error.kind() == ErrorKind::Cancelled => exit,
        (Err(error), _) => Exit::of(error.kind()),
    };
    let first_job = end.and_then(|end| end.first_job);
    Ok(view.end_of(&ended, exit, progress, first_job))
}

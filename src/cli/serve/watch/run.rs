//! The task of a watched folder: look, submit what is complete, and put away what has ended.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunkferry::{Engine, Error, JobEvent, JobEvents, NotAccepted};

use super::finish::{Ended, drop_reason};
use super::folder::{Folder, Ready, State};
use super::shown::Shown;
use crate::Failure;

/// How long a folder may take to be listed before that is said.
const HANGS: Duration = Duration::from_secs(30);

/// The longest wait for the next look while a file is being written.
const SOON: Duration = Duration::from_secs(5);

/// How long the files of a folder may go on changing before it is looked at, and how many times longer than a look the pause is.
const QUIET: Duration = Duration::from_millis(50);
const PAUSE: u32 = 10;

/// Jobs that are submitted between two looks.
const BATCH: usize = 500;

/// Notices that are read at a time.
const PAGE: usize = 1_000;

/// How long until an account's files are submitted again after one was not accepted.
const REFUSED: Duration = Duration::from_secs(30);

/// A watched folder with the engine that its files are for.
pub(super) struct Watcher {
    engine: Engine,
    events: JobEvents,
    /// `None` while a thread works with it.
    folder: Option<Box<Folder>>,
    shown: Arc<Shown>,
    scan: Duration,
    /// The number of the last notice that was read; none was while that could not be read.
    after: Option<u64>,
    /// Accounts whose files are not accepted at the moment: until when, and why.
    refused: HashMap<Arc<str>, (Instant, String)>,
    /// Whether it was said that notices cannot be read.
    is_said: bool,
}

impl Watcher {
    pub(super) fn new(engine: Engine, folder: Folder, shown: Arc<Shown>) -> Result<Self, Failure> {
        Ok(Self {
            events: engine.events()?,
            engine,
            scan: Duration::from_secs(folder.scan.entry.scan),
            folder: Some(Box::new(folder)),
            shown,
            after: None,
            refused: HashMap::new(),
            is_said: false,
        })
    }

    /// Watches until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let said = self.blocking(|folder| {
                let mut said = folder.look();
                folder.put_all_away(&mut said);
                said
            });
            let said = said.await;
            self.say(&said);
            let took = began.elapsed();
            // What ends from here on has a later number, and what has ended before is known when it is submitted.
            let is_all = self.read_ends().await && self.submit().await;
            self.show();
            if is_all {
                self.rest(took).await;
            }
        }
    }

    /// Does something with the folder on a thread that may block, for as long as that takes.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Folder) -> T + Send + 'static,
    ) -> T {
        let Some(mut folder) = self.folder.take() else {
            return std::future::pending().await;
        };
        let mut working = tokio::task::spawn_blocking(move || {
            let done = work(&mut folder);
            (folder, done)
        });
        let worked = match tokio::time::timeout(HANGS, &mut working).await {
            Ok(worked) => worked,
            Err(_) => {
                self.shown.hangs();
                self.say(&["The folder does not answer. Its files wait until it does.".to_owned()]);
                let worked = working.await;
                self.say(&["The folder answers again.".to_owned()]);
                worked
            }
        };
        match worked {
            Ok((folder, done)) => {
                self.folder = Some(folder);
                done
            }
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    fn say(&self, said: &[String]) {
        for text in said {
            eprintln!("Watched folder {}: {text}", self.shown.name());
        }
    }

    fn show(&self) {
        if let Some(folder) = &self.folder {
            self.shown.set(folder, |account| {
                let refused = self.refused.get(account);
                refused.map(|(_, why)| why.as_str())
            });
        }
    }

    /// Submits the files whose turn it is. Whether those were all.
    async fn submit(&mut self) -> bool {
        let ready = self.folder.as_ref().map(|folder| folder.ready());
        let ready = ready.unwrap_or_default();
        let (mut new, mut ended, mut submits) = (Vec::new(), Vec::new(), 0);
        for file in ready {
            if submits == BATCH {
                break;
            }
            if let Some((until, _)) = self.refused.get(&file.account)
                && Instant::now() < *until
            {
                continue;
            }
            submits += 1;
            match self.submit_one(&file).await {
                Ok(Taken::New) => new.push(file.path),
                Ok(Taken::Ended(of)) => ended.push(*of),
                Ok(Taken::Other) => {}
                Err(error) => {
                    self.refuse(&file.account, &error);
                    continue;
                }
            }
            if self.refused.remove(&file.account).is_some() {
                self.say(&[format!("Files for {} are accepted again.", file.account)]);
            }
        }
        if !new.is_empty() {
            let drop_all = move |_: &mut Folder| new.iter().for_each(|path| drop_reason(path));
            self.blocking(drop_all).await;
        }
        self.finish(ended).await;
        submits < BATCH
    }

    async fn submit_one(&mut self, ready: &Ready) -> Result<Taken, Error> {
        let job = self.folder.as_ref().and_then(|of| of.job(&ready.path));
        let Some(job) = job else {
            return Ok(Taken::Other);
        };
        let (id, is_new) = match self.engine.submit(job).await {
            Ok(handle) => (handle.id().to_owned(), !handle.is_repeat()),
            Err(error) => match error.not_accepted() {
                // What the entry adds to a job was another text when the file was taken.
                Some(NotAccepted::OtherWish { job, .. }) => (job.clone(), false),
                Some(NotAccepted::Forgotten { .. }) => {
                    self.known(&ready.path);
                    return Ok(Taken::Other);
                }
                _ => return Err(error),
            },
        };
        let (Ok(number), Some(folder)) = (u64::from_str_radix(&id, 16), &mut self.folder) else {
            return Ok(Taken::Other);
        };
        folder.submitted(&ready.path, number);
        if is_new {
            tracing::info!(job = id, file = %super::shown(&ready.path), "taken");
            return Ok(Taken::New);
        }
        match self.engine.job(&id).await? {
            Some(job) if job.state == "ended" => Ok(Taken::Ended(Box::new(Ended {
                path: ready.path.clone(),
                job,
            }))),
            _ => Ok(Taken::Other),
        }
    }

    /// A file whose job is forgotten: it was carried to its end.
    fn known(&mut self, path: &std::path::Path) {
        let file = self.folder.as_mut().and_then(|of| of.files.get_mut(path));
        if let Some(file) = file {
            file.state = State::delivered(None, false);
        }
    }

    fn refuse(&mut self, account: &Arc<str>, error: &Error) {
        let why = super::super::message(error);
        let is_known = |known: &(Instant, String)| known.1 == why;
        if !self.refused.get(account).is_some_and(is_known) {
            let account = chunkferry::Escaped::new(&**account).to_string();
            self.say(&[format!("Files for {account} wait: {why}")]);
        }
        let until = Instant::now() + REFUSED;
        self.refused.insert(Arc::clone(account), (until, why));
    }

    /// Reads which jobs have ended. Whether they could be read.
    async fn read_ends(&mut self) -> bool {
        match self.try_read_ends().await {
            Ok(ended) => {
                self.is_said = false;
                self.finish(ended).await;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_said, true) {
                    let why = super::super::message(&error);
                    self.say(&[format!("Files wait, as the queue cannot be read: {why}")]);
                }
                tokio::time::sleep(SOON).await;
                false
            }
        }
    }

    async fn try_read_ends(&mut self) -> Result<Vec<Ended>, Error> {
        let Some(mut after) = self.after else {
            self.after = Some(self.engine.last_notice().await?);
            return Ok(Vec::new());
        };
        let mut ended = Vec::new();
        loop {
            let page = self.engine.notices(after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.number;
            for notice in page.iter().filter(|notice| notice.kind == "ended") {
                let Some(id) = &notice.job else { continue };
                let Some(path) = self.path_of(id) else {
                    continue;
                };
                if let Some(job) = self.engine.job(id).await? {
                    ended.push(Ended { path, job });
                }
            }
        }
        self.after = Some(after);
        Ok(ended)
    }

    /// The file of a job; `None` if the job is none of this folder's.
    fn path_of(&self, job: &str) -> Option<PathBuf> {
        let number = u64::from_str_radix(job, 16).ok()?;
        self.folder.as_ref()?.jobs.get(&number).cloned()
    }

    async fn finish(&mut self, ended: Vec<Ended>) {
        if ended.is_empty() {
            return;
        }
        let said = self.blocking(move |folder| {
            let mut said = Vec::new();
            for ended in &ended {
                folder.finish(ended, &mut said);
            }
            said
        });
        let said = said.await;
        self.say(&said);
    }

    /// Waits for the next look; jobs that end meanwhile are seen to.
    async fn rest(&mut self, took: Duration) {
        let is_written = self.folder.as_ref().is_some_and(|of| of.is_written());
        let pause = QUIET.max(took * PAUSE);
        let longest = match is_written {
            true => self.scan.min(SOON.max(pause)),
            false => self.scan,
        };
        let wake = self.folder.as_ref().and_then(|of| of.scan.wake.clone());
        let woken = async {
            match &wake {
                Some(wake) => wake.woken().await,
                None => std::future::pending().await,
            }
        };
        let until = async {
            tokio::select! {
                () = tokio::time::sleep(longest) => {}
                () = woken => tokio::time::sleep(pause).await,
            }
        };
        tokio::pin!(until);
        loop {
            let event = tokio::select! {
                () = &mut until => return,
                event = self.events.next() => event,
            };
            let is_ours = match event {
                Some(JobEvent::Changed { job }) => self.path_of(&job).is_some(),
                Some(JobEvent::Missed { .. }) => true,
                Some(_) => false,
                None => return until.await,
            };
            if is_ours {
                self.read_ends().await;
                self.show();
            }
        }
    }
}

/// What became of a file whose turn it was.
enum Taken {
    New,
    /// Its job had ended before.
    Ended(Box<Ended>),
    Other,
}

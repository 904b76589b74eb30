//! Videos that a service carries for this command: handed over, and followed to their ends as if the uploads ran here.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::exit::Exit;
use super::item::Item;
use super::manifest::Fault;
use super::remote::{Remote, RemoteLines};
use super::render::{Screen, View};
use super::signals::Signals;
use super::stat::Stat;
use super::videos::Videos;
use super::{Failure, json};

mod pipe;

use pipe::Given;

/// How long a drive may take to show a file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Jobs that the service looks at in one request.
const CHECKED: usize = 1_000;

/// The job of a video for the service, with what this process sees of its file.
async fn seen(item: &Item) -> Result<Value, Failure> {
    let mut job = item.wish()?;
    if let Some(path) = job["file"].as_str().map(PathBuf::from) {
        let look = tokio::task::spawn_blocking(move || Stat::of(&path));
        // A file that cannot be seen here ends its job, as it would without a service; a drive may not answer.
        if let Ok(Ok(Ok(stat))) = tokio::time::timeout(PATIENCE, look).await {
            job["stat"] = json!(stat);
        }
    }
    Ok(job)
}

/// Hands all videos over in their order and follows them to their ends.
pub(super) async fn run(
    remote: &Remote,
    screen: &Screen,
    videos: Videos<'_>,
    most: Option<Duration>,
) -> Result<Exit, Failure> {
    let signals = Signals::listen_for(most)?;
    announce(remote, screen);
    // Jobs are submitted one after the other.
    let turns = Mutex::new(());
    let run = videos.each(screen, &signals, async |item, signals| {
        let view = screen.view_of(&item);
        let followed = Followed {
            remote,
            view: &view,
        };
        match item.is_piped() {
            true => followed.pipe(&item, signals).await,
            false => followed.to_its_end(&item, &turns, signals).await,
        }
    });
    let exit = run.await?;
    if [Exit::INTERRUPTED, Exit::TERMINATED].contains(&exit) {
        screen.say("Stopped. The same command carries on.");
    }
    screen.sum_up(exit);
    Ok(exit)
}

/// Asks the service which of these jobs it would refuse, before the first job is handed over: the numbers of their lines and the reasons.
pub(super) async fn check(remote: &Remote, items: &[Item]) -> Result<Vec<Fault>, Failure> {
    let mut faults = Vec::new();
    for items in items.chunks(CHECKED) {
        let mut lines = String::new();
        for item in items {
            lines.push_str(&seen(item).await?.to_string());
            lines.push('\n');
        }
        let mut answers = remote.many("/v1/jobs?dry_run=true", lines).await?;
        while let Some(answer) = answers.next().await? {
            if let Some(why) = answer["error"]["detail"].as_str() {
                let at = answer["line"].as_u64().unwrap_or(1) as usize - 1;
                let line = items.get(at).and_then(|item| item.line);
                faults.push((line.unwrap_or_default(), why.to_owned()));
            }
        }
    }
    Ok(faults)
}

/// Says where the job runs, before anything else is said.
fn announce(remote: &Remote, screen: &Screen) {
    let Remote { name, process, .. } = remote;
    screen.say(&format!(
        "Sent by the service at {name} (process {process})."
    ));
    screen.print("service", None, json!({ "service": name, "pid": process }));
}

/// Hands all videos over in their order and prints the ids of their jobs.
pub(super) async fn detach(
    remote: &Remote,
    screen: &Screen,
    mut videos: Videos<'_>,
) -> Result<Exit, Failure> {
    announce(remote, screen);
    let mut signals = Signals::listen()?;
    while let Some(item) = videos.next().await {
        let item = item?;
        let job = match item.is_piped() {
            true => match pipe::give(remote, &item, &screen.view_of(&item), &mut signals).await? {
                Given::Job(job) | Given::Before(job) => job,
                Given::Stopped(exit) => return Ok(exit),
            },
            false => {
                let job = seen(&item).await?;
                remote.call(Method::POST, "/v1/jobs", Some(&job)).await?
            }
        };
        match screen.is_json() {
            true => {
                let account = job["account"].as_str();
                println!("{}", json::line("job", account, json!({ "job": job })));
            }
            false => println!("{}", job["id"].as_str().unwrap_or_default()),
        }
    }
    Ok(Exit::DELIVERED)
}

/// Follows a job that was handed over before. A signal ends the following alone.
pub(super) async fn follow(remote: &Remote, screen: &Screen, id: &str) -> Result<Exit, Failure> {
    announce(remote, screen);
    let path = format!("/v1/jobs/{}/follow", segment(id));
    let mut lines = remote.lines(Method::GET, &path, None).await?;
    let first = lines.next().await?.unwrap_or_default();
    let text = |field: &str| first["job"][field].as_str().unwrap_or_default();
    let source = text("source").to_owned();
    let is_pull = first["job"]["is_pull"] == true;
    let view = screen.view(source, is_pull, text("account"));
    view.show(&first);
    let followed = Followed {
        remote,
        view: &view,
    };
    let mut signals = Signals::listen()?;
    tokio::select! {
        exit = followed.watch(&mut lines, None) => Ok(exit),
        exit = signals.first() => Ok(exit),
    }
}

/// A text as a part of a path.
pub(super) fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

struct Followed<'a> {
    remote: &'a Remote,
    view: &'a View<'a>,
}

impl Followed<'_> {
    /// Hands a video over and shows its job until the job ends, or a signal stops it.
    async fn to_its_end(&self, item: &Item, turns: &Mutex<()>, mut signals: Signals) -> Exit {
        let turn = turns.lock().await;
        let job = match seen(item).await {
            Ok(job) => job,
            Err(failure) => return self.view.fail(&failure),
        };
        // Not interrupted: a job that was accepted has to be stopped by its id.
        let begun = self
            .remote
            .lines(Method::POST, "/v1/jobs?follow=true", Some(&job));
        let begun = begun.await;
        let mut lines = match begun {
            Ok(lines) => lines,
            Err(failure) => return self.view.fail(&failure),
        };
        let id = match lines.next().await {
            Ok(Some(line)) => {
                self.view.show(&line);
                line["job"]["id"].as_str().unwrap_or_default().to_owned()
            }
            Ok(None) => return self.view.fail(&self.stopped()),
            Err(failure) => return self.view.fail(&failure),
        };
        drop(turn);
        let stopped = tokio::select! {
            exit = self.watch(&mut lines, None) => return exit,
            exit = signals.first() => exit,
        };
        let path = format!("/v1/jobs/{}/cancel", segment(&id));
        if let Err(failure) = self.remote.call(Method::POST, &path, None).await {
            return self.view.fail(&failure);
        }
        self.watch(&mut lines, Some(stopped)).await
    }

    /// Shows the lines of a job to the last one. `stopped`: the code of a command whose job was cancelled.
    async fn watch(&self, lines: &mut RemoteLines<'_>, stopped: Option<Exit>) -> Exit {
        loop {
            let mut line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return self.view.fail(&self.stopped()),
                Err(failure) => return self.view.fail(&failure),
            };
            let is_last = line["event"] == "outcome";
            if let (true, Some(stopped)) = (line["exit"] == Exit::INTERRUPTED.0, stopped) {
                line["exit"] = stopped.0.into();
            }
            self.view.show(&line);
            if is_last {
                return self.view.counted(&line);
            }
        }
    }

    fn stopped(&self) -> Failure {
        Failure::temporary(format!(
            "The service at {} has stopped. Once it is started again, the same command follows this upload to its end.",
            self.remote.name
        ))
    }
}

//! Videos that a service carries for this command: handed over, and followed to their ends as if the uploads ran here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::exit::Exit;
use super::remote::{Remote, RemoteLines};
use super::render::{Screen, View};
use super::signals::Signals;
use super::stat::Stat;
use super::{Failure, json};

/// How long a drive may take to show a file.
const PATIENCE: Duration = Duration::from_secs(5);

/// A video as the command line names it, and its job in the service's words.
/// Not shown in messages: a URL's query may be a secret.
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) is_url: bool,
    pub(super) job: Value,
}

impl Wish {
    /// The job of a file gets its absolute path, and what this process sees there.
    pub(super) fn file(path: &Path, mut job: Value) -> Result<Self, Failure> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let Some(text) = absolute.to_str() else {
            return Err(Failure::usage(format!(
                "{} cannot be handed over to a service: its path is no UTF-8. Work without the service: --service none.",
                path.display()
            )));
        };
        job["file"] = text.into();
        Ok(Self {
            name: path.to_string_lossy().into_owned(),
            is_url: false,
            job,
        })
    }

    /// The job, with what this process sees of its file.
    async fn seen(&self) -> Value {
        let mut job = self.job.clone();
        if let Some(path) = job["file"].as_str().map(PathBuf::from) {
            let look = tokio::task::spawn_blocking(move || Stat::of(&path));
            // A file that cannot be seen here ends its job, as it would without a service; a drive may not answer.
            if let Ok(Ok(Ok(stat))) = tokio::time::timeout(PATIENCE, look).await {
                job["stat"] = json!(stat);
            }
        }
        job
    }
}

/// Hands all videos over and follows them to their ends.
pub(super) async fn run(
    remote: &Remote,
    screen: &Screen,
    account: &str,
    wishes: Vec<Wish>,
) -> Result<Exit, Failure> {
    let signals = Signals::listen()?;
    announce(remote, screen);
    let views = wishes
        .iter()
        .map(|wish| screen.view(wish.name.clone(), wish.is_url, account));
    let views: Vec<View<'_>> = views.collect();
    let runs = wishes.iter().zip(&views).map(|(wish, view)| {
        let signals = signals.clone();
        async move { Followed { remote, view }.to_its_end(wish, signals).await }
    });
    let exits = join_all(runs).await.into_iter();
    let exit = exits.fold(Exit::DELIVERED, Exit::over);
    if [Exit::INTERRUPTED, Exit::TERMINATED].contains(&exit) {
        screen.say("Stopped. The same command carries on.");
    }
    screen.sum_up(exit);
    Ok(exit)
}

/// Says where the job runs, before anything else is said.
fn announce(remote: &Remote, screen: &Screen) {
    let Remote { name, process, .. } = remote;
    screen.say(&format!(
        "Sent by the service at {name} (process {process})."
    ));
    if screen.is_json() {
        let fields = json!({ "service": name, "pid": process });
        println!("{}", json::line("service", None, fields));
    }
}

/// Hands all videos over and prints the ids of their jobs.
pub(super) async fn detach(
    remote: &Remote,
    screen: &Screen,
    wishes: Vec<Wish>,
) -> Result<Exit, Failure> {
    announce(remote, screen);
    for wish in wishes {
        let job = remote
            .call(Method::POST, "/v1/jobs", Some(&wish.seen().await))
            .await?;
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
    let is_url = source.contains("://");
    let view = screen.view(source, is_url, text("account"));
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
    async fn to_its_end(&self, wish: &Wish, mut signals: Signals) -> Exit {
        let (path, job) = ("/v1/jobs?follow=true", wish.seen().await);
        // Not interrupted: a job that was accepted has to be stopped by its id.
        let begun = self.remote.lines(Method::POST, path, Some(&job)).await;
        let mut lines = match begun {
            Ok(lines) => lines,
            Err(failure) => return self.fail(&failure),
        };
        let id = match lines.next().await {
            Ok(Some(line)) => {
                self.view.show(&line);
                line["job"]["id"].as_str().unwrap_or_default().to_owned()
            }
            Ok(None) => return self.fail(&self.stopped()),
            Err(failure) => return self.fail(&failure),
        };
        let stopped = tokio::select! {
            exit = self.watch(&mut lines, None) => return exit,
            exit = signals.first() => exit,
        };
        let path = format!("/v1/jobs/{}/cancel", segment(&id));
        if let Err(failure) = self.remote.call(Method::POST, &path, None).await {
            return self.fail(&failure);
        }
        self.watch(&mut lines, Some(stopped)).await
    }

    /// Shows the lines of a job to the last one. `stopped`: the code of a command whose job was cancelled.
    async fn watch(&self, lines: &mut RemoteLines<'_>, stopped: Option<Exit>) -> Exit {
        loop {
            let mut line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return self.fail(&self.stopped()),
                Err(failure) => return self.fail(&failure),
            };
            let is_last = line["event"] == "outcome";
            if let (true, Some(stopped)) = (line["exit"] == Exit::INTERRUPTED.0, stopped) {
                line["exit"] = stopped.0.into();
            }
            self.view.show(&line);
            if is_last {
                let exit = line["exit"]
                    .as_u64()
                    .and_then(|exit| u8::try_from(exit).ok());
                return exit.map_or(Exit(1), Exit);
            }
        }
    }

    fn stopped(&self) -> Failure {
        Failure::temporary(format!(
            "The service at {} has stopped. Once it is started again, the same command follows this upload to its end.",
            self.remote.name
        ))
    }

    fn fail(&self, failure: &Failure) -> Exit {
        self.view.fail(failure);
        failure.exit
    }
}

//! What requests and metrics see of the watched folders.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Extension, State as Shared};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::folder::{Folder, State, shown};
use crate::config::WatchEntry;
use crate::metrics::Page;
use crate::serve::Service;
use crate::serve::access::Caller;
use crate::serve::problem::{Problem, ok};
use crate::serve::request::Query;

/// Files of an account that are shown with the reason why they wait, and in one answer for each folder.
const MOST: usize = 100;

/// What is known of a watched folder, as of its last look.
#[derive(Debug)]
pub(super) struct Shown {
    path: PathBuf,
    account: Option<String>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    problem: Option<String>,
    accounts: BTreeMap<Arc<str>, Files>,
}

/// The files of an account.
#[derive(Debug, Default)]
struct Files {
    waiting: usize,
    submitted: usize,
    failed: usize,
    /// Some of those that wait, and why.
    why: Vec<(PathBuf, String)>,
}

impl Shown {
    pub(super) fn new(entry: &WatchEntry) -> Self {
        Self {
            path: entry.path.clone(),
            account: entry.account.clone(),
            now: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> String {
        shown(&self.path)
    }

    /// The folder does not answer.
    pub(super) fn hangs(&self) {
        self.now().problem = Some("it does not answer".to_owned());
    }

    /// Takes in what is known now. `refused`: why an account's files are not accepted.
    pub(super) fn set<'a>(&self, folder: &Folder, refused: impl Fn(&str) -> Option<&'a str>) {
        let mut accounts: BTreeMap<Arc<str>, Files> = BTreeMap::new();
        for (path, file) in &folder.files {
            let of = accounts.entry(Arc::clone(&file.account)).or_default();
            let why = match &file.state {
                State::Waiting(waiting) => &*waiting.why,
                State::Ready { .. } => refused(&file.account).unwrap_or("its turn comes"),
                State::Submitted => {
                    of.submitted += 1;
                    continue;
                }
                State::Failed => {
                    of.failed += 1;
                    continue;
                }
                State::Delivered { .. } => continue,
            };
            of.waiting += 1;
            if of.why.len() < MOST {
                of.why.push((path.clone(), why.to_owned()));
            }
        }
        *self.now() = Now {
            problem: folder.problem.clone(),
            accounts,
        };
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a caller may see; `None` for the folder of an account that the caller does not see.
    fn as_value(&self, caller: &Caller) -> Option<Value> {
        if self.account.as_ref().is_some_and(|of| !caller.sees(of)) {
            return None;
        }
        let now = self.now();
        let seen = || now.accounts.iter().filter(|(of, _)| caller.sees(of));
        let sum = |count: fn(&Files) -> usize| seen().map(|(_, files)| count(files)).sum::<usize>();
        let files = seen().flat_map(|(account, files)| {
            let why = files.why.iter();
            why.map(move |(path, why)| {
                let file = path.to_string_lossy();
                json!({ "file": file, "account": &**account, "why": why })
            })
        });
        let files: Vec<Value> = files.take(MOST).collect();
        Some(json!({
            "path": self.path.to_string_lossy(),
            "account": self.account,
            "problem": now.problem,
            "waiting": sum(|files| files.waiting),
            "submitted": sum(|files| files.submitted),
            "failed": sum(|files| files.failed),
            "files": files,
        }))
    }
}

/// `GET /v1/watches`: the watched folders, and the files that wait in them.
pub(in super::super) async fn list(
    Shared(service): Shared<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    let all = service.watches.shown.iter();
    let seen: Vec<Value> = all.filter_map(|shown| shown.as_value(&caller)).collect();
    Ok(ok(StatusCode::OK, &json!({ "watches": seen })))
}

/// How many files of all watched folders there are in each state.
pub(in super::super) fn write_metrics(page: &mut Page, service: &Service) {
    let mut counts = [("waiting", 0), ("submitted", 0), ("failed", 0)];
    for shown in &service.watches.shown {
        for files in shown.now().accounts.values() {
            counts[0].1 += files.waiting;
            counts[1].1 += files.submitted;
            counts[2].1 += files.failed;
        }
    }
    let mut family = page.family(
        "chunkferry_watched_files",
        "gauge",
        "Files in watched folders that wait to be complete, that are jobs which have not ended, and whose jobs have failed.",
    );
    for (state, count) in counts {
        family.sample(&[("state", state)], count as f64);
    }
}

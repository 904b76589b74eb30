//! `GET /metrics`, and the file of `--metrics-textfile`: what the process has counted, its queue, and its logins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chunkferry::{Accounts, Jobs, LogIn};
use tokio::sync::{Mutex, OnceCell};

use super::Service;
use super::problem::Problem;
use super::request::Query;
use crate::metrics::textfile::Textfile;
use crate::metrics::{self, Page};

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(15);

/// How long what the files of logins say is used: they change a few times a day.
const FRESH: Duration = Duration::from_secs(60);

const DAY: f64 = 86_400.0;

/// What the metrics of the service need besides the engine.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Whether there are labels with the names of accounts.
    accounts: bool,
    /// Opened once: to open them may run a command.
    stored: OnceCell<Accounts>,
    logins: Mutex<Option<(Instant, Vec<Login>)>>,
}

/// What is known of a login.
#[derive(Debug, Clone)]
struct Login {
    account: String,
    needs_login: bool,
    /// Until the refresh token ends; `None` if that is not known yet, as the token was imported and not used.
    days_left: Option<f64>,
}

impl Login {
    fn of(login: LogIn, now: SystemTime) -> Self {
        let left = login.refresh_ends.duration_since(now).unwrap_or_default();
        let is_known = !login.open_id.is_empty();
        let needs_login = login.needs_login.is_some() || is_known && left.is_zero();
        Self {
            account: login.account,
            needs_login,
            days_left: (is_known && !needs_login).then(|| left.as_secs_f64() / DAY),
        }
    }
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::of(&uri, &[])?;
    let text = text(&service).await;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// Writes the file for as long as it is polled. A failure is reported once, until the file can be written again.
pub(super) async fn keep_writing(service: Arc<Service>, file: Textfile) {
    let mut was_written = true;
    loop {
        let text = text(&service).await;
        let written = file.write(&text);
        if was_written && written.is_err() {
            file.say(&written);
        }
        was_written = written.is_ok();
        tokio::time::sleep(EVERY).await;
    }
}

pub(super) async fn text(service: &Service) -> String {
    let metrics = service.engine.metrics();
    let mut page = metrics::page(&metrics);
    let shown = &service.shown;
    let queue = metrics.queue.unwrap_or_default();
    write_queue(&mut page, queue, shown.accounts);
    write_pause(&mut page, service).await;
    write_logins(&mut page, &shown.logins(service).await, shown.accounts);
    write_notices(&mut page, service).await;
    super::watch::write_metrics(&mut page, service);
    page.into_text()
}

/// Whether the whole queue is held back; no sample if that cannot be read.
async fn write_pause(page: &mut Page, service: &Service) {
    let mut family = page.family(
        "chunkferry_queue_paused",
        "gauge",
        "1 while all jobs are held back.",
    );
    match service.engine.queue_state().await {
        Ok(queue) => family.sample(&[], queue.paused.into()),
        Err(error) => tracing::warn!(%error, "whether the queue is paused cannot be read"),
    }
}

/// The notices that no target has taken yet; no sample if they cannot be read.
async fn write_notices(page: &mut Page, service: &Service) {
    let mut family = page.family(
        "chunkferry_undelivered_notices",
        "gauge",
        "Notices that a target of [[notify]] or --on-end has not taken yet; at most 10,000 and those that failed are counted.",
    );
    match service.notify.behind(&service.engine).await {
        Ok(targets) => {
            for (target, behind) in targets {
                family.sample(&[("target", target)], behind as f64);
            }
        }
        Err(error) => tracing::warn!(%error, "the notices cannot be read"),
    }
}

/// The jobs of each account, or those of all in one.
fn write_queue(page: &mut Page, queue: BTreeMap<String, Jobs>, by_account: bool) {
    let mut jobs: BTreeMap<Option<String>, Jobs> = BTreeMap::new();
    match by_account {
        true => jobs.extend(
            queue
                .into_iter()
                .map(|(account, jobs)| (Some(account), jobs)),
        ),
        false => drop(jobs.insert(None, all(queue.into_values()))),
    }
    let mut family = page.family(
        "chunkferry_jobs",
        "gauge",
        "Jobs that have not ended. Those that wait to be tried again are queued.",
    );
    for (account, of) in &jobs {
        let parked = of.parked.values().sum();
        for (state, count) in [
            ("queued", of.queued),
            ("running", of.running),
            ("paused", of.paused),
            ("parked", parked),
        ] {
            family.sample(&labels(account, Some(("state", state))), count as f64);
        }
    }
    let mut family = page.family(
        "chunkferry_jobs_parked",
        "gauge",
        "Jobs that wait for a person, by the outcome that stopped them.",
    );
    for (account, of) in &jobs {
        for (cause, count) in &of.parked {
            family.sample(&labels(account, Some(("cause", cause))), *count as f64);
        }
    }
    let mut family = page.family(
        "chunkferry_oldest_runnable_job_seconds",
        "gauge",
        "For how long the oldest job that could run waits for its turn; 0 while none waits.",
    );
    for (account, of) in &jobs {
        let oldest = of.oldest_runnable.unwrap_or_default();
        family.sample(&labels(account, None), oldest.as_secs_f64());
    }
}

/// The jobs of all accounts in one.
fn all(queue: impl Iterator<Item = Jobs>) -> Jobs {
    queue.fold(Jobs::default(), |mut all, jobs| {
        all.queued += jobs.queued;
        all.running += jobs.running;
        all.paused += jobs.paused;
        all.oldest_runnable = all.oldest_runnable.max(jobs.oldest_runnable);
        for (cause, count) in jobs.parked {
            *all.parked.entry(cause).or_default() += count;
        }
        all
    })
}

/// The labels of a sample: the account, if it is of one, and another one.
fn labels<'a>(
    account: &'a Option<String>,
    other: Option<(&'a str, &'a str)>,
) -> Vec<(&'a str, &'a str)> {
    let account = account.as_deref().map(|account| ("account", account));
    account.into_iter().chain(other).collect()
}

fn write_logins(page: &mut Page, logins: &[Login], by_account: bool) {
    let mut family = page.family(
        "chunkferry_accounts_needing_login",
        "gauge",
        "Accounts whose creators must log in again.",
    );
    if by_account {
        for login in logins {
            let labels = [("account", login.account.as_str())];
            family.sample(&labels, login.needs_login.into());
        }
    } else {
        let needing = logins.iter().filter(|login| login.needs_login);
        family.sample(&[], needing.count() as f64);
    }
    let mut family = page.family(
        "chunkferry_refresh_token_days_left",
        "gauge",
        "Days until the refresh token that ends next; absent without logins.",
    );
    let left = logins
        .iter()
        .filter_map(|login| Some((&*login.account, login.days_left?)));
    if by_account {
        for (account, days) in left {
            family.sample(&[("account", account)], days);
        }
    } else if let Some(least) = left.map(|(_, days)| days).min_by(f64::total_cmp) {
        family.sample(&[], least);
    }
}

impl Shown {
    pub(super) fn new(accounts: bool) -> Self {
        Self {
            accounts,
            ..Self::default()
        }
    }

    /// The logins as they were within the last minute; none if they cannot be read, which the log says.
    async fn logins(&self, service: &Service) -> Vec<Login> {
        let mut known = self.logins.lock().await;
        if let Some((at, logins)) = &*known
            && at.elapsed() < FRESH
        {
            return logins.clone();
        }
        let logins = self.read(service).await.unwrap_or_else(|error| {
            tracing::warn!(error, "the logins cannot be read");
            Vec::new()
        });
        *known = Some((Instant::now(), logins.clone()));
        logins
    }

    async fn read(&self, service: &Service) -> Result<Vec<Login>, String> {
        let open = || async {
            let opened = service.globals.accounts_of(None).await;
            opened.map_err(|failure| failure.message)
        };
        let stored = self.stored.get_or_try_init(open).await?;
        let all = stored.list().await.map_err(|error| error.to_string())?;
        let now = SystemTime::now();
        let known = all.into_iter().filter_map(|(_, login)| login.ok());
        Ok(known.map(|login| Login::of(login, now)).collect())
    }
}

//! What the page shows, as far as the caller may see it.

use std::collections::HashSet;
use std::time::SystemTime;

use chunkferry::{JobNotice, JobRecord, Jobs, Progress, QueueState};

use super::accounts::Named;
use super::story::Speed;
use crate::serve::Service;
use crate::serve::access::{Caller, Need};
use crate::serve::problem::Problem;

/// Most jobs of each list, and most accounts.
const RUNNING: usize = 64;
const PARKED: usize = 50;
const QUEUED: usize = 12;
const ENDED: usize = 12;
pub(super) const ACCOUNTS: usize = 60;

/// Notices that are looked at for the jobs that have ended lately, and for the story of a job.
const LOOKED_AT: usize = 200;
pub(super) const OF_A_JOB: usize = 1_000;

/// How far a job is.
pub(super) struct Running {
    pub(super) job: JobRecord,
    pub(super) progress: Option<Progress>,
    pub(super) speed: Option<Speed>,
    pub(super) phase: String,
}

/// An account with its jobs.
pub(super) struct Account {
    pub(super) named: Named,
    pub(super) jobs: Jobs,
}

/// A job that has ended.
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) notice: JobNotice,
    /// The path or the URL of the video; `None` if the job was forgotten.
    pub(super) source: Option<String>,
}

/// How many jobs there are, of the accounts that the caller sees.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) running: u64,
    pub(super) queued: u64,
    pub(super) paused: u64,
    pub(super) parked: u64,
}

/// What the caller may do.
#[derive(Debug, Clone)]
pub(super) struct May {
    /// Change and submit jobs.
    pub(super) submit: bool,
    /// Hold the whole queue.
    pub(super) admin: bool,
    /// What the forms of the caller's session bring along.
    pub(super) csrf: String,
    /// Whether there is a session to end.
    pub(super) leave: bool,
}

impl May {
    pub(super) fn of(caller: &Caller, leave: bool) -> Self {
        let csrf = match caller {
            Caller::Browser(session) => session.csrf().to_owned(),
            _ => String::new(),
        };
        Self {
            submit: caller.may(Need::Submit),
            admin: caller.may(Need::Admin),
            csrf,
            leave,
        }
    }
}

/// The whole service.
pub(super) struct Overview {
    pub(super) queue: QueueState,
    pub(super) is_draining: bool,
    pub(super) counts: Counts,
    pub(super) running: Vec<Running>,
    pub(super) parked: Vec<JobRecord>,
    pub(super) queued: Vec<JobRecord>,
    pub(super) paused: Vec<JobRecord>,
    /// The last ends, the newest first.
    pub(super) ended: Vec<Ended>,
    pub(super) accounts: Result<Vec<Account>, String>,
    pub(super) hidden_accounts: usize,
}

impl Overview {
    pub(super) async fn of(service: &Service, caller: &Caller) -> Result<Self, Problem> {
        let engine = &service.engine;
        let sees = |account: &str| caller.sees(account);
        let mut running = Vec::new();
        for job in engine.jobs_now("running", RUNNING, sees).await? {
            running.push(under_way(service, job).await);
        }
        let census = engine.metrics().queue.unwrap_or_default();
        let mut counts = Counts::default();
        for (_, jobs) in census.iter().filter(|(account, _)| sees(account)) {
            counts.running += jobs.running;
            counts.queued += jobs.queued;
            counts.paused += jobs.paused;
            counts.parked += jobs.parked.values().sum::<u64>();
        }
        let known = service.page.accounts.all(service).await;
        let mut hidden_accounts = 0;
        let accounts = known.map(|all| {
            let seen = all.into_iter().filter(|of| sees(&of.name));
            let mut seen: Vec<Account> = seen
                .map(|named| Account {
                    jobs: census.get(&named.name).cloned().unwrap_or_default(),
                    named,
                })
                .collect();
            seen.sort_by_key(|of| of.named.needs.is_none());
            hidden_accounts = seen.len().saturating_sub(ACCOUNTS);
            seen.truncate(ACCOUNTS);
            seen
        });
        Ok(Self {
            queue: engine.queue_state().await?,
            is_draining: service.is_draining(),
            counts,
            running,
            parked: engine.jobs_now("parked", PARKED, sees).await?,
            queued: engine.jobs_now("queued", QUEUED, sees).await?,
            paused: engine.jobs_now("paused", QUEUED, sees).await?,
            ended: lately(service, caller).await?,
            accounts,
            hidden_accounts,
        })
    }
}

/// A job that runs, and how far it is.
pub(super) async fn under_way(service: &Service, job: JobRecord) -> Running {
    let handle = service.engine.handle(&job.id).await.ok();
    let progress = handle.and_then(|handle| handle.progress());
    let progress = progress.filter(|of| of.total > 0);
    let stories = &service.page.stories;
    Running {
        speed: progress.and_then(|of| stories.speed(&job.id, &of)),
        phase: stories.phase(&job.id),
        progress,
        job,
    }
}

/// The jobs that have ended lately; a job that was done over is there once.
async fn lately(service: &Service, caller: &Caller) -> Result<Vec<Ended>, Problem> {
    let last = service.engine.last_notice().await?;
    let from = last.saturating_sub(LOOKED_AT as u64);
    let notices = service.engine.notices(from, LOOKED_AT).await?;
    let mut seen = HashSet::new();
    let mut ended = Vec::new();
    for notice in notices.into_iter().rev() {
        let Some(id) = notice.job.clone().filter(|_| notice.kind == "ended") else {
            continue;
        };
        if !caller.sees(&notice.account) || !seen.insert(id.clone()) {
            continue;
        }
        let source = service.engine.job(&id).await?.map(|job| job.source);
        ended.push(Ended { id, notice, source });
        if ended.len() == ENDED {
            break;
        }
    }
    Ok(ended)
}

/// The notices of a job among the last ones.
pub(super) async fn notices(service: &Service, job: &JobRecord) -> Result<Vec<JobNotice>, Problem> {
    let last = service.engine.last_notice().await?;
    let from = last.saturating_sub(OF_A_JOB as u64);
    let notices = service.engine.notices(from, OF_A_JOB).await?;
    let of = notices
        .into_iter()
        .filter(|notice| notice.job.as_ref() == Some(&job.id));
    Ok(of.collect())
}

/// How long ago a time was, or how far it is.
pub(super) fn apart(time: SystemTime) -> (u64, bool) {
    match SystemTime::now().duration_since(time) {
        Ok(ago) => (ago.as_secs(), false),
        Err(ahead) => (ahead.duration().as_secs(), true),
    }
}

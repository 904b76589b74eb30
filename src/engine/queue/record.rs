//! What people and programs may read of a job. Holds no secret.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::clock::rfc3339;
use crate::journal::queue::{JobEnd as End, JobNews, JobRow, JobState, WishKind};
use crate::upload::Destination;

/// A job of the queue as it is now. Serialised, times are texts by RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobRecord {
    /// 16 hexadecimal digits; a later job has a greater id.
    pub id: String,
    /// The name of the account.
    pub account: String,
    /// The path of the file, or the URL without its query.
    pub source: String,
    /// Whether the service fetches the URL itself.
    pub is_pull: bool,
    /// Where the video goes: `inbox`, as a draft.
    pub destination: String,
    /// The caller's own id.
    pub caller_id: Option<String>,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
    /// The program that the job names to be called at its end; see [`Job::notify`](crate::Job::notify).
    pub notify: Option<String>,
    /// Who has submitted it; see [`Job::submitted_by`](crate::Job::submitted_by).
    pub by: Option<String>,
    /// `queued`, `running`, `paused`, `parked` (waits for a person) or `ended`.
    pub state: String,
    /// How it ended, or what it waits for a person for.
    pub end: Option<JobEnd>,
    /// Why the last run failed, of a job that is tried again.
    pub why: Option<String>,
    /// When it is tried again, or is no longer waited for.
    #[serde(serialize_with = "maybe")]
    pub next: Option<SystemTime>,
    /// Runs that ended in a failure that may pass.
    pub tries: u32,
    /// The id of its own upload in the journal; `None` before there is one, and where another job or call had delivered the video.
    pub upload: Option<String>,
    /// When it was accepted.
    #[serde(serialize_with = "time")]
    pub created: SystemTime,
    /// When it last changed.
    #[serde(serialize_with = "time")]
    pub updated: SystemTime,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobEnd {
    /// `delivered`, `already_delivered`, `sent`, `refused`, `usage`, `source`, `source_changed`, `needs_person`, `unknown`,
    /// `temporary` (it was given up) or `cancelled`.
    pub outcome: String,
    /// The reason of an end that is not good.
    pub why: Option<String>,
    /// Who must act: `you`, `creator`, `developer` or `service`.
    pub who: Option<String>,
    /// What helps: the words of [`Remedy`](crate::Remedy).
    pub remedies: Vec<String>,
    /// The service's name of the upload.
    pub publish_id: Option<String>,
    /// SHA-256 of the video in hexadecimal.
    pub sha256: Option<String>,
    /// The service's log_id of a refusal.
    pub log_id: Option<String>,
    /// The service's code of a refusal.
    pub code: Option<String>,
    /// When the same call may work; `None` if that is not known.
    #[serde(serialize_with = "maybe")]
    pub retry_at: Option<SystemTime>,
    /// When the draft was first seen to be delivered, by this job or an earlier one.
    #[serde(serialize_with = "maybe")]
    pub delivered_at: Option<SystemTime>,
    /// Of a draft: whether its creator is known to be the account's; see [`Draft::creator_known`](crate::Draft::creator_known).
    pub creator_known: Option<bool>,
    /// Of `already_delivered`: the id of the job that had delivered the video; `None` if that was no job.
    pub first_job: Option<String>,
    /// When that was.
    #[serde(serialize_with = "time")]
    pub at: SystemTime,
}

/// An entry of the outbox: something about a job, or about an account, that somebody may wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobNotice {
    /// Its place in the outbox, from 1.
    pub number: u64,
    /// Of a job: `ended`, `parked` or `unparked`. Of an account: `account_needs_token` when a person is needed for a token, and
    /// `account_has_token` when there is one again.
    pub kind: String,
    /// The job's id; `None` in a notice of an account.
    pub job: Option<String>,
    /// The name of the account.
    pub account: String,
    /// Where the video goes: `inbox`, as a draft.
    pub destination: String,
    /// The caller's own id of the job.
    pub caller_id: Option<String>,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
    /// The program that the job names to be called at its end.
    pub notify: Option<String>,
    /// How the job ended, or what the job or the account waits for a person for.
    pub end: Option<JobEnd>,
    /// When that was.
    #[serde(serialize_with = "time")]
    pub at: SystemTime,
}

pub(super) fn maybe<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

fn time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(*time).serialize(serializer)
}

/// The word for the state of a job.
pub(super) const fn word_of(row: &JobRow, running: bool) -> &'static str {
    match row.state {
        JobState::Queued { .. } if running => "running",
        JobState::Queued { .. } if row.paused => "paused",
        JobState::Queued { .. } => "queued",
        JobState::Parked { .. } => "parked",
        JobState::Ended { .. } => "ended",
    }
}

impl JobRecord {
    pub(super) fn of(row: JobRow, running: bool) -> Self {
        let (source, state) = (row.wish.name(), word_of(&row, running));
        let is_pull = matches!(row.wish.what, WishKind::Pull { .. });
        let (end, why, next) = match row.state {
            JobState::Queued { not_before, why } => (None, why, not_before),
            JobState::Parked { end, until } => (Some(end), None, Some(until)),
            JobState::Ended { end } => (Some(end), None, None),
        };
        Self {
            id: row.id,
            account: row.wish.account,
            source,
            is_pull,
            destination: Destination::Inbox.as_str().to_owned(),
            caller_id: row.wish.caller_id,
            labels: row.wish.labels,
            notify: row.wish.notify,
            by: row.wish.by,
            state: state.to_owned(),
            end: end.map(JobEnd::from),
            why,
            next: next.map(SystemTime::from),
            tries: row.tries,
            upload: row.upload,
            created: row.created.into(),
            updated: row.updated.into(),
        }
    }
}

impl From<End> for JobEnd {
    fn from(end: End) -> Self {
        Self {
            outcome: end.outcome,
            why: end.why,
            who: end.who,
            remedies: end.remedies,
            publish_id: end.publish_id,
            sha256: end.sha256,
            log_id: end.log_id,
            code: end.code,
            retry_at: end.retry_at.map(SystemTime::from),
            delivered_at: end.delivered_at.map(SystemTime::from),
            creator_known: end.creator_known,
            first_job: end.first_job,
            at: end.at.into(),
        }
    }
}

impl From<(u64, JobNews)> for JobNotice {
    fn from((number, news): (u64, JobNews)) -> Self {
        Self {
            number,
            kind: news.kind,
            job: news.job,
            account: news.account,
            destination: Destination::Inbox.as_str().to_owned(),
            caller_id: news.caller_id,
            labels: news.labels,
            notify: news.notify,
            end: news.end.map(JobEnd::from),
            at: news.at.into(),
        }
    }
}

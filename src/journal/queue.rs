//! Jobs that wait in the journal until they have ended: their rows, and what a store does with them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::store::Answer;
use super::store_error::StoreError;
use crate::clock::{Now, Timestamp};
use crate::error::kind::ErrorKind;

pub(crate) mod wish;

pub(crate) use wish::{Wish, WishKind};

/// Versions above this were written by a newer chunkferry, and are refused.
pub(crate) const JOB_VERSION: u32 = 1;

/// How long a job tries in all while it fails by itself.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// How long a job waits for a person.
pub(crate) const PARKED: Duration = Duration::from_secs(7 * 24 * 3600);

/// A job that was accepted: a wish, and what has become of it.
///
/// Whether it runs is known to the process that runs it alone: a job whose process died is queued.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobRow {
    pub(crate) version: u32,
    /// Hexadecimal digits that rise with each job of a store.
    pub(crate) id: String,
    pub(crate) wish: Wish,
    pub(crate) state: JobState,
    /// Held back by somebody until it is resumed.
    #[serde(default)]
    pub(crate) paused: bool,
    /// Runs that ended in a failure that may pass.
    #[serde(default)]
    pub(crate) tries: u32,
    /// For how long this job has failed by itself, in milliseconds; waits for windows and outages of all do not count.
    #[serde(default)]
    pub(crate) failing_ms: u64,
    /// The upload that it was resolved to.
    #[serde(default)]
    pub(crate) upload: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Rises with each change.
    pub(crate) revision: u64,
}

/// What has become of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum JobState {
    /// Runs when its turn comes, and not before that time.
    Queued {
        #[serde(default)]
        not_before: Option<Timestamp>,
        /// Why it was tried in vain the last time.
        #[serde(default)]
        why: Option<String>,
    },
    /// Waits for a person, and ends at that time.
    Parked {
        end: JobEnd,
        until: Timestamp,
    },
    Ended {
        end: JobEnd,
    },
}

/// How a job ended, or why it waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobEnd {
    /// The word of the outcome: `delivered`, `already_delivered`, `sent`, or that of the error's kind.
    pub(crate) outcome: String,
    /// The error's text; `None` for a good end.
    #[serde(default)]
    pub(crate) why: Option<String>,
    /// Who must act: `you`, `creator`, `service`, `nobody`.
    #[serde(default)]
    pub(crate) who: Option<String>,
    /// The words of what helps.
    #[serde(default)]
    pub(crate) remedies: Vec<String>,
    #[serde(default)]
    pub(crate) publish_id: Option<String>,
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    #[serde(default)]
    pub(crate) log_id: Option<String>,
    /// The service's code of a refusal.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// When the same call may work.
    #[serde(default)]
    pub(crate) retry_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) delivered_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) creator_known: Option<bool>,
    /// Of a video that was delivered already: the job that had delivered the video.
    #[serde(default)]
    pub(crate) first_job: Option<String>,
    pub(crate) at: Timestamp,
}

impl JobEnd {
    /// The word of an outcome that is not good; `other` for one of another version.
    pub(crate) fn word(&self) -> &'static str {
        let known = ErrorKind::WORDS.into_iter();
        let mut known = known.filter(|word| *word == self.outcome);
        known.next().unwrap_or("other")
    }

    /// Whether a person is needed because nobody has a token: the job can go on by itself once there is one.
    pub(crate) fn wants_a_token(&self) -> bool {
        let mut helps = self.remedies.iter();
        helps.any(|word| matches!(word.as_str(), "give_token" | "log_in"))
    }
}

impl JobRow {
    pub(crate) fn new(id: String, wish: Wish) -> Self {
        let now = Now::read().wall;
        Self {
            version: JOB_VERSION,
            id,
            wish,
            state: JobState::Queued {
                not_before: None,
                why: None,
            },
            paused: false,
            tries: 0,
            failing_ms: 0,
            upload: None,
            created: now,
            updated: now,
            revision: 0,
        }
    }

    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.state, JobState::Ended { .. })
    }

    /// Whether it has ended without a draft.
    pub(crate) fn was_in_vain(&self) -> bool {
        match &self.state {
            JobState::Ended { end } => {
                let good = ["delivered", "already_delivered", "sent"];
                !good.contains(&end.outcome.as_str())
            }
            _ => false,
        }
    }

    /// Whether nothing holds it back at this time.
    pub(crate) fn can_run(&self, now: Timestamp) -> bool {
        let is_queued = match self.state {
            JobState::Queued { not_before, .. } => not_before.is_none_or(|at| at <= now),
            JobState::Parked { .. } | JobState::Ended { .. } => false,
        };
        is_queued && !self.paused
    }

    /// Whether it has failed by itself for so long that it is given up.
    pub(crate) fn is_spent(&self) -> bool {
        let patience = self.wish.give_up_ms.map_or(PATIENCE, Duration::from_millis);
        Duration::from_millis(self.failing_ms) >= patience
    }
}

/// Whether an account has a token, or a person is needed for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tokens {
    There,
    /// Why there is none.
    Missing(Box<JobEnd>),
}

impl Tokens {
    /// What the news of a job, as its row is now, say about its account.
    fn seen_by(row: &JobRow) -> Option<Self> {
        match &row.state {
            JobState::Parked { end, .. } | JobState::Ended { end } if end.wants_a_token() => {
                Some(Self::Missing(Box::new(end.clone())))
            }
            JobState::Ended { end } if matches!(&*end.outcome, "delivered" | "sent") => {
                Some(Self::There)
            }
            _ => None,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::There => "account_has_token",
            Self::Missing(_) => "account_needs_token",
        }
    }
}

/// Something about a job or an account that somebody may wait for: written in the same step as the state of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobNews {
    /// `ended`, `parked` or `unparked`; of an account, a kind of [`Tokens`].
    pub(crate) kind: String,
    /// `None` in news of an account.
    pub(crate) job: Option<String>,
    pub(crate) account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller_id: Option<String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// As the job's wish has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<JobEnd>,
    pub(crate) at: Timestamp,
}

impl JobNews {
    /// What there is to say about the row as it is now.
    pub(crate) fn of(row: &JobRow, kind: &str) -> Self {
        let end = match &row.state {
            JobState::Queued { .. } => None,
            JobState::Parked { end, .. } | JobState::Ended { end } => Some(end.clone()),
        };
        Self {
            kind: kind.to_owned(),
            job: Some(row.id.clone()),
            account: row.wish.account.clone(),
            caller_id: row.wish.caller_id.clone(),
            labels: row.wish.labels.clone(),
            notify: row.wish.notify.clone(),
            end,
            at: row.updated,
        }
    }

    /// What there is to say about an account.
    pub(crate) fn of_account(account: &str, tokens: &Tokens) -> Self {
        Self {
            kind: tokens.kind().to_owned(),
            job: None,
            account: account.to_owned(),
            caller_id: None,
            labels: BTreeMap::new(),
            notify: None,
            end: match tokens {
                Tokens::There => None,
                Tokens::Missing(end) => Some((**end).clone()),
            },
            at: Now::read().wall,
        }
    }
}

/// What came of a submit.
#[derive(Debug, Clone)]
pub(crate) enum Accepted {
    New(JobRow),
    /// The same wish was submitted before under this id.
    Repeat(JobRow),
    /// Another wish was: the first field that differs.
    Conflict {
        job: String,
        field: String,
    },
    /// The same id belongs to a job that was forgotten.
    Forgotten {
        job: String,
    },
}

/// What a change has done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: the row stays as it is.
    Nothing,
    /// Something that nobody waits for.
    Quiet,
    /// Something to tell, of this kind.
    News(&'static str),
}

impl dyn JobStore {
    /// Changes a row as it is now; what others change meanwhile is not lost. Returns the row afterwards, `None` if there is no such job.
    pub(crate) async fn change(
        &self,
        id: &str,
        change: impl Fn(&mut JobRow) -> Change + Send + Sync,
    ) -> Result<Option<JobRow>, StoreError> {
        loop {
            let Some(mut row) = self.job(id.to_owned()).await? else {
                return Ok(None);
            };
            let kind = match change(&mut row) {
                Change::Nothing => return Ok(Some(row)),
                Change::Quiet => None,
                Change::News(kind) => Some(kind),
            };
            row.updated = Now::read().wall;
            row.revision += 1;
            let news = kind.map(|kind| JobNews::of(&row, kind));
            let tokens = news.as_ref().and_then(|_| Tokens::seen_by(&row));
            if self.save_job(row.clone(), news, tokens).await? {
                return Ok(Some(row));
            }
        }
    }
}

/// Where jobs are kept. Every method is durable on return, as those of [`ProgressStore`](super::ProgressStore) are.
pub(crate) trait JobStore: fmt::Debug + Send + Sync + 'static {
    /// Records a job, unless its caller's id is known already. If the future is dropped, that happens now or not at all.
    fn accept(&self, wish: Wish) -> Answer<'_, Accepted>;

    /// Replaces a row by its next revision, and appends the news to the outbox in the same step, and those of the job's account if
    /// `tokens` are new of it. Returns `false`, and does nothing, if somebody else has changed the row or the job is gone.
    fn save_job(
        &self,
        row: JobRow,
        news: Option<JobNews>,
        tokens: Option<Tokens>,
    ) -> Answer<'_, bool>;

    /// Records whether an account has a token, and appends that to the outbox in the same step. Does nothing if that is known.
    fn set_tokens(&self, account: String, tokens: Tokens) -> Answer<'_, ()>;

    /// The accounts of which it is known that a person is needed for a token.
    fn tokenless(&self) -> Answer<'_, Vec<String>>;

    fn job(&self, id: String) -> Answer<'_, Option<JobRow>>;

    /// The id of the job that has this id of its caller, also if the job is forgotten.
    fn job_under(&self, account: String, caller_id: String) -> Answer<'_, Option<String>>;

    /// The id of the first job that had this upload.
    fn job_of(&self, upload: String) -> Answer<'_, Option<String>>;

    /// At most `limit` jobs after that id, in the order in which they were accepted; `open`: only those that have not ended.
    fn jobs(&self, after: Option<String>, limit: usize, open: bool) -> Answer<'_, Vec<JobRow>>;

    /// Whether [`jobs`](Self::jobs) has left out a job since this store was opened, because the row cannot be read: damaged, or of a later
    /// version. Such a job may come back, so what belongs to it must be kept.
    fn has_left_out_jobs(&self) -> bool;

    /// Removes a job that has ended; its caller's id stays taken. Returns whether there was such a job.
    fn remove_job(&self, id: String) -> Answer<'_, bool>;

    /// At most `limit` entries of the outbox after that number, each with its own.
    fn news(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, JobNews)>>;

    /// The last number that the outbox has given; 0 if it has given none.
    fn last_news(&self) -> Answer<'_, u64>;

    /// Removes the entries of the outbox from before that time.
    fn drop_news(&self, before: Timestamp) -> Answer<'_, ()>;

    /// Since when all jobs are held back; `None` if they are not.
    fn halted(&self) -> Answer<'_, Option<Timestamp>>;

    /// Records that all jobs are held back since then, or are not.
    fn set_halted(&self, since: Option<Timestamp>) -> Answer<'_, ()>;
}

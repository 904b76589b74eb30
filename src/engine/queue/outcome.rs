//! What becomes of a job after a run.

use std::sync::Arc;
use std::time::Duration;

use super::dispatch::after;
use crate::clock::{Now, Timestamp};
use crate::engine::draft::Draft;
use crate::error::{Error, ErrorKind};
use crate::journal::queue::{Change, JobEnd, JobRow, JobState, PARKED};

/// The longest wait before a job that failed is tried again, and the wait while nothing works for any job.
const LONGEST: Duration = Duration::from_secs(15 * 60);
const OUT: Duration = Duration::from_secs(60);

/// The longest wait while too many drafts wait in the creator's inbox: the creator may post one of them at any time.
const CAPPED: Duration = Duration::from_secs(5 * 60);

/// The first wait; the next ones double.
const FIRST: Duration = Duration::from_secs(10);

/// How a run of a job ended.
pub(super) struct Ran {
    pub(super) ended: Arc<Result<Draft, Error>>,
    /// The job that had delivered the video before.
    pub(super) first_job: Option<String>,
    pub(super) took: Duration,
    /// Whether nothing works for any job, so that the time does not count as the job's own.
    pub(super) out: bool,
}

/// Takes in how a run ended.
pub(super) fn take_in(row: &mut JobRow, ran: &Ran) -> Change {
    let (took, out) = (ran.took, ran.out);
    let error = match &*ran.ended {
        Ok(draft) => {
            row.state = JobState::Ended {
                end: JobEnd {
                    first_job: ran.first_job.clone(),
                    ..good_end(draft)
                },
            };
            return Change::News("ended");
        }
        Err(error) => error,
    };
    let end = end_of(error);
    if row.wish.options.once {
        // The bytes go with the end of their job, and whoever comes back with its id does not bring them again.
        let comes_back = row.wish.spooled().is_some() && row.wish.caller_id.is_some();
        if comes_back && may_pass(error) {
            row.state = JobState::Parked {
                end,
                until: after(PARKED),
            };
            return Change::News("parked");
        }
        row.state = JobState::Ended { end };
        return Change::News("ended");
    }
    let again = match error.kind() {
        ErrorKind::Temporary | ErrorKind::Locked => {
            row.tries += 1;
            let wait = match error.retry_at() {
                Some(_) => Duration::ZERO,
                None if out => OUT,
                None => backoff(row.tries),
            };
            if !out && error.retry_at().is_none() {
                row.failing_ms += (took + wait).as_millis() as u64;
            }
            Some(wait)
        }
        // Too many drafts wait, or the day's are used up: that passes, too.
        ErrorKind::NeedsPerson | ErrorKind::Refused if error.retry_at().is_some() => {
            Some(Duration::ZERO)
        }
        _ => None,
    };
    match again {
        Some(_) if row.is_spent() => row.state = JobState::Ended { end },
        Some(wait) => {
            let retry_at = error.retry_at().map(Timestamp::from);
            let retry_at = retry_at.map(|at| match error.kind() {
                ErrorKind::NeedsPerson => at.min(after(CAPPED)),
                _ => at,
            });
            row.state = JobState::Queued {
                not_before: Some(retry_at.unwrap_or_else(|| after(wait))),
                why: end.why,
            };
            return Change::Quiet;
        }
        None if matches!(error.kind(), ErrorKind::NeedsPerson | ErrorKind::Unknown) => {
            row.state = JobState::Parked {
                end,
                until: after(PARKED),
            };
            return Change::News("parked");
        }
        None => row.state = JobState::Ended { end },
    }
    Change::News("ended")
}

/// Whether another run of the same job may end otherwise.
fn may_pass(error: &Error) -> bool {
    use ErrorKind::{Locked, NeedsPerson, Temporary, Unknown};
    matches!(error.kind(), Temporary | Locked | NeedsPerson | Unknown) || error.retry_at().is_some()
}

/// Half of the wait at the least, so that jobs which failed together do not come back together.
fn backoff(tries: u32) -> Duration {
    let most = FIRST
        .saturating_mul(1 << tries.saturating_sub(1).min(16))
        .min(LONGEST);
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn good_end(draft: &Draft) -> JobEnd {
    JobEnd {
        outcome: draft.outcome.as_str().to_owned(),
        why: None,
        who: None,
        remedies: Vec::new(),
        publish_id: Some(draft.publish_id.clone()),
        sha256: draft.sha256.clone(),
        log_id: None,
        code: None,
        retry_at: None,
        delivered_at: draft.delivered_at.map(Timestamp::from),
        creator_known: Some(draft.creator_known),
        first_job: None,
        at: Now::read().wall,
    }
}

/// The end that an error means.
pub(super) fn end_of(error: &Error) -> JobEnd {
    let source = std::error::Error::source(error);
    let why = match source {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    JobEnd {
        outcome: error.kind().as_str().to_owned(),
        why: Some(why),
        who: Some(error.who_must_act().as_str().to_owned()),
        remedies: error
            .remedies()
            .iter()
            .map(|remedy| remedy.as_str().to_owned())
            .collect(),
        publish_id: None,
        sha256: None,
        log_id: error.log_id().map(str::to_owned),
        code: error.code().map(str::to_owned),
        retry_at: error.retry_at().map(Timestamp::from),
        delivered_at: None,
        creator_known: None,
        first_job: None,
        at: Now::read().wall,
    }
}

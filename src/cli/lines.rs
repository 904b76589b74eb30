//! The lines of `--json` about one video, made where its upload runs. What people read is made from these lines, in this process or in
//! another.

use chunkferry::{Draft, Error, Event, Outcome, Plan, Progress};
#[cfg(feature = "service")]
use chunkferry::{JobEnd, JobRecord};
use serde_json::{Value, json};

use super::Failure;
use super::exit::Exit;
use super::json::{self, error};
use super::message::message;
use super::words::rfc3339;

/// Makes the lines of one video.
#[derive(Debug)]
pub(super) struct Lines {
    /// The whole path, or the URL without its secrets.
    name: String,
    is_url: bool,
    account: String,
    /// The upload's id, once its plan is fixed.
    id: Option<String>,
    publish_id: Option<String>,
}

impl Lines {
    pub(super) fn new(name: String, is_url: bool, account: &str) -> Self {
        Self {
            name,
            is_url,
            account: account.to_owned(),
            id: None,
            publish_id: None,
        }
    }

    /// A line with the fields that each line about a video has.
    pub(super) fn line(&self, event: &str, mut fields: Value) -> Value {
        fields["id"] = self.id.clone().into();
        let name = if self.is_url { "url" } else { "file" };
        fields[name] = self.name.clone().into();
        json::line(event, Some(&self.account), fields)
    }

    /// The line of an event; `None` for an event that has none.
    pub(super) fn event(&mut self, event: Event) -> Option<Value> {
        let (name, fields) = match event {
            Event::Comparing => ("comparing", json!({})),
            Event::Planned {
                id,
                publish_id,
                plan,
                confirmed,
            } => {
                self.id = Some(id);
                self.publish_id = publish_id;
                ("planned", planned(plan, confirmed))
            }
            Event::Waiting { cause, wait } => (
                "waiting",
                json!({ "cause": cause.as_str(), "reason": cause.to_string(), "seconds": wait.as_secs_f64() }),
            ),
            Event::SessionOpened { publish_id } => ("session", self.named(publish_id)),
            Event::Pulling { publish_id } => ("pulling", self.named(publish_id)),
            Event::ChunkAccepted { index, confirmed } => {
                ("chunk", json!({ "index": index, "confirmed": confirmed }))
            }
            Event::Retry { cause, wait } => (
                "retry",
                json!({ "cause": cause.as_str(), "reason": cause.to_string(), "seconds": wait.as_secs_f64() }),
            ),
            Event::SessionLost { cause } => (
                "session_lost",
                json!({ "cause": cause.as_str(), "reason": cause.to_string() }),
            ),
            Event::Processing { publish_id } => ("processing", self.named(publish_id)),
            Event::Notice(notice) => (
                "notice",
                json!({ "cause": notice.as_str(), "text": notice.to_string() }),
            ),
            _ => return None,
        };
        Some(self.line(name, fields))
    }

    /// The fields of an event that names the upload at the service.
    fn named(&mut self, publish_id: String) -> Value {
        let fields = json!({ "publish_id": publish_id });
        self.publish_id = Some(publish_id);
        fields
    }

    pub(super) fn progress(&self, progress: &Progress) -> Value {
        let fields = json!({
            "bytes": progress.total,
            "sent": progress.sent,
            "confirmed": progress.confirmed,
            "bytes_sent": progress.bytes_sent,
        });
        self.line("progress", fields)
    }

    /// The last line: how it ended.
    pub(super) fn end(
        &self,
        result: &Result<Draft, Error>,
        exit: Exit,
        progress: &Progress,
    ) -> Value {
        let draft = result.as_ref().ok();
        let publish_id = match draft {
            Some(draft) => Some(&draft.publish_id),
            None => self.publish_id.as_ref(),
        };
        let outcome = match result {
            Ok(draft) => match draft.outcome {
                Outcome::AlreadyDelivered => "already_delivered",
                Outcome::Sent => "sent",
                _ => "delivered",
            },
            Err(error) => exit.outcome(error.kind()),
        };
        let failure = result.as_ref().err();
        let fields = json!({
            "outcome": outcome,
            "exit": exit.0,
            "publish_id": publish_id,
            "sha256": draft.and_then(|draft| draft.sha256.clone()),
            "creator_known": draft.map(|draft| draft.creator_known),
            "delivered_at": draft.and_then(|draft| draft.delivered_at).map(rfc3339),
            "bytes": progress.total,
            "bytes_sent": progress.bytes_sent,
            "bytes_resent": progress.bytes_resent,
            "inits": progress.inits,
            "retry_at": failure.and_then(Error::retry_at).map(rfc3339),
            "error": failure.map(|failure| error(&message(failure), Some(failure))),
        });
        self.line("outcome", fields)
    }

    /// The last line of a video that a job has delivered before, by the record of that job.
    pub(super) fn before(&mut self, record: &Value) -> Value {
        self.id = record["upload"].as_str().map(str::to_owned);
        let end = &record["end"];
        let fields = json!({
            "outcome": "already_delivered",
            "exit": Exit::DELIVERED.0,
            "publish_id": end["publish_id"],
            "sha256": end["sha256"],
            "creator_known": end["creator_known"],
            "delivered_at": end["delivered_at"],
            "first_job": end["first_job"].as_str().or_else(|| record["id"].as_str()),
            "bytes": 0,
            "bytes_sent": 0,
            "bytes_resent": 0,
            "inits": 0,
            "retry_at": null,
            "error": null,
        });
        self.line("outcome", fields)
    }

    /// The last line of a video that a service does not carry.
    pub(super) fn fail(&self, failure: &Failure) -> Value {
        let outcome = match failure.exit.0 {
            4 => "needs_person",
            5 => "unknown",
            75 => "retry",
            _ => "failed",
        };
        let fields = json!({
            "outcome": outcome,
            "exit": failure.exit.0,
            "publish_id": null,
            "error": error(&failure.message, failure.error.as_deref()),
        });
        self.line("outcome", fields)
    }
}

fn planned(plan: Option<Plan>, confirmed: u64) -> Value {
    json!({
        "bytes": plan.map(|plan| plan.video_size()),
        "chunk_size": plan.map(|plan| plan.chunk_size()),
        "total_chunk_count": plan.map(|plan| plan.chunk_count()),
        "confirmed": confirmed,
    })
}

/// Lines about a job of a service, from its record.
#[cfg(feature = "service")]
impl Lines {
    /// The line of an upload whose plan was made before anybody looked.
    pub(super) fn begun(&mut self, id: String, progress: &Progress) -> Value {
        self.id = Some(id);
        let fields = json!({ "bytes": progress.total, "confirmed": progress.confirmed });
        self.line("planned", fields)
    }

    /// The line of a job whose run failed, and which is tried again.
    pub(super) fn again(&self, record: &JobRecord) -> Value {
        let fields = json!({ "reason": record.why, "retry_at": record.next.map(rfc3339) });
        self.line("again", fields)
    }

    /// The last line, of a job whose run nobody saw.
    pub(super) fn ended(&mut self, id: Option<String>, end: &JobEnd, progress: &Progress) -> Value {
        self.id = id.or_else(|| self.id.take());
        let (exit, outcome) = match &*end.outcome {
            good @ ("delivered" | "already_delivered" | "sent") => (0, good),
            "usage" => (2, "failed"),
            "source" => (3, "failed"),
            "source_changed" => (3, "source_changed"),
            "needs_person" => (4, "needs_person"),
            "unknown" => (5, "unknown"),
            "temporary" => (75, "retry"),
            "cancelled" => (130, "retry"),
            _ => (1, "failed"),
        };
        let error = end.why.as_ref().map(|why| {
            json!({
                "code": end.code,
                "message": why,
                "log_id": end.log_id,
                "who": end.who,
                "remedies": end.remedies,
            })
        });
        let fields = json!({
            "outcome": outcome,
            "exit": exit,
            "publish_id": end.publish_id.as_ref().or(self.publish_id.as_ref()),
            "sha256": end.sha256,
            "creator_known": end.creator_known,
            "delivered_at": end.delivered_at.map(rfc3339),
            "bytes": progress.total,
            "bytes_sent": progress.bytes_sent,
            "bytes_resent": progress.bytes_resent,
            "inits": progress.inits,
            "retry_at": end.retry_at.map(rfc3339),
            "error": error,
        });
        self.line("outcome", fields)
    }
}

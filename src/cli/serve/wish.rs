//! A job that a client submits.

use std::time::Duration;

use axum::http::StatusCode;
use chunkferry::{Escaped, Job};
use serde::Deserialize;

use super::access::Caller;
use super::problem::Problem;
use crate::folder::is_video;
use crate::stat::Stat;
pub(super) use crate::wish::Named;
use crate::wish::{Fault, Fields, OF_URLS};

/// How long a drive may take to show a file.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client wants.
pub(super) struct Wanted {
    pub(super) job: Job,
    pub(super) named: Named,
    /// The file that the client sees at the path.
    stat: Option<Stat>,
}

/// The job of a JSON text, which the caller may submit; `id` is the caller's id of the request's head, `is_target` says whether
/// `[[notify]]` has a name.
pub(super) fn job(
    text: &[u8],
    id: Option<&str>,
    caller: &Caller,
    is_target: impl Fn(&str) -> bool,
) -> Result<Wanted, Problem> {
    let fields = Fields::of(text)?;
    let stat = fields.get("stat").map(Stat::deserialize).transpose();
    let stat = stat.map_err(|_| {
        let text = "stat has to be an object of inode, size and mtime_ns.";
        Problem::field("stat", text)
    })?;
    Ok(Wanted {
        job: submitted(&fields, fields.source()?, id, caller, is_target)?,
        named: fields.named()?,
        stat,
    })
}

/// The same for a video that comes with its job, from the other fields of that.
pub(super) fn job_of_body(
    text: &[u8],
    id: Option<&str>,
    caller: &Caller,
    is_target: impl Fn(&str) -> bool,
) -> Result<Job, Problem> {
    let fields = Fields::of(text)?;
    for others in [
        &["file", "url"][..],
        &OF_URLS,
        &["allow_writer", "settle", "stat"],
    ] {
        fields.lacks(others, "its video as the body")?;
    }
    let name = fields.text("name")?.unwrap_or("body");
    submitted(&fields, Job::body(name), id, caller, is_target)
}

impl Wanted {
    /// Refuses a job whose file the service cannot send, as far as that can be seen without reading it.
    pub(super) async fn check_file(&self) -> Result<(), Problem> {
        let Named::File(path) = &self.named else {
            return Ok(());
        };
        let of = path.clone();
        let look = tokio::task::spawn_blocking(move || is_video(&of));
        // A drive that does not answer is a matter of the job's run.
        let Ok(Ok(Err(why))) = tokio::time::timeout(PATIENCE, look).await else {
            return Ok(());
        };
        let shown = Escaped::new(&*path.to_string_lossy()).to_string();
        Err(Problem::field("file", format!("{shown}: {why}.")))
    }

    /// Refuses a job whose client sees another file at its path than the service.
    pub(super) async fn check_stat(&self) -> Result<(), Problem> {
        let (Named::File(path), Some(by_client)) = (&self.named, self.stat) else {
            return Ok(());
        };
        let of = path.clone();
        let look = tokio::task::spawn_blocking(move || Stat::of(&of));
        let Ok(Ok(found)) = tokio::time::timeout(PATIENCE, look).await else {
            // The drive does not answer, which is a matter of the job's run.
            return Ok(());
        };
        let why = match found {
            Ok(found) if found == by_client => return Ok(()),
            Ok(_) => "the service sees another file".to_owned(),
            Err(error) => format!("the service cannot see the file: {error}"),
        };
        let shown = Escaped::new(&*path.to_string_lossy()).to_string();
        let text = format!(
            "{shown}: {why}. It may run in a container, with another user's rights, or with a /tmp of its own; or the file is being changed. Nothing was accepted."
        );
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Err(Problem::new(status, "other_file", text).with("field", "stat"))
    }
}

/// The job with everything but its source, if the caller may submit it.
fn submitted(
    fields: &Fields,
    job: Job,
    head: Option<&str>,
    caller: &Caller,
    is_target: impl Fn(&str) -> bool,
) -> Result<Job, Problem> {
    let mut job = fields.job(job)?.submitted_by(&caller.name());
    caller.check_account(fields.account()?)?;
    match (head, fields.text("id")?) {
        (Some(head), Some(id)) if head != id => {
            let text = "The field id and the header Idempotency-Key differ.";
            return Err(Problem::field("id", text));
        }
        (None, None) => {}
        (Some(id), _) | (None, Some(id)) => job = job.id(id),
    }
    if let Some(name) = fields.text("notify")? {
        if !is_target(name) {
            let text = "notify has to be the name of an entry of [[notify]] in the config file.";
            return Err(Problem::field("notify", text));
        }
        job = job.notify(name);
    }
    Ok(job)
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let code = if fault.is_unsupported {
            "not_supported"
        } else {
            "usage"
        };
        let mut problem = Self::new(StatusCode::BAD_REQUEST, code, fault.text);
        if let Some(field) = fault.field {
            problem = problem.with("field", field);
        }
        match fault.nearest {
            Some(nearest) => problem.with("nearest", nearest),
            None => problem,
        }
    }
}

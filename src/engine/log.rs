//! What the log has of an upload at the level `info`: its stages, what went wrong on the way, and its end. Each chunk and each request
//! is a line at `debug`.

use crate::engine::draft::Draft;
use crate::error::Error;
use crate::secret::escaped::Escaped;
use crate::upload::event::Event;

/// Logs an event, if it is worth a line.
pub(super) fn event(event: &Event) {
    match event {
        Event::SessionOpened { publish_id } => {
            tracing::info!(publish_id, "the upload has a session");
        }
        Event::Pulling { publish_id } => tracing::info!(publish_id, "the service fetches the URL"),
        Event::Processing { publish_id } => {
            tracing::info!(publish_id, "the service has all bytes");
        }
        Event::Retry { cause, wait } => {
            let cause = cause.to_string();
            let seconds = wait.as_secs_f64();
            tracing::info!(cause = %Escaped::new(&cause), seconds, "a request is sent again");
        }
        Event::SessionLost { cause } => {
            let cause = cause.to_string();
            tracing::warn!(cause = %Escaped::new(&cause), "the session is lost");
        }
        Event::Notice(notice) => {
            let notice = notice.to_string();
            tracing::info!("{}", Escaped::new(&notice));
        }
        _ => {}
    }
}

/// Logs how a run of an upload has ended.
pub(super) fn end(name: &str, result: &Result<Draft, Error>) {
    let name = Escaped::new(name);
    match result {
        Ok(draft) => {
            let (outcome, publish_id) = (draft.outcome.as_str(), &*draft.publish_id);
            tracing::info!(video = %name, outcome, publish_id, "the upload has ended");
        }
        Err(error) => {
            let (outcome, why) = (error.kind().as_str(), error.to_string());
            let (code, log_id) = (error.code(), error.log_id());
            let why = Escaped::new(&why);
            tracing::warn!(video = %name, outcome, code, log_id, "the upload has ended: {why}");
        }
    }
}

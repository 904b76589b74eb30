//! The outside view of an upload: status answers, the progress header, the log.

use serde_json::{Map, Value, json};

use super::super::clock::{Clock, Moment};
use super::super::endpoint::Endpoint;
use super::super::log::SessionLog;
use super::super::settings::{ProgressHeader, ProgressUnit, Settings, StatusBytes};
use super::{Kept, LAG, Session, Source, State, Verdict};

impl Session {
    /// The word for the state in status answers and in the log.
    pub(crate) fn status_word(&self, state: &State, settings: &Settings) -> String {
        match (state, &self.source) {
            (State::Processing, _) if settings.extra_status.is_some() => {
                settings.extra_status.clone().unwrap_or_default()
            }
            (State::Arriving | State::Processing, Source::Pull) => "PROCESSING_DOWNLOAD".to_owned(),
            (State::Arriving | State::Processing, Source::Upload(_)) => {
                "PROCESSING_UPLOAD".to_owned()
            }
            (State::Delivered, _) => "SEND_TO_USER_INBOX".to_owned(),
            (State::Posted, _) => "PUBLISH_COMPLETE".to_owned(),
            (State::Failed(_), _) => "FAILED".to_owned(),
        }
    }

    /// The `data` of a status answer (D ST, misspelling included).
    pub(crate) fn status_data(&self, now: Moment, settings: &Settings) -> Value {
        let state = self.state(now, settings);
        let mut data = Map::new();
        data.insert(
            "status".to_owned(),
            json!(self.status_word(&state, settings)),
        );
        if let State::Failed(reason) = &state {
            data.insert("fail_reason".to_owned(), json!(reason));
        }
        if state == State::Posted && self.public {
            let posts = json!([self.post_id()]);
            data.insert("publicaly_available_post_id".to_owned(), posts);
        }
        match (&self.source, settings.status_bytes) {
            (Source::Pull, _) => {
                data.insert("downloaded_bytes".to_owned(), json!(self.received));
            }
            (Source::Upload(_), StatusBytes::Absent) => {}
            (Source::Upload(_), StatusBytes::Exact) => {
                data.insert("uploaded_bytes".to_owned(), json!(self.received));
            }
            (Source::Upload(_), StatusBytes::Lagging) => {
                let known = self.history.iter().rev();
                let old = known.into_iter().find(|(at, _)| now.since(*at) >= LAG);
                let bytes = old.map_or(0, |(_, received)| *received);
                data.insert("uploaded_bytes".to_owned(), json!(bytes));
            }
        }
        Value::Object(data)
    }

    /// The progress header of a PUT's answer, if this answer carries one.
    pub(crate) fn progress_header(&self, status: u16, settings: &Settings) -> Option<String> {
        let total = self.progress()?.plan.video_size;
        match settings.progress_header {
            ProgressHeader::Never => return None,
            ProgressHeader::Only416 if status != 416 => return None,
            ProgressHeader::Only416 | ProgressHeader::Always => {}
        }
        match (settings.progress_unit, self.received.checked_sub(1)) {
            (ProgressUnit::Count, _) => Some(format!("bytes 0-{}/{total}", self.received)),
            (ProgressUnit::LastIndex, Some(last)) => Some(format!("bytes 0-{last}/{total}")),
            // There is no last byte; this is the standard's form for "none".
            (ProgressUnit::LastIndex, None) => Some(format!("bytes */{total}")),
        }
    }

    pub(crate) fn log(&self, clock: &Clock, settings: &Settings) -> SessionLog {
        let now = clock.now();
        let plan = self.progress().map(|progress| progress.plan);
        let state = self.state(now, settings);
        SessionLog {
            publish_id: self.publish_id.clone(),
            endpoint: self.endpoint.name().to_owned(),
            creator: self.shown_creator.clone(),
            video_size: plan.map(|plan| plan.video_size),
            chunk_size: plan.map(|plan| plan.chunk_size),
            total_chunk_count: plan.map(|plan| plan.total_chunk_count),
            received: self.received,
            sha256: self.sha256.clone(),
            status: self.status_word(&state, settings),
            fail_reason: match &state {
                State::Failed(reason) => Some(reason.clone()),
                _ => None,
            },
            title: self.title.clone(),
            description: self.description.clone(),
            waiting: self.waits(now, settings),
            discarded: self.verdict == Some(Verdict::Discarded),
            post_id: (state == State::Posted && self.public).then(|| self.post_id()),
            media: self.media(),
            not_kept: self.not_kept(),
            orphan: self.orphan,
            issued_at: clock.unix(self.issued),
            expires_at: clock.unix(self.expires),
            completed_at: self.completed.map(|completed| clock.unix(completed)),
            puts: self.puts.iter().cloned().collect(),
        }
    }

    /// The paths of `media.rs` that lead to a file.
    pub(crate) fn media(&self) -> Vec<String> {
        let shown = matches!(&self.kept, Kept::At(place) if place.whole().is_some());
        let id = &self.publish_id;
        match (shown, self.endpoint) {
            (false, _) => Vec::new(),
            (true, Endpoint::PhotoInit) => (0..self.ends.len())
                .map(|photo| format!("/_emulator/media/{id}/{photo}"))
                .collect(),
            (true, _) => vec![format!("/_emulator/media/{id}/0")],
        }
    }

    fn not_kept(&self) -> Option<String> {
        const NOTHING: &str =
            "This server keeps nothing of what it receives. --keep SIZE or --dir DIR changes that.";
        match &self.kept {
            _ if self.completed.is_none() => None,
            Kept::At(_) => None,
            Kept::Nothing => Some(NOTHING.to_owned()),
            Kept::Not(why) => Some(why.clone()),
        }
    }
}

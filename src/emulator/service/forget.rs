//! Uploads that give way: only the last ones are known, so that memory stays bounded.

use super::Service;
use crate::session::Session;

/// Uploads that are known at a time.
const MOST_SESSIONS: usize = 10_000;

/// PUTs of all uploads together that are remembered.
const MOST_PUTS: usize = 200_000;

/// What is still known of uploads that were forgotten.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    pub(crate) sessions: u64,
    pub(crate) drafts: u64,
}

impl Service {
    /// Forgets the oldest uploads while there are too many, or too many PUTs. Returns them, for what they leave behind to
    /// be dropped without the lock.
    #[must_use]
    pub(crate) fn forget_surplus(&mut self) -> Vec<Session> {
        let mut gone = Vec::new();
        while self.sessions.len() > MOST_SESSIONS || self.puts > MOST_PUTS {
            let Some((_, oldest)) = self.sessions.pop_first() else {
                break;
            };
            let settings = self.scopes.of(Some(&oldest.token));
            self.forgotten.sessions += 1;
            self.forgotten.drafts += u64::from(oldest.is_draft(self.now(), &settings));
            self.by_upload_id.remove(&oldest.upload_id);
            self.by_publish_id.remove(&oldest.publish_id);
            self.puts -= oldest.puts.len();
            gone.push(oldest);
        }
        gone
    }
}

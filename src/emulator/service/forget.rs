//! Forgets the oldest uploads, so that memory stays bounded.

use super::Service;
use crate::session::Session;

/// Most uploads in memory.
const MOST_SESSIONS: usize = 10_000;

/// Most PUTs in memory, of all uploads together.
const MOST_PUTS: usize = 200_000;

/// The remaining facts about forgotten uploads.
#[derive(Debug, Default)]
pub(crate) struct Forgotten {
    pub(crate) sessions: u64,
    pub(crate) drafts: u64,
}

impl Service {
    /// Forgets the oldest uploads while there are too many, or too many PUTs. Returns them: their files are removed when
    /// they are dropped after the lock is released.
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

//! A creator's actions on a draft: post, discard, take a post back.

use super::service::Service;
use super::session::{State, Verdict};
use super::webhooks;

impl Service {
    /// Posts a draft from the inbox (D ST: `PUBLISH_COMPLETE`).
    ///
    /// `owner`: only a draft of this creator.
    pub(crate) fn post(&mut self, publish_id: &str, owner: Option<&str>) -> Result<(), String> {
        self.decide(publish_id, owner, Verdict::Posted(self.now()))
    }

    /// Discards a draft. No status is documented for that, so it stays `SEND_TO_USER_INBOX`; its pending place is free
    /// again.
    pub(crate) fn discard(&mut self, publish_id: &str, owner: Option<&str>) -> Result<(), String> {
        self.decide(publish_id, owner, Verdict::Discarded)
    }

    fn decide(
        &mut self,
        publish_id: &str,
        owner: Option<&str>,
        verdict: Verdict,
    ) -> Result<(), String> {
        // The event of the delivery must precede this one.
        self.gather_news();
        let now = self.now();
        let number = self.by_publish_id(publish_id);
        let session = number.and_then(|number| self.sessions.get_mut(&number));
        let session = session.filter(|session| session.is_of(owner));
        let session = session.ok_or_else(|| format!("there is no upload {publish_id}"))?;
        let settings = self.scopes.of(Some(&session.token));
        if !session.waits(now, &settings) {
            return Err(format!("{publish_id} does not wait in the inbox"));
        }
        session.verdict = Some(verdict);
        Ok(())
    }

    /// Takes a public post back; only webhooks report that.
    pub(crate) fn unpublish(
        &mut self,
        publish_id: &str,
        owner: Option<&str>,
    ) -> Result<(), String> {
        self.gather_news();
        let now = self.now();
        let number = self.by_publish_id(publish_id);
        let session = number.and_then(|number| self.sessions.get_mut(&number));
        let session = session.filter(|session| session.public && session.is_of(owner));
        let session = session.ok_or_else(|| format!("{publish_id} is no public post"))?;
        let settings = self.scopes.of(Some(&session.token));
        if session.state(now, &settings) != State::Posted {
            return Err(format!("{publish_id} is no public post"));
        }
        session.public = false;
        let news = webhooks::unpublished(session);
        let unix = self.clock.unix(now);
        self.webhooks.tell(&news, now, unix, &settings);
        Ok(())
    }
}

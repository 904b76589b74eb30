//! The clients' mistakes that had no visible consequence, each with the fact that shows the mistake.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bounded::{Last, LastKeys, MOST_KEYS, MOST_RECORDS};
use super::clock::Moment;
use super::session::{Session, Source};

/// One mistake of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// A short, stable name for the kind of mistake.
    pub rule: String,
    /// The creator of the client's token.
    pub creator: String,
    /// The upload, if the mistake concerns one.
    pub publish_id: Option<String>,
    /// What happened.
    pub what: String,
    /// Why it is a mistake.
    pub fact: String,
    /// The source of the fact: `D` documented, `F` reported from the field, `R` this project's rule.
    pub mark: String,
}

struct Rule {
    name: &'static str,
    fact: &'static str,
    mark: &'static str,
}

const BEARER_ON_PUT: Rule = Rule {
    name: "bearer_on_put",
    fact: "the upload host's credential is in the URL; an access token sent there is given away",
    mark: "D",
};
const ONE_READING: Rule = Rule {
    name: "plan_legal_under_one_reading",
    fact: "MB is never defined as 10^6 or 2^20, and chunks above 64,000,000 were refused",
    mark: "F",
};
const BLIND_416: Rule = Rule {
    name: "blind_repeat_of_416",
    fact: "416 means the range disagrees with the progress; the same range will be refused again",
    mark: "F",
};
const REPEATED_400: Rule = Rule {
    name: "repeat_of_refused_init",
    fact: "a refused plan stays refused; repeating it only uses up the 6 inits a minute",
    mark: "F",
};
const SECOND_INIT: Rule = Rule {
    name: "second_init_for_equal_bytes",
    fact: "init has no idempotency key: a second one for the same video becomes a second post",
    mark: "F",
};
const OVER_30: Rule = Rule {
    name: "status_over_30_a_minute",
    fact: "status may be asked 30 times a minute for a token, all its uploads together",
    mark: "D",
};
const ABANDONED: Rule = Rule {
    name: "session_abandoned",
    fact: "an init that is not followed to its end takes one of the creator's 5 pending places",
    mark: "D",
};

/// How long an upload may rest before it counts as abandoned, while the client still runs.
const REST: Duration = Duration::from_secs(60);

/// The findings so far, and the state needed to find more.
#[derive(Debug)]
pub(crate) struct Review {
    findings: Last<Finding>,
    once: LastKeys<(&'static str, u64), ()>,
    /// The range of each upload's last 416.
    refused: LastKeys<u64, (u64, u64)>,
    /// SHA-256 of token and body of each refused init.
    refused_inits: LastKeys<[u8; 32], ()>,
}

impl Default for Review {
    fn default() -> Self {
        Self {
            findings: Last::new(MOST_RECORDS),
            once: LastKeys::new(MOST_KEYS),
            refused: LastKeys::new(MOST_KEYS),
            refused_inits: LastKeys::new(MOST_KEYS),
        }
    }
}

impl Review {
    fn add(&mut self, rule: &Rule, creator: &str, publish_id: Option<&str>, what: String) {
        self.findings.push(Finding {
            rule: rule.name.to_owned(),
            creator: creator.to_owned(),
            publish_id: publish_id.map(str::to_owned),
            what,
            fact: rule.fact.to_owned(),
            mark: rule.mark.to_owned(),
        });
    }

    /// Forgets the findings about a creator.
    pub(crate) fn forget(&mut self, creator: &str) {
        self.findings.retain(|finding| finding.creator != creator);
    }

    /// Reports an Authorization header on a PUT, once for each upload.
    pub(crate) fn bearer_on_put(&mut self, number: u64, session: &Session) {
        if self.once.insert((BEARER_ON_PUT.name, number), ()) {
            let what = "Authorization was sent to the upload host".to_owned();
            self.add(
                &BEARER_ON_PUT,
                &session.shown_creator,
                Some(&session.publish_id),
                what,
            );
        }
    }

    pub(crate) fn one_reading_only(&mut self, creator: &str, remark: String) {
        self.add(&ONE_READING, creator, None, remark);
    }

    /// Checks the range of a PUT: a refused range must not come again without a status call.
    pub(crate) fn put_came(&mut self, number: u64, session: &Session, range: (u64, u64)) {
        if self.refused.get(&number) == Some(&range) {
            let (first, last) = range;
            let what = format!("bytes {first}-{last} were sent again right after their 416");
            self.add(
                &BLIND_416,
                &session.shown_creator,
                Some(&session.publish_id),
                what,
            );
        }
    }

    /// Notes the answer to that PUT; any status but 416 forgets the refused range.
    pub(crate) fn put_answered(&mut self, number: u64, status: u16, range: Option<(u64, u64)>) {
        match (status, range) {
            (416, Some(range)) => {
                self.refused.insert(number, range);
            }
            _ => {
                self.refused.remove(&number);
            }
        }
    }

    /// Notes a status call, after which a repeat is not blind.
    pub(crate) fn status_asked(&mut self, number: u64) {
        self.refused.remove(&number);
    }

    /// Notes an init that was refused for its parameters.
    pub(crate) fn init_refused(&mut self, token: &str, creator: &str, body: &[u8]) {
        let digest = Sha256::new_with_prefix(Sha256::digest(token)).chain_update(body);
        if !self.refused_inits.insert(digest.finalize().into(), ()) {
            let what = "the same init was refused for the same reason before".to_owned();
            self.add(&REPEATED_400, creator, None, what);
        }
    }

    pub(crate) fn status_refused(&mut self, creator: &str) {
        let what = "a status call was refused with 429".to_owned();
        self.add(&OVER_30, creator, None, what);
    }

    /// All findings, with those that only the uploads show. `over`: the clients are done, so unfinished uploads count as
    /// abandoned.
    pub(crate) fn findings<'a>(
        &self,
        sessions: impl Iterator<Item = &'a Session> + Clone,
        failed: impl Fn(&Session) -> bool,
        now: Moment,
        over: bool,
    ) -> Vec<Finding> {
        let mut review = Self {
            findings: self.findings.clone(),
            ..Self::default()
        };
        for session in sessions.clone() {
            if session.is_abandoned(now, over) {
                let what = format!("{} bytes arrived, then nothing more", session.received);
                review.add(
                    &ABANDONED,
                    &session.shown_creator,
                    Some(&session.publish_id),
                    what,
                );
            }
        }
        // Grouped by what two uploads of one video have in common; comparing all pairs would take too long.
        let mut known: HashMap<_, Vec<&Session>> = HashMap::new();
        for session in sessions.filter(|session| !session.orphan) {
            let known = known
                .entry((&session.creator, &session.first_chunk))
                .or_default();
            if let Some(older) = known.iter().find(|older| older.is_doubled_by(session)) {
                let what = format!("the same bytes were already sent as {}", older.publish_id);
                review.add(
                    &SECOND_INIT,
                    &session.shown_creator,
                    Some(&session.publish_id),
                    what,
                );
            }
            // After a failure the same bytes may be sent again.
            if !failed(session) {
                known.push(session);
            }
        }
        review.findings.iter().cloned().collect()
    }
}

impl Session {
    fn is_abandoned(&self, now: Moment, over: bool) -> bool {
        let unfinished = self.completed.is_none() && self.failed.is_none();
        if !unfinished || self.dropped || self.orphan || matches!(self.source, Source::Pull) {
            return false;
        }
        // A client whose URL was answered as dead could not continue.
        let told = self.puts.iter().next_back().and_then(|put| put.http_status);
        if matches!(told, Some(403..=405)) {
            return false;
        }
        let rests = now.since(self.last_put.unwrap_or(self.issued)) >= REST;
        over || (self.open_puts == 0 && rests)
    }

    /// Whether a later upload sends the same video to the same creator although this one could have continued. The first
    /// chunk decides; of a file sent whole, that is the file.
    fn is_doubled_by(&self, later: &Self) -> bool {
        let same = self.creator == later.creator
            && self.direct == later.direct
            && self.size() == later.size()
            && self.first_chunk.is_some()
            && self.first_chunk == later.first_chunk;
        let could_go_on = self.completed.is_some() || later.issued < self.expires;
        same && could_go_on && !self.dropped
    }

    fn size(&self) -> Option<u64> {
        self.progress().map(|progress| progress.plan.video_size)
    }
}

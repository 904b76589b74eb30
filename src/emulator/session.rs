//! One upload as the service knows it, from its init to its end.

use std::collections::VecDeque;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::bounded::Last;
use super::clock::Moment;
use super::endpoint::Endpoint;
use super::log::PutLog;
use super::rules::{Plan, Progress};
use super::settings::{FinalStatus, OrphanCounts, Settings};
use super::storage::StoredFile;

mod shown;

/// How late `uploaded_bytes` is where it lags.
const LAG: Duration = Duration::from_secs(2);

/// PUTs of one upload that are remembered: twice the chunks of the largest plan.
const MOST_PUTS: usize = 2_000;

/// Where the bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The client sends them as planned.
    Upload(Plan),
    /// The server fetches them; the size is unknown until it has.
    Pull,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) publish_id: String,
    pub(crate) upload_id: String,
    pub(crate) upload_token: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) creator: String,
    pub(crate) shown_creator: String,
    /// The token of the init: settings and faults of that token hold for the PUTs too.
    pub(crate) token: String,
    pub(crate) source: Source,
    pub(crate) issued: Moment,
    pub(crate) expires: Moment,
    /// The upload host no longer knows it; status still does.
    pub(crate) dropped: bool,
    /// Made by a refused or lost init: no client knows it.
    pub(crate) orphan: bool,
    pub(crate) received: u64,
    /// Over all that was received; `None` once bytes were thrown away unseen.
    pub(crate) hasher: Option<Sha256>,
    pub(crate) sha256: Option<String>,
    pub(crate) first_chunk: Option<String>,
    pub(crate) completed: Option<Moment>,
    pub(crate) failed: Option<String>,
    /// Grows with each PUT that is taken, so that an older one cannot write over a newer one.
    pub(crate) attempt: u64,
    pub(crate) open_puts: u64,
    pub(crate) last_put: Option<Moment>,
    pub(crate) puts: Last<PutLog>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) public: bool,
    /// Posted without a stop in the inbox.
    pub(crate) direct: bool,
    /// What the creator did with the draft.
    pub(crate) verdict: Option<Verdict>,
    /// The last state that was sent to webhooks.
    pub(crate) announced: Option<State>,
    /// What is kept of the bytes.
    pub(crate) kept: Kept,
    /// Where each fetched file ends among the bytes.
    pub(crate) ends: Vec<u64>,
    /// What was received when; what a lagging status reads.
    history: VecDeque<(Moment, u64)>,
}

/// What a creator does with a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Posted(Moment),
    Discarded,
}

/// What is kept of an upload's bytes.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Nothing so far, or nothing ever.
    Nothing,
    /// Nothing any more, for this reason.
    Not(String),
    At(StoredFile),
}

impl Kept {
    /// Bytes that its file takes in the storage.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::At(place) => place.size,
            Self::Nothing | Self::Not(_) => 0,
        }
    }
}

/// Where an upload is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Bytes are still missing.
    Arriving,
    /// All bytes are here.
    Processing,
    /// A draft lies in the inbox.
    Delivered,
    /// It is posted.
    Posted,
    /// It failed, for this reason.
    Failed(String),
}

impl Session {
    pub(crate) fn new(
        endpoint: Endpoint,
        source: Source,
        issued: Moment,
        settings: &Settings,
    ) -> Self {
        Self {
            publish_id: String::new(),
            upload_id: String::new(),
            upload_token: String::new(),
            endpoint,
            creator: String::new(),
            shown_creator: String::new(),
            token: String::new(),
            source,
            issued,
            expires: issued.plus(settings.url_lifetime),
            dropped: false,
            orphan: false,
            received: 0,
            hasher: Some(Sha256::new()),
            sha256: None,
            first_chunk: None,
            completed: None,
            failed: None,
            attempt: 0,
            open_puts: 0,
            last_put: None,
            puts: Last::new(MOST_PUTS),
            title: None,
            description: None,
            public: true,
            direct: false,
            verdict: None,
            announced: None,
            kept: Kept::Nothing,
            ends: Vec::new(),
            history: VecDeque::from([(issued, 0)]),
        }
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        let Source::Upload(plan) = self.source else {
            return None;
        };
        let received = self.received;
        Some(Progress { plan, received })
    }

    /// Counts bytes that arrived; `hasher` has seen every byte up to `received`.
    pub(crate) fn advance(&mut self, received: u64, hasher: Option<Sha256>, now: Moment) {
        self.received = received;
        self.hasher = hasher;
        self.history.push_back((now, received));
        // Byte counts older than the last one that status may report are never read again.
        while self
            .history
            .get(1)
            .is_some_and(|(at, _)| now.since(*at) >= LAG)
        {
            self.history.pop_front();
        }
        let Source::Upload(plan) = self.source else {
            return;
        };
        if self.first_chunk.is_none() && received >= plan.chunk(0).1 {
            self.first_chunk = self.digest();
        }
        if received == plan.video_size {
            self.complete(now);
        }
    }

    fn digest(&self) -> Option<String> {
        let hasher = self.hasher.clone()?;
        Some(hex::encode(hasher.finalize()))
    }

    /// Nothing is missing any more.
    pub(crate) fn complete(&mut self, now: Moment) {
        self.sha256 = self.digest();
        self.completed = Some(now);
    }

    pub(crate) fn state(&self, now: Moment, settings: &Settings) -> State {
        if let Some(reason) = &self.failed {
            return State::Failed(reason.clone());
        }
        let Some(completed) = self.completed else {
            return State::Arriving;
        };
        if now.since(completed) < settings.processing_time {
            return State::Processing;
        }
        // What a creator did is not undone by a setting.
        match self.verdict {
            Some(Verdict::Posted(_)) => return State::Posted,
            Some(Verdict::Discarded) => return State::Delivered,
            None => {}
        }
        let reason = settings.extra_fail_reason.as_ref();
        if let Some(reason) = reason.or(settings.fail_reason.as_ref()) {
            return State::Failed(reason.clone());
        }
        match (settings.final_status, self.direct) {
            (FinalStatus::ByEndpoint, true) => State::Posted,
            (FinalStatus::ByEndpoint | FinalStatus::SendToUserInbox, _) => State::Delivered,
            (FinalStatus::PublishComplete, _) => State::Posted,
            (FinalStatus::Failed, _) => State::Failed("internal".to_owned()),
        }
    }

    /// When it was posted, if it is.
    pub(crate) fn posted_at(&self, now: Moment, settings: &Settings) -> Option<Moment> {
        if self.state(now, settings) != State::Posted {
            return None;
        }
        match self.verdict {
            Some(Verdict::Posted(at)) => Some(at),
            Some(Verdict::Discarded) | None => {
                let completed = self.completed?;
                Some(completed.plus(settings.processing_time))
            }
        }
    }

    /// The public post's id: the digits of the publish_id, a number above 2^53.
    pub(crate) fn post_id(&self) -> u64 {
        let digits = self.publish_id.rsplit('.').next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Whether it takes one of the creator's pending places (D UP: un-posted within 24 hours).
    pub(crate) fn is_pending(&self, now: Moment, settings: &Settings) -> bool {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        if self.direct || now.since(self.issued) >= DAY {
            return false;
        }
        match self.state(now, settings) {
            State::Posted | State::Failed(_) => false,
            State::Delivered | State::Processing => self.stays(now, settings),
            State::Arriving => settings.orphan_counts == OrphanCounts::Yes,
        }
    }

    /// Whether the creator can still do something with the draft.
    pub(crate) fn waits(&self, now: Moment, settings: &Settings) -> bool {
        self.state(now, settings) == State::Delivered && self.stays(now, settings)
    }

    /// Whether a draft is still there.
    fn stays(&self, now: Moment, settings: &Settings) -> bool {
        let lives = settings.draft_ttl.zip(self.completed);
        self.verdict.is_none() && lives.is_none_or(|(ttl, completed)| now.since(completed) < ttl)
    }

    /// Whether it is this creator's; `None` is everyone.
    pub(crate) fn is_of(&self, owner: Option<&str>) -> bool {
        owner.is_none_or(|owner| self.shown_creator == owner)
    }

    /// Keeps nothing of it, and returns what was kept.
    pub(crate) fn keep_not(&mut self, why: String) -> Kept {
        std::mem::replace(&mut self.kept, Kept::Not(why))
    }

    pub(crate) fn is_draft(&self, now: Moment, settings: &Settings) -> bool {
        let state = self.state(now, settings);
        state == State::Delivered || (!self.direct && state == State::Posted)
    }
}

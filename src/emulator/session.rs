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

/// Delay of `uploaded_bytes` when it lags.
const LAG: Duration = Duration::from_secs(2);

/// Most PUTs of one upload in the log: twice the chunks of the largest plan.
const MOST_PUTS: usize = 2_000;

/// The source of the bytes.
#[derive(Debug)]
pub(crate) enum Source {
    /// The client sends the bytes by this plan.
    Upload(Plan),
    /// The server fetches the bytes; the size is unknown until it has.
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
    /// The token of the init: its settings and faults apply to the PUTs, too.
    pub(crate) token: String,
    pub(crate) source: Source,
    pub(crate) issued: Moment,
    pub(crate) expires: Moment,
    /// The upload host no longer knows the upload; status still does.
    pub(crate) dropped: bool,
    /// Created by a refused or lost init, so that no client knows it.
    pub(crate) orphan: bool,
    pub(crate) received: u64,
    /// The hash of all received bytes; `None` once bytes were discarded.
    pub(crate) hasher: Option<Sha256>,
    pub(crate) sha256: Option<String>,
    pub(crate) first_chunk: Option<String>,
    pub(crate) completed: Option<Moment>,
    pub(crate) failed: Option<String>,
    /// Raised by each PUT that is received, so that an older PUT cannot overwrite a newer one.
    pub(crate) attempt: u64,
    pub(crate) open_puts: u64,
    pub(crate) last_put: Option<Moment>,
    pub(crate) puts: Last<PutLog>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) public: bool,
    /// A direct post, without the inbox.
    pub(crate) direct: bool,
    /// The creator's action on the draft.
    pub(crate) verdict: Option<Verdict>,
    /// The last state reported to webhooks.
    pub(crate) announced: Option<State>,
    /// The stored bytes.
    pub(crate) kept: Kept,
    /// Offset at which each fetched file ends.
    pub(crate) ends: Vec<u64>,
    /// Received bytes over time, for a lagging status.
    history: VecDeque<(Moment, u64)>,
}

/// A creator's action on a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Posted(Moment),
    Discarded,
}

/// The stored bytes of an upload.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Nothing yet, or nothing at all.
    Nothing,
    /// Nothing any more, for this reason.
    Not(String),
    At(StoredFile),
}

impl Kept {
    /// Bytes of its file in the storage.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::At(place) => place.size,
            Self::Nothing | Self::Not(_) => 0,
        }
    }
}

/// The stage of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Bytes are still missing.
    Arriving,
    /// All bytes have arrived.
    Processing,
    /// The draft is in the inbox.
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

    /// Counts received bytes; `hasher` covers every byte up to `received`.
    pub(crate) fn advance(&mut self, received: u64, hasher: Option<Sha256>, now: Moment) {
        self.received = received;
        self.hasher = hasher;
        self.history.push_back((now, received));
        // Entries older than the last one that status may report are not needed.
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

    /// Notes that all bytes have arrived.
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
        // A setting does not undo the creator's action.
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

    /// When the upload was posted, if it was.
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

    /// Whether the creator can still act on the draft.
    pub(crate) fn waits(&self, now: Moment, settings: &Settings) -> bool {
        self.state(now, settings) == State::Delivered && self.stays(now, settings)
    }

    /// Whether the draft still exists.
    fn stays(&self, now: Moment, settings: &Settings) -> bool {
        let lives = settings.draft_ttl.zip(self.completed);
        self.verdict.is_none() && lives.is_none_or(|(ttl, completed)| now.since(completed) < ttl)
    }

    /// Whether the upload belongs to this creator; `None` means any.
    pub(crate) fn is_of(&self, owner: Option<&str>) -> bool {
        owner.is_none_or(|owner| self.shown_creator == owner)
    }

    /// Drops the stored file and stores no more of this upload; returns the dropped file.
    pub(crate) fn keep_not(&mut self, why: String) -> Kept {
        std::mem::replace(&mut self.kept, Kept::Not(why))
    }

    pub(crate) fn is_draft(&self, now: Moment, settings: &Settings) -> bool {
        let state = self.state(now, settings);
        state == State::Delivered || (!self.direct && state == State::Posted)
    }
}

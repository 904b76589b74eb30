//! All the server knows, behind one lock that is only ever held for bookkeeping.
//!
//! Nothing waits, reads or hashes while it is held: bodies are received with a copy of the hasher
//! and handed in when they are whole.

mod scopes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::answer::Refusal;
use super::clock::{Clock, Moment};
use super::creator::{Windows, creator_of, public_name};
use super::endpoint::Endpoint;
use super::faults::{Action, Faults, Occasion, Strike};
use super::log::{FaultLog, Log, NoteLog, Requests};
use super::review::{Finding, Review};
use super::session::{Session, Source, State};
use super::settings::{LostInit, RetryAfter, SettingError, Settings};
use super::tokens::Tokens;
use super::webhooks::{self, News, Webhooks};
pub(crate) use scopes::Scopes;

/// A pull that was accepted: the URLs to fetch for an upload.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) session: u64,
    pub(crate) urls: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) scopes: Scopes,
    pub(crate) faults: Faults,
    pub(crate) windows: Windows,
    /// By number. Numbers are never used twice, so that a PUT which outlives a reset finds nothing.
    pub(crate) sessions: BTreeMap<u64, Session>,
    next_session: u64,
    first_session: u64,
    by_upload_id: HashMap<String, u64>,
    by_publish_id: HashMap<String, u64>,
    pub(crate) tokens: Tokens,
    pub(crate) review: Review,
    pub(crate) webhooks: Webhooks,
    /// Pulls that were accepted and wait to be started.
    pub(crate) orders: Vec<Order>,
    pub(crate) random: fastrand::Rng,
    requests: Requests,
    inits: u64,
    fired: Vec<FaultLog>,
    notes: Vec<NoteLog>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            clock: Clock::new(settings.clock),
            scopes: Scopes::new(settings),
            faults: Faults::default(),
            windows: Windows::default(),
            sessions: BTreeMap::new(),
            next_session: 0,
            first_session: 0,
            by_upload_id: HashMap::new(),
            by_publish_id: HashMap::new(),
            tokens: Tokens::default(),
            review: Review::default(),
            webhooks: Webhooks::default(),
            orders: Vec::new(),
            random: fastrand::Rng::new(),
            requests: Requests::default(),
            inits: 0,
            fired: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// The settings in force for a token.
    pub(crate) fn settings(&self, token: Option<&str>) -> Arc<Settings> {
        self.scopes.of(token)
    }

    /// Changes settings for everyone or for one token; all of them or none.
    pub(crate) fn set(
        &mut self,
        token: Option<&str>,
        pairs: &[(String, String)],
    ) -> Result<(), SettingError> {
        self.scopes.set(token, pairs)?;
        let scale = self.scopes.of(None).clock;
        if pairs.iter().any(|(key, _)| key == "clock") {
            self.clock.set_scale(scale);
        }
        Ok(())
    }

    pub(crate) fn count(&mut self, endpoint: Option<Endpoint>) {
        match endpoint {
            Some(endpoint) if endpoint.is_init() => self.requests.init += 1,
            Some(Endpoint::Put) => self.requests.put += 1,
            Some(Endpoint::Status) => self.requests.status += 1,
            _ => self.requests.other += 1,
        }
    }

    /// Counts an API call, and says which fault hits it.
    pub(crate) fn enter(&mut self, endpoint: Endpoint, token: Option<&str>) -> Strike {
        self.count(Some(endpoint));
        let occasion = Occasion {
            endpoint,
            chunk: None,
            upload: None,
            publish_id: None,
            token,
            creator: token.map(creator_of),
        };
        let strike = self.faults.strike(&occasion);
        self.record_strike(&strike, endpoint, None, None);
        if let (Some(Action::RevokeToken), Some(token)) = (&strike.action, token) {
            self.tokens.kill(token);
        }
        strike
    }

    /// Counts a PUT, lets faults act on its upload, and says which one hits the transfer.
    pub(crate) fn enter_put(&mut self, number: u64, chunk: Option<u64>) -> Strike {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(&number) else {
            return Strike::default();
        };
        let occasion = Occasion {
            endpoint: Endpoint::Put,
            chunk,
            upload: Some(number - self.first_session + 1),
            publish_id: Some(&session.publish_id),
            token: Some(&session.token),
            creator: Some(&session.creator),
        };
        let strike = self.faults.strike(&occasion);
        match strike.action {
            Some(Action::ExpireUrl) => session.expires = now,
            Some(Action::DropSession) => session.dropped = true,
            Some(Action::RevokeToken) => self.tokens.kill(&session.token),
            _ => {}
        }
        let publish_id = session.publish_id.clone();
        self.record_strike(&strike, Endpoint::Put, Some(&publish_id), chunk);
        strike
    }

    fn record_strike(
        &mut self,
        strike: &Strike,
        endpoint: Endpoint,
        publish_id: Option<&str>,
        chunk: Option<u64>,
    ) {
        let at = self.clock.unix(self.clock.now());
        self.fired
            .extend(strike.scripts.iter().map(|script| FaultLog {
                at,
                endpoint: endpoint.name().to_owned(),
                publish_id: publish_id.map(str::to_owned),
                chunk,
                fault: script.clone(),
            }));
    }

    /// Leaves a remark in the log.
    pub(crate) fn note(&mut self, endpoint: Endpoint, text: impl Into<String>) {
        let at = self.clock.unix(self.clock.now());
        self.notes.push(NoteLog {
            at,
            endpoint: endpoint.name().to_owned(),
            text: text.into(),
        });
    }

    /// Takes a place in the token's window.
    pub(crate) fn pass_window(
        &mut self,
        endpoint: Endpoint,
        token: &str,
        settings: &Settings,
    ) -> Result<(), (Refusal, Duration)> {
        let Some(most) = endpoint.per_minute(settings).filter(|_| settings.limited()) else {
            return Ok(());
        };
        let now = self.now();
        let passed = self.windows.enter(token, endpoint, most, now);
        passed.map_err(|wait| {
            let name = endpoint.name();
            self.note(
                endpoint,
                format!("over {most} {name} calls a minute: use a fresh token or limits=off"),
            );
            if endpoint == Endpoint::Status {
                let name = public_name(creator_of(token), token);
                self.review.status_refused(&name);
            }
            (
                Refusal::new("rate_limit_exceeded", "Too many requests"),
                wait,
            )
        })
    }

    /// The Retry-After of a 429, in the form the settings ask for.
    pub(crate) fn retry_after(&self, wait: Duration, settings: &Settings) -> Option<String> {
        // Rounded up, and never "now": a client that obeys must not be refused again.
        let seconds = wait.as_secs() + 1;
        match settings.retry_after {
            RetryAfter::Absent => None,
            RetryAfter::Seconds => Some(seconds.to_string()),
            RetryAfter::Date => {
                let at = self.now().plus(Duration::from_secs(seconds + 1));
                Some(httpdate::fmt_http_date(self.clock.wall(at)))
            }
        }
    }

    /// A fresh id for `log_id`.
    pub(crate) fn log_id(&mut self) -> String {
        let (high, low) = (self.random.u64(..), self.random.u64(..));
        format!(
            "{:010}{high:016X}{:08X}",
            self.clock.unix(self.now()),
            low as u32
        )
    }

    /// Opens an upload for a token; ids are made here.
    pub(crate) fn open(&mut self, token: &str, mut session: Session) -> u64 {
        let number = self.next_session;
        self.next_session += 1;
        // 19 digits, above 2^53: a client that reads them as floating point loses some.
        let id = 7_000_000_000_000_000_000 + self.random.u64(0..999_999_999_999_999_999);
        let prefix = match (session.endpoint, &session.source) {
            (Endpoint::DirectInit, Source::Upload(_)) => "v_pub_file~v2-1",
            (Endpoint::DirectInit, Source::Pull) => "v_pub_url~v2",
            (Endpoint::PhotoInit, _) => "p_pub_url~v2",
            (_, Source::Upload(_)) => "v_inbox_file~v2",
            (_, Source::Pull) => "v_inbox_url~v2",
        };
        let creator = creator_of(token);
        session.publish_id = format!("{prefix}.{id}");
        session.upload_id = id.to_string();
        session.upload_token = format!("{:032x}", self.random.u128(..));
        session.creator = creator.to_owned();
        session.shown_creator = public_name(creator, token);
        session.token = token.to_owned();
        self.by_upload_id.insert(session.upload_id.clone(), number);
        self.by_publish_id
            .insert(session.publish_id.clone(), number);
        self.inits += u64::from(!session.orphan);
        self.sessions.insert(number, session);
        number
    }

    /// Forgets what happened and what was chosen at run time: all of it, or what belongs to a token.
    pub(crate) fn reset(&mut self, token: Option<&str>) {
        self.scopes.reset(token);
        self.faults.disarm(token);
        self.windows.forget(token);
        match token {
            Some(token) => {
                self.tokens.revive(token);
                self.webhooks.forget(Some(token));
                let creator = creator_of(token);
                self.sessions
                    .retain(|_, session| session.creator != creator);
            }
            None => {
                self.tokens = Tokens::default();
                self.review = Review::default();
                self.webhooks = Webhooks::default();
                self.sessions.clear();
                self.first_session = self.next_session;
                self.requests = Requests::default();
                self.inits = 0;
                self.fired.clear();
                self.notes.clear();
                let scale = self.scopes.of(None).clock;
                self.clock.set_scale(scale);
            }
        }
        let sessions = &self.sessions;
        self.by_upload_id
            .retain(|_, number| sessions.contains_key(number));
        self.by_publish_id
            .retain(|_, number| sessions.contains_key(number));
    }

    /// The number of the next upload.
    pub(crate) fn newest(&self) -> u64 {
        self.next_session
    }

    /// Uploads since `number` were made by a call whose client is never told of them.
    pub(crate) fn orphan_since(&mut self, number: u64) {
        for session in self
            .sessions
            .range_mut(number..)
            .map(|(_, session)| session)
        {
            session.orphan = true;
        }
    }

    pub(crate) fn by_upload_id(&self, upload_id: &str) -> Option<u64> {
        self.by_upload_id.get(upload_id).copied()
    }

    pub(crate) fn by_publish_id(&self, publish_id: &str) -> Option<u64> {
        self.by_publish_id.get(publish_id).copied()
    }

    /// Pending shares of a creator.
    pub(crate) fn pending(&self, creator: &str, settings: &Settings) -> u64 {
        let now = self.now();
        let theirs = self
            .sessions
            .values()
            .filter(|session| session.creator == creator);
        theirs
            .filter(|session| session.is_pending(now, settings))
            .count() as u64
    }

    /// A creator took the consent back: what is not finished fails (D ST `auth_removed`).
    pub(crate) fn remove_auth(&mut self, creator: &str, token: &str) {
        let now = self.now();
        // 5: the developer asked for it (D WHE).
        let reason = serde_json::Map::from_iter([("reason".to_owned(), 5.into())]);
        let news = News {
            event: "authorization.removed",
            token,
            creator,
            publish_id: None,
            content: reason,
        };
        let unix = self.clock.unix(now);
        self.webhooks
            .tell(&news, now, unix, &self.scopes.of(Some(token)));
        for session in self.sessions.values_mut() {
            let settings = self.scopes.of(Some(&session.token));
            let state = session.state(now, &settings);
            if session.creator == creator && matches!(state, State::Arriving | State::Processing) {
                session.failed = Some("auth_removed".to_owned());
            }
        }
    }

    /// A public post disappears; only webhooks tell of it.
    pub(crate) fn unpublish(&mut self, publish_id: &str) -> bool {
        let now = self.now();
        let session = self
            .by_publish_id(publish_id)
            .and_then(|number| self.sessions.get_mut(&number));
        let Some(session) = session.filter(|session| session.public) else {
            return false;
        };
        let settings = self.scopes.of(Some(&session.token));
        if session.state(now, &settings) != State::Posted {
            return false;
        }
        session.public = false;
        let news = webhooks::unpublished(session);
        let unix = self.clock.unix(now);
        self.webhooks.tell(&news, now, unix, &settings);
        true
    }

    /// What clients did wrong though it got through; `over`: they are done.
    pub(crate) fn findings(&self, creator: Option<&str>, over: bool) -> Vec<Finding> {
        let theirs =
            |session: &&Session| creator.is_none_or(|creator| session.shown_creator == creator);
        let sessions = self.sessions.values().filter(theirs);
        let now = self.now();
        let failed = |session: &Session| {
            let settings = self.settings(Some(&session.token));
            matches!(session.state(now, &settings), State::Failed(_))
        };
        let findings = self.review.findings(sessions, failed, now, over);
        let theirs = |finding: &Finding| creator.is_none_or(|creator| finding.creator == creator);
        findings.into_iter().filter(theirs).collect()
    }

    /// Whether an init whose answer gets lost does its work.
    pub(crate) fn performs(
        &self,
        endpoint: Endpoint,
        strike: &Strike,
        settings: &Settings,
    ) -> bool {
        let lost = matches!(strike.action, Some(Action::Lose));
        !(endpoint.is_init() && lost && settings.lost_init == LostInit::NoTask)
    }

    /// What `GET /_emulator/log` shows, for all or for one creator.
    pub(crate) fn log(&self, creator: Option<&str>) -> Log {
        let now = self.now();
        let theirs =
            |session: &&Session| creator.is_none_or(|creator| session.shown_creator == creator);
        let sessions = self.sessions.values().filter(theirs);
        let is_draft = |session: &&Session| {
            let settings = self.settings(Some(&session.token));
            session.is_draft(now, &settings)
        };
        let told = |session: &&Session| !session.orphan;
        Log {
            requests: self.requests,
            inits: match creator {
                None => self.inits,
                Some(_) => sessions.clone().filter(told).count() as u64,
            },
            drafts: sessions.clone().filter(is_draft).count() as u64,
            sessions: sessions
                .map(|session| session.log(&self.clock, &self.settings(Some(&session.token))))
                .collect(),
            faults: self.fired.clone(),
            notes: self.notes.clone(),
            webhooks: self.webhooks.sent.clone(),
        }
    }
}

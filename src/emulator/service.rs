//! The state of the emulated service, behind one lock that is only held for bookkeeping.
//!
//! Nothing waits, reads or hashes under the lock: a body is received with a copy of the hasher, and counted once it is
//! complete.

mod entry;
mod forget;
mod scopes;
mod witness;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::answer::Refusal;
use super::bounded::{Last, MOST_RECORDS};
use super::clock::{Clock, Moment};
use super::creator::{Windows, creator_of, public_name};
use super::endpoint::Endpoint;
use super::faults::{Action, Faults, Strike};
use super::log::{FaultLog, NoteLog, Requests};
use super::review::Review;
use super::session::{Session, Source, State};
use super::settings::{LostInit, RetryAfter, SettingError, Settings};
use super::tokens::Tokens;
use super::traffic::Traffic;
use super::webhooks::{News, Webhooks};
pub(crate) use forget::Forgotten;
pub(crate) use scopes::Scopes;

/// An accepted pull: the URLs to fetch for an upload.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) session: u64,
    pub(crate) urls: Vec<String>,
}

/// The state: sessions, tokens, settings, faults and counts.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) clock: Clock,
    pub(crate) scopes: Scopes,
    pub(crate) faults: Faults,
    pub(crate) windows: Windows,
    /// By number. Numbers are never reused, so a PUT that outlives a reset finds no session.
    pub(crate) sessions: BTreeMap<u64, Session>,
    /// Facts about forgotten uploads.
    pub(crate) forgotten: Forgotten,
    /// PUTs in the log, of all uploads together.
    pub(crate) puts: usize,
    next_session: u64,
    first_session: u64,
    by_upload_id: HashMap<String, u64>,
    by_publish_id: HashMap<String, u64>,
    pub(crate) tokens: Tokens,
    pub(crate) review: Review,
    pub(crate) webhooks: Webhooks,
    /// Accepted pulls that wait to be started.
    pub(crate) orders: Vec<Order>,
    pub(crate) random: fastrand::Rng,
    /// By creator. Requests without a creator are stored under "".
    requests: BTreeMap<String, Requests>,
    pub(crate) traffic: Traffic,
    inits: u64,
    /// Connections that carried calls or chunks.
    pub(crate) connections: u64,
    fired: Last<FaultLog>,
    notes: Last<NoteLog>,
}

impl Service {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            clock: Clock::new(settings.clock),
            scopes: Scopes::new(settings),
            faults: Faults::default(),
            windows: Windows::default(),
            sessions: BTreeMap::new(),
            forgotten: Forgotten::default(),
            puts: 0,
            next_session: 0,
            first_session: 0,
            by_upload_id: HashMap::new(),
            by_publish_id: HashMap::new(),
            tokens: Tokens::default(),
            review: Review::default(),
            webhooks: Webhooks::default(),
            orders: Vec::new(),
            random: fastrand::Rng::new(),
            requests: BTreeMap::new(),
            traffic: Traffic::default(),
            inits: 0,
            connections: 0,
            fired: Last::new(MOST_RECORDS),
            notes: Last::new(MOST_RECORDS),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Unix seconds, in the server's time.
    pub(crate) fn unix(&self) -> u64 {
        self.clock.unix(self.now())
    }

    /// The settings in force for a token.
    pub(crate) fn settings(&self, token: Option<&str>) -> Arc<Settings> {
        self.scopes.of(token)
    }

    /// Changes settings for all or for one token; all of them or none.
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

    /// Adds a remark to the log.
    pub(crate) fn note(&mut self, endpoint: Endpoint, creator: &str, text: impl Into<String>) {
        let at = self.unix();
        self.notes.push(NoteLog {
            at,
            endpoint: endpoint.name().to_owned(),
            creator: creator.to_owned(),
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
            let (name, creator) = (endpoint.name(), public_name(creator_of(token), token));
            self.note(
                endpoint,
                &creator,
                format!("over {most} {name} calls a minute: use a fresh token or limits=off"),
            );
            if endpoint == Endpoint::Status {
                self.review.status_refused(&creator);
            }
            (
                Refusal::new("rate_limit_exceeded", "Too many requests"),
                wait,
            )
        })
    }

    /// The Retry-After of a 429, in the form of the settings.
    pub(crate) fn retry_after(&self, wait: Duration, settings: &Settings) -> Option<String> {
        // Rounded up, and never zero: a client that obeys must not be refused again.
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

    /// Opens an upload for a token, with new ids.
    pub(crate) fn open(&mut self, token: &str, mut session: Session) -> u64 {
        let number = self.next_session;
        self.next_session += 1;
        // 19 digits, above 2^53: a client that reads the id as floating point loses digits.
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

    /// Forgets the history and the run-time choices, all or those of a token and its creator. Returns the uploads, whose
    /// files are removed when they are dropped after the lock is released.
    #[must_use]
    pub(crate) fn reset(&mut self, token: Option<&str>) -> Vec<Session> {
        self.scopes.reset(token);
        self.faults.disarm(token);
        self.windows.forget(token);
        let creator = token.map(|token| (creator_of(token), public_name(creator_of(token), token)));
        let gone = match (token, &creator) {
            (Some(token), Some((creator, shown))) => {
                self.tokens.revive(token);
                self.webhooks.forget(Some(token));
                self.webhooks.sent.retain(|sent| sent.creator != *shown);
                self.review.forget(shown);
                self.requests.remove(shown);
                self.traffic.forget(Some(shown));
                self.fired
                    .retain(|fault| fault.creator.as_ref() != Some(shown));
                self.notes.retain(|note| note.creator != *shown);
                let theirs = |_: &u64, session: &mut Session| session.creator == *creator;
                self.sessions
                    .extract_if(.., theirs)
                    .map(|(_, gone)| gone)
                    .collect()
            }
            _ => {
                self.tokens = Tokens::default();
                self.review = Review::default();
                self.webhooks = Webhooks::default();
                self.first_session = self.next_session;
                self.requests.clear();
                self.traffic.forget(None);
                self.inits = 0;
                self.connections = 0;
                self.fired = Last::new(MOST_RECORDS);
                self.notes = Last::new(MOST_RECORDS);
                self.forgotten = Forgotten::default();
                let scale = self.scopes.of(None).clock;
                self.clock.set_scale(scale);
                std::mem::take(&mut self.sessions).into_values().collect()
            }
        };
        let sessions = &self.sessions;
        self.puts = sessions.values().map(|session| session.puts.len()).sum();
        self.by_upload_id
            .retain(|_, number| sessions.contains_key(number));
        self.by_publish_id
            .retain(|_, number| sessions.contains_key(number));
        gone
    }

    /// The number of the next upload.
    pub(crate) fn newest(&self) -> u64 {
        self.next_session
    }

    /// Marks uploads since `number` as orphans: their client never learns of them.
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

    /// Revokes a creator's consent: unfinished uploads fail (D ST `auth_removed`).
    pub(crate) fn remove_auth(&mut self, creator: &str, token: &str) {
        let now = self.now();
        // 5: at the developer's request (D WHE).
        let reason = serde_json::Map::from_iter([("reason".to_owned(), 5.into())]);
        let news = News {
            event: "authorization.removed",
            token,
            creator,
            shown: &public_name(creator, token),
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

    /// Whether an init whose answer is lost creates a task.
    pub(crate) fn performs(
        &self,
        endpoint: Endpoint,
        strike: &Strike,
        settings: &Settings,
    ) -> bool {
        let lost = matches!(strike.action, Some(Action::Lose));
        !(endpoint.is_init() && lost && settings.lost_init == LostInit::NoTask)
    }
}

//! The log and the review, for all creators or one.

use super::Service;
use crate::log::{Log, Requests};
use crate::review::Finding;
use crate::session::{Session, State};

impl Service {
    /// The clients' mistakes; `over`: the clients are done.
    pub(crate) fn findings(&self, creator: Option<&str>, over: bool) -> Vec<Finding> {
        let sessions = self.of(creator);
        let now = self.now();
        let failed = |session: &Session| {
            let settings = self.settings(Some(&session.token));
            matches!(session.state(now, &settings), State::Failed(_))
        };
        let findings = self.review.findings(sessions, failed, now, over);
        let theirs = |finding: &Finding| creator.is_none_or(|creator| finding.creator == creator);
        findings.into_iter().filter(theirs).collect()
    }

    /// The content of `GET /_emulator/log`.
    pub(crate) fn log(&self, creator: Option<&str>) -> Log {
        self.log_of_last(usize::MAX, creator)
    }

    /// The same, with only the last entries of each list.
    pub(crate) fn log_of_last(&self, most: usize, creator: Option<&str>) -> Log {
        let now = self.now();
        let sessions = self.of(creator);
        let is_draft = |session: &&Session| {
            let settings = self.settings(Some(&session.token));
            session.is_draft(now, &settings)
        };
        let told = |session: &&Session| !session.orphan;
        let theirs = |whose: &str| creator.is_none_or(|creator| whose == creator);
        let perhaps_theirs = |whose: &Option<String>| theirs(whose.as_deref().unwrap_or_default());
        let requests = self.requests.iter().filter(|(whose, _)| theirs(whose));
        let earlier = sessions.clone().count().saturating_sub(most);
        Log {
            requests: requests.fold(Requests::default(), |sum, (_, counted)| sum.plus(counted)),
            inits: match creator {
                None => self.inits,
                Some(_) => sessions.clone().filter(told).count() as u64,
            },
            connections: self.connections,
            drafts: match creator {
                None => self.forgotten.drafts,
                Some(_) => 0,
            } + sessions.clone().filter(is_draft).count() as u64,
            forgotten: self.forgotten.sessions,
            sessions: sessions
                .skip(earlier)
                .map(|session| session.log(&self.clock, &self.settings(Some(&session.token))))
                .collect(),
            faults: last(most, self.fired.iter(), |fault| {
                perhaps_theirs(&fault.creator)
            }),
            notes: last(most, self.notes.iter(), |note| theirs(&note.creator)),
            webhooks: last(most, self.webhooks.sent.iter(), |sent| {
                theirs(&sent.creator)
            }),
            recent: last(usize::MAX, self.traffic.recent(), |request| {
                perhaps_theirs(&request.creator)
            }),
        }
    }

    /// Creators with a name, to choose from.
    pub(crate) fn known_creators(&self) -> Vec<String> {
        let named = |session: &&Session| session.creator == session.shown_creator;
        let sessions = self.sessions.values().filter(named);
        let names = sessions.map(|session| session.creator.as_str());
        let mut names: Vec<String> = names
            .chain(self.tokens.consenting())
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn of<'a>(&'a self, creator: Option<&'a str>) -> impl Iterator<Item = &'a Session> + Clone {
        let theirs = move |session: &&Session| {
            creator.is_none_or(|creator| session.shown_creator == creator)
        };
        self.sessions.values().filter(theirs)
    }
}

/// The last of the wanted entries, in their order.
fn last<'a, T: Clone + 'a>(
    most: usize,
    all: impl IntoIterator<Item = &'a T, IntoIter: DoubleEndedIterator>,
    wanted: impl Fn(&T) -> bool,
) -> Vec<T> {
    let newest = all.into_iter().rev().filter(|one| wanted(one)).take(most);
    let mut kept: Vec<T> = newest.cloned().collect();
    kept.reverse();
    kept
}

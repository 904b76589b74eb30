//! What the witness says of a case: the emulator's log, against the journal and the count of kills.

use std::time::Duration;

use chunkferry::emulator::{Log, SessionLog};

use crate::act::Act;
use crate::case::Case;
use crate::scene::{End, Kill, Point, Scene};

/// What became of the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// One draft, byte for byte.
    Draft,
    /// A typed end without success that the case allows: the exit code, and whether a draft is there all the same.
    Told(i32, bool),
    Lost,
    Doubled,
    Mixed,
    /// A new video was taken for a delivered one.
    Withheld,
    Hung,
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) fate: Fate,
    pub(crate) at_points: Vec<Point>,
    /// Kills from outside.
    pub(crate) cuts: usize,
    /// Runs that were frozen at a point, and continued.
    pub(crate) frozen: usize,
    pub(crate) inits: u64,
    /// Why sessions were given up, in the words of the command.
    pub(crate) sessions_lost: Vec<String>,
    /// Promises that were broken, in words.
    pub(crate) broken: Vec<String>,
    /// The events of a case, to investigate a broken promise: a line for each run, session and PUT.
    pub(crate) story: Vec<String>,
}

/// What the journal held after a run, and how many PUTs of that session had come by then. The run is over, so the PUTs are
/// counted after the journal was read: one that the emulator logs late counts as sent before.
pub(crate) struct Recorded {
    pub(crate) publish_id: String,
    pub(crate) confirmed: u64,
    /// Whether the upload has ended, so that no run sends anything of it.
    pub(crate) ended: bool,
    pub(crate) puts: usize,
}

pub(crate) fn session<'a>(log: &'a Log, publish_id: &str) -> Option<&'a SessionLog> {
    let mut sessions = log.sessions.iter();
    sessions.find(|session| session.publish_id == publish_id)
}

pub(crate) fn is_draft(session: &SessionLog) -> bool {
    matches!(&*session.status, "SEND_TO_USER_INBOX" | "PUBLISH_COMPLETE")
}

impl Case {
    pub(crate) fn fate(&self, last: Option<i32>, log: &Log, versions: &[String]) -> Fate {
        let drafts: Vec<_> = log
            .sessions
            .iter()
            .filter(|session| is_draft(session))
            .collect();
        let of = |version: &String| {
            let same = |draft: &&&SessionLog| draft.sha256.as_ref() == Some(version);
            drafts.iter().filter(same).count()
        };
        let counts: Vec<usize> = versions.iter().map(of).collect();
        if counts.iter().sum::<usize>() < drafts.len() {
            return Fate::Mixed;
        }
        if counts.iter().any(|count| *count > 1) {
            return Fate::Doubled;
        }
        match last {
            Some(0) if self.ends.contains(&0) && !drafts.is_empty() => Fate::Draft,
            Some(5) if self.ends.contains(&5) => Fate::Told(5, !drafts.is_empty()),
            Some(code) if code != 0 && self.ends.contains(&code) && drafts.is_empty() => {
                Fate::Told(code, false)
            }
            _ => Fate::Lost,
        }
    }

    /// Whether a chunk is acknowledged once that the service never gets.
    pub(crate) fn swallows_a_chunk(&self) -> bool {
        self.row.get("fault").contains("status=206")
    }

    /// Whether this service may leave the client no other way than a new session.
    fn may_lose_sessions(&self) -> bool {
        let is = |key: &str, values: &[&str]| values.contains(&self.row.get(key));
        let fault = self.row.get("fault");
        let deadly = [
            "expire_url",
            "drop_session",
            "status=206",
            "status=404",
            "status=416",
            "chaos",
        ];
        deadly.iter().any(|deadly| fault.contains(deadly))
            // A cut chunk leaves the service inside of it, and a kill cuts.
            || is("cut_chunk", &["keep_prefix"])
            || !is("publish_id_ttl", &["forever", "24h"])
            // Nothing shows the progress.
            || is("progress_header", &["never"]) && !is("status_bytes", &["exact"])
            || is("final_status", &["FAILED"])
            || self.act.changes_bytes()
            // A chunk whose answer died with its run cannot be vouched for once the file was touched.
            || self.act == Act::Touched && !matches!(self.kills[..], [Kill::Freeze(..)])
    }
}

impl Verdict {
    pub(crate) fn is_bad(&self) -> bool {
        !self.broken.is_empty()
            || matches!(
                self.fate,
                Fate::Lost | Fate::Doubled | Fate::Mixed | Fate::Withheld | Fate::Hung
            )
    }

    /// Adds what the emulator saw to the story.
    pub(crate) fn tell(&mut self, log: &Log) {
        for session in &log.sessions {
            let (id, status, received) = (&session.publish_id, &session.status, session.received);
            self.story
                .push(format!("    {id}: {status}, {received} bytes received"));
            let puts = session.puts.iter().enumerate();
            self.story
                .extend(puts.map(|(nth, put)| format!("        PUT {nth}: {put:?}")));
        }
        let recent = log.recent.iter();
        self.story
            .extend(recent.map(|request| format!("    {request:?}")));
    }

    pub(crate) fn judge(
        &mut self,
        case: &Case,
        log: &Log,
        recorded: &[Recorded],
        unheard: u64,
        runs: u64,
    ) {
        for known in recorded {
            let Some(session) = session(log, &known.publish_id) else {
                continue;
            };
            let later = &session.puts[known.puts..];
            if known.ended && !later.is_empty() {
                let puts = later.len();
                self.broken
                    .push(format!("P2: {puts} PUTs after the end was recorded"));
            }
            let again = later
                .iter()
                .filter(|put| put.first.is_some_and(|first| first < known.confirmed));
            if again.count() > 0 && !case.swallows_a_chunk() {
                self.broken.push(format!(
                    "P1: bytes below {} were recorded, and sent again",
                    known.confirmed
                ));
            }
        }
        for session in &log.sessions {
            let firsts: Vec<_> = session.puts.iter().map(|put| put.first).collect();
            let chunk = session.chunk_size.unwrap_or(1);
            // Back only to a chunk that somebody else acknowledged in the service's place, or to one whose record was lost
            // while the chunk after it was on its way, which then cannot have been taken.
            let steps = session.puts.windows(2).all(|pair| {
                let (then, next) = (pair[0].first, pair[1].first);
                let back = case.swallows_a_chunk()
                    || pair[0].http_status.is_none_or(|status| status >= 300);
                then == next
                    || then.map(|first| first + chunk) == next
                    || back && next.map(|first| first + chunk) == then
            });
            if !steps || firsts.first().is_some_and(|first| *first != Some(0)) {
                self.broken
                    .push(format!("P1: chunks out of order: {firsts:?}"));
            }
        }
        let kills = self.at_points.len() + self.cuts + self.frozen;
        for session in &log.sessions {
            let chunks = session.total_chunk_count.unwrap_or(0) as usize;
            // The chunk in flight again; if only headers show the progress, two equal ones are believed.
            let most = chunks + 3 * (kills + log.faults.len());
            if session.puts.len() > most && !case.may_lose_sessions() {
                let puts = session.puts.len();
                self.broken
                    .push(format!("P1: {puts} PUTs of {chunks} chunks"));
            }
        }
        let over =
            |note: &&chunkferry::emulator::NoteLog| note.text.contains("inbox_init calls a minute");
        if log.notes.iter().filter(over).count() > 0 {
            self.broken
                .push("the window of inits was not kept".to_owned());
        }
        let hit = |fault: &&chunkferry::emulator::FaultLog| fault.endpoint == "inbox_init";
        let excused = 1 + unheard + log.faults.iter().filter(hit).count() as u64;
        let most = match case.may_lose_sessions() {
            true => excused + 3 * runs,
            false => excused,
        };
        if log.requests.init > most {
            self.broken.push(format!(
                "P2: {} inits, and at most {most} can be accounted for",
                log.requests.init
            ));
        }
        if !self.sessions_lost.is_empty() && !case.may_lose_sessions() {
            self.broken
                .push("a session was given up though its offset could be told".to_owned());
        }
    }

    /// The same command once more: what has ended stays ended, without an init and without a byte.
    pub(crate) fn run_once_more(&mut self, scene: &mut Scene, code: i32, before: &Log) {
        let run = scene.run(None, Duration::MAX, || {});
        let outcome = run.events("outcome").next();
        let outcome = outcome.map_or("", |line| line["outcome"].as_str().unwrap_or_default());
        if run.end != End::Exit(code) || code == 0 && outcome != "already_delivered" {
            self.broken
                .push(format!("once more: {:?}, {outcome}", run.end));
        }
        let after = scene.log();
        if (after.requests.init, after.requests.put) != (before.requests.init, before.requests.put)
        {
            self.broken.push("P2: a request after the end".to_owned());
        }
    }
    /// The same command again, of a file that holds another video by now: that one is sent, too.
    pub(crate) fn send_what_is_there(&mut self, scene: &mut Scene, there: Option<&String>) {
        let mut end = scene.run(None, Duration::MAX, || {}).end;
        for _ in 0..3 {
            match end {
                // The token died: the creator has another.
                End::Exit(4) => scene.token += 1,
                End::Exit(75) => {}
                _ => break,
            }
            end = scene.run(None, Duration::MAX, || {}).end;
        }
        let log = scene.log();
        let mut drafts = log.sessions.iter().filter(|session| is_draft(session));
        if end != End::Exit(0) || !drafts.any(|draft| draft.sha256.as_ref() == there) {
            self.fate = Fate::Withheld;
        }
    }
}

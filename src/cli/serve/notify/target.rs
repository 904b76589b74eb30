//! One target: a task that delivers the notices that fit, one after the other.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chunkferry::{Engine, Error, JobNotice};
use tokio::sync::{Mutex, MutexGuard, Notify as Wake, watch};

use super::file;
use super::send::Receiver;
use super::state::{Fate, State};
use crate::callback::clock_scale;
use crate::config::NotifyEntry;
use crate::serve::events;
use crate::serve::pattern::fits;

/// Notices that are read at a time.
const PAGE: usize = 64;

/// How long a target waits that cannot read the outbox, or write its file.
const AGAIN: Duration = Duration::from_secs(5);

/// Most notices that are counted.
const COUNTED: usize = 10_000;

/// An entry of the config, and how far it is.
pub(super) struct Target {
    pub(super) entry: NotifyEntry,
    pub(super) receiver: Receiver,
    pub(super) path: PathBuf,
    book: Mutex<Book>,
    /// Somebody has changed the book.
    changed: Wake,
}

/// The state, and whether the file has it. Whoever holds the book may write the file.
struct Book {
    state: State,
    is_saved: bool,
}

/// What a target does next.
enum Next {
    Attempt {
        notice: Box<JobNotice>,
        begun_at: u64,
    },
    Wait(Option<Duration>),
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}

impl Target {
    pub(super) fn new(entry: NotifyEntry, receiver: Receiver, path: PathBuf) -> Self {
        let state = State::after(0);
        Self {
            entry,
            receiver,
            path,
            book: Mutex::new(Book {
                state,
                is_saved: false,
            }),
            changed: Wake::new(),
        }
    }

    /// Begins from this state, which is written at once.
    pub(super) async fn begin(&self, state: State) -> io::Result<()> {
        let mut book = self.book.lock().await;
        book.state = state;
        book.is_saved = false;
        self.save(&mut book).await
    }

    pub(super) async fn state(&self) -> State {
        self.book.lock().await.state.clone()
    }

    /// Whether this target wants a notice.
    pub(super) fn wants(&self, notice: &JobNotice) -> bool {
        let entry = &self.entry;
        let globs = entry.accounts.as_ref();
        entry.kinds.contains(&&*notice.kind)
            && globs.is_none_or(|globs| globs.iter().any(|glob| fits(glob, &notice.account)))
            && (!entry.when_named || notice.notify.as_ref() == Some(&entry.name))
    }

    /// How many notices are not delivered yet, as far as they are counted: 10,000 rows of the outbox.
    pub(super) async fn behind(&self, engine: &Engine) -> Result<usize, Error> {
        let (mut after, failing) = {
            let book = self.book.lock().await;
            (book.state.cursor, book.state.failing.len())
        };
        let (mut behind, mut looked_at) = (failing, 0);
        while looked_at < COUNTED {
            let page = engine.notices(after, 1_000).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            looked_at += page.len();
            behind += page.iter().filter(|notice| self.wants(notice)).count();
        }
        Ok(behind)
    }

    /// Sets the cursor back, durably: what fits after this number is delivered again. `Err(Ok(cursor))` if the number is greater
    /// than the cursor. Run it in a task of its own, so that no file is written behind the back of another writer.
    pub(super) async fn redeliver(&self, after: u64) -> Result<(), Result<u64, io::Error>> {
        let mut book = self.book.lock().await;
        if after > book.state.cursor {
            return Err(Ok(book.state.cursor));
        }
        let before = book.state.clone();
        book.state.go_back(after);
        book.is_saved = false;
        if let Err(error) = self.save(&mut book).await {
            book.state = before;
            return Err(Err(error));
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Delivers until it is stopped; then the attempt in flight is the last one. `prefix` is what the ids of notices begin with.
    pub(super) async fn run(&self, engine: &Engine, prefix: &str, mut stop: watch::Receiver<bool>) {
        let Ok(mut events) = engine.events() else {
            return;
        };
        // Failing notices and new ones take turns, so that neither hold up the others.
        let (mut is_turn_of_failing, mut works) = (false, true);
        loop {
            let next = self.next(engine, is_turn_of_failing).await;
            let wait = match next {
                Ok(Next::Attempt { .. }) if *stop.borrow() => return,
                Ok(Next::Attempt { notice, begun_at }) => {
                    let id = format!("{prefix}_{}", notice.number);
                    let ended = self.receiver.deliver(&self.entry.name, &id, &notice).await;
                    let mut book = self.book.lock().await;
                    let (now, scale) = (now(), clock_scale());
                    let fate = book
                        .state
                        .take_in(notice.number, begun_at, &ended, now, scale);
                    book.is_saved = false;
                    self.say(&notice, fate, &book.state, &mut works);
                    drop(book);
                    is_turn_of_failing = !is_turn_of_failing;
                    continue;
                }
                Ok(Next::Wait(wait)) => wait,
                Err(error) => {
                    eprintln!("notify {}: {error}", self.entry.name);
                    // Nothing that happens meanwhile helps.
                    let _ = tokio::time::timeout(AGAIN, stop.wait_for(|stop| *stop)).await;
                    Some(Duration::ZERO)
                }
            };
            if *stop.borrow() {
                return;
            }
            let due = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = events::changed(&mut events) => {}
                () = self.changed.notified() => {}
                () = due => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// What is to be done now. Whatever has changed is in the file when this returns.
    async fn next(&self, engine: &Engine, is_turn_of_failing: bool) -> Result<Next, String> {
        let unreadable = |error: Error| format!("the outbox cannot be read ({error})");
        let mut book = self.book.lock().await;
        let failing = self.failing(engine, &mut book).await.map_err(unreadable)?;
        let next = match failing {
            Some(failing) if is_turn_of_failing => Some(failing),
            failing => {
                let new = self.new_one(engine, &mut book).await.map_err(unreadable)?;
                new.or(failing)
            }
        };
        self.save(&mut book)
            .await
            .map_err(|error| format!("{} cannot be written ({error})", self.path.display()))?;
        Ok(match next {
            Some(notice) => Next::Attempt {
                notice: Box::new(notice),
                begun_at: book.state.cursor,
            },
            None => Next::Wait(book.state.wait(now())),
        })
    }

    /// A failing notice that is to be tried again now.
    async fn failing(&self, engine: &Engine, book: &mut Book) -> Result<Option<JobNotice>, Error> {
        while let Some(number) = book.state.due(now()) {
            let found = engine.notices(number.saturating_sub(1), 1).await?.pop();
            if let Some(notice) = found.filter(|notice| notice.number == number) {
                return Ok(Some(notice));
            }
            book.state.drop_failing(number);
            book.is_saved = false;
        }
        Ok(None)
    }

    /// The first notice after the cursor that fits; the cursor passes over those that do not.
    async fn new_one(&self, engine: &Engine, book: &mut Book) -> Result<Option<JobNotice>, Error> {
        while !book.state.is_full() {
            let page = engine.notices(book.state.cursor, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for notice in page {
                if self.wants(&notice) {
                    return Ok(Some(notice));
                }
                book.state.cursor = notice.number;
                book.is_saved = false;
            }
        }
        Ok(None)
    }

    async fn save(&self, book: &mut MutexGuard<'_, Book>) -> io::Result<()> {
        if book.is_saved {
            return Ok(());
        }
        let (path, text) = (self.path.clone(), serde_json::to_vec(&book.state)?);
        let write = tokio::task::spawn_blocking(move || file::replace(&path, &text));
        write.await.map_err(io::Error::other)??;
        book.is_saved = true;
        Ok(())
    }

    /// Says when a target ceases to work and when it works again, and what is given up.
    fn say(&self, notice: &JobNotice, fate: Fate, state: &State, works: &mut bool) {
        let (name, number) = (&self.entry.name, notice.number);
        let why = state.last_error.as_deref().unwrap_or_default();
        match fate {
            Fate::Failing if *works => {
                eprintln!(
                    "notify {name}: notice {number} was not delivered, and is tried again: {why}"
                );
            }
            Fate::Failing => tracing::debug!(name, number, why, "a notice was not delivered"),
            Fate::GivenUp => eprintln!("notify {name}: notice {number} is given up: {why}"),
            Fate::Delivered if !*works => eprintln!("notify {name}: notices are delivered again"),
            Fate::Delivered | Fate::Overtaken => {}
        }
        if fate != Fate::Overtaken {
            *works = fate == Fate::Delivered;
        }
    }
}

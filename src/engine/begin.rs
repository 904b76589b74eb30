//! How a job begins: its turn, what it names, and the upload of the journal that this is.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::barred::barred;
use super::dedup::{self, Placed};
use super::job::{Job, What};
use super::open::Given;
use super::scheduler::{Place, Ticket, Turn};
use super::transfer::Alone;
use super::{Exclusive, Shared};
use crate::account::Account;
use crate::clock;
use crate::error::Error;
use crate::journal::{Creator, Reserved};
use crate::secret::escaped::Escaped;
use crate::upload::event::{Behind, Event, Notice};
use crate::upload::{Destination, Key, Video};

/// How long a file may take to open before its job leaves the queue meanwhile.
const STALLED: Duration = Duration::from_secs(5);

/// How long a job waits before it asks again whether another process is done with its video.
const POLL: Duration = Duration::from_secs(2);

/// Waits for the job's turn and looks for uploads of its video. Before an init, if the creator matters and is not known, the
/// service is asked: under another name of the creator, the job begins once more.
pub(super) async fn find(
    shared: &Arc<Shared>,
    job: &Job,
    account: &Account,
    place: Place,
    tell: impl Fn(Event) + Copy,
) -> Result<(Begun, Placed), Error> {
    let mut ticket = place.ticket();
    let queued = |behind| tell(Event::Queued { behind });
    let mut turn = shared.scheduler.enter(place, queued).await;
    let mut creator = turn.aside(shared.identify(account)).await?;
    let mut entered = Some(turn);
    loop {
        if creator.name != account.name() {
            let names = [account.name(), &creator.name];
            let [account, name] = names.map(|name| Escaped::new(name).to_string());
            tell(Event::Notice(Notice::Alias { account, name }));
            entered = None;
            ticket = shared.scheduler.queue(&creator.name).join().ticket();
        }
        let mut begun = begin(shared, job, &creator, &ticket, entered.take(), tell).await?;
        let keys = scopes(&creator, &begun.key);
        let placed = dedup::place(shared, &begun.given, &keys, job, tell).await?;
        let asks_for_an_init = match &placed {
            Placed::Nothing => true,
            Placed::Unfinished { row, .. } => row.state.publish_id().is_none(),
            Placed::Ended(_) => false,
        };
        if !asks_for_an_init || creator.open_id.is_some() {
            return Ok((begun, placed));
        }
        barred(shared, account, &job.name(), &begun.turn).await?;
        let known = begun.turn.aside(shared.identify_by_token(account));
        let known = known.await?;
        if known.name == creator.name {
            return Ok((begun, placed));
        }
        creator = known;
    }
}

/// A job whose turn it is.
pub(super) struct Begun {
    pub(super) turn: Turn,
    pub(super) given: Given,
    pub(super) key: Key,
    pub(super) alone: Alone,
}

/// Waits for the job's turn, and for the end of other jobs of its path and of its video. That can take long, so nobody
/// else is kept waiting for it, and no file is held open: the job leaves the queue, and comes back to where it stood.
async fn begin(
    shared: &Arc<Shared>,
    job: &Job,
    creator: &Creator,
    ticket: &Ticket,
    mut entered: Option<Turn>,
    tell: impl Fn(Event) + Copy,
) -> Result<Begun, Error> {
    let queued = |behind| tell(Event::Queued { behind });
    let scope = Key {
        account: creator.name.clone(),
        api_base: shared.api_base.clone(),
        destination: Destination::Inbox,
        video: Video::Size(0),
    };
    let path = job.address();
    let path = path.map(|path| Exclusive::Path(creator.name.clone(), path));
    let mut path = path.map(|path| (shared.lock(path), None));
    let mut waited: Option<(Exclusive, OwnedMutexGuard<()>)> = None;
    // What lies elsewhere may be copied first, which takes its time.
    let may_stall = matches!(job.what, What::File { .. });
    let mut has_stalled = false;
    loop {
        let mut turn = match entered.take() {
            Some(turn) => turn,
            None => shared.scheduler.enter(ticket.join(), queued).await,
        };
        // Only the first in the queue takes it, so that jobs of one path keep their order.
        if let Some((lock, held @ None)) = &mut path {
            *held = Arc::clone(lock).try_lock_owned().ok();
            if held.is_none() {
                drop(turn);
                *held = Some(one_by_one(Arc::clone(lock), queued).await);
                continue;
            }
        }
        // A file system that does not answer takes no room from others, and does not hold up its account's other jobs.
        let scopes = scopes(creator, &scope);
        let mut opening = pin!(Given::open(shared, job, &scopes, tell));
        let given = tokio::select! {
            given = turn.aside(&mut opening) => Some(given?),
            () = tokio::time::sleep(STALLED), if may_stall && !has_stalled => None,
        };
        let Some(given) = given else {
            drop(turn);
            // Once, as a file system may be as slow each time. The file may be another one by then, so it is opened again.
            has_stalled = true;
            drop(opening.await?);
            continue;
        };
        let key = Key {
            video: given.video(job),
            ..scope.clone()
        };
        let video = Exclusive::Video(key.clone(), given.fingerprint().map(str::to_owned));
        let lock = shared.lock(video.clone());
        let alone = match waited.take() {
            Some((of, guard)) if of == video => Some(guard),
            _ => Arc::clone(&lock).try_lock_owned().ok(),
        };
        let Some(alone) = alone else {
            drop((turn, given));
            waited = Some((video, one_by_one(lock, queued).await));
            continue;
        };
        let fingerprint = given.fingerprint().map(str::to_owned);
        match shared.journal.reserve(key.clone(), fingerprint).await? {
            Reserved::Alone(reservation) => {
                let alone = Alone {
                    shared: Arc::clone(shared),
                    reservation,
                    _locks: (path.and_then(|(_, held)| held), alone),
                };
                return Ok(Begun {
                    turn,
                    given,
                    key,
                    alone,
                });
            }
            Reserved::HeldBy { ends_in } => {
                drop((turn, given));
                queued(Behind::Video);
                clock::sleep(ends_in.map_or(POLL, |left| left.min(POLL))).await;
                waited = Some((video, alone));
            }
        }
    }
}

/// The key under each name of a creator, the one for new uploads first.
fn scopes(creator: &Creator, key: &Key) -> Vec<Key> {
    let of = |account: &String| Key {
        account: account.clone(),
        ..key.clone()
    };
    creator.names().map(of).collect()
}

/// Waits until nobody else holds this lock.
async fn one_by_one(lock: Arc<Mutex<()>>, queued: impl Fn(Behind)) -> OwnedMutexGuard<()> {
    match Arc::clone(&lock).try_lock_owned() {
        Ok(guard) => guard,
        Err(_) => {
            queued(Behind::Video);
            lock.lock_owned().await
        }
    }
}

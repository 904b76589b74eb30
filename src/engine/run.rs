//! One job from start to end: whether the journal knows an upload of its video decides what happens to the job.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::barred::barred;
use super::begin::{self, Begun};
use super::dedup::Placed;
use super::draft::{Draft, Outcome};
use super::handle::Door;
use super::job::{Job, Ledger, What};
use super::metrics::{self, Store};
use super::open::Given;
use super::preflight::preflight;
use super::record::record;
use super::scheduler::{Place, Turn};
use super::tokens::authorised;
use super::transfer::{Transfer, draft, subject};
use super::{Held, Running, Shared, log};
use crate::account::Account;
use crate::answer::{Call, Meaning, Stage};
use crate::clock::{self, Now};
use crate::error::{Error, ErrorKind};
use crate::journal::Recall;
use crate::tiktok::client::Subject;
use crate::upload::event::{Event, Notice, Shortfall, Tally};
use crate::upload::plan::{Limits, Plan};
use crate::upload::{Destination, Key, Origin, Reply, RunLimits, Upload, Video};

/// Reasons for which the service does not fetch a URL, and which say nothing against the video. Source: Content Posting API.
const CURED_BY_SENDING: [&str; 2] = ["url_ownership_unverified", "video_pull_failed"];

/// How long the check of an already delivered draft may take.
const GLANCE: Duration = Duration::from_secs(10);

/// Carries one job to its end; a pull that fails for a reason that sending cures is sent from here, if the job says so.
pub(super) async fn carry(
    shared: &Arc<Shared>,
    job: &Job,
    place: Option<Place>,
    tally: Arc<Tally>,
    events: mpsc::UnboundedSender<Event>,
    door: Door,
) -> Result<Draft, Error> {
    let instead = job.instead();
    if let Some(instead) = &instead
        && is_being_sent(shared, instead).await?
    {
        return run(shared, instead, place, tally, events, door).await;
    }
    let (same_tally, same_events, same_door) = (Arc::clone(&tally), events.clone(), door.clone());
    let ended = run(shared, job, place, same_tally, same_events, same_door).await;
    let code = ended.as_ref().err().and_then(Error::code);
    let code = code.filter(|code| CURED_BY_SENDING.contains(code));
    let (Some(code), Some(instead)) = (code, instead) else {
        return ended;
    };
    let code = code.to_owned();
    let notice = Event::Notice(Notice::SentInstead { code });
    log::event(&notice);
    // Nobody needs to listen.
    let _ = events.send(notice);
    let place = super::place(shared, &instead);
    run(shared, &instead, place, tally, events, door).await
}

/// Whether an earlier run of this job has begun to send its video. Its bytes may all be at the service, so the URL is not pulled then,
/// whatever the service would say of it now.
async fn is_being_sent(shared: &Shared, job: &Job) -> Result<bool, Error> {
    let (Some(account), Some(address)) = (&job.account, job.address()) else {
        return Ok(false);
    };
    let creator = shared.identify(account).await?;
    for account in creator.names() {
        let scope = Key {
            account: account.clone(),
            api_base: shared.api_base.clone(),
            destination: Destination::Inbox,
            video: Video::Size(0),
        };
        let recall = Recall::Path(scope, address.clone());
        let row = shared.journal.recall(recall).await?;
        if row.is_some_and(|row| !row.has_ended()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Carries one job to its end. While `door` is closed the job must not be stopped.
async fn run(
    shared: &Arc<Shared>,
    job: &Job,
    place: Option<Place>,
    tally: Arc<Tally>,
    events: mpsc::UnboundedSender<Event>,
    door: Door,
) -> Result<Draft, Error> {
    let (Some(account), Some(place)) = (&job.account, place) else {
        return Err(Error::no_token("the job has no account".into(), &[]));
    };
    // A call for a token that goes on without its job keeps the engine, and so its lock, until it has ended.
    let account = &account.keeping(Arc::clone(shared));
    job.check()?;
    if shared.only_submits {
        return Err(Error::usage(
            "This engine only submits jobs: it was opened for 0 uploads at once.",
        ));
    }
    let tell = &|event| {
        log::event(&event);
        // Nobody needs to listen.
        let _ = events.send(event);
    };
    let mut underway = shared.counters.upload();
    let (begun, placed) = begin::find(shared, job, account, place, tell).await?;
    underway.is(metrics::Stage::Running);
    let Begun {
        turn,
        given,
        key,
        alone,
    } = begun;
    tally.set_total(given.size().unwrap_or(0));
    let rate = match &given {
        Given::Media(sending) => {
            let rate = shared.journal.rate(shared.api_base.clone()).await?;
            let rate = rate.map(|rate| rate.bytes_per_second);
            for notice in remarks(sending.media.identity().size, rate) {
                tell(Event::Notice(notice));
            }
            rate
        }
        _ => None,
    };
    let limits = RunLimits {
        patience: job.patience,
        processing: job.processing,
        hand_over: job.hand_over,
        forecast: !job.ignore_forecast,
        bandwidth: None,
    };
    let limits = limits.held_to(shared.throttle.rate());
    let (mut upload, lease, compared, mut running) = match placed {
        Placed::Ended(row) => {
            let mut draft = ended(shared, account, turn, &row).await?;
            // An earlier run of this job has sent it, and could not say so any more.
            if job.link.as_ref().and_then(|link| link.upload.as_ref()) == Some(&row.id) {
                draft.outcome = Outcome::Delivered;
            }
            tally.start_at(row.size().unwrap_or(0));
            tally.set_inits(row.totals.inits);
            return Ok(draft);
        }
        Placed::Unfinished { mut row, compared } => {
            if row.state.publish_id().is_none() {
                barred(shared, account, &job.name(), &turn).await?;
                let size = look(shared, job, &given, tell).await?;
                if let Origin::Url { size: known, .. } = &mut row.origin {
                    *known = size.or(*known);
                }
                row.run.limits = limits;
                in_time(&row)?;
            }
            if let Some(notice) = keeps_its_plan(job, &row) {
                tell(Event::Notice(notice));
            }
            let running = Running::new(shared, &row.id);
            let (key, id) = (row.key.clone(), row.id.clone());
            let (mut claimed, lease) = shared.journal.claim(key, id).await?;
            claimed.origin = row.origin;
            if let (Given::Media(sending), Origin::Media { content_type, .. }) =
                (&given, &mut claimed.origin)
            {
                content_type.clone_from(&sending.content_type);
            }
            (claimed, lease, compared, running)
        }
        Placed::Nothing => {
            barred(shared, account, &job.name(), &turn).await?;
            let size = look(shared, job, &given, tell).await?;
            let ledger = matches!(given, Given::Media(_)) && job.ledger == Ledger::On;
            let origin = origin(job, &given, size, rate)?;
            let mut row = Upload::new(key, origin, ledger, Now::read());
            row.run.limits = limits;
            in_time(&row)?;
            let running = Running::new(shared, &row.id);
            if let Some(link) = &job.link {
                link.to(&row.id).await?;
            }
            let submitted = shared.journal.submit(&alone.reservation, row.clone());
            let lease = shared.counters.timed(Store::Submit, submitted).await?;
            (row, lease, false, running)
        }
    };
    tracing::Span::current().record("upload", &*upload.id);
    if let Some(link) = &job.link {
        link.to(&upload.id).await?;
    }
    if let Some(session) = upload.session() {
        shared.client.redactor().learn_url(&session.upload_url);
    }
    upload.run.limits = limits;
    running._held = Some(Held::new(shared, &upload.id, lease));
    let (sending, remote) = match given {
        Given::Media(sending) => (Some(sending), None),
        Given::Url(remote) => (None, Some(remote)),
        Given::Recorded(_) => (None, None),
    };
    let transfer = Transfer {
        shared: Arc::clone(shared),
        turn,
        _alone: (alone, running),
        account: account.clone(),
        upload,
        lease,
        sending,
        remote,
        put: None,
        saving: None,
        refused: None,
        uncut: None,
        door,
        tally,
        underway,
        events: events.clone(),
    };
    transfer.drive(compared).await
}

/// What a person should know of a video of this size beforehand, at the last known rate in bytes per second.
fn remarks(size: u64, rate: Option<u64>) -> impl Iterator<Item = Notice> {
    let limit = Limits::DOCUMENTED.sure_file();
    let large = (size > limit).then_some(Notice::Large { size, limit });
    let slow = rate.and_then(|rate| Shortfall::of_whole(size, rate));
    let slow = slow.map(Notice::LastRateTooLow);
    large.into_iter().chain(slow)
}

/// Looks at a URL before the service is asked to fetch it; its size in bytes, where that shows.
async fn look(
    shared: &Shared,
    job: &Job,
    given: &Given,
    tell: impl Fn(Event),
) -> Result<Option<u64>, Error> {
    match (given, &job.what) {
        (
            Given::Url(remote),
            What::Url {
                preflight: true, ..
            },
        ) => {
            let account = job.account.as_ref();
            let client = shared.client.about(|| Subject {
                account: account.map(|account| account.name().to_owned()),
                ..Subject::default()
            });
            preflight(&client, remote, tell).await
        }
        _ => Ok(None),
    }
}

/// Where the bytes of a new upload come from, and how they are cut.
fn origin(job: &Job, given: &Given, size: Option<u64>, rate: Option<u64>) -> Result<Origin, Error> {
    Ok(match given {
        Given::Media(sending) => {
            let (media, limits) = (&sending.media, Limits::DOCUMENTED);
            let preferred = job.chunk_size.unwrap_or_else(|| limits.auto_chunk(rate));
            let plan = Plan::new(media.identity().size, &limits, preferred)
                .map_err(|error| Error::plan(&media.name(), error))?;
            media.origin(sending.content_type.clone(), plan)
        }
        Given::Url(remote) => Origin::Url {
            url: remote.shown(),
            size,
        },
        Given::Recorded(row) => row.origin.clone(),
    })
}

/// Whether the rate that is allowed carries the whole file within the hour of a new session.
pub(super) fn in_time(upload: &Upload) -> Result<(), Error> {
    match upload.is_too_slow().zip(upload.plan()) {
        Some(((rate, needed), _)) => {
            let size = upload.size().unwrap_or(0);
            Err(Error::too_slow(&upload.name(), size, rate, needed))
        }
        None => Ok(()),
    }
}

/// What to say where another chunk size is asked for than an unfinished upload was planned with.
fn keeps_its_plan(job: &Job, row: &Upload) -> Option<Notice> {
    let (plan, wanted) = (row.plan()?, job.chunk_size?);
    let chunk_size = plan.chunk_size();
    (wanted != chunk_size && plan.chunk_count() > 1).then_some(Notice::ChunkSizeKept { chunk_size })
}

/// The answer for a video whose upload has ended: no init, no PUT. Where the service can be asked now, one question makes
/// sure that the draft is in this creator's inbox and not in another's, or finds out what was unknown.
async fn ended(
    shared: &Shared,
    account: &Account,
    turn: Turn,
    row: &Upload,
) -> Result<Draft, Error> {
    let end = match row.final_error() {
        Some(error) if error.kind() != ErrorKind::Unknown => return Err(error),
        Some(error) => Err(error),
        None => Ok(draft(row, Outcome::AlreadyDelivered)),
    };
    let Some(publish_id) = row.state.publish_id() else {
        return end;
    };
    let queue = Arc::clone(turn.queue());
    // Others need not wait for this question.
    drop(turn);
    if !queue.can_ask_now().await || shared.scheduler.outages.now(Now::read()).is_some() {
        return end;
    }
    let client = &shared.client.about(|| subject(row));
    let glance = |token| queue.ask(async move { client.status(&token, publish_id).await });
    let glance = authorised(&queue, account, Call::Status, glance);
    match tokio::time::timeout(clock::real(GLANCE), glance).await {
        Ok(Err(error)) if error.means(Meaning::ForeignToken) => {
            Err(Error::foreign_token(account.name()))
        }
        Ok(Ok(status))
            if end.is_err() && matches!(status.stage, Stage::Inbox | Stage::Published) =>
        {
            let (key, id) = (row.key.clone(), row.id.clone());
            let (mut row, lease) = shared.journal.claim(key, id).await?;
            let _held = Held::new(shared, &row.id, lease);
            record(shared, lease, &mut row, Reply::Status(Ok(status))).await?;
            Ok(draft(&row, Outcome::AlreadyDelivered))
        }
        _ => end,
    }
}

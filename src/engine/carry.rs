//! From a job to its end: what is known of the video decides what happens to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc};

use super::Shared;
use super::cargo::Cargo;
use super::place::Placed;
use super::transfer::{Transfer, draft};
use crate::account::Account;
use crate::clock::Now;
use crate::draft::{Draft, Outcome};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Tally};
use crate::governor::Turn;
use crate::job::Job;
use crate::upload::{Destination, Key, Reply, RunLimits, Upload};
use crate::wire::{CallError, Stage};

/// How long the check of an already delivered draft may take.
const GLANCE: Duration = Duration::from_secs(10);

/// Carries one job to its end.
pub(super) async fn carry(
    shared: &Arc<Shared>,
    job: &Job,
    tally: Arc<Tally>,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Draft, Error> {
    let Some(account) = &job.account else {
        return Err(Error::no_token(
            "No access token: the job has no account.".into(),
        ));
    };
    job.check()?;
    let tell = &|event| {
        // Nobody needs to listen.
        let _ = events.send(event);
    };
    let Begun {
        turn,
        mut cargo,
        key,
        _alone,
    } = begin(shared, job, account).await?;
    tally
        .total
        .store(cargo.size().unwrap_or(0), Ordering::Relaxed);
    for text in cargo.remarks() {
        tell(Event::Notice { text });
    }
    let placed = cargo.place(shared, &key, job.again, tell).await?;
    let (mut upload, compared) = match placed {
        Placed::Ended(row) => return ended(shared, account, turn, &row).await,
        Placed::Unfinished { row, compared } => {
            if row.state.publish_id().is_none() {
                cargo.preflight(shared, job, tell).await?;
            }
            if let Some(text) = keeps_its_plan(job, &row) {
                tell(Event::Notice { text });
            }
            let mut claimed = shared
                .journal
                .claim(row.key.clone(), row.id.clone())
                .await?;
            claimed.origin = row.origin;
            cargo.amend(&mut claimed.origin);
            (claimed, compared)
        }
        Placed::Nothing => {
            cargo.preflight(shared, job, tell).await?;
            let row = Upload::new(key, cargo.origin(), cargo.has_ledger(job), Now::read());
            shared.journal.submit(row.clone()).await?;
            (row, false)
        }
    };
    if let Some(session) = upload.session() {
        shared.client.redactor().learn_url(&session.upload_url);
    }
    upload.run.limits = RunLimits {
        processing: job.processing,
        hand_over: job.hand_over,
    };
    let transfer = Transfer {
        shared: Arc::clone(shared),
        turn,
        account: account.clone(),
        upload,
        tally,
        events: events.clone(),
    };
    transfer.drive(cargo, compared).await
}

/// A job whose turn it is.
struct Begun {
    turn: Turn,
    cargo: Cargo,
    key: Key,
    /// Uploads of one key go one after another.
    _alone: OwnedMutexGuard<()>,
}

/// Waits for the job's turn, and for the end of other uploads of its key. That can take long, so nobody else is kept
/// waiting for it, and no file is held open.
async fn begin(shared: &Shared, job: &Job, account: &Account) -> Result<Begun, Error> {
    let mut waited: Option<(Key, OwnedMutexGuard<()>)> = None;
    loop {
        let turn = shared.governor.enter(account.name()).await;
        let cargo = Cargo::open(shared, job).await?;
        let key = Key {
            account: account.name().to_owned(),
            api_base: shared.api_base.clone(),
            destination: Destination::Inbox,
            video: cargo.video(job),
        };
        let lock = shared.key_lock(&key);
        let alone = match waited.take() {
            Some((of, guard)) if of == key => Some(guard),
            _ => Arc::clone(&lock).try_lock_owned().ok(),
        };
        if let Some(_alone) = alone {
            return Ok(Begun {
                turn,
                cargo,
                key,
                _alone,
            });
        }
        drop((turn, cargo));
        waited = Some((key, lock.lock_owned().await));
    }
}

/// What to say where another chunk size is asked for than an unfinished upload was planned with.
fn keeps_its_plan(job: &Job, row: &Upload) -> Option<String> {
    let (plan, wanted) = (row.plan()?, job.chunk_size?);
    (wanted != plan.chunk_size() && plan.chunk_count() > 1).then(|| {
        format!(
            "the upload keeps the chunk size it was planned with: {}",
            plan.chunk_size()
        )
    })
}

/// The answer for a video whose upload has ended: no init, no PUT. Where the service can be asked now, one question makes
/// sure that the draft is in this creator's inbox and not in another's, or finds out what was unknown.
async fn ended(
    shared: &Shared,
    account: &Account,
    mut turn: Turn,
    row: &Upload,
) -> Result<Draft, Error> {
    let end = match row.final_error() {
        Some(error) if error.kind() != ErrorKind::Unknown => return Err(error),
        Some(error) => Err(error),
        None => Ok(draft(row, Outcome::AlreadyDelivered)),
    };
    turn.leave_line();
    let Some(publish_id) = row.state.publish_id() else {
        return end;
    };
    if !turn.line().status_now() {
        return end;
    }
    let glance = async {
        let token = account.tokens().token().await.map_err(CallError::Token)?;
        shared.client.status(&token, publish_id).await
    };
    match tokio::time::timeout(GLANCE, glance).await {
        Ok(Err(error)) if error.is_code("token_not_authorized_for_specified_publish_id") => {
            Err(Error::foreign_token(account.name()))
        }
        Ok(Ok(status))
            if end.is_err() && matches!(status.stage(), Stage::Inbox | Stage::Published) =>
        {
            let mut row = shared
                .journal
                .claim(row.key.clone(), row.id.clone())
                .await?;
            row.apply(Reply::Status(Ok(status)), Now::read(), 0);
            row.revision += 1;
            shared.journal.save(row.clone(), None).await?;
            Ok(draft(&row, Outcome::AlreadyDelivered))
        }
        _ => end,
    }
}

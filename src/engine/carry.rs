//! From a job to its end: what is known of the video decides what happens to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::cargo::Cargo;
use super::place::Placed;
use super::transfer::{Transfer, draft};
use crate::account::Account;
use crate::clock::Now;
use crate::draft::{Draft, Outcome};
use crate::error::Error;
use crate::event::{Event, Tally};
use crate::job::Job;
use crate::upload::{Destination, Key, RunLimits, Upload};
use crate::wire::CallError;

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
    let Ok(_slot) = shared.slots.acquire().await else {
        return Err(Error::cancelled());
    };
    let tell = &|event| {
        // Nobody needs to listen.
        let _ = events.send(event);
    };
    let mut cargo = Cargo::open(shared, job, &tally, tell).await?;
    let key = Key {
        account: account.name().to_owned(),
        api_base: shared.api_base.clone(),
        destination: Destination::Inbox,
        video: cargo.video(job),
    };
    let key_lock = shared.key_lock(&key);
    let _one_at_a_time = key_lock.lock().await;
    let placed = cargo.place(shared, &key, job.again, tell).await?;
    let (mut upload, compared) = match placed {
        Placed::Ended(row) => return ended(shared, account, &row).await,
        Placed::Unfinished { row, compared } => {
            if row.state.publish_id().is_none() {
                cargo.preflight(shared, job, tell).await?;
            }
            if let Some(text) = keeps_its_plan(job, &row) {
                tell(Event::Notice { text });
            }
            let mut claimed = shared.journal.claim(row.id.clone()).await?;
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
    upload.run.limits = RunLimits {
        processing: job.processing,
        hand_over: job.hand_over,
    };
    let transfer = Transfer {
        shared: Arc::clone(shared),
        turns: shared.governor.turns(account.name()),
        account: account.clone(),
        upload,
        tally,
        events: events.clone(),
    };
    transfer.drive(cargo, compared).await
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

/// The answer for a video whose upload has ended: no init, no PUT. Where the service can tell, one question makes sure
/// that the draft is in this creator's inbox and not in another's.
async fn ended(shared: &Shared, account: &Account, row: &Upload) -> Result<Draft, Error> {
    if let Some(error) = row.final_error() {
        return Err(error);
    }
    let publish_id = row.state.publish_id().unwrap_or_default();
    let glance = async {
        shared.governor.turns(account.name()).status().await;
        let token = account.tokens().token().await.map_err(CallError::Token)?;
        shared.client.status(&token, publish_id).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(GLANCE, glance).await
        && error.is_code("token_not_authorized_for_specified_publish_id")
    {
        return Err(Error::foreign_token(account.name()));
    }
    Ok(draft(row, Outcome::AlreadyDelivered))
}

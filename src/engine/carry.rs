//! From a job to its end: what is known of the file decides what happens to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Shared;
use super::forecast::too_slow;
use super::place::{Placed, place};
use super::transfer::{Transfer, draft};
use crate::account::Account;
use crate::clock::Now;
use crate::draft::{Draft, Outcome};
use crate::error::{Error, ErrorKind};
use crate::event::{Event, Tally};
use crate::job::{Job, Ledger};
use crate::plan::{Limits, Plan};
use crate::source::Source;
use crate::upload::{Destination, Key, Origin, Reply, RunLimits, Upload};
use crate::wire::{CallError, Stage};

/// How long the check of an already delivered draft may take.
const GLANCE: Duration = Duration::from_secs(10);

/// Carries one job from its file to its end.
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
    let tell = |event| {
        // Nobody needs to listen.
        let _ = events.send(event);
    };
    let source = Source::open(&job.path)?;
    let size = source.identity().size;
    tally.total.store(size, Ordering::Relaxed);
    let rate = shared.journal.rate(shared.api_base.clone()).await?;
    let preferred = job
        .chunk_size
        .unwrap_or_else(|| Limits::TIKTOK.auto_chunk(rate.map(|rate| rate.bytes_per_second)));
    let plan = Plan::new(size, &Limits::TIKTOK, preferred)
        .map_err(|error| Error::plan(source.path(), error))?;
    if size > Limits::TIKTOK.sure_file {
        tell(Event::Notice {
            text: format!("{size} bytes are more than 4,000,000,000: TikTok may refuse them"),
        });
    }
    if let Some(forecast) = rate.and_then(|rate| too_slow(size, rate.bytes_per_second)) {
        tell(Event::Notice {
            text: format!("by the last known rate it is too slow. {forecast}"),
        });
    }
    let content_type = match &job.content_type {
        Some(content_type) => content_type.clone(),
        None => source.content_type()?.to_owned(),
    };

    let key = Key {
        account: account.name().to_owned(),
        api_base: shared.api_base.clone(),
        destination: Destination::Inbox,
        size,
    };
    let key_lock = shared.key_lock(&key);
    let _one_at_a_time = key_lock.lock().await;
    let (upload, compared) = match place(shared, &source, &key, job.again, tell).await? {
        Placed::Ended(row) => return ended(shared, account, &row).await,
        Placed::Unfinished { row, compared } => {
            if job
                .chunk_size
                .is_some_and(|wanted| wanted != row.plan.chunk_size())
                && row.plan.chunk_count() > 1
            {
                let text = format!(
                    "the upload keeps the chunk size it was planned with: {}",
                    row.plan.chunk_size()
                );
                tell(Event::Notice { text });
            }
            let mut claimed = shared.journal.claim(row.id.clone()).await?;
            claimed.origin = row.origin;
            (claimed, compared)
        }
        Placed::Nothing => {
            let origin = Origin::File {
                path: source.path().to_owned(),
                identity: source.identity(),
            };
            let row = Upload::new(
                key,
                origin,
                &content_type,
                plan,
                job.ledger == Ledger::On,
                Now::read(),
            );
            shared.journal.submit(row.clone()).await?;
            (row, false)
        }
    };
    let mut transfer = Transfer {
        shared: Arc::clone(shared),
        turns: shared.governor.turns(account.name()),
        account: account.clone(),
        baseline: source.identity(),
        source,
        upload,
        tally,
        events,
        rehash: None,
        sent_bytes: 0,
        sending: Duration::ZERO,
    };
    transfer.upload.run.limits = RunLimits {
        processing: job.processing,
        hand_over: job.hand_over,
    };
    transfer.carry_on(compared).await?;
    transfer.drive().await
}

/// The answer for a file whose upload has ended: no init, no PUT. Where the service can tell, one question makes sure
/// that the draft is in this creator's inbox and not in another's, or finds out what was unknown.
async fn ended(shared: &Shared, account: &Account, row: &Upload) -> Result<Draft, Error> {
    let end = match row.final_error() {
        Some(error) if error.kind() != ErrorKind::Unknown => return Err(error),
        Some(error) => Err(error),
        None => Ok(draft(row, Outcome::AlreadyDelivered)),
    };
    let publish_id = row.state.publish_id().unwrap_or_default();
    let glance = async {
        shared.governor.turns(account.name()).status().await;
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
            let mut row = shared.journal.claim(row.id.clone()).await?;
            row.apply(Reply::Status(Ok(status)), Now::read(), 0);
            row.revision += 1;
            shared.journal.save(row.clone(), None).await?;
            Ok(draft(&row, Outcome::AlreadyDelivered))
        }
        _ => end,
    }
}

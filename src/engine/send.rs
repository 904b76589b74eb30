//! A video that is sent from here: its chunks, one in flight at a time, and what this run knows of its bytes.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::Instrument;

use super::queue::Spooled;
use super::record::Ledger;
use super::rehash::Rehash;
use super::transfer::Transfer;
use super::verify::Compared;
use crate::answer::{Failure, Put, Said};
use crate::clock;
use crate::error::{Error, Remedy};
use crate::failpoint::reach;
use crate::source::{Ahead, LAST_PIECE, OpenVideo, Share, WITHHELD};
use crate::tiktok::body::{Body, Gate, Keeper};
use crate::tiktok::meter::Meter;
use crate::upload::event::LossCause;
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::{Chunk, Plan};
use crate::upload::{Address, Identity, Reply, Session, Upload};

/// How long the last bytes of a body may be held back for a comparison: a service gives a body up that stands still.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this run knows of a video that is sent from here.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) media: Arc<dyn OpenVideo>,
    pub(super) content_type: String,
    /// Everything acknowledged equals the video as of this version, unless `rehash` is still to show that; everything
    /// later was read after this was taken.
    pub(super) baseline: Identity,
    /// The comparison of the acknowledged chunks with the video, while the upload goes on.
    pub(super) rehash: Option<Rehash>,
    /// A comparison took longer than the service waits for the last bytes of a body: it comes before the last chunk.
    pub(super) compare_first: bool,
    /// The chunk that was sent last and was not accepted, if each attempt at it that may have left sent these bytes.
    pub(super) unanswered: Option<(Chunk, Running)>,
    /// What is read and hashed before it is its turn to be sent.
    pub(super) ahead: Option<Ahead>,
    /// The copy of a video that lies elsewhere, which goes with this.
    pub(super) _spooled: Option<Spooled>,
}

/// A chunk on its way. Dropping it cuts the request.
pub(super) struct InFlight {
    pub(super) chunk: Chunk,
    put: BoxFuture<'static, Result<Put, Failure>>,
    /// The answer, if it came while something else was waited for.
    answer: Option<Result<Put, Failure>>,
    /// Holds back the last bytes of the video, until they are released.
    keeper: Option<Keeper>,
    meter: Arc<Meter>,
    started: Instant,
    /// Whether no earlier attempt at this chunk may have left.
    first_attempt: bool,
}

impl InFlight {
    /// Waits for something else, and goes on with the chunk meanwhile.
    pub(super) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                answer = &mut self.put, if self.answer.is_none() => self.answer = Some(answer),
            }
        }
    }

    /// Lets the last bytes leave, if any are held back.
    fn open(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            // If the body is gone meanwhile, its answer says why.
            let _ = keeper.open.send(());
        }
    }

    async fn released(&mut self) -> Result<Put, Failure> {
        self.open();
        self.answered().await
    }

    async fn answered(&mut self) -> Result<Put, Failure> {
        match self.answer.take() {
            Some(answer) => answer,
            None => (&mut self.put).await,
        }
    }

    /// Sends until the last bytes of the video are all that is left: then the hash over everything, where there is a
    /// ledger. Any other chunk is sent to its end; its answer.
    async fn until_gate(&mut self) -> Result<Option<Entry>, Result<Put, Failure>> {
        let (Some(keeper), None) = (&mut self.keeper, &self.answer) else {
            return Err(self.answered().await);
        };
        tokio::select! {
            answer = &mut self.put => return Err(answer),
            reached = &mut keeper.reached => if let Ok(running) = reached {
                return Ok(running.map(|running| running.entry()));
            }
        }
        // The body has ended some other way; its answer says how. This future may be dropped before that, and made anew.
        self.keeper = None;
        Err(self.answered().await)
    }
}

impl Sending {
    /// Everything is sent from the start, of the version that was just seen.
    pub(super) fn begin(&mut self, as_of: Identity) {
        self.baseline = as_of;
        self.rehash = None;
        self.unanswered = None;
        self.ahead = None;
    }

    /// The pieces of `chunk`, hashed on from what was sent before if that is kept.
    fn pieces(&mut self, chunk: Chunk, plan: Plan, upload: &Upload) -> Result<Share, Error> {
        if let Some(share) = self.ahead.as_ref().and_then(|ahead| ahead.share(chunk)) {
            return Ok(share);
        }
        let started = self.media.read(plan, chunk, upload.running());
        let (ahead, share) = started.map_err(|error| Error::not_now(&self.media.name(), error))?;
        self.ahead = Some(ahead);
        Ok(share)
    }
}

impl Transfer {
    /// Sends a chunk until the service has answered. With the last chunk, until its last bytes wait at the gate and all
    /// that was sent is known to be one version of the video.
    pub(super) async fn put(&mut self, chunk: Chunk) -> Result<Reply, Error> {
        let Some(sending) = &mut self.sending else {
            return self.nothing_to_send();
        };
        let ledger = Ledger::new(&self.shared, self.saving.as_ref());
        match sending
            .check(&self.upload, &ledger, chunk.is_last())
            .await?
        {
            Compared::Unmoved => {}
            Compared::Touched(as_of) => self.note(Reply::Touched(as_of)),
            Compared::Changed(what) => return Ok(Reply::Changed(what)),
        }
        let plan = self.upload.plan().copied();
        let (Some(session), Some(plan)) = (self.upload.session().cloned(), plan) else {
            return Ok(Reply::SessionOver(LossCause::NothingToSend));
        };
        self.begin_put(chunk, plan, session)?;
        self.until_recorded().await
    }

    fn begin_put(&mut self, chunk: Chunk, plan: Plan, session: Session) -> Result<(), Error> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        let pieces = sending.pieces(chunk, plan, &self.upload)?;
        let withheld = match chunk.is_last() {
            true => Some(WITHHELD),
            // Nothing of a chunk is complete before the one before it is recorded.
            false => self.saving.as_ref().map(|_| LAST_PIECE),
        };
        let (gate, keeper) = withheld.map(Gate::new).unzip();
        let first = chunk.range().start;
        let body = Body::new(pieces, first, chunk.size(), Arc::clone(&self.tally))
            .throttled(Some(self.shared.throttle.clone()))
            .counted(&self.shared.counters)
            .gated(gate);
        let meter = body.meter();
        let content_type = self.upload.content_type();
        let content_type = content_type.unwrap_or(&sending.content_type).to_owned();
        let client = match self.client() {
            Cow::Owned(client) => Some(client),
            Cow::Borrowed(_) => None,
        };
        let shared = Arc::clone(&self.shared);
        reach("put", "before");
        let put = async move {
            let client = client.as_ref().unwrap_or(&shared.client);
            let put = client.put(&session.upload_url, &content_type, chunk, body);
            put.await
        };
        self.put = Some(InFlight {
            chunk,
            put: put.in_current_span().boxed(),
            answer: None,
            keeper,
            meter,
            started: Instant::now(),
            first_attempt: !self.upload.run.due_left,
        });
        Ok(())
    }

    /// Goes on with the chunk in flight while the one before it is recorded. Then its last piece may leave, unless it is the
    /// last one of the video.
    async fn until_recorded(&mut self) -> Result<Reply, Error> {
        let (Some(put), Some(saving)) = (&mut self.put, &mut self.saving) else {
            return self.until_gate(None).await;
        };
        let mut at_gate = None;
        tokio::select! {
            biased;
            () = saving.wait() => {}
            reached = put.until_gate() => match reached {
                Ok(whole) => at_gate = Some(whole),
                Err(answer) => return self.answered(answer),
            }
        }
        if at_gate.is_some() {
            tokio::select! {
                biased;
                recorded = tokio::time::timeout(clock::real(PATIENCE), saving.wait()) => {
                    if recorded.is_err() {
                        let why = "recording the chunk before it took longer than the service waits";
                        return self.answered(Err(Failure::Lost(why.into())));
                    }
                }
                answer = put.answered() => return self.answered(answer),
            }
        }
        self.settle().await?;
        self.until_gate(at_gate).await
    }

    /// Goes on with the chunk in flight until its answer, or until the last bytes of the video may leave as far as the video
    /// is concerned. The chunk then stays in flight until it is [released](Self::release). `at_gate`: its last bytes wait
    /// already; with the hash over everything.
    async fn until_gate(&mut self, at_gate: Option<Option<Entry>>) -> Result<Reply, Error> {
        let (Some(sending), Some(put)) = (&mut self.sending, &mut self.put) else {
            return self.nothing_to_send();
        };
        if !put.chunk.is_last() {
            let answer = put.released().await;
            return self.answered(answer);
        }
        let at_gate = match at_gate {
            Some(whole) => Ok(whole),
            None => put.until_gate().await,
        };
        let whole = match at_gate {
            Ok(whole) => whole,
            Err(answer) => return self.answered(answer),
        };
        reach("gate", "reached");
        let (upload, ledger) = (&self.upload, Ledger::new(&self.shared, None));
        let compare = async {
            sending.media.drained().await;
            let compare = sending.compare(upload, &ledger, whole);
            tokio::time::timeout(clock::real(PATIENCE), compare).await
        };
        let compared = tokio::select! {
            answer = put.answered() => return self.answered(answer),
            compared = compare => compared,
        };
        match compared {
            Ok(proof) => match proof?.same() {
                Ok(as_of) => {
                    sending.baseline = as_of;
                    self.note(Reply::Touched(as_of));
                }
                Err(what) => {
                    self.put = None;
                    return Ok(Reply::Changed(what));
                }
            },
            Err(_) if sending.was_just_compared().await? => {}
            Err(_) => {
                sending.compare_first = true;
                let why =
                    "comparing the file with what was sent took longer than the service waits";
                return self.answered(Err(Failure::Lost(why.into())));
            }
        }
        reach("gate", "proved");
        Ok(Reply::AtGate(whole))
    }

    /// Lets the last bytes of the video leave, now that the row is sealed; the answer to their chunk.
    pub(super) async fn release(&mut self) -> Result<Reply, Error> {
        let Some(put) = &mut self.put else {
            return Ok(Reply::Put(Err(Failure::Lost("it was cut".into())), None));
        };
        put.open();
        reach("gate", "open");
        let answer = put.answered().await;
        self.answered(answer)
    }

    /// The chunk that was in flight has come to its end.
    fn answered(&mut self, answer: Result<Put, Failure>) -> Result<Reply, Error> {
        reach("put", "answered");
        let (Some(sending), Some(flight)) = (&mut self.sending, self.put.take()) else {
            return Ok(Reply::Put(answer, None));
        };
        match answer {
            Err(Failure::Source(error)) => {
                return match sending.media.change(&error) {
                    Some(what) => Ok(Reply::Changed(what.into())),
                    None => Err(sending.media.unreadable(error)),
                };
            }
            _ if sending.media.is_torn() => {
                return Ok(Reply::Changed("it became shorter".into()));
            }
            _ => {}
        }
        let chunk = flight.chunk;
        let accepted = answer
            .as_ref()
            .is_ok_and(|answer| answer.said == Said::Accepted);
        let running = flight.meter.take_running();
        let before = sending.unanswered.take();
        let sent = running.clone().filter(|_| !accepted);
        let sent = sent.map(|running| (chunk, running));
        // The service may have the chunk as an earlier attempt sent it.
        sending.unanswered = sent.filter(|(of, sent)| {
            let same =
                before.is_some_and(|(chunk, then)| chunk == *of && then.entry() == sent.entry());
            flight.first_attempt || same
        });
        if accepted {
            self.note(Reply::Paced(chunk.size(), clock::since(flight.started)));
        }
        Ok(Reply::Put(answer, running))
    }

    /// Only a video that is sent from here has chunks, so only a damaged journal, or a service that lost what it had, can
    /// ask for one of anything else.
    pub(super) fn nothing_to_send(&self) -> Result<Reply, Error> {
        if self.remote.is_some() {
            return Ok(Reply::SessionOver(LossCause::NothingToSend));
        }
        Err(needed_again(&self.upload))
    }
}

/// Bytes that seemed to be at the service must be sent, or fetched, once more.
pub(super) fn needed_again(row: &Upload) -> Error {
    match row.path() {
        None if row.plan().is_some() => match row.address() {
            Some(Address::Object(address)) if address.contains("://") => {
                Error::needs_its_remote(&row.id, address)
            }
            _ => Error::needs_its_media(&row.id, &row.name()),
        },
        Some(path) if path.exists() => Error::temporary(format!(
            "The service has not got all bytes of {} after all.",
            crate::error::name(path)
        ))
        .helped_by([Remedy::CarryOn]),
        Some(path) => Error::unreadable(path, io::ErrorKind::NotFound.into()),
        None => Error::needs_its_url(&row.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_while_a_row_is_saved_is_kept_and_the_save_comes_to_its_end() {
        let put = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err(Failure::Lost("reset".into()))
        };
        let plan = Plan::new(1_000, &crate::Limits::default(), 10_000_000).expect("legal");
        let mut flight = InFlight {
            chunk: plan.chunk(0),
            put: put.boxed(),
            answer: None,
            keeper: None,
            meter: Arc::new(Meter::new(1_000)),
            started: Instant::now(),
            first_attempt: true,
        };
        let saved = flight.beside(async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            "saved"
        });
        assert_eq!(saved.await, "saved");
        let answer = flight.answered().await;
        assert!(matches!(answer, Err(Failure::Lost(why)) if why == "reset"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_given_up_while_a_row_is_saved_leaves_its_answer_to_be_heard() {
        let (gate, keeper) = Gate::new(WITHHELD);
        let put = async move {
            // The service answers before it has the body, which is dropped.
            drop(gate);
            tokio::time::sleep(Duration::from_secs(2)).await;
            Err(Failure::Lost("refused".into()))
        };
        let plan = Plan::new(1_000, &crate::Limits::default(), 10_000_000).expect("legal");
        let mut flight = InFlight {
            chunk: plan.chunk(0),
            put: put.boxed(),
            answer: None,
            keeper: Some(keeper),
            meter: Arc::new(Meter::new(1_000)),
            started: Instant::now(),
            first_attempt: true,
        };
        let saved = tokio::time::timeout(Duration::from_secs(1), flight.until_gate());
        saved.await.expect_err("the save comes to its end first");
        let answer = flight.until_gate().await.expect_err("no gate");
        assert!(matches!(answer, Err(Failure::Lost(why)) if why == "refused"));
    }
}

//! Is what was sent one version of the file? Asked at each chunk border, and before the bytes leave that could complete
//! the video.
//!
//! An identity that has moved is a question and not a verdict: `mv`, `chmod` and backups move it, too. Bytes decide.

use std::time::Duration;

use super::rehash::{Rehash, blocking, prove};
use super::sending::{Kept, Sending};
use super::transfer::Transfer;
use crate::clock::{self, Now};
use crate::error::Error;
use crate::killpoint::reach;
use crate::source::{Proof, Source};
use crate::tiktok::body::Keeper;
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::Chunk;
use crate::upload::{Identity, Reply};

/// How long the last bytes of a body may be held back for a comparison: a service gives a body up that stands still.
const PATIENCE: Duration = Duration::from_secs(5);

/// Comparisons before the last chunk of a file whose identity keeps moving. The gate then compares once more.
const COMPARISONS: u32 = 3;

impl Sending {
    /// Looks at the file before a chunk is read. If its identity has moved, everything acknowledged is compared with it:
    /// beside the transfer, or before the last chunk begins.
    pub(super) async fn check(&mut self, transfer: &mut Transfer, last: bool) -> Result<(), Error> {
        let mut unproven = last && self.compare_first && !self.baseline.proves;
        for _ in 0..COMPARISONS {
            self.take_proof(transfer, last).await?;
            if self.rehash.is_some() || transfer.upload.running.is_none() {
                return Ok(());
            }
            let now = blocking(&self.source, |source, _| source.identity_now()).await?;
            if self.baseline.is_still(&now) && !unproven {
                return Ok(());
            }
            unproven = false;
            // Bytes that were read ahead may be older than the identity that follows.
            self.ahead = None;
            let as_of = self.as_of(transfer).await?;
            let (plan, confirmed) = (transfer.upload.plan().copied(), transfer.upload.confirmed());
            let (Some(plan), 1..) = (plan, confirmed) else {
                self.rest_on(transfer, as_of);
                return Ok(());
            };
            let entries = transfer.ledger().await?;
            self.rehash = Some(Rehash::start(self.source.clone(), as_of, plan, entries));
            reach("rehash", "started");
            if !last {
                return Ok(());
            }
        }
        self.take_proof(transfer, last).await
    }

    /// Takes in what a comparison has found; `wait`: also if it is still under way.
    async fn take_proof(&mut self, transfer: &mut Transfer, wait: bool) -> Result<(), Error> {
        let Some(rehash) = &mut self.rehash else {
            return Ok(());
        };
        let proof = if wait {
            Some(rehash.proof().await)
        } else {
            rehash.peek()
        };
        let Some(proof) = proof else { return Ok(()) };
        self.rehash = None;
        match proof?.same() {
            Ok(as_of) => {
                self.rest_on(transfer, as_of);
                Ok(())
            }
            Err(what) => Err(self.changed(transfer, what).await),
        }
    }

    /// Everything acknowledged is known to be the file's as of this.
    fn rest_on(&mut self, transfer: &mut Transfer, as_of: Identity) {
        self.baseline = as_of;
        transfer.upload.apply(Reply::Touched(as_of), Now::read(), 0);
    }

    /// Waits until the body is at its last bytes, proves that all of it is one version of the file, and records that
    /// the video may be complete before those bytes leave.
    pub(super) async fn keep(
        &mut self,
        transfer: &mut Transfer,
        keeper: Keeper,
    ) -> Result<Kept, Error> {
        let Ok(running) = keeper.reached.await else {
            // The body has ended some other way; its answer says how.
            return std::future::pending().await;
        };
        reach("gate", "reached");
        self.source.settle().await;
        let whole = running.map(|running| running.entry());
        match tokio::time::timeout(clock::real(PATIENCE), self.compare(transfer, whole)).await {
            Ok(compared) => match compared?.same() {
                Ok(as_of) => self.rest_on(transfer, as_of),
                Err(what) => return Err(self.changed(transfer, what).await),
            },
            Err(_) if self.was_just_compared().await? => {}
            Err(_) => {
                self.compare_first = true;
                return Ok(Kept::Cut(
                    "comparing the file with what was sent took longer than TikTok waits",
                ));
            }
        }
        reach("gate", "proved");
        transfer.take_in(Reply::Sealed(whole)).await?;
        // If the body is gone meanwhile, its answer says why.
        let _ = keeper.open.send(());
        reach("gate", "open");
        Ok(Kept::Released)
    }

    /// Whether all that was sent is the file's at this moment.
    async fn compare(&self, transfer: &Transfer, whole: Option<Entry>) -> Result<Proof, Error> {
        if self.source.is_torn() {
            return Ok(Proof::Shorter);
        }
        let finished = self.finished;
        let look =
            move |source: &Source, _: &_| Ok((source.check_writers(finished), source.synced()?));
        let (checked, now) = blocking(&self.source, look).await?;
        checked?;
        let planned = transfer.upload.size().unwrap_or(now.size);
        if now.size != planned {
            return Ok(Proof::resized(planned, now.size));
        }
        if self.rehash.is_none() && self.baseline.proves_same(&now) {
            return Ok(Proof::Same(self.baseline));
        }
        let (Some(whole), Some(plan)) = (whole, transfer.upload.plan().copied()) else {
            let same = self.baseline.but_for_ctime(&now);
            return Ok(if same {
                Proof::Same(now)
            } else {
                Proof::Moved("its time of change")
            });
        };
        let mut entries = transfer.ledger().await?;
        entries.push(whole);
        let as_of = blocking(&self.source, |source, _| source.settled()).await?;
        prove(self.source.clone(), as_of, plan, entries).await
    }

    /// Where times prove nothing, a comparison right before the last chunk is the most there can be of a file that cannot
    /// be compared while the last bytes wait.
    async fn was_just_compared(&self) -> Result<bool, Error> {
        let now = blocking(&self.source, |source, _| source.identity_now()).await?;
        let unmoved = self.rehash.is_none() && self.baseline.is_still(&now);
        Ok(self.compare_first && !self.baseline.proves && unmoved)
    }

    /// The file is not what was sent of it. Nothing can have been posted unless it was sealed.
    pub(super) async fn changed(&self, transfer: &mut Transfer, what: String) -> Error {
        let name = self.source.name();
        match transfer.take_in(Reply::Changed(what.clone())).await {
            Ok(()) => match transfer.upload.final_error() {
                Some(error) => error,
                None => Error::changed(&name, what),
            },
            Err(error) => error,
        }
    }

    /// Goes back to the end of `chunks`, as the service has lost what followed: the file must still begin with them.
    pub(super) async fn rewind(
        &mut self,
        transfer: &mut Transfer,
        chunks: u32,
    ) -> Result<Reply, Error> {
        self.ahead = None;
        self.unanswered = None;
        let (Some(plan), Some(_)) = (transfer.upload.plan(), &transfer.upload.running) else {
            return Ok(Reply::Rewound(None));
        };
        let border = plan.border(chunks);
        let entries = transfer.ledger().await?;
        let read = blocking(&self.source, move |source, cancel| {
            let mut there = Running::default();
            let start = Running::default();
            source.digests(start, 0, [border], cancel, |_, running| {
                there = running.clone();
                true
            })?;
            Ok(there)
        });
        let running = read.await?;
        match chunks
            .checked_sub(1)
            .and_then(|last| entries.get(last as usize))
        {
            Some(entry) if *entry != running.entry() => {
                Err(self.changed(transfer, "its bytes".into()).await)
            }
            _ => Ok(Reply::Rewound(Some(running))),
        }
    }

    /// Counts a chunk that the service has though its answer was lost, if the file is proven to hold what was sent of it:
    /// by the hash of what this process sent, else by an identity that has not moved since before the chunk was read.
    pub(super) async fn adopt(
        &mut self,
        transfer: &Transfer,
        chunk: Chunk,
    ) -> Result<Reply, Error> {
        reach("adopt", "before");
        let (first, range) = (transfer.upload.identity(), chunk.range());
        let sent = self.unanswered.take().filter(|(of, _)| *of == chunk);
        let before = transfer.upload.running();
        let read = blocking(&self.source, move |source, cancel| {
            let mut at_end = None;
            if let Some(running) = before {
                source.digests(running, range.start, [range.end], cancel, |_, running| {
                    at_end = Some(running.clone());
                    true
                })?;
            }
            Ok((at_end, source.identity_now()?))
        });
        let (running, now) = read.await?;
        let unmoved = first.is_some_and(|first| match running {
            Some(_) => first.proves_same(&now),
            None => first.but_for_ctime(&now),
        });
        let same = match (&sent, &running) {
            (Some((_, sent)), Some(running)) => sent.entry() == running.entry(),
            _ => unmoved,
        };
        reach("adopt", "read");
        Ok(if same {
            Reply::Adopted(running)
        } else {
            Reply::SessionOver(
                "a chunk whose answer was lost cannot be vouched for: the file was touched since",
            )
        })
    }
}

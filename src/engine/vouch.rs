//! Is what was sent one version of the file? Asked before the bytes leave that could complete the video.

use super::rehash::{blocking, prove};
use super::sending::Sending;
use super::transfer::Transfer;
use crate::body::Keeper;
use crate::clock::Now;
use crate::error::Error;
use crate::killpoint::reach;
use crate::ledger::Entry;
use crate::plan::Chunk;
use crate::source::Proof;
use crate::upload::Reply;

impl Sending {
    /// Waits until the body is at its last bytes, proves that all of it is one version of the file, and records that
    /// the video may be complete before those bytes leave.
    pub(super) async fn keep(
        &mut self,
        transfer: &mut Transfer,
        keeper: Keeper,
    ) -> Result<(), Error> {
        let Ok(running) = keeper.reached.await else {
            // The body has ended some other way; its answer says how.
            return std::future::pending().await;
        };
        reach("gate", "reached");
        self.source.settle().await;
        let whole = running.map(|running| running.entry());
        if let Some(what) = self.difference(transfer, whole).await? {
            return Err(self.changed(transfer, what).await);
        }
        reach("gate", "proved");
        transfer.upload.seal(whole, Now::read());
        transfer.record(None).await?;
        // If the body is gone meanwhile, its answer says why.
        let _ = keeper.open.send(());
        reach("gate", "open");
        Ok(())
    }

    /// What differs between what was sent and what the file holds now, if anything does.
    async fn difference(
        &mut self,
        transfer: &Transfer,
        whole: Option<Entry>,
    ) -> Result<Option<String>, Error> {
        if self.source.is_torn() {
            return Ok(Proof::Shorter.complaint());
        }
        let earlier = match &mut self.rehash {
            None => Proof::Same(self.baseline),
            Some(rehash) => rehash.proof().await,
        };
        if matches!(earlier, Proof::Differs(_) | Proof::Shorter) {
            return Ok(earlier.complaint());
        }
        let now = self.source.identity_now()?;
        if Some(now.size) != transfer.upload.size() {
            return Ok(Some("its size".into()));
        }
        if earlier == Proof::Same(self.baseline) && now == self.baseline {
            return Ok(None);
        }
        let (Some(whole), Some(plan)) = (whole, transfer.upload.plan().copied()) else {
            return Ok(Some("its time of change".into()));
        };
        let mut entries = transfer.ledger().await?;
        entries.push(whole);
        Ok(match prove(self.source.clone(), plan, entries).await? {
            Proof::Same(proven) if proven.size != now.size => Some("its size".into()),
            proof => proof.complaint(),
        })
    }

    /// The file is not what was sent of it. Nothing can have been posted unless it was sealed.
    pub(super) async fn changed(&self, transfer: &mut Transfer, what: String) -> Error {
        let name = self.source.name();
        if transfer.upload.state.may_be_complete() {
            let why = format!("the file changed ({what}) before its last chunk was confirmed");
            transfer.upload.park(&why, Now::read().wall);
        } else {
            transfer.upload.give_up(&what, Now::read());
        }
        match transfer.record(None).await {
            Ok(()) => match transfer.upload.final_error() {
                Some(error) => error,
                None => Error::changed(&name, what),
            },
            Err(error) => error,
        }
    }

    /// Counts a chunk whose answer was lost from the file, as long as that is what it was at the first byte.
    pub(super) async fn adopt(
        &mut self,
        transfer: &Transfer,
        chunk: Chunk,
    ) -> Result<Reply, Error> {
        reach("adopt", "before");
        let first = transfer.upload.identity();
        let lost = Reply::SessionOver(
            "a chunk whose answer was lost cannot be vouched for: the file was touched since",
        );
        if Some(self.source.identity_now()?) != first {
            return Ok(lost);
        }
        let running = match transfer.upload.running() {
            None => None,
            Some(running) => {
                let range = chunk.range();
                let read = blocking(&self.source, move |source, cancel| {
                    let mut at_end = None;
                    source.digests(running, range.start, [range.end], cancel, |_, running| {
                        at_end = Some(running.clone());
                        true
                    })?;
                    Ok(at_end)
                });
                read.await?
            }
        };
        if Some(self.source.identity_now()?) != first {
            return Ok(lost);
        }
        reach("adopt", "read");
        Ok(Reply::Adopted(running))
    }
}

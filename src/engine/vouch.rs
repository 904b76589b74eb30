//! Is what was sent one version of the file? Asked before the bytes leave that could complete the video.

use super::rehash::{blocking, prove};
use super::transfer::Transfer;
use crate::body::Keeper;
use crate::clock::Now;
use crate::error::Error;
use crate::ledger::Entry;
use crate::plan::Chunk;
use crate::source::Proof;
use crate::upload::Reply;

impl Transfer {
    /// Waits until the body is at its last bytes, proves that all of it is one version of the file, and records that
    /// the video may be complete before those bytes leave.
    pub(super) async fn keep(&mut self, keeper: Keeper) -> Result<(), Error> {
        let Ok(running) = keeper.reached.await else {
            // The body has ended some other way; its answer says how.
            return std::future::pending().await;
        };
        let whole = running.map(|running| running.entry());
        if let Some(what) = self.difference(whole).await? {
            return Err(self.changed(what).await);
        }
        self.upload.seal(whole, Now::read());
        self.record(None).await?;
        // If the body is gone meanwhile, its answer says why.
        let _ = keeper.open.send(());
        Ok(())
    }

    /// What differs between what was sent and what the file holds now, if anything does.
    async fn difference(&mut self, whole: Option<Entry>) -> Result<Option<String>, Error> {
        let earlier = match &mut self.rehash {
            None => Proof::Same(self.baseline),
            Some(rehash) => rehash.proof().await,
        };
        if matches!(earlier, Proof::Differs(_) | Proof::Shorter) {
            return Ok(earlier.complaint());
        }
        let now = self.source.identity_now()?;
        if now.size != self.upload.key.size {
            return Ok(Some("its size".into()));
        }
        if earlier == Proof::Same(self.baseline) && now == self.baseline {
            return Ok(None);
        }
        let Some(whole) = whole else {
            return Ok(Some("its time of change".into()));
        };
        let mut entries = self
            .shared
            .journal
            .ledger(self.upload.id.clone(), self.upload.confirmed())
            .await?;
        entries.push(whole);
        Ok(
            match prove(self.source.clone(), self.upload.plan, entries).await? {
                Proof::Same(proven) if proven.size != now.size => Some("its size".into()),
                proof => proof.complaint(),
            },
        )
    }

    /// The file is not what was sent of it. Nothing can have been posted unless it was sealed.
    pub(super) async fn changed(&mut self, what: String) -> Error {
        if self.upload.state.may_be_complete() {
            let why = format!("the file changed ({what}) before its last chunk was confirmed");
            self.upload.park(&why, Now::read().wall);
        } else {
            self.upload.give_up(&what, Now::read());
        }
        match self.record(None).await {
            Ok(()) => match self.upload.final_error() {
                Some(error) => error,
                None => Error::changed(self.source.path(), what),
            },
            Err(error) => error,
        }
    }

    /// Counts a chunk whose answer was lost from the file, as long as that is what it was at the first byte.
    pub(super) async fn adopt(&mut self, chunk: Chunk) -> Result<Reply, Error> {
        let first = self.upload.identity();
        let lost = Reply::SessionOver(
            "a chunk whose answer was lost cannot be vouched for: the file was touched since",
        );
        if self.source.identity_now()? != first {
            return Ok(lost);
        }
        let running = match self.upload.running() {
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
        if self.source.identity_now()? != first {
            return Ok(lost);
        }
        Ok(Reply::Adopted(running))
    }
}

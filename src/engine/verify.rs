//! Is what was sent one version of the video? Asked at each chunk border, and before the bytes leave that could complete the
//! video.
//!
//! An identity that has moved is a question and not a verdict: `mv`, `chmod` and backups move it, too. Bytes decide.

use std::sync::Arc;

use futures::TryStreamExt;

use super::record::{Ledger, ledger};
use super::rehash::Rehash;
use super::send::Sending;
use super::transfer::Transfer;
use crate::error::Error;
use crate::failpoint::reach;
use crate::source::{Proof, Version, prove};
use crate::upload::event::LossCause;
use crate::upload::ledger::{Entry, Running};
use crate::upload::plan::Chunk;
use crate::upload::{Identity, Reply, Upload};

/// Comparisons before the last chunk of a file whose identity keeps moving. The gate then compares once more.
const COMPARISONS: u32 = 3;

/// What a look at the video before a chunk has found.
#[derive(Debug)]
pub(super) enum Compared {
    /// The video is the version that it was, or a comparison is under way.
    Unmoved,
    /// Everything acknowledged is the video's as of this version.
    Touched(Identity),
    /// The video is not what was sent of it; what has changed, in words.
    Changed(String),
}

impl Sending {
    /// Looks at the video before a chunk is read. If its identity has moved, everything acknowledged is compared with it:
    /// beside the transfer, or before the last chunk begins.
    pub(super) async fn check(
        &mut self,
        upload: &Upload,
        ledger: &Ledger<'_>,
        last: bool,
    ) -> Result<Compared, Error> {
        let mut found = Compared::Unmoved;
        let mut unproven = last && self.compare_first && !self.baseline.proves;
        for _ in 0..COMPARISONS {
            match self.take_proof(last).await? {
                Compared::Unmoved => {}
                changed @ Compared::Changed(_) => return Ok(changed),
                touched => found = touched,
            }
            if self.rehash.is_some() || upload.hash_state.is_none() {
                return Ok(found);
            }
            let now = self.media.version().await;
            let now = now.map_err(|error| self.media.unreadable(error))?;
            if self.baseline.is_still(&now) && !unproven {
                return Ok(found);
            }
            unproven = false;
            // Bytes that were read ahead may be older than the identity that follows.
            self.ahead = None;
            let as_of = match self.settled(upload).await? {
                Ok(as_of) => as_of,
                Err(what) => return Ok(Compared::Changed(what)),
            };
            let (Some(plan), 1..) = (upload.plan().copied(), upload.confirmed()) else {
                self.baseline = as_of;
                return Ok(Compared::Touched(as_of));
            };
            let entries = ledger.entries(upload).await?;
            let media = Arc::clone(&self.media);
            self.rehash = Some(Rehash::start(media, as_of, plan, entries));
            reach("rehash", "started");
            if !last {
                return Ok(found);
            }
        }
        match self.take_proof(last).await? {
            Compared::Unmoved => Ok(found),
            other => Ok(other),
        }
    }

    /// Takes in what a comparison has found; `wait`: also if it is still under way.
    async fn take_proof(&mut self, wait: bool) -> Result<Compared, Error> {
        let Some(rehash) = &mut self.rehash else {
            return Ok(Compared::Unmoved);
        };
        let proof = if wait {
            Some(rehash.proof().await)
        } else {
            rehash.peek()
        };
        let Some(proof) = proof else {
            return Ok(Compared::Unmoved);
        };
        self.rehash = None;
        Ok(match proof?.same() {
            Ok(as_of) => {
                self.baseline = as_of;
                Compared::Touched(as_of)
            }
            Err(what) => Compared::Changed(what),
        })
    }

    /// The version there is now, if it still has the size that was planned; else what has changed, in words.
    pub(super) async fn settled(&self, upload: &Upload) -> Result<Result<Identity, String>, Error> {
        let settled = self.media.settled().await;
        let identity = settled.map_err(|error| self.media.unreadable(error))?;
        let planned = upload.size().unwrap_or(identity.size);
        Ok(if identity.size == planned {
            Ok(identity)
        } else {
            Proof::resized(planned, identity.size).same()
        })
    }

    /// Whether all that was sent is the video's at this moment.
    pub(super) async fn compare(
        &self,
        upload: &Upload,
        ledger: &Ledger<'_>,
        whole: Option<Entry>,
    ) -> Result<Proof, Error> {
        let now = match self.media.still_the_same().await? {
            Version::Now(now) => now,
            Version::Changed(what) => return Ok(Proof::Moved(what)),
        };
        let planned = upload.size().unwrap_or(now.size);
        if now.size != planned {
            return Ok(Proof::resized(planned, now.size));
        }
        if self.rehash.is_none() && self.baseline.proves_same(&now) {
            return Ok(Proof::Same(self.baseline));
        }
        let (Some(whole), Some(plan)) = (whole, upload.plan()) else {
            let same = self.baseline.but_for_ctime(&now);
            return Ok(if same {
                Proof::Same(now)
            } else {
                Proof::Moved("its time of change")
            });
        };
        let mut entries = ledger.entries(upload).await?;
        entries.push(whole);
        let settled = self.media.settled().await;
        let as_of = settled.map_err(|error| self.media.unreadable(error))?;
        prove(&*self.media, as_of, plan, entries).await
    }

    /// Where times prove nothing, a comparison right before the last chunk is the most there can be of a file that cannot
    /// be compared while the last bytes wait.
    pub(super) async fn was_just_compared(&self) -> Result<bool, Error> {
        let now = self.media.version().await;
        let now = now.map_err(|error| self.media.unreadable(error))?;
        let unmoved = self.rehash.is_none() && self.baseline.is_still(&now);
        Ok(self.compare_first && !self.baseline.proves && unmoved)
    }

    /// The running hash at `border`, hashed on from that at an earlier one.
    async fn hash(&self, from: u64, running: Running, border: u64) -> Result<Running, Error> {
        let mut digests = self.media.digests(running, from, vec![border]);
        let found = digests.try_next().await;
        let found = found.map_err(|error| self.media.unreadable(error))?;
        Ok(found.map(|(_, running)| running).unwrap_or_default())
    }
}

impl Transfer {
    /// Takes up what earlier runs have left: what they sent is hashed again, beside everything else. A reply, if the file
    /// has changed.
    pub(super) async fn carry_on(&mut self, compared: bool) -> Result<Option<Reply>, Error> {
        let upload = &self.upload;
        let (Some(plan), Some(_), Some(sending)) =
            (upload.plan().copied(), upload.session(), &mut self.sending)
        else {
            return Ok(None);
        };
        if upload.confirmed() == 0 {
            return Ok(None);
        }
        if upload.hash_state.is_none() {
            let first = upload.identity();
            let same = first.is_some_and(|first| first.but_for_ctime(&sending.baseline));
            return Ok((!same).then(|| Reply::Changed("its time of change".into())));
        }
        let proven = || {
            upload
                .identity()
                .is_some_and(|then| then.proves_same(&sending.baseline))
        };
        if !compared && (sending.media.reads_again() || !proven()) {
            let entries = ledger(&*self.shared.journal, upload).await?;
            let media = Arc::clone(&sending.media);
            sending.rehash = Some(Rehash::start(media, sending.baseline, plan, entries));
            reach("rehash", "started");
        }
        Ok(None)
    }

    /// Goes back to the end of `chunks`, as the service has lost what followed: the file must still begin with them.
    pub(super) async fn rewind(&mut self, chunks: u32) -> Result<Reply, Error> {
        let Some(sending) = &mut self.sending else {
            return self.nothing_to_send();
        };
        sending.ahead = None;
        sending.unanswered = None;
        let (Some(plan), Some(_)) = (self.upload.plan(), &self.upload.hash_state) else {
            return Ok(Reply::Rewound(None));
        };
        let entries = ledger(&*self.shared.journal, &self.upload).await?;
        let border = plan.border(chunks);
        let running = sending.hash(0, Running::default(), border).await?;
        let last = chunks.checked_sub(1);
        Ok(match last.and_then(|last| entries.get(last as usize)) {
            Some(entry) if *entry != running.entry() => Reply::Changed("its bytes".into()),
            _ => Reply::Rewound(Some(running)),
        })
    }

    /// Counts a chunk that the service has though its answer was lost, if the file is proven to hold what was sent of it:
    /// by the hash of what this process sent, else by an identity that has not moved since before the chunk was read.
    pub(super) async fn adopt(&mut self, chunk: Chunk) -> Result<Reply, Error> {
        let Some(sending) = &mut self.sending else {
            return self.nothing_to_send();
        };
        reach("adopt", "before");
        let (first, range) = (self.upload.identity(), chunk.range());
        let sent = sending.unanswered.take().filter(|(of, _)| *of == chunk);
        let running = match self.upload.running() {
            Some(before) => Some(sending.hash(range.start, before, range.end).await?),
            None => None,
        };
        let now = sending.media.version().await;
        let now = now.map_err(|error| sending.media.unreadable(error))?;
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
            Reply::SessionOver(LossCause::Touched)
        })
    }
}

//! The body of a chunk as it comes in: counted, hashed and written down, piece by piece.

use axum::body::Body;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::Put;
use crate::faults::Action;
use crate::retention::UploadWriter;
use crate::shared::Pace;

/// Bytes of a body between two notes of its progress; whoever looks on sees the chunk move.
const TELL_EVERY: u64 = 256 << 10;

/// The body that is wanted, and what is known before its first byte.
pub(super) struct Wanted {
    /// Of the whole upload.
    pub(super) size: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    /// How many of its bytes are here.
    pub(super) arrived: u64,
    pub(super) attempt: u64,
    pub(super) hasher: Option<Sha256>,
    /// Writes them down; a body that is only read away is not.
    pub(super) writer: Option<UploadWriter>,
}

/// How the body came to an end.
pub(super) enum Ending {
    Whole,
    /// The client fell silent, or ended a body of unknown length too early.
    Short,
    /// More came than the range holds.
    Long,
    /// The client broke the connection.
    Broken,
    /// A fault did.
    Cut,
    Stalled,
    /// It could not be written to disk.
    NotKept(String),
}

impl Put {
    /// Takes the turn: an older PUT of the same upload that still runs will not count.
    pub(super) fn want(&self, first: u64, end: u64) -> Option<Wanted> {
        let mut service = self.shared.service();
        let session = service.sessions.get_mut(&self.session)?;
        session.attempt += 1;
        Some(Wanted {
            size: session
                .progress()
                .map_or(end, |progress| progress.plan.video_size),
            first,
            end,
            arrived: 0,
            attempt: session.attempt,
            hasher: session.hasher.clone(),
            writer: None,
        })
    }

    pub(super) async fn discard(&self, body: Body, length: u64) -> Ending {
        let mut nothing = Wanted {
            size: length,
            first: 0,
            end: length,
            arrived: 0,
            attempt: 0,
            hasher: None,
            writer: None,
        };
        self.read(body, &mut nothing).await
    }

    pub(super) async fn read(&self, body: Body, wanted: &mut Wanted) -> Ending {
        let ending = self.read_on(body, wanted).await;
        self.note(|put| put.bytes = wanted.arrived);
        ending
    }

    /// Reads the body; memory is bounded by the pieces the connection hands over.
    async fn read_on(&self, mut body: Body, wanted: &mut Wanted) -> Ending {
        let length = wanted.end - wanted.first;
        let (stop, after) = match self.strike.action {
            Some(Action::Cut(bytes)) => (bytes, Ending::Cut),
            Some(Action::Stall(bytes)) => (bytes, Ending::Stalled),
            _ => (u64::MAX, Ending::Cut),
        };
        let trickle = match self.strike.action {
            Some(Action::Trickle(rate)) => Some((Pace::default(), rate)),
            _ => None,
        };
        let mut told = 0;
        while wanted.arrived < stop {
            let frame = tokio::time::timeout(self.settings.body_timeout, body.frame()).await;
            let mut data = match frame {
                Err(_) => return Ending::Short,
                Ok(Some(Err(_))) => return Ending::Broken,
                Ok(None) if wanted.arrived == length => return Ending::Whole,
                Ok(None) => return Ending::Short,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_trailers) => continue,
                },
            };
            let room = stop - wanted.arrived;
            if data.len() as u64 > room {
                data.truncate(room as usize);
            }
            if data.len() as u64 > length - wanted.arrived {
                return Ending::Long;
            }
            wanted.arrived += data.len() as u64;
            if let Some(hasher) = &mut wanted.hasher {
                hasher.update(&data);
            }
            if let Some(writer) = &mut wanted.writer
                && let Err(error) = writer.write(&data).await
            {
                return Ending::NotKept(error.to_string());
            }
            // Now and then, so that a log read meanwhile shows the chunk moving.
            if wanted.arrived - told >= TELL_EVERY {
                told = wanted.arrived;
                self.note(|put| put.bytes = told);
            }
            self.wait_for_pace(data.len() as u64, trickle.as_ref())
                .await;
        }
        after
    }

    async fn wait_for_pace(&self, bytes: u64, trickle: Option<&(Pace, u64)>) {
        if let Some((pace, rate)) = trickle {
            pace.pass(bytes, *rate).await;
        }
        let rate = self.shared.service().settings(None).receive_rate;
        if let Some(rate) = rate {
            self.shared.pace.pass(bytes, rate).await;
        }
    }
}

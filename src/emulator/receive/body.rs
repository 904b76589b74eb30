//! Receives the body of a chunk: counts, hashes and stores it piece by piece.

use axum::body::Body;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

use super::Put;
use crate::faults::Action;
use crate::retention::UploadWriter;
use crate::shared::Pace;

/// Bytes of a body between two notes of its progress, so that log and page show the chunk advance.
const TELL_EVERY: u64 = 256 << 10;

/// The body to receive, and the facts before its first byte.
pub(super) struct Wanted {
    /// Size of the whole upload.
    pub(super) size: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    /// Bytes of the body that have arrived.
    pub(super) arrived: u64,
    pub(super) attempt: u64,
    pub(super) hasher: Option<Sha256>,
    /// Stores the bytes; `None` for a body that is read and dropped.
    pub(super) writer: Option<UploadWriter>,
}

/// How a body ended.
pub(super) enum Ending {
    Whole,
    /// The client stopped sending, or ended a body of unknown length too early.
    Short,
    /// More bytes came than the range has.
    Long,
    /// The client broke the connection.
    Broken,
    /// A fault broke the connection.
    Cut,
    Stalled,
    /// The bytes could not be stored.
    NotKept(String),
}

impl Put {
    /// Starts to receive a body: an older PUT of the same upload that is still in progress will not count.
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

    /// Reads the body; memory is bounded by the connection's pieces.
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
            // Now and then, so that a log read meanwhile shows the chunk advance.
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

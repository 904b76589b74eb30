//! The bytes of a range, over as many requests as that takes.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::Object;
use super::trouble::Trouble;
use crate::clock;

/// For how long nothing may come before a reading is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Shortest and longest wait before the next request.
const WAITS: Range<Duration> = Duration::from_millis(250)..Duration::from_secs(20);

/// The bytes of `range`, in order. A connection that breaks is followed by a request for the rest.
pub(super) fn read(
    object: Arc<Object>,
    range: Range<u64>,
) -> BoxStream<'static, io::Result<Bytes>> {
    let reading = Reading {
        object,
        rest: range,
        body: None,
        outage: Outage::new(),
    };
    let pieces = stream::try_unfold(reading, |mut reading| async {
        let piece = reading.next().await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, reading)))
    });
    pieces.boxed()
}

struct Reading {
    object: Arc<Object>,
    /// What has not come yet.
    rest: Range<u64>,
    body: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    outage: Outage,
}

impl Reading {
    /// The next bytes; `None` behind the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            let Some(body) = &mut self.body else {
                if self.rest.is_empty() {
                    return Ok(None);
                }
                match self.object.get(self.rest.clone()).await {
                    Ok(answer) => self.body = Some(answer.into_stream()),
                    Err(trouble) => self.outage.wait(trouble).await?,
                }
                continue;
            };
            // Asked for once more behind the last byte: only then can the connection serve the next request.
            let wanted = self.rest.end - self.rest.start;
            match body.next().await {
                Some(Ok(piece)) if piece.len() as u64 > wanted => return Err(Trouble::too_many()),
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.rest.start += piece.len() as u64;
                    self.outage = Outage::new();
                    return Ok(Some(piece));
                }
                None if self.rest.is_empty() => self.body = None,
                None => return Err(Trouble::too_few()),
                Some(Err(error)) => {
                    self.body = None;
                    if !self.rest.is_empty() {
                        self.outage.wait(Trouble::broken(&error)).await?;
                    }
                }
            }
        }
    }
}

/// How long nothing has come.
pub(super) struct Outage {
    since: Instant,
    waits: u32,
}

impl Outage {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            waits: 0,
        }
    }

    /// Waits until the next request makes sense. Fails if none does.
    pub(super) async fn wait(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let Trouble::Passing(why) = trouble else {
            return Err(trouble);
        };
        if clock::since(self.since) >= PATIENCE {
            return Err(Trouble::Passing(why));
        }
        tracing::info!(
            why,
            "the bucket's server does not deliver; it is asked again"
        );
        let longest = (WAITS.start * 2_u32.pow(self.waits.min(10))).min(WAITS.end);
        self.waits += 1;
        let half = longest / 2;
        clock::sleep(half + half.mul_f64(fastrand::f64())).await;
        Ok(())
    }
}

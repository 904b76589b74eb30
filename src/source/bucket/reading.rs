//! The bytes of a range, from one request.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::Object;
use super::trouble::Trouble;

/// The bytes of `range`, in order. The request is made when the first ones are asked for.
pub(super) fn read(
    object: Arc<Object>,
    range: Range<u64>,
) -> BoxStream<'static, io::Result<Bytes>> {
    let reading = Reading {
        object,
        rest: range,
        body: None,
    };
    let pieces = stream::try_unfold(reading, |mut reading| async {
        match reading.next().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, reading))),
            Err(trouble) => Err(trouble.while_reading(&reading.object.address)),
        }
    });
    pieces.boxed()
}

struct Reading {
    object: Arc<Object>,
    /// What has not come yet.
    rest: Range<u64>,
    body: Option<BoxStream<'static, object_store::Result<Bytes>>>,
}

impl Reading {
    /// The next bytes; `None` behind the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        let body = match &mut self.body {
            Some(body) => body,
            body => {
                let answer = self.object.get(self.rest.clone()).await?;
                body.insert(answer.into_stream())
            }
        };
        // Asked for once more behind the last byte: only then can the connection serve the next request.
        let wanted = self.rest.end - self.rest.start;
        match body.next().await {
            Some(Ok(piece)) if piece.len() as u64 > wanted => Err(Trouble::too_many()),
            Some(Ok(piece)) => {
                self.rest.start += piece.len() as u64;
                Ok(Some(piece))
            }
            Some(Err(error)) if wanted > 0 => Err(Trouble::broken(&error)),
            None if wanted > 0 => Err(Trouble::too_few()),
            Some(Err(_)) | None => Ok(None),
        }
    }
}

//! A copy of a video that cannot be read by ranges of one version: a file of the spool.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use futures::TryStreamExt;
use futures::future::BoxFuture;

use crate::engine::queue::{Of, Spool, Spooled};
use crate::error::Error;
use crate::source::media::Whole;
use crate::upload::plan::Limits;

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// Copies that are begun before the job is left for later.
const COPIES: u32 = 3;

/// Copies the video that `open` opens to a file of the spool.
pub(super) async fn copy<'a>(
    spool: &Arc<Spool>,
    address: &str,
    open: impl Fn() -> BoxFuture<'a, Result<Whole, Error>>,
) -> Result<(File, Spooled), Error> {
    let mut copies = 0;
    loop {
        let copied = match open().await {
            Ok(whole) => copy_once(spool, address, whole).await,
            Err(error) => Err(error),
        };
        copies += 1;
        match copied {
            Err(error) if error.is_retryable() && copies < COPIES => {
                tracing::debug!(%error, "a video is copied once more");
            }
            copied => return copied,
        }
    }
}

async fn copy_once(
    spool: &Arc<Spool>,
    address: &str,
    mut whole: Whole,
) -> Result<(File, Spooled), Error> {
    let stated = whole.size;
    let limits = Limits::DOCUMENTED;
    let fits = limits.check_file(stated.unwrap_or(1));
    fits.map_err(|error| Error::plan(address, error))?;
    let begun = Arc::clone(spool);
    let (spooled, mut file) = blocking(move || {
        let (spooled, file) = begun.make(Of::Copy)?;
        spooled.reserve(stated.unwrap_or(0))?;
        begun.has_room(stated.unwrap_or(0))?;
        Ok((spooled, file))
    })
    .await?;
    let (mut size, mut buffer) = (0_u64, Vec::with_capacity(2 * PIECE));
    loop {
        let next = whole.bytes.try_next().await;
        let next = next.map_err(|error| Error::not_fetched_now(address, error))?;
        let is_last = next.is_none();
        if let Some(piece) = next {
            size += piece.len() as u64;
            buffer.extend_from_slice(&piece);
        }
        if is_last || buffer.len() >= PIECE {
            limits
                .check_file(size)
                .map_err(|error| Error::plan(address, error))?;
            spooled.reserve(size.max(stated.unwrap_or(0)))?;
            let spool = Arc::clone(spool);
            (file, buffer) = blocking(move || {
                file.write_all(&buffer)
                    .map_err(|error| spool.cannot(error))?;
                buffer.clear();
                Ok((file, buffer))
            })
            .await?;
        }
        if is_last {
            break;
        }
    }
    if stated.is_some_and(|stated| stated != size) {
        let error = io::ErrorKind::UnexpectedEof.into();
        return Err(Error::not_fetched_now(address, error));
    }
    let (path, spool) = (spooled.path(), Arc::clone(spool));
    // The file is read by another description: this one was opened for writing.
    let file = blocking(move || File::open(path).map_err(|error| spool.cannot(error))).await?;
    Ok((file, spooled))
}

/// Works on the disk, where that may take its time.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked
        .map_err(|error| Error::not_now("the copy", io::Error::other(error)))
        .flatten()
}

//! A job whose video comes with it, in pieces: the bytes are kept in the state directory until the job has ended.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::dispatch::{Dispatch, whole};
use super::spool::{Of, Spooled};
use super::{Handle, Queue};
use crate::engine::Engine;
use crate::engine::job::{Job, What};
use crate::error::Error;
use crate::failpoint::reach;
use crate::journal::StoreError;
use crate::journal::queue::{Accepted, Wish, WishKind};

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// A video that is taken in: see [`Engine::take_in`]. If it is dropped, nothing is kept of the video.
#[derive(Debug)]
#[must_use = "a video that is taken in is a job once it is submitted"]
pub struct Intake {
    queue: Arc<Queue>,
    wish: Wish,
    spooled: Spooled,
    /// `None` once a write has failed, or was cut.
    writing: Option<Writing>,
    size: u64,
    reserved: u64,
}

#[derive(Debug)]
struct Writing {
    file: File,
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Intake {
    /// Takes in the next bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if the limit of [`Options::spool_limit`](crate::Options::spool_limit) is
    /// reached or the disk is full ([`NotAccepted::SpoolFull`](crate::NotAccepted::SpoolFull)), or the bytes cannot be written.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the video is lost: later calls fail.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let writing = self.writing.as_mut().ok_or_else(broken_off)?;
        writing.buffer.extend_from_slice(bytes);
        match writing.buffer.len() {
            0..PIECE => Ok(()),
            _ => self.flush().await,
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let mut writing = self.writing.take().ok_or_else(broken_off)?;
        self.size += writing.buffer.len() as u64;
        if self.size > self.reserved {
            self.spooled.reserve(self.size)?;
            self.reserved = self.size;
        }
        let spool = Arc::clone(self.spooled.spool());
        let written = blocking(move || {
            spool.has_room(writing.buffer.len() as u64)?;
            writing.hash.update(&writing.buffer);
            let written = writing.file.write_all(&writing.buffer);
            written.map_err(|error| spool.cannot(error))?;
            writing.buffer.clear();
            Ok(writing)
        });
        self.writing = Some(written.await?);
        Ok(())
    }

    /// Removes what was taken in, and returns once it is gone. Without this the same happens a little later.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, the video is removed all the same.
    pub async fn discard(self) {
        let spooled = self.spooled;
        let removed = blocking(move || {
            spooled.remove();
            Ok(())
        });
        // An error means that this runtime ends; the next start removes the file.
        let _ = removed.await;
    }

    /// Makes the video durable, and accepts the job: as [`Engine::submit`]. Under one id of its caller, the same bytes are the same
    /// job, whatever the name is. Where the caller waits for the end ([`Job::once`]) and the job of that id has ended in vain, this
    /// video takes the place of its bytes, which went with that end, and these options that of its options.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`], and as [`write`](Self::write).
    ///
    /// # Cancellation
    ///
    /// As [`Engine::submit`].
    pub async fn submit(mut self) -> Result<Handle, Error> {
        self.flush().await?;
        let writing = self.writing.take().ok_or_else(broken_off)?;
        if self.size == 0 {
            return Err(Error::usage(
                "The video has no bytes. Nothing was accepted.",
            ));
        }
        self.spooled.reserve(self.size)?;
        let sha256 = hex::encode(writing.hash.finalize());
        let (file, spooled) = (writing.file, self.spooled);
        let synced = blocking(move || {
            let synced = file.sync_all().and_then(|()| spooled.sync());
            match synced {
                Ok(()) => Ok(spooled),
                Err(error) => Err(spooled.spool().cannot(error)),
            }
        });
        let spooled = synced.await?;
        reach("spool", "synced");
        let mut wish = self.wish;
        if let WishKind::Body {
            sha256: of, file, ..
        } = &mut wish.what
        {
            *of = sha256;
            *file = spooled.kept_as();
        }
        let accepted = accept(&self.queue.dispatch, wish, spooled).await?;
        self.queue.handle_of(accepted)
    }
}

/// Records the job. The video is its own from then on, and is removed if the job was there already.
async fn accept(
    dispatch: &Arc<Dispatch>,
    wish: Wish,
    spooled: Spooled,
) -> Result<Accepted, StoreError> {
    let dispatch = Arc::clone(dispatch);
    whole(async move {
        let accepted = dispatch.accept(wish).await;
        // After an error the job may be recorded all the same; if it is not, the next start removes the video.
        if matches!(accepted, Ok(Accepted::New(_)) | Err(_)) {
            spooled.keep();
        }
        accepted
    })
    .await
}

fn broken_off() -> Error {
    Error::temporary("The video was not taken in whole. Nothing was accepted.")
}

/// Works on the disk, where that may take its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(worked) => worked,
        Err(_) => Err(broken_off()),
    }
}

impl Engine {
    /// Begins to take in the video of a job that [`Job::body`] has made, of so many bytes if that is known. The bytes are written to
    /// files in the state directory, where they need room, and are removed when their jobs have ended.
    ///
    /// ```no_run
    /// # async fn example(engine: chunkferry::Engine, pieces: Vec<Vec<u8>>) -> Result<(), chunkferry::Error> {
    /// use chunkferry::Job;
    ///
    /// let job = Job::body("clip.mp4").account_name("lena").id("night 7");
    /// let mut video = engine.take_in(job, None).await?;
    /// for piece in pieces {
    ///     video.write(&piece).await?;
    /// }
    /// let handle = video.submit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit), but for what the bytes decide; and
    /// [`ErrorKind::Temporary`](crate::ErrorKind::Temporary) if there is no room
    /// ([`NotAccepted::SpoolFull`](crate::NotAccepted::SpoolFull)) below the limit or on the disk, of which 16 MiB are left free, or the
    /// directory cannot be written to.
    pub async fn take_in(&self, job: Job, length: Option<u64>) -> Result<Intake, Error> {
        if !matches!(job.what, What::Body { .. }) {
            return Err(Error::usage(format!(
                "{} is no video that is taken in: submit it.",
                job.name()
            )));
        }
        let wish = self.wish_of(&job).await?;
        let queue = Arc::clone(self.queue()?);
        let spool = Arc::clone(&queue.dispatch.spool);
        queue.tidy().await;
        let reserved = length.unwrap_or(0);
        let begun = move || {
            let (spooled, file) = spool.make(Of::Job)?;
            spooled.reserve(reserved)?;
            spool.has_room(reserved)?;
            Ok((spooled, file))
        };
        let (spooled, file) = blocking(begun).await?;
        Ok(Intake {
            queue,
            wish,
            spooled,
            writing: Some(Writing {
                file,
                hash: Sha256::new(),
                buffer: Vec::with_capacity(PIECE),
            }),
            size: 0,
            reserved,
        })
    }
}

//! Decides which videos are kept, and stores them while they arrive.

use std::io;
use std::sync::Arc;

use super::service::Service;
use super::session::Kept;
use super::shared::Shared;
use super::storage::{PartFile, Storage, StoredFile};

const TOO_LARGE: &str =
    "It is larger than all this server keeps. --keep SIZE or --dir DIR keeps more.";
const GAVE_WAY: &str = "It gave way to newer videos. --keep SIZE or --dir DIR keeps more.";

/// Stores one upload, if it is to be kept.
///
/// In a directory of the user a failure to store is an error. In a temporary one the upload is only not shown.
pub(crate) struct UploadWriter {
    shared: Arc<Shared>,
    session: u64,
    keep: Option<PartFile>,
}

impl UploadWriter {
    /// Opens the file at offset `first`; the upload will have `size` bytes.
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        session: u64,
        size: u64,
        first: u64,
    ) -> io::Result<Self> {
        let mut writer = Self {
            shared: Arc::clone(shared),
            session,
            keep: None,
        };
        if let Some(place) = writer.set_aside(size) {
            let opened = PartFile::open(place, first).await;
            writer.keep = writer.forgive(opened)?;
        }
        Ok(writer)
    }

    /// Notes that the upload will have more bytes than expected.
    pub(crate) fn grow(&mut self, size: u64) {
        if self.keep.is_some() && self.set_aside(size).is_none() {
            self.keep = None;
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(keep) = &mut self.keep else {
            return Ok(());
        };
        let written = keep.write(bytes).await;
        self.forgive(written).map(drop)
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let Some(keep) = &mut self.keep else {
            return Ok(());
        };
        let flushed = keep.flush().await;
        self.forgive(flushed).map(drop)
    }

    /// Ends a complete upload; it can be shown from now on.
    pub(crate) async fn complete(&mut self, ending: &'static str) -> io::Result<()> {
        let Some(keep) = self.keep.take() else {
            return Ok(());
        };
        let completed = keep.complete(ending).await;
        if let Some(place) = self.forgive(completed)? {
            self.shared.service().show(self.session, place);
        }
        Ok(())
    }

    fn set_aside(&self, size: u64) -> Option<StoredFile> {
        let storage = self.shared.storage.as_ref()?;
        // The uploads that give way are dropped, and so their files removed, after the lock is released.
        let (place, _gone) = self.shared.service().set_aside(self.session, size, storage);
        place
    }

    fn forgive<T>(&mut self, outcome: io::Result<T>) -> io::Result<Option<T>> {
        let storage = self.shared.storage.as_ref();
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if storage.is_some_and(|storage| storage.most().is_some()) => {
                self.keep = None;
                let why = format!("It could not be kept: {error}.");
                let _gone = self.shared.service().give_up(self.session, why);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Service {
    /// Reserves room for an upload, unless it is not to be kept; returns the oldest uploads, which give way.
    fn set_aside(
        &mut self,
        number: u64,
        size: u64,
        storage: &Storage,
    ) -> (Option<StoredFile>, Vec<Kept>) {
        let mut gone = Vec::new();
        let Some(session) = self.sessions.get_mut(&number) else {
            return (None, gone);
        };
        let most = storage.most().unwrap_or(u64::MAX);
        let place = match &session.kept {
            Kept::Not(_) => return (None, gone),
            Kept::Nothing => match storage.place(&session.publish_id, size) {
                Ok(place) => place,
                Err(error) => {
                    gone.push(session.keep_not(format!("It could not be kept: {error}.")));
                    return (None, gone);
                }
            },
            Kept::At(place) => place.clone().grown(size),
        };
        if size > most {
            gone.push(session.keep_not(TOO_LARGE.to_owned()));
            return (None, gone);
        }
        session.kept = Kept::At(place.clone());
        let mut used: u64 = self.sessions.values().map(|held| held.kept.size()).sum();
        for (_, older) in self
            .sessions
            .iter_mut()
            .filter(|(held, _)| **held != number)
        {
            if used <= most {
                break;
            }
            if let Kept::At(held) = &older.kept {
                used -= held.size;
                gone.push(older.keep_not(GAVE_WAY.to_owned()));
            }
        }
        (Some(place), gone)
    }

    fn give_up(&mut self, number: u64, why: String) -> Option<Kept> {
        let session = self.sessions.get_mut(&number)?;
        Some(session.keep_not(why))
    }

    /// Marks a complete upload as kept, unless it gave way meanwhile.
    fn show(&mut self, number: u64, place: StoredFile) {
        let session = self.sessions.get_mut(&number);
        if let Some(session) = session.filter(|session| matches!(session.kept, Kept::At(_))) {
            session.kept = Kept::At(place);
        }
    }
}

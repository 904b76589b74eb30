//! One file to carry, and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::account::{Account, TokenSource};
use crate::retry::Waits;

/// What to upload, for whom, and how. Everything but the file and the token has a default.
#[derive(Debug, Clone)]
pub struct Job {
    pub(crate) path: PathBuf,
    pub(crate) account: Option<Account>,
    pub(crate) chunk_size: Option<u64>,
    pub(crate) content_type: Option<String>,
    pub(crate) again: bool,
    pub(crate) ledger: Ledger,
    pub(crate) processing: Duration,
    pub(crate) hand_over: bool,
}

/// Whether the bytes are hashed as they are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ledger {
    /// SHA-256 at each chunk border: a changed file is told from a touched one, and copies are recognised.
    #[default]
    On,
    /// No digests: saves about 0.8 CPU seconds a GiB. A change is noticed by size and time of change alone, and a copy
    /// of a delivered file is sent again.
    Off,
}

impl Job {
    /// A local file: MP4, MOV or WebM, 1 byte to 4 GiB.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            account: None,
            chunk_size: None,
            content_type: None,
            again: false,
            ledger: Ledger::On,
            processing: Waits::DEFAULT.processing,
            hand_over: false,
        }
    }

    /// For this account: the user's name of it and its tokens.
    pub fn account(self, name: &str, tokens: impl TokenSource) -> Self {
        self.for_account(Account::new(name, tokens))
    }

    /// For this account.
    pub fn for_account(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }

    /// Bytes of a chunk, 5,242,880 to 32,000,000, instead of what the last known rate suggests. An upload that is
    /// carried on keeps the size it was planned with.
    pub const fn chunk_size(mut self, bytes: u64) -> Self {
        self.chunk_size = Some(bytes);
        self
    }

    /// `video/mp4`, `video/quicktime` or `video/webm`, instead of what the file's first bytes say; they are then not
    /// looked at.
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// Sends the file although the journal holds a finished upload of the same bytes. An unfinished one is carried on.
    pub const fn again(mut self, again: bool) -> Self {
        self.again = again;
        self
    }

    /// With or without the ledger.
    pub const fn ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = ledger;
        self
    }

    /// How long the service may work on the video after the last byte; 30 minutes by default.
    pub const fn wait(mut self, processing: Duration) -> Self {
        self.processing = processing;
        self
    }

    /// Ends when every byte is acknowledged, without waiting for the inbox; see
    /// [`Outcome::Sent`](crate::Outcome::Sent).
    pub const fn hand_over(mut self, hand_over: bool) -> Self {
        self.hand_over = hand_over;
        self
    }
}

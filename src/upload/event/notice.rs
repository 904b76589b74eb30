//! Harmless surprises: values that can be counted, with a text for people.

use std::fmt;
use std::time::Duration;

use crate::tiktok::limits::URL_LIFETIME;

/// A harmless surprise, worth a line in a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notice {
    /// The account is a second name of a creator, whose uploads are kept under the first one.
    Alias {
        /// The account's name, [`Escaped`](crate::Escaped).
        account: String,
        /// The first name, [`Escaped`](crate::Escaped).
        name: String,
    },
    /// The file system answers slowly for a file.
    SlowFileSystem {
        /// The file's name, [`Escaped`](crate::Escaped).
        name: String,
    },
    /// A remote video is copied to a file first, as its host cannot be held to one version of it.
    Spooled {
        /// The video's name, [`Escaped`](crate::Escaped).
        name: String,
        /// Why; empty if that was asked for.
        why: String,
    },
    /// The service does not fetch a URL, so its video is sent from here.
    SentInstead {
        /// Why: the service's code.
        code: String,
    },
    /// The video is larger than the service's documents allow for sure; the service decides.
    Large {
        /// Size of the video in bytes.
        size: u64,
        /// Largest size allowed for sure, in bytes.
        limit: u64,
    },
    /// The host of a URL does not state the size of the video.
    SizeUnknown,
    /// A resumed upload keeps its chunk size although the job asks for another.
    ChunkSizeKept {
        /// The chunk size that is kept, in bytes.
        chunk_size: u64,
    },
    /// At the last rate measured to this service the upload cannot end in time.
    LastRateTooLow(Shortfall),
    /// At its own rate, or at the allowed rate, the upload will not end in time.
    TooSlow(Shortfall),
    /// The service has lost acknowledged bytes; they are sent again in the same session.
    SentAgain {
        /// Number of lost bytes.
        bytes: u64,
    },
    /// The service acknowledged every chunk but lacks bytes; the rest is sent again.
    Incomplete {
        /// Bytes that the service has.
        bytes: u64,
        /// Size of the video in bytes.
        size: u64,
    },
    /// The service still processes the video, and names a reason why it may fail.
    MayFail {
        /// The service's word for it, [`Escaped`](crate::Escaped).
        fail_reason: String,
    },
}

impl Notice {
    /// One lower-case word that stays the same, for metrics and JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Alias { .. } => "alias",
            Self::SlowFileSystem { .. } => "slow_file_system",
            Self::Spooled { .. } => "spooled",
            Self::SentInstead { .. } => "sent_instead",
            Self::Large { .. } => "large",
            Self::SizeUnknown => "size_unknown",
            Self::ChunkSizeKept { .. } => "chunk_size_kept",
            Self::LastRateTooLow(_) => "last_rate_too_low",
            Self::TooSlow(_) => "too_slow",
            Self::SentAgain { .. } => "sent_again",
            Self::Incomplete { .. } => "incomplete",
            Self::MayFail { .. } => "may_fail",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias { account, name } => write!(
                f,
                "{account} is the same creator as {name}: drafts and limits are counted together, under {name}"
            ),
            Self::SlowFileSystem { name } => write!(
                f,
                "waiting for the file system of {name}: it stores the file's last writes, the file has very many parts, or it does not answer"
            ),
            Self::Spooled { name, why } if why.is_empty() => {
                write!(f, "{name} is copied to a file first")
            }
            Self::Spooled { name, why } => write!(f, "{name} is copied to a file first: {why}"),
            Self::SentInstead { code } => write!(
                f,
                "the service does not fetch it ({code}), so it is sent from here"
            ),
            Self::Large { size, limit } => write!(
                f,
                "{size} bytes are more than {}: the service may refuse them",
                grouped(*limit)
            ),
            Self::SizeUnknown => f.write_str("its host does not state its size"),
            Self::ChunkSizeKept { chunk_size } => write!(
                f,
                "the upload keeps the chunk size it was planned with: {chunk_size}"
            ),
            Self::LastRateTooLow(shortfall) => {
                write!(f, "by the last known rate it is too slow. {shortfall}")
            }
            Self::TooSlow(shortfall) => {
                write!(f, "by its rate it will not end in time. {shortfall}")
            }
            Self::SentAgain { bytes } => write!(
                f,
                "the service has lost {bytes} bytes that it had acknowledged; they are sent again"
            ),
            Self::Incomplete { bytes, size } => write!(
                f,
                "the service acknowledged every chunk, and has {bytes} of {size} bytes: the rest is sent again"
            ),
            Self::MayFail { fail_reason } => write!(
                f,
                "the service still works on the video, and names a reason to fail: {fail_reason}"
            ),
        }
    }
}

/// With commas, as in `4,000,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An upload that does not fit in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Shortfall {
    /// Bytes left to send.
    pub left: u64,
    /// Time until the upload URL expires.
    pub within: Duration,
    /// The rate, in bytes per second.
    pub rate: u64,
}

impl Shortfall {
    /// `Some` if `left` bytes at `rate` bytes a second take longer than `within`.
    pub(crate) fn of(left: u64, within: Duration, rate: u64) -> Option<Self> {
        let late = left as f64 > rate as f64 * within.as_secs_f64();
        late.then_some(Self { left, within, rate })
    }

    /// The same for a whole upload, which has the hour of its URL.
    pub(crate) fn of_whole(size: u64, rate: u64) -> Option<Self> {
        Self::of(size, URL_LIFETIME, rate)
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabits = |rate: f64| rate * 8.0 / 1e6;
        let within = self.within.as_secs_f64().max(1.0);
        let (needs, has) = (self.left as f64 / within, self.rate as f64);
        if self.within == URL_LIFETIME {
            f.write_str("An upload must end within one hour: this one")?;
        } else {
            let minutes = self.within.as_secs().div_ceil(60);
            write!(f, "Its URL lives {minutes} min more: the rest of the file")?;
        }
        write!(
            f,
            " needs {:.1} Mbit/s, and has {:.1}.",
            megabits(needs),
            megabits(has)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped() {
        let groups = [0, 999, 1_000, 4_000_000_000].map(grouped);
        assert_eq!(groups, ["0", "999", "1,000", "4,000,000,000"]);
    }
}

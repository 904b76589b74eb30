//! Recognises the container of a file from its headers, and whether the file is complete, before any request is made.
//!
//! MP4 and QuickTime are a row of boxes (ISO/IEC 14496-12, 4.2). WebM is Matroska with a DocType of its own in the EBML
//! header (RFC 8794, 11.2.6). Other formats are recognised by their first bytes, so that the refusal can name them and
//! what helps.

use std::fmt;
use std::io;
use std::time::Duration;

use formats::Format;
use headers::Headers;

mod boxes;
mod ebml;
mod formats;
mod headers;
#[cfg(test)]
mod tests;

/// Bytes read for the signatures: the third packet of an M2TS stream starts at 384, and longer brand lists add nothing.
const PROBE: usize = 512;

/// Longest time to read the headers of a file. From the page cache a million boxes take a second; only a slow disk or
/// network, or a file of nothing but headers, comes near this limit.
const PATIENCE: Duration = Duration::from_secs(120);

/// The most zeros that count as padding (a disk's cluster, the record of a tar archive) at the end of a file that does
/// not record its own length. More zeros are space that was reserved and never written.
const PADDING: u64 = 64 * 1024;

const FINISH: &str = "Let the export or copy finish, then run this again.";

/// A container that the API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// ISO base media, brands `isom`, `mp42` and kin.
    Mp4,
    /// QuickTime, with brand `qt  ` or from before there were brands.
    Mov,
    /// EBML with DocType `webm`.
    WebM,
}

impl Container {
    /// The `Content-Type` that a chunk's PUT declares.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Mp4 => "video/mp4",
            Self::Mov => "video/quicktime",
            Self::WebM => "video/webm",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::WebM => "webm",
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mp4 => "MP4",
            Self::Mov => "MOV",
            Self::WebM => "WebM",
        })
    }
}

/// Why a file is not sent. [`advice`](Self::advice) says what helps; it is separate because it names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// Another format, or an unknown one.
    #[error("this is {}; the service takes MP4, MOV and WebM", .0.name)]
    Foreign(&'static Format),
    /// The right container with a part missing: still being written or copied, or cut off.
    #[error("this {container} is {}: {gap}", .gap.state())]
    Unfinished { container: Container, gap: Gap },
    /// The headers of the boxes could not be read in time.
    #[error(
        "it has more parts than could be checked in {} s: {at} of its {size} bytes were reached",
        .patience.as_secs()
    )]
    Late {
        patience: Duration,
        at: u64,
        size: u64,
    },
    /// The file could not be read.
    #[error("cannot read what kind of file this is")]
    Io(#[from] io::Error),
}

impl Unfit {
    /// What the user can do with this file, with the ffmpeg command if one helps.
    ///
    /// `None` if the error itself says it all.
    pub(crate) fn advice(&self, file_name: &str) -> Option<String> {
        match self {
            Self::Foreign(format) => Some(format.remedy.advice(file_name)),
            Self::Unfinished {
                gap: Gap::Cut { index: true, .. } | Gap::Zeros { .. },
                container,
            } => {
                let keep = formats::ffmpeg("", file_name, "-c copy", container.extension());
                Some(format!("{FINISH} To keep the part that is there: {keep}"))
            }
            Self::Unfinished {
                gap: Gap::NoTrack { .. } | Gap::Garbled { .. },
                ..
            } => Some("Is this the right file? If so, export or copy it once more.".to_owned()),
            Self::Unfinished { .. } => Some(format!(
                "{FINISH} If it was broken off, export or copy it once more."
            )),
            Self::Late { .. } => {
                let fewer = formats::ffmpeg("", file_name, "-c copy", "mp4");
                Some(format!(
                    "Copy it to a faster disk, or write it anew with fewer parts: {fewer}"
                ))
            }
            Self::Io(_) => None,
        }
    }
}

/// What an unfinished file lacks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The part named `part` reaches `missing` bytes past the end of the file. With `index`, a player can still show the
    /// part before.
    Cut {
        part: String,
        missing: u64,
        index: bool,
    },
    /// No `moov` box: most renderers write it last.
    NoMoov,
    /// The index `part` lists no video track.
    NoTrack { part: &'static str },
    /// A good start without media: a fragmented file or live recording of which nothing else arrived.
    NoMedia,
    /// From here on there are zeros in place of the video: space that was reserved and never written.
    Zeros { at: u64 },
    /// The bytes at this offset are not part of a video.
    Garbled { at: u64 },
}

impl Gap {
    const fn state(&self) -> &'static str {
        match self {
            Self::Cut { .. } | Self::NoMoov | Self::NoMedia | Self::Zeros { .. } => "unfinished",
            Self::NoTrack { .. } => "no video",
            Self::Garbled { .. } => "damaged",
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut {
                part, missing: 1, ..
            } => write!(f, "1 byte of its `{part}` part is missing"),
            Self::Cut { part, missing, .. } => {
                write!(f, "{missing} bytes of its `{part}` part are missing")
            }
            Self::NoMoov => f.write_str("its index (`moov`) is missing, so nothing can play it"),
            Self::NoTrack { part } => write!(f, "its index (`{part}`) lists no video track"),
            Self::NoMedia => f.write_str("it begins well, but its pictures and sound are missing"),
            Self::Zeros { at } => {
                write!(
                    f,
                    "from byte {at} on it holds zeros where more of the video belongs"
                )
            }
            Self::Garbled { at } => write!(f, "what begins at byte {at} is no part of a video"),
        }
    }
}

/// A video of a kind that the API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recognised {
    pub(crate) container: Container,
    /// The file would look complete while a program still appends to it: a live WebM, fragments without the index
    /// (`mfra`) that closes them, or media that by definition reach to the end of the file.
    pub(crate) open_ended: bool,
}

/// Recognises the format of a video of `size` bytes.
///
/// Reads box headers and what shares their pages, never the media.
pub(crate) fn recognise(read: ReadAt<'_>, size: u64) -> Result<Recognised, Unfit> {
    recognise_with(read, size, PATIENCE)
}

/// A positioned read that fills its buffer.
pub(crate) type ReadAt<'a> = &'a dyn Fn(&mut [u8], u64) -> io::Result<()>;

pub(crate) fn recognise_with(
    read: ReadAt<'_>,
    size: u64,
    patience: Duration,
) -> Result<Recognised, Unfit> {
    let mut headers = Headers::new(read, size, patience);
    let probe = headers.at(0, PROBE)?.to_vec();
    match ebml::head(&probe) {
        Some(head) => ebml::webm(&mut headers, &probe, &head),
        None => boxes::follow(&mut headers, &probe),
    }
}

/// Refuses a file of `size` bytes by its first 512 bytes alone, for callers that cannot read the rest.
pub(crate) fn check_start(start: &[u8], size: u64) -> Result<(), Unfit> {
    let probe = &start[..start.len().min(PROBE)];
    match ebml::head(probe) {
        Some(head) => ebml::check_doc_type(probe, &head).map(drop),
        None => boxes::check_start(probe, size),
    }
}

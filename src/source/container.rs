//! What a file is, told from its first bytes and box headers before any request is made.
//!
//! MP4 and QuickTime are a row of boxes (ISO/IEC 14496-12, 4.2). WebM is Matroska with a DocType of
//! its own in the EBML header (RFC 8794, 11.2.6). The rest is known by its first bytes, only to say
//! what it is and what helps.

use std::{fmt, fs::File, io};

use ebml::Element;
use formats::Format;

mod ebml;
mod formats;
#[cfg(test)]
mod tests;

/// Enough for every signature: the third packet of an M2TS stream starts at 384, longer brand lists
/// tell no more.
const PROBE: u64 = 512;

/// Where the walk over the boxes stops. A film in fragments of one second has 7,200 of them an
/// hour, and a hostile file of empty boxes must not keep us reading.
const MOST_BOXES: usize = 10_000;

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

/// Why a file is not sent. What helps is apart, in [`advice`](Self::advice), as it names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// Another format, or none.
    #[error("this is {}; TikTok takes MP4, MOV and WebM", .0.name)]
    Foreign(&'static Format),
    /// The right container with a part missing: still being written or copied, or broken off.
    #[error("this {container} is unfinished: {gap}")]
    Unfinished { container: Container, gap: Gap },
    /// The file could not be read.
    #[error("cannot read what kind of file this is")]
    Io(#[from] io::Error),
}

impl Unfit {
    /// Say what the person with this file can do, the ffmpeg command included where one helps.
    ///
    /// `None` where the error itself says it all.
    pub(crate) fn advice(&self, file_name: &str) -> Option<String> {
        match self {
            Self::Foreign(format) => Some(format.remedy.advice(file_name)),
            Self::Unfinished {
                gap: Gap::Cut { index: true, .. },
                container,
            } => {
                let keep = formats::ffmpeg("", file_name, "-c copy", container.extension());
                Some(format!("{FINISH} To keep the part that is there: {keep}"))
            }
            Self::Unfinished { .. } => Some(format!(
                "{FINISH} If it was broken off, export or copy it once more."
            )),
            Self::Io(_) => None,
        }
    }
}

/// What an unfinished file lacks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The part named `part` reaches `missing` bytes past the end of the file. With `index`, a
    /// player could still show what comes before.
    Cut {
        part: String,
        missing: u64,
        index: bool,
    },
    /// No `moov` box: most renderers write it last.
    NoMoov,
    /// A good start and no media: all that came through of a fragmented file or a live recording.
    NoMedia,
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
            Self::NoMedia => f.write_str("it begins well, but its pictures and sound are missing"),
        }
    }
}

/// A video of a kind that the API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recognised {
    pub(crate) container: Container,
    /// Whether the file would look complete while a program still adds to its end: a live WebM, or fragments without the
    /// index (`mfra`) that closes them.
    pub(crate) open_ended: bool,
}

/// Decide what the first `size` bytes of `file` are.
///
/// Reads the first 512 bytes and the header of each top-level box, never the payload, and moves no
/// file position.
pub(crate) fn recognise(file: &File, size: u64) -> Result<Recognised, Unfit> {
    recognise_with(&|buf, at| read_exact_at(file, buf, at), size)
}

/// A positioned read that fills its buffer.
pub(crate) type ReadAt<'a> = &'a dyn Fn(&mut [u8], u64) -> io::Result<()>;

pub(crate) fn recognise_with(read: ReadAt<'_>, size: u64) -> Result<Recognised, Unfit> {
    let mut probe = [0; PROBE as usize];
    let probe = read_up_to(read, &mut probe, 0, size)?;

    match ebml_head(probe) {
        Some(head) => ebml::webm(read, size, probe, &head),
        None => walk(read, size, by_first_box(probe, size)?),
    }
}

/// Decide by the first bytes alone, where the rest is not at hand: at best 512 of them, of a file of `size` bytes.
pub(crate) fn starts_as(start: &[u8], size: u64) -> Result<Container, Unfit> {
    let probe = &start[..start.len().min(PROBE as usize)];
    match ebml_head(probe) {
        Some(head) => ebml::check_doc_type(probe, &head).map(|_| Container::WebM),
        None => by_first_box(probe, size),
    }
}

fn ebml_head(probe: &[u8]) -> Option<Element> {
    Element::parse(probe).filter(|element| element.id == Element::EBML)
}

fn by_first_box(probe: &[u8], size: u64) -> Result<Container, Unfit> {
    let Some(first) = BoxHeader::parse(probe, 0, size) else {
        return Err(Unfit::Foreign(Format::of(probe)));
    };
    let whole = first.end <= size;
    match &first.kind {
        b"ftyp" => by_brands(first.body(probe)),
        // Segments of a stream; without their `moov` the walk finds them unfinished.
        b"styp" | b"sidx" | b"moof" => Ok(Container::Mp4),
        // QuickTime had no `ftyp` before 2004, and files without it are still written.
        b"moov" | b"mdat" => Ok(Container::Mov),
        // These words also turn up in text ("The free encyclopedia"), where the length before them
        // makes no sense.
        b"wide" | b"free" | b"skip" | b"pnot" | b"junk" | b"udta" | b"uuid" if whole => {
            Ok(Container::Mov)
        }
        _ => Err(Unfit::Foreign(Format::of(probe))),
    }
}

/// Tell MP4 from QuickTime and from their kin, by the brands of `ftyp` (ISO/IEC 14496-12, 4.3).
fn by_brands(ftyp: &[u8]) -> Result<Container, Unfit> {
    let mut words = ftyp.chunks_exact(4);
    let major = words.next().unwrap_or_default();
    // The second word is the minor version. What follows are compatible brands.
    let compatible = || words.clone().skip(1);
    let mp4 = |brand: &[u8]| {
        matches!(
            brand,
            b"avc1" | b"M4V " | [b'i', b's', b'o', _] | [b'm', b'p', b'4', _]
        )
    };

    if major == b"qt  " {
        return Ok(Container::Mov);
    }
    if let Some(format) = Format::of_brand(major, compatible().any(mp4)) {
        return Err(Unfit::Foreign(format));
    }
    // An MP4 may also be readable as QuickTime. Only where nothing speaks for MP4 does that decide.
    let only_mov =
        compatible().any(|brand| brand == b"qt  ") && !mp4(major) && !compatible().any(mp4);
    Ok(if only_mov {
        Container::Mov
    } else {
        Container::Mp4
    })
}

/// Follow the top-level boxes to the end of the file. Each one that begins must be whole, with
/// `moov` and media among them.
fn walk(read: ReadAt<'_>, size: u64, container: Container) -> Result<Recognised, Unfit> {
    let (mut moov, mut media) = (false, false);
    let (mut fragments, mut closed) = (false, false);
    let mut at = 0;
    for _ in 0..MOST_BOXES {
        let mut header = [0; 16];
        let header = read_up_to(read, &mut header, at, size)?;
        // Bytes that are no box end the walk without blame: cameras append trailers and padding of
        // their own. If they stand where `moov` belongs, that is what is missing.
        let Some(found) = BoxHeader::parse(header, at, size) else {
            break;
        };
        if found.end > size {
            let part = found.kind.iter().copied().map(char::from).collect();
            let gap = Gap::Cut {
                part,
                missing: found.end - size,
                index: moov,
            };
            return Err(Unfit::Unfinished { container, gap });
        }
        moov |= &found.kind == b"moov";
        media |= matches!(&found.kind, b"mdat" | b"imda");
        fragments |= &found.kind == b"moof";
        closed |= &found.kind == b"mfra";
        at = found.end;
    }
    match (moov, media) {
        (true, true) => Ok(Recognised {
            container,
            open_ended: fragments && !closed,
        }),
        (false, _) => Err(Unfit::Unfinished {
            container,
            gap: Gap::NoMoov,
        }),
        (true, false) => Err(Unfit::Unfinished {
            container,
            gap: Gap::NoMedia,
        }),
    }
}

/// The header of a box (ISO/IEC 14496-12, 4.2), with its place in the file.
struct BoxHeader {
    kind: [u8; 4],
    start: u64,
    /// Length of the header itself, 8 or 16.
    header: u64,
    /// Behind the last byte; past the end of the file when the box is cut.
    end: u64,
}

impl BoxHeader {
    /// Read the header of the box at `start`; `None` if these bytes cannot be one.
    fn parse(bytes: &[u8], start: u64, size: u64) -> Option<Self> {
        let length = u32::from_be_bytes(*bytes.first_chunk()?);
        let kind: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
        // Four printable characters; QuickTime also has the copyright sign of Mac Roman.
        if !kind.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xA9)) {
            return None;
        }
        let (header, length) = match length {
            // To the end of the file.
            0 => (8, size.saturating_sub(start)),
            1 => (16, u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?)),
            length => (8, u64::from(length)),
        };
        // At least its own header, so that each step of the walk moves on.
        (length >= header).then_some(Self {
            kind,
            start,
            header,
            end: start.saturating_add(length),
        })
    }

    /// As much of the first box's payload as was read with it.
    fn body<'a>(&self, probe: &'a [u8]) -> &'a [u8] {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(probe.len());
        let (from, to) = (
            place(self.start.saturating_add(self.header)),
            place(self.end),
        );
        probe.get(from..to).unwrap_or_default()
    }
}

/// Fill as much of `buf` as there is of the file from `at` on.
fn read_up_to<'b>(read: ReadAt<'_>, buf: &'b mut [u8], at: u64, size: u64) -> io::Result<&'b [u8]> {
    let there = usize::try_from(size.saturating_sub(at))
        .unwrap_or(usize::MAX)
        .min(buf.len());
    let buf = &mut buf[..there];
    if !buf.is_empty() {
        read(buf, at)?;
    }
    Ok(buf)
}

#[cfg(unix)]
fn read_exact_at(file: &File, buf: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buf.is_empty() {
        match file.seek_read(buf, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buf = &mut buf[read..];
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

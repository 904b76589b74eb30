//! MP4 and QuickTime: a row of boxes (ISO/IEC 14496-12, 4.2).

use std::ops::Range;

use super::formats::Format;
use super::headers::Headers;
use super::{Container, Gap, PROBE, Recognised, Unfit};

/// Refuses a file whose first box shows that it is no video.
pub(super) fn check_start(probe: &[u8], size: u64) -> Result<(), Unfit> {
    match by_first_box(probe, size)? {
        Brand { sound: true, .. } => Err(Unfit::Foreign(Format::sound())),
        _ => Ok(()),
    }
}

/// Follows the boxes to the end of the file. Each box must be whole; among them must be `moov` with a video track, and
/// media.
///
/// An unknown box ends the video: cameras, editors and servers append trailers and padding of their own.
pub(super) fn follow(headers: &mut Headers<'_>, probe: &[u8]) -> Result<Recognised, Unfit> {
    let size = headers.size;
    let mut film = Film {
        brand: by_first_box(probe, size)?,
        ..Film::default()
    };
    let mut at = 0;
    while at < size {
        let Some(found) = BoxHeader::parse(headers.at(at, 16)?, at, size) else {
            break;
        };
        if found.end > size {
            if !found.is_known() {
                break;
            }
            return Err(film.unfinished(Gap::Cut {
                part: found.kind.iter().copied().map(char::from).collect(),
                missing: found.end - size,
                index: film.tracks.is_some(),
            }));
        }
        film.add(headers, &found)?;
        at = found.end;
    }
    if film.is_open_ended() && headers.is_blank(at)? {
        return Err(film.unfinished(Gap::Zeros { at }));
    }
    film.judge()
}

/// The boxes seen so far.
#[derive(Default)]
struct Film {
    brand: Brand,
    /// `ftyp` was seen.
    branded: bool,
    /// The tracks of `moov`, once it was seen.
    tracks: Option<Tracks>,
    media: bool,
    fragments: bool,
    /// The index of the fragments was seen; it is written last.
    closed: bool,
    /// The last box has no length of its own.
    endless: bool,
}

impl Film {
    fn add(&mut self, headers: &mut Headers<'_>, found: &BoxHeader) -> Result<(), Unfit> {
        self.endless = found.endless;
        match &found.kind {
            // Boxes without meaning may precede it. A `ftyp` behind `moov` belongs to another file.
            b"ftyp" if !self.branded && self.tracks.is_none() => {
                let length = usize::try_from(found.end - found.body).unwrap_or(usize::MAX);
                self.brand = by_brands(headers.at(found.body, length.min(PROBE))?)?;
                self.branded = true;
            }
            b"moov" => self.tracks.get_or_insert_default().add(headers, found)?,
            b"mdat" | b"imda" => self.media |= found.body < found.end,
            b"moof" => self.fragments = true,
            b"mfra" => self.closed = true,
            _ => {}
        }
        Ok(())
    }

    /// Whether the file does not record its own end.
    fn is_open_ended(&self) -> bool {
        self.fragments && !self.closed || self.endless
    }

    fn judge(&self) -> Result<Recognised, Unfit> {
        match &self.tracks {
            None => Err(self.unfinished(Gap::NoMoov)),
            Some(tracks) if tracks.sound && !tracks.video => Err(Unfit::Foreign(Format::sound())),
            Some(tracks) if !tracks.video => Err(self.unfinished(Gap::NoTrack { part: "moov" })),
            Some(_) if !self.media => Err(self.unfinished(Gap::NoMedia)),
            Some(_) => Ok(Recognised {
                container: self.brand.container,
                open_ended: self.is_open_ended(),
            }),
        }
    }

    fn unfinished(&self, gap: Gap) -> Unfit {
        // A file of sound alone is refused as such, finished or not.
        let video = self.tracks.as_ref().is_some_and(|tracks| tracks.video);
        if self.brand.sound && !video {
            return Unfit::Foreign(Format::sound());
        }
        let container = self.brand.container;
        Unfit::Unfinished { container, gap }
    }
}

/// The kinds of tracks in a `moov`.
#[derive(Default)]
struct Tracks {
    video: bool,
    sound: bool,
}

impl Tracks {
    fn add(&mut self, headers: &mut Headers<'_>, moov: &BoxHeader) -> Result<(), Unfit> {
        // The handler's type follows two words (ISO/IEC 14496-12, 8.4.3), in QuickTime, too.
        let handlers: &[&[u8; 4]] = &[b"trak", b"mdia", b"hdlr"];
        each(headers, moov.body..moov.end, handlers, &mut |hdlr| {
            self.video |= hdlr.get(8..12) == Some(b"vide");
            self.sound |= hdlr.get(8..12) == Some(b"soun");
        })?;
        // A compressed QuickTime index shows no tracks.
        each(headers, moov.body..moov.end, &[b"cmov"], &mut |_| {
            self.video = true;
        })
    }
}

/// Shows `each` the first bytes of every box at this path below `within`.
fn each(
    headers: &mut Headers<'_>,
    within: Range<u64>,
    path: &[&[u8; 4]],
    show: &mut dyn FnMut(&[u8]),
) -> Result<(), Unfit> {
    let Some((kind, path)) = path.split_first() else {
        let length = (within.end - within.start).min(12);
        show(headers.at(within.start, length as usize)?);
        return Ok(());
    };
    let mut at = within.start;
    while at < within.end {
        let found = BoxHeader::parse(headers.at(at, 16)?, at, within.end);
        let Some(found) = found.filter(|found| found.end <= within.end) else {
            break;
        };
        if found.kind == **kind {
            each(headers, found.body..found.end, path, show)?;
        }
        at = found.end;
    }
    Ok(())
}

/// The meaning of a file's `ftyp`.
struct Brand {
    container: Container,
    /// The brand stands for sound alone; a video track in the file overrules it.
    sound: bool,
}

impl Default for Brand {
    fn default() -> Self {
        Self::of(Container::Mp4)
    }
}

impl Brand {
    const fn of(container: Container) -> Self {
        let sound = false;
        Self { container, sound }
    }
}

fn by_first_box(probe: &[u8], size: u64) -> Result<Brand, Unfit> {
    let Some(first) = BoxHeader::parse(probe, 0, size) else {
        return Err(Unfit::Foreign(Format::of(probe)));
    };
    let whole = first.end <= size;
    match &first.kind {
        b"ftyp" => by_brands(first.payload(probe)),
        // Segments of a stream; without their `moov` they are unfinished.
        b"styp" | b"sidx" | b"moof" => Ok(Brand::of(Container::Mp4)),
        // QuickTime had no `ftyp` before 2004, and files without it are still written.
        b"moov" | b"mdat" => Ok(Brand::of(Container::Mov)),
        // These words also occur in text ("The free encyclopedia"), where the length before them makes no sense.
        b"wide" | b"free" | b"skip" | b"pnot" | b"junk" | b"udta" | b"uuid" if whole => {
            Ok(Brand::of(Container::Mov))
        }
        _ => Err(Unfit::Foreign(Format::of(probe))),
    }
}

/// Distinguishes MP4, QuickTime and related formats by the brands of `ftyp` (ISO/IEC 14496-12, 4.3).
fn by_brands(ftyp: &[u8]) -> Result<Brand, Unfit> {
    let mut words = ftyp.chunks_exact(4);
    let major = words.next().unwrap_or_default();
    // The second word is the minor version; compatible brands follow.
    let compatible = || words.clone().skip(1);
    let mp4 = |brand: &[u8]| {
        matches!(
            brand,
            b"avc1" | b"M4V " | [b'i', b's', b'o', _] | [b'm', b'p', b'4', _]
        )
    };

    if major == b"qt  " {
        return Ok(Brand::of(Container::Mov));
    }
    if let Some(format) = Format::of_brand(major, compatible().any(mp4)) {
        return Err(Unfit::Foreign(format));
    }
    // An MP4 may also be readable as QuickTime; that decides only if no brand is one of MP4.
    let only_mov =
        compatible().any(|brand| brand == b"qt  ") && !mp4(major) && !compatible().any(mp4);
    Ok(Brand {
        container: if only_mov {
            Container::Mov
        } else {
            Container::Mp4
        },
        sound: matches!(major, b"M4A " | b"M4B " | b"M4P "),
    })
}

/// The header of a box (ISO/IEC 14496-12, 4.2), and its offsets in the file.
struct BoxHeader {
    kind: [u8; 4],
    /// Offset of the payload.
    body: u64,
    /// Offset behind the last byte; past the end of the file if the box is cut.
    end: u64,
    /// The length field says "to the end of the file".
    endless: bool,
}

impl BoxHeader {
    /// Reads the header of the box at `start`, in a file or box that ends at `size`; `None` if these bytes cannot be a
    /// header.
    fn parse(bytes: &[u8], start: u64, size: u64) -> Option<Self> {
        let length = u32::from_be_bytes(*bytes.first_chunk()?);
        let kind: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
        // Four printable characters; QuickTime also has the copyright sign of Mac Roman.
        if !kind.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xA9)) {
            return None;
        }
        let endless = length == 0;
        let (header, length) = match length {
            // Size 0: to the end of the file.
            0 => (8, size.saturating_sub(start)),
            // Size 1: the size is in eight more bytes, which may be cut off.
            1 => {
                let long = bytes.get(8..).and_then(|rest| rest.first_chunk());
                (16, long.map_or(16, |long| u64::from_be_bytes(*long)))
            }
            length => (8, u64::from(length)),
        };
        // A box has at least its own header, so each step moves on.
        (length >= header).then_some(Self {
            kind,
            body: start.saturating_add(header),
            end: start.saturating_add(length),
            endless,
        })
    }

    /// Whether programs that write videos make top-level boxes of this kind. Four other letters may belong to a trailer.
    fn is_known(&self) -> bool {
        matches!(
            &self.kind,
            b"ftyp"
                | b"styp"
                | b"pdin"
                | b"moov"
                | b"moof"
                | b"mfra"
                | b"mdat"
                | b"imda"
                | b"free"
                | b"skip"
                | b"wide"
                | b"junk"
                | b"udta"
                | b"uuid"
                | b"meta"
                | b"meco"
                | b"sidx"
                | b"ssix"
                | b"prft"
                | b"emsg"
                | b"pnot"
                | b"PICT"
        )
    }

    /// The first box's payload, as far as it was read with the header.
    fn payload<'a>(&self, probe: &'a [u8]) -> &'a [u8] {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(probe.len());
        probe
            .get(place(self.body)..place(self.end))
            .unwrap_or_default()
    }
}

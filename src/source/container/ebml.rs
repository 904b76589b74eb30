//! WebM: Matroska with a DocType of its own, made of EBML elements (RFC 8794).

use std::ops::Range;

use super::formats::Format;
use super::headers::Headers;
use super::{Container, Gap, Recognised, Unfit};

/// Most bytes of an element's ID and size.
const HEADER: usize = 12;

/// The EBML header at the start of a file.
pub(super) fn head(probe: &[u8]) -> Option<Element> {
    Element::parse(probe).filter(|element| element.id == Element::EBML)
}

/// Distinguishes WebM from Matroska by the DocType, and checks that its Segment is whole and holds a video.
pub(super) fn webm(
    headers: &mut Headers<'_>,
    probe: &[u8],
    head: &Element,
) -> Result<Recognised, Unfit> {
    let size = headers.size;
    let at = check_doc_type(probe, head)?;
    if at.saturating_add(HEADER as u64) >= size {
        return Err(unfinished(Gap::NoMedia));
    }
    let segment = Element::parse(headers.at(at, HEADER)?);
    let Some(segment) = segment.filter(|element| element.id == Element::SEGMENT) else {
        return Err(damaged(headers, at)?);
    };
    let begin = at + segment.header as u64;
    let mut film = Film::default();
    // A live recorder leaves the size unknown (RFC 8794, 6.2), and players accept that.
    let Some(length) = segment.size else {
        let at = film.follow(headers, begin..size, false)?;
        if headers.is_blank(at)? || !film.media && at < size {
            return Err(damaged(headers, at)?);
        }
        return film.judge(true);
    };
    let end = begin.saturating_add(length);
    if end > size {
        return Err(unfinished(Gap::Cut {
            part: "Segment".to_owned(),
            missing: end - size,
            index: true,
        }));
    }
    let mut at = film.follow(headers, begin..end, true)?;
    if at == end
        && let Some(last) = film.cluster.take()
    {
        // The last cluster shows whether the end of the file is missing.
        at = film.follow(headers, last.clone(), true)?;
        if at == last.end {
            at = end;
        }
    }
    if at < end {
        return Err(damaged(headers, at)?);
    }
    film.judge(false)
}

fn unfinished(gap: Gap) -> Unfit {
    Unfit::Unfinished {
        container: Container::WebM,
        gap,
    }
}

/// The error for a file that has no element at `at`.
fn damaged(headers: &mut Headers<'_>, at: u64) -> Result<Unfit, Unfit> {
    Ok(unfinished(if headers.is_zero(at)? {
        Gap::Zeros { at }
    } else {
        Gap::Garbled { at }
    }))
}

/// The elements of a Segment seen so far.
#[derive(Default)]
struct Film {
    video: bool,
    sound: bool,
    media: bool,
    /// The data of the last cluster, which was skipped.
    cluster: Option<Range<u64>>,
}

impl Film {
    /// Follows elements as long as they are whole; returns where they end. A Segment of known size may hold elements of
    /// any kind.
    fn follow(
        &mut self,
        headers: &mut Headers<'_>,
        within: Range<u64>,
        known_size: bool,
    ) -> Result<u64, Unfit> {
        let mut at = within.start;
        while at < within.end {
            let Some(element) = Element::parse(headers.at(at, HEADER)?) else {
                break;
            };
            let name = element.name();
            if name.is_none() && !known_size {
                break;
            }
            let data = at.saturating_add(element.header as u64);
            let is_cluster = element.id == Element::CLUSTER;
            // The blocks of a cluster are no elements of a Segment, so following may enter a cluster and never leave it.
            if is_cluster && (element.size.is_none() || !self.media) {
                at = data;
                continue;
            }
            let Some(end) = element.size.map(|size| data.saturating_add(size)) else {
                break;
            };
            if end > within.end {
                let Some(name) = name.filter(|_| within.end == headers.size) else {
                    break;
                };
                return Err(unfinished(Gap::Cut {
                    part: name.to_owned(),
                    missing: end - within.end,
                    index: true,
                }));
            }
            match element.id {
                Element::CLUSTER => self.cluster = Some(data..end),
                Element::TRACKS => self.add_tracks(headers, data..end)?,
                _ if element.is_block() => self.media |= data < end,
                _ => {}
            }
            at = end;
        }
        Ok(at)
    }

    fn add_tracks(&mut self, headers: &mut Headers<'_>, tracks: Range<u64>) -> Result<(), Unfit> {
        let path = &[Element::TRACK_ENTRY, Element::TRACK_TYPE];
        each(headers, tracks, path, &mut |kind| {
            self.video |= kind.last() == Some(&1);
            self.sound |= kind.last() == Some(&2);
        })
    }

    fn judge(&self, open_ended: bool) -> Result<Recognised, Unfit> {
        match self {
            Self { media: false, .. } => Err(unfinished(Gap::NoMedia)),
            Self { video: true, .. } => Ok(Recognised {
                container: Container::WebM,
                open_ended,
            }),
            Self { sound: true, .. } => Err(Unfit::Foreign(Format::webm_sound())),
            _ => Err(unfinished(Gap::NoTrack { part: "Tracks" })),
        }
    }
}

/// Shows `each` the first bytes of every element at this path below `within`.
fn each(
    headers: &mut Headers<'_>,
    within: Range<u64>,
    path: &[u64],
    show: &mut dyn FnMut(&[u8]),
) -> Result<(), Unfit> {
    let Some((&id, path)) = path.split_first() else {
        let length = (within.end - within.start).min(8);
        show(headers.at(within.start, length as usize)?);
        return Ok(());
    };
    let mut at = within.start;
    while at < within.end {
        let Some(element) = Element::parse(headers.at(at, HEADER)?) else {
            break;
        };
        let data = at.saturating_add(element.header as u64);
        let end = element.size.map(|size| data.saturating_add(size));
        let Some(end) = end.filter(|&end| end <= within.end) else {
            break;
        };
        if element.id == id {
            each(headers, data..end, path, show)?;
        }
        at = end;
    }
    Ok(())
}

/// Distinguishes WebM from related formats; returns the end of the EBML header of a WebM file.
pub(super) fn check_doc_type(probe: &[u8], head: &Element) -> Result<u64, Unfit> {
    let end = head.header as u64 + head.size.unwrap_or(0).min(u64::MAX / 2);
    let mut rest =
        &probe[head.header..usize::try_from(end).map_or(probe.len(), |end| end.min(probe.len()))];
    let mut doc_type: &[u8] = b"";
    while let Some(element) = Element::parse(rest) {
        let body = &rest[element.header..];
        let length = element
            .size
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(usize::MAX);
        let (body, behind) = body.split_at(length.min(body.len()));
        if element.id == Element::DOC_TYPE {
            // A string may be shorter than its element, padded with zeros (RFC 8794, 13).
            doc_type = body.split(|&byte| byte == 0).next().unwrap_or_default();
        }
        rest = behind;
    }
    if doc_type == b"webm" {
        Ok(end)
    } else {
        Err(Unfit::Foreign(Format::of_doc_type(doc_type)))
    }
}

/// The header of an EBML element (RFC 8794, 3): its ID and the size of its data, both of variable length (4).
pub(super) struct Element {
    id: u64,
    /// `None` when unknown, all bits set (RFC 8794, 6.2).
    size: Option<u64>,
    /// Length of ID and size together.
    header: usize,
}

impl Element {
    const EBML: u64 = 0x1A45_DFA3;
    const DOC_TYPE: u64 = 0x4282;
    const SEGMENT: u64 = 0x1853_8067;
    const CLUSTER: u64 = 0x1F43_B675;
    const TRACKS: u64 = 0x1654_AE6B;
    const TRACK_ENTRY: u64 = 0xAE;
    const TRACK_TYPE: u64 = 0x83;
    const SIMPLE_BLOCK: u64 = 0xA3;
    const BLOCK_GROUP: u64 = 0xA0;
    const ENCRYPTED_BLOCK: u64 = 0xAF;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (id, id_length) = vint(bytes).filter(|(_, length)| *length <= 4)?;
        let (size, size_length) = vint(bytes.get(id_length..)?)?;
        // Seven bits of a size in each of its bytes; an ID keeps its length marker.
        let bits = (1 << (7 * size_length)) - 1;
        let size = Some(size & bits).filter(|&size| size != bits);
        Some(Self {
            id,
            size,
            header: id_length + size_length,
        })
    }

    const fn is_block(&self) -> bool {
        matches!(
            self.id,
            Self::SIMPLE_BLOCK | Self::BLOCK_GROUP | Self::ENCRYPTED_BLOCK
        )
    }

    /// The name of an element that a Segment or a cluster may hold (RFC 9559, 5.1).
    const fn name(&self) -> Option<&'static str> {
        Some(match self.id {
            Self::CLUSTER => "Cluster",
            Self::TRACKS => "Tracks",
            Self::SIMPLE_BLOCK => "SimpleBlock",
            Self::BLOCK_GROUP => "BlockGroup",
            Self::ENCRYPTED_BLOCK => "EncryptedBlock",
            0x114D_9B74 => "SeekHead",
            0x1549_A966 => "Info",
            0x1C53_BB6B => "Cues",
            0x1941_A469 => "Attachments",
            0x1043_A770 => "Chapters",
            0x1254_C367 => "Tags",
            0xE7 => "Timestamp",
            0xA7 => "Position",
            0xAB => "PrevSize",
            0x5854 => "SilentTracks",
            0xEC => "Void",
            0xBF => "CRC-32",
            _ => return None,
        })
    }
}

/// Reads an integer, marker included: its leading zero bits give its length (RFC 8794, 4).
fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    let bytes = bytes.get(..length).filter(|_| length <= 8)?;
    let number = bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte));
    Some((number, length))
}

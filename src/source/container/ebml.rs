//! WebM, which is Matroska with a DocType of its own: elements of EBML (RFC 8794).

use super::{Container, Gap, ReadAt, Recognised, Unfit, formats::Format, read_up_to};

/// Tell WebM from Matroska by the DocType, and check that a Segment of known size is whole.
pub(super) fn webm(
    read: ReadAt<'_>,
    size: u64,
    probe: &[u8],
    head: &Element,
) -> Result<Recognised, Unfit> {
    let webm = |open_ended| {
        Ok(Recognised {
            container: Container::WebM,
            open_ended,
        })
    };
    let end = check_doc_type(probe, head)?;
    let mut header = [0; 12];
    let header = read_up_to(read, &mut header, end, size)?;
    match Element::parse(header) {
        // A live recorder leaves the size unknown (RFC 8794, 6.2), and players take that.
        Some(Element {
            id: Element::SEGMENT,
            size: Some(length),
            header,
        }) => {
            let end = end.saturating_add(header as u64).saturating_add(length);
            match end.saturating_sub(size) {
                0 => webm(false),
                missing => {
                    let gap = Gap::Cut {
                        part: "Segment".to_owned(),
                        missing,
                        index: true,
                    };
                    Err(Unfit::Unfinished {
                        container: Container::WebM,
                        gap,
                    })
                }
            }
        }
        _ if header.is_empty() => Err(Unfit::Unfinished {
            container: Container::WebM,
            gap: Gap::NoMedia,
        }),
        _ => webm(true),
    }
}

/// Tell WebM from its kin; where the EBML header ends, if it is WebM.
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
            // A string may be shorter than its element, with zeros behind it (RFC 8794, 13).
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

/// The head of an EBML element (RFC 8794, 3): its ID and the size of its data, both of variable
/// length (4).
pub(super) struct Element {
    pub(super) id: u64,
    /// `None` when unknown, all bits set (RFC 8794, 6.2).
    size: Option<u64>,
    /// Length of ID and size together.
    header: usize,
}

impl Element {
    pub(super) const EBML: u64 = 0x1A45_DFA3;
    const DOC_TYPE: u64 = 0x4282;
    const SEGMENT: u64 = 0x1853_8067;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (id, id_length) = vint(bytes)?;
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
}

/// Read an integer, marker included: its leading zero bits tell its length (RFC 8794, 4).
fn vint(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    let bytes = bytes.get(..length).filter(|_| length <= 8)?;
    let number = bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte));
    Some((number, length))
}

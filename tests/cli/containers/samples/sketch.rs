//! The structure of a video file as lines of text, and bytes of that structure.
//!
//! A box is `KIND LENGTH [HEX]`: its length with the header, and the first bytes of its payload. `L` behind the length stands
//! for one in 64 bits, `E` for the length 0, to the end of the file. An element of Matroska is `NAME WIDTH:LENGTH [HEX]`: how
//! many bytes its size takes, and the length of its data, or `?`. What lies in a box or element follows in lines that are set
//! in by one space more; the rest of a payload is left out, and becomes filler when the file is made again.
//!
//! Bytes outside of boxes are `text`, `hex`, `zeros LENGTH` or `fill LENGTH BYTE`.

use std::ops::Range;

/// Takes the place of what a sketch leaves out.
const FILLER: u8 = 0xA5;

const ELEMENTS: &[(&str, &str)] = &[
    ("EBML", "1A45DFA3"),
    ("Segment", "18538067"),
    ("SeekHead", "114D9B74"),
    ("Info", "1549A966"),
    ("Tracks", "1654AE6B"),
    ("TrackEntry", "AE"),
    ("TrackType", "83"),
    ("Cluster", "1F43B675"),
    ("Timestamp", "E7"),
    ("SimpleBlock", "A3"),
    ("BlockGroup", "A0"),
    ("PrevSize", "AB"),
    ("Position", "A7"),
    ("Cues", "1C53BB6B"),
    ("Tags", "1254C367"),
    ("Chapters", "1043A770"),
    ("Void", "EC"),
    ("CRC-32", "BF"),
];

/// A file with this structure.
pub(crate) fn file(lines: &[String]) -> Vec<u8> {
    let ebml = lines.first().is_some_and(|line| line.starts_with("EBML "));
    let mut bytes = Vec::new();
    write(&mut bytes, lines, ebml);
    bytes
}

fn depth(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn write(bytes: &mut Vec<u8>, mut lines: &[String], ebml: bool) {
    while let Some((line, rest)) = lines.split_first() {
        let below = rest
            .iter()
            .take_while(|other| depth(other) > depth(line))
            .count();
        let (children, rest) = rest.split_at(below);
        lines = rest;
        let (word, tail) = line.trim_start().split_once(' ').unwrap();
        match word {
            "text" => bytes.extend(tail.as_bytes()),
            "hex" => bytes.extend(hex::decode(tail).unwrap()),
            "zeros" => bytes.resize(bytes.len() + tail.parse::<usize>().unwrap(), 0),
            "fill" => {
                let (length, byte) = tail.split_once(' ').unwrap();
                let length: usize = length.parse().unwrap();
                bytes.resize(bytes.len() + length, u8::from_str_radix(byte, 16).unwrap());
            }
            _ => {
                let (length, start) = tail.split_once(' ').unwrap_or((tail, ""));
                let end = if ebml {
                    write_element_head(bytes, word, length)
                } else {
                    write_box_head(bytes, word, length)
                };
                bytes.extend(hex::decode(start).unwrap());
                write(bytes, children, ebml);
                if let Some(end) = end {
                    assert!(bytes.len() <= end, "{line} is too short for what it holds");
                    bytes.resize(end, FILLER);
                }
            }
        }
    }
}

/// Where the box ends.
fn write_box_head(bytes: &mut Vec<u8>, kind: &str, length: &str) -> Option<usize> {
    let start = bytes.len();
    let number: u64 = length.trim_end_matches(['L', 'E']).parse().unwrap();
    let short = match length.chars().last() {
        Some('L') => 1,
        Some('E') => 0,
        _ => u32::try_from(number).unwrap(),
    };
    bytes.extend(short.to_be_bytes());
    bytes.extend(kind.as_bytes());
    if length.ends_with('L') {
        bytes.extend(number.to_be_bytes());
    }
    Some(start + number as usize)
}

/// Where the element ends, if that is known.
fn write_element_head(bytes: &mut Vec<u8>, name: &str, length: &str) -> Option<usize> {
    let known = ELEMENTS.iter().find(|(known, _)| *known == name);
    bytes.extend(hex::decode(known.map_or(name, |(_, id)| id)).unwrap());
    let (width, length) = length.split_once(':').unwrap();
    let width: usize = width.parse().unwrap();
    let length: Option<u64> = length.parse().ok();
    let marker = 1 << (7 * width);
    let size = marker | length.unwrap_or(marker - 1);
    bytes.extend(&size.to_be_bytes()[8 - width..]);
    length.map(|length| bytes.len() + length as usize)
}

/// The structure of this file. Panics where it is none.
pub(crate) fn of(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    if bytes.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]) {
        read_elements(bytes, 0..bytes.len(), 0, &mut lines);
    } else {
        read_boxes(bytes, 0..bytes.len(), 0, &mut lines);
    }
    lines
}

fn read_boxes(bytes: &[u8], within: Range<usize>, depth: usize, lines: &mut Vec<String>) {
    let mut at = within.start;
    while at < within.end {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let (head, length, mark) = match number(at) {
            0 if depth == 0 => (8, within.end - at, "E"),
            1 => (16, long(at + 8) as usize, "L"),
            length => (8, length as usize, ""),
        };
        let kind = str::from_utf8(&bytes[at + 4..at + 8]).unwrap();
        let (body, end) = (at + head, at + length);
        assert!(length >= head && end <= within.end, "{kind} at {at}");
        let (shown, inside) = match (depth, kind) {
            (0, "ftyp" | "styp") => (length - head, false),
            (0, "moov") | (1, "trak") | (2, "mdia") => (0, true),
            (3, "hdlr") => (12, false),
            (0, "mdat") | (1.., _) => (0, false),
            _ => (8, false),
        };
        let start = hex::encode(&bytes[body..end.min(body + shown)]);
        let line = format!("{:depth$}{kind} {length}{mark} {start}", "");
        lines.push(line.trim_end().to_owned());
        if inside {
            read_boxes(bytes, body..end, depth + 1, lines);
        }
        at = end;
    }
}

fn read_elements(bytes: &[u8], within: Range<usize>, depth: usize, lines: &mut Vec<String>) {
    let mut at = within.start;
    while at < within.end {
        let width = |at: usize| bytes[at].leading_zeros() as usize + 1;
        let ids = width(at);
        let id = hex::encode_upper(&bytes[at..at + ids]);
        let sizes = width(at + ids);
        let body = at + ids + sizes;
        let marker = 1_u64 << (7 * sizes);
        let size = bytes[at + ids..body]
            .iter()
            .fold(0, |size, &byte| size << 8 | u64::from(byte));
        let length = (size & (marker - 1) != marker - 1).then_some(size & (marker - 1));
        // A cluster of unknown size ends where the next cluster begins; its elements are listed with those of the Segment.
        let end = length.map_or(within.end, |length| body + length as usize);
        let known = ELEMENTS.iter().find(|(_, known)| *known == id);
        let name = known.map_or(id.as_str(), |(name, _)| name);
        let (shown, inside) = match name {
            "EBML" | "TrackType" => (end - body, false),
            "Segment" | "Tracks" | "TrackEntry" | "Cluster" => (0, true),
            _ => (0, false),
        };
        let size = length.map_or_else(|| "?".to_owned(), |length| length.to_string());
        let start = hex::encode(&bytes[body..end.min(body + shown)]);
        let line = format!("{:depth$}{name} {sizes}:{size} {start}", "");
        lines.push(line.trim_end().to_owned());
        if inside && length.is_none() && name == "Cluster" {
            at = body;
            continue;
        }
        if inside {
            read_elements(bytes, body..end, depth + 1, lines);
        }
        at = end;
    }
}

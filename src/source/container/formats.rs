//! The formats that are refused: their names, and what helps.

use std::path::Path;

use Remedy::{Ffmpeg, Say};

/// A format that the API does not take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Completes "this is ...".
    pub(crate) name: &'static str,
    pub(crate) remedy: Remedy,
}

/// How to make a file of this format sendable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Run ffmpeg with these options before and after the input.
    Ffmpeg(&'static str, &'static str),
    /// No command helps; this advice does.
    Say(&'static str),
}

impl Remedy {
    pub(super) fn advice(&self, file_name: &str) -> String {
        match self {
            Ffmpeg(before, after) => format!("Try: {}", ffmpeg(before, file_name, after, "mp4")),
            Say(text) => (*text).to_owned(),
        }
    }
}

/// Keeps pictures and sound as they are: quick, and nothing is lost.
const REWRAP: Remedy = Ffmpeg("", "-c copy");
/// These formats mostly hold codecs that the API refuses, too. 4:2:0 is what phones play.
const ENCODE: Remedy = Ffmpeg("", "-pix_fmt yuv420p");
/// A bare stream has no frame rate.
const STREAM: Remedy = Ffmpeg("-framerate 30", "-c copy");
/// Animations are often small and slow, and the service wants at least 360 pixels, 23 frames a second and even sides.
const ANIMATION: Remedy = Ffmpeg("", "-vf fps=30,scale=-2:720 -pix_fmt yuv420p");
const PICTURE: Remedy = Ffmpeg("-loop 1", "-t 5 -vf scale=-2:1080 -pix_fmt yuv420p");
/// `-map`, because a cover inside the sound file would win over the given one.
const SOUND: Remedy = Ffmpeg(
    "-loop 1 -i cover.jpg",
    "-map 0:v -map 1:a -shortest -vf scale=-2:1080 -pix_fmt yuv420p",
);
const UNPACK: Remedy = Say("Unpack it and send the video inside.");
const OTHER_FILE: Remedy = Say("Is this the right file?");
const ANEW: Remedy =
    Say("Copy, download or export it again: an interrupted attempt leaves such a file.");

const fn format(name: &'static str, remedy: Remedy) -> Format {
    Format { name, remedy }
}

static MATROSKA: Format = format("Matroska (MKV)", REWRAP);
static OTHER_EBML: Format = format("an EBML file that is neither WebM nor Matroska", REWRAP);
static THREE_GP: Format = format("3GP", ENCODE);
static M4A: Format = format("sound without pictures (M4A)", SOUND);
static WEBM_SOUND: Format = format("sound without pictures (WebM)", SOUND);
static HEIF: Format = format("a HEIF picture", OTHER_FILE);
static AVIF: Format = format("an AVIF picture", OTHER_FILE);
static RAW_PHOTO: Format = format("a raw photo (CR3)", OTHER_FILE);
static AVI: Format = format("AVI", ENCODE);
static WAV: Format = format("sound without pictures (WAV)", SOUND);
static AIFF: Format = format("sound without pictures (AIFF)", SOUND);
static WEBP: Format = format("a WebP picture", PICTURE);
static TS: Format = format("an MPEG transport stream (TS)", REWRAP);
static MP3: Format = format("sound without pictures (MP3)", SOUND);
static AAC: Format = format("sound without pictures (AAC)", SOUND);
static BMP: Format = format("a BMP picture", PICTURE);
static TAR: Format = format("an archive (tar)", UNPACK);
static PLAYLIST_FILE: Format = format("a playlist (M3U8), not the video itself", REWRAP);
static HTML: Format = format(
    "a web page, not a video",
    Say("A download may have saved a page in place of the video."),
);
static TEXT: Format = format("text, not a video", OTHER_FILE);
static ZEROS: Format = format("nothing but zeros where a video begins", ANEW);
static SHORT: Format = format("too short for a video", ANEW);
static UNKNOWN: Format = format("not a kind of video known here", ENCODE);

/// Signatures at the start of a file.
static SIGNATURES: &[(&[u8], Format)] = &[
    (b"FLV\x01", format("Flash video (FLV)", REWRAP)),
    (b"OggS", format("Ogg", ENCODE)),
    (
        b"\x30\x26\xB2\x75\x8E\x66\xCF\x11",
        format("Windows Media (WMV, ASF)", ENCODE),
    ),
    (b"\x06\x0E\x2B\x34", format("MXF", ENCODE)),
    (b".RMF", format("RealMedia", ENCODE)),
    (
        b"\0\0\x01\xBA",
        format("an MPEG program stream (MPG, VOB)", ENCODE),
    ),
    (b"\0\0\x01\xB3", format("an MPEG video stream", ENCODE)),
    (
        b"\x00\x05\x16\x07",
        format(
            "a file of attributes that macOS writes beside the video (AppleDouble), not the video itself",
            Say("Send the file of the same name without `._` in front."),
        ),
    ),
    (
        b"\0\0\0\x01Bud1",
        format("a folder's view settings of macOS (.DS_Store)", OTHER_FILE),
    ),
    (
        b"bplist00",
        format(
            "a property list of macOS, which iCloud leaves in place of a file that is not on this disk",
            Say("Download the video in Finder first."),
        ),
    ),
    (
        b"version https://git-lfs",
        format(
            "a pointer of Git LFS, not the video itself",
            Say("Fetch the video with `git lfs pull` first."),
        ),
    ),
    (
        b"\0\0\0\x01",
        format("a bare H.264 or H.265 stream", STREAM),
    ),
    (b"YUV4MPEG2", format("uncompressed video (Y4M)", ENCODE)),
    (b"DKIF", format("IVF", REWRAP)),
    (b"GIF8", format("a GIF", ANIMATION)),
    (b"\x89PNG\r\n\x1A\n", format("a PNG picture", PICTURE)),
    (b"\xFF\xD8\xFF", format("a JPEG picture", PICTURE)),
    (
        b"II*\0",
        format("a TIFF picture or a raw photo", OTHER_FILE),
    ),
    (
        b"MM\0*",
        format("a TIFF picture or a raw photo", OTHER_FILE),
    ),
    (b"\0\0\0\x0CjP  ", format("a JPEG 2000 picture", OTHER_FILE)),
    (b"\0\0\0\x0CJXL ", format("a JPEG XL picture", OTHER_FILE)),
    (b"8BPS", format("a Photoshop picture", OTHER_FILE)),
    (b"ID3", format("sound without pictures (MP3)", SOUND)),
    (b"fLaC", format("sound without pictures (FLAC)", SOUND)),
    (b"#!AMR", format("sound without pictures (AMR)", SOUND)),
    (
        b"PK\x03\x04",
        format("an archive (ZIP) or an office document", UNPACK),
    ),
    (b"Rar!\x1A\x07", format("an archive (RAR)", UNPACK)),
    (b"7z\xBC\xAF\x27\x1C", format("an archive (7z)", UNPACK)),
    (b"\x1F\x8B", format("a compressed file (gzip)", UNPACK)),
    (b"\xFD7zXZ\0", format("a compressed file (xz)", UNPACK)),
    (
        b"\x28\xB5\x2F\xFD",
        format("a compressed file (zstd)", UNPACK),
    ),
    (b"%PDF", format("a PDF document", OTHER_FILE)),
    (b"\x7FELF", format("a program", OTHER_FILE)),
    (b"MZ\x90\0", format("a program", OTHER_FILE)),
    (
        b"SQLite format 3\0",
        format("a database (SQLite)", OTHER_FILE),
    ),
];

impl Format {
    /// Recognises a file that is neither MP4, MOV nor EBML by its first bytes.
    pub(super) fn of(probe: &[u8]) -> &'static Self {
        let is =
            |at: usize, what: &[u8]| probe.get(at..).is_some_and(|bytes| bytes.starts_with(what));
        if let Some((_, format)) = SIGNATURES.iter().find(|(signature, _)| is(0, signature)) {
            return format;
        }
        // A sync byte every 188 bytes (ISO/IEC 13818-1, 2.4.3.2), or every 192 with Blu-ray's time stamps before it.
        let every =
            |first: usize, step: usize| (0..3).all(|packet| is(first + packet * step, b"G"));
        match probe {
            // RIFF and its predecessor: a length, then the kind.
            _ if is(0, b"RIFF") && is(8, b"AVI ") => &AVI,
            _ if is(0, b"RIFF") && is(8, b"WAVE") => &WAV,
            _ if is(0, b"RIFF") && is(8, b"WEBP") => &WEBP,
            _ if is(0, b"FORM") && is(8, b"AIF") => &AIFF,
            _ if every(0, 188) || every(4, 192) => &TS,
            // The reserved bytes distinguish a bitmap from text that begins with these letters.
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => &BMP,
            _ if is(257, b"ustar") => &TAR,
            _ if probe.len() < 8 => &SHORT,
            _ if probe.iter().all(|&byte| byte == 0) => &ZEROS,
            _ => Self::of_text(probe)
                .or_else(|| Self::of_mpeg_audio(probe))
                .unwrap_or(&UNKNOWN),
        }
    }

    /// By the major brand of `ftyp`: relatives of MP4 without video, or with an old phone's codecs.
    pub(super) fn of_brand(major: &[u8], also_mp4: bool) -> Option<&'static Self> {
        match major {
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => {
                Some(&HEIF)
            }
            b"avif" | b"avis" => Some(&AVIF),
            b"crx " => Some(&RAW_PHOTO),
            [b'3', b'g', ..] if !also_mp4 => Some(&THREE_GP),
            _ => None,
        }
    }

    /// An MP4 that holds only sound.
    pub(super) fn sound() -> &'static Self {
        &M4A
    }

    pub(super) fn webm_sound() -> &'static Self {
        &WEBM_SOUND
    }

    /// By the DocType of an EBML header other than WebM's.
    pub(super) fn of_doc_type(doc_type: &[u8]) -> &'static Self {
        match doc_type {
            b"matroska" => &MATROSKA,
            _ => &OTHER_EBML,
        }
    }

    fn of_text(probe: &[u8]) -> Option<&'static Self> {
        if probe.starts_with(b"\xFF\xFE") || probe.starts_with(b"\xFE\xFF") {
            return Some(&TEXT);
        }
        let text = match str::from_utf8(probe) {
            Ok(text) => text,
            // The probe may end inside a character.
            Err(error) if error.error_len().is_none() => {
                str::from_utf8(&probe[..error.valid_up_to()]).ok()?
            }
            Err(_) => return None,
        };
        if text
            .chars()
            .any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t' | '\x0C' | '\x1B'))
        {
            return None;
        }
        let start = text
            .trim_start_matches('\u{feff}')
            .trim_start()
            .to_ascii_lowercase();
        match start.as_str() {
            text if text.starts_with("<!doctype html") || text.starts_with("<html") => Some(&HTML),
            text if text.starts_with("#extm3u") => Some(&PLAYLIST_FILE),
            _ => Some(&TEXT),
        }
    }

    /// Recognises a frame header of MPEG audio (ISO/IEC 11172-3, 2.4.1.3) or of ADTS (14496-3, 1.A).
    fn of_mpeg_audio(probe: &[u8]) -> Option<&'static Self> {
        let [0xFF, second, third, ..] = *probe else {
            return None;
        };
        match (second & 0xF6, second & 0xE6, third) {
            (0xF0, ..) => Some(&AAC),
            (_, 0xE2 | 0xE4 | 0xE6, third) if third >> 4 != 15 && third & 0x0C != 0x0C => {
                Some(&MP3)
            }
            _ => None,
        }
    }
}

/// The ffmpeg command that converts `file_name`, ready to be pasted into a shell.
pub(super) fn ffmpeg(before: &str, file_name: &str, after: &str, extension: &str) -> String {
    let output = Path::new(file_name).with_extension(extension);
    // ffmpeg refuses to overwrite its own input, and many of these files have the extension of the output.
    let output = match output.to_string_lossy() {
        same if same.eq_ignore_ascii_case(file_name) => output
            .with_extension(format!("new.{extension}"))
            .to_string_lossy()
            .into_owned(),
        other => other.into_owned(),
    };
    let parts = [
        "ffmpeg",
        before,
        "-i",
        &quoted(file_name),
        after,
        &quoted(&output),
    ];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Quotes a file name as one word of a shell that ffmpeg takes for neither an option nor a URL.
fn quoted(name: &str) -> String {
    // A control character in a name could move the cursor of a terminal.
    let name = name.replace(char::is_control, "\u{fffd}");
    let plain = |char: char| {
        char.is_alphanumeric() || "_-./+,@%=:".contains(char) || cfg!(windows) && char == '\\'
    };
    let looks_like_a_url = cfg!(unix) && !name.starts_with('/') && name.contains(':');
    let name = if name.starts_with('-') || looks_like_a_url {
        format!("./{name}")
    } else {
        name
    };
    if !name.is_empty() && name.chars().all(plain) {
        name
    } else if cfg!(windows) {
        format!("\"{name}\"")
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

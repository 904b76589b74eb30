//! `history.jsonl`: one durable line for each upload that has ended. Receipt, export, and the only place where its row is
//! kept: the database has the byte range of each line and a digest of its text.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::Sha256;

use super::durable::sync_names;
use super::own;
use crate::failpoint::reach;
use crate::upload::{ROW_VERSION, Upload};

#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
}

/// Byte range of a line and a digest of its text: detects a line that was edited or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    at: u64,
    len: u32,
    pub(super) digest: Digest,
}

/// A history as the file system shows it; all zeros where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Seen {
    /// In bytes.
    pub(super) len: u64,
    /// In nanoseconds; 0 where only the length is known.
    pub(super) changed: i64,
}

impl Seen {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.len.to_be_bytes());
        bytes[8..].copy_from_slice(&self.changed.to_be_bytes());
        bytes
    }

    /// Earlier versions kept the length alone.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (len, changed) = bytes.split_first_chunk()?;
        Some(Self {
            len: u64::from_be_bytes(*len),
            changed: changed.try_into().map_or(0, i64::from_be_bytes),
        })
    }
}

/// The start of a line's SHA-256.
pub(super) type Digest = [u8; 8];

impl Place {
    fn of(at: u64, line: &[u8]) -> Self {
        let mut digest = [0; 8];
        digest.copy_from_slice(&<Sha256 as sha2::Digest>::digest(line)[..8]);
        Self {
            at,
            len: line.len() as u32,
            digest,
        }
    }

    /// Where the next line begins.
    pub(super) const fn end(&self) -> u64 {
        self.at.saturating_add(self.len as u64 + 1)
    }

    pub(super) fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.at.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_be_bytes());
        bytes[12..].copy_from_slice(&self.digest);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (len, digest) = rest.split_first_chunk()?;
        Some(Self {
            at: u64::from_be_bytes(*at),
            len: u32::from_be_bytes(*len),
            digest: digest.try_into().ok()?,
        })
    }
}

impl History {
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            path: dir.join("history.jsonl"),
        }
    }

    /// How far it goes, and when it was last changed.
    pub(super) fn seen(&self) -> io::Result<Seen> {
        match own::open_to_read(&self.path).and_then(|file| file.metadata()) {
            Ok(metadata) => Ok(Seen {
                len: metadata.len(),
                changed: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Seen::default()),
            Err(error) => Err(error),
        }
    }

    /// Appends an ended upload; an ended row holds no session, so no secret gets here. Durable on return.
    pub(super) fn append(&self, row: &Upload) -> io::Result<Place> {
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        let mut file = own::open(&self.path, &mut options)?;
        reach("history", "created");
        let len = file.seek(SeekFrom::End(0))?;
        let mut text = Vec::new();
        // A line that a full disk has torn must not spoil the next one.
        if len > 0 && !ends_a_line(&mut file)? {
            text.push(b'\n');
        }
        let start = text.len();
        serde_json::to_writer(&mut text, row)?;
        let place = Place::of(len + start as u64, &text[start..]);
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_data()?;
        reach("history", "appended");
        if let (0, Some(dir)) = (len, self.path.parent()) {
            sync_names(dir)?;
        }
        Ok(place)
    }

    /// The upload in the line at `place`; `None` if the line was edited or replaced.
    pub(super) fn told(&self, place: Place) -> io::Result<Option<Upload>> {
        match self.at(place)? {
            Some(line) if Place::of(place.at, &line) == place => row(&line),
            _ => Ok(None),
        }
    }

    /// The text at `place` now; `None` if the file is shorter.
    fn at(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        let file = match own::open_to_read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        if file.metadata()?.len() < place.end() - 1 {
            return Ok(None);
        }
        let mut line = vec![0; place.len as usize];
        file.read_exact_at(&mut line, place.at)?;
        Ok(Some(line))
    }

    /// The lines from this offset on, the oldest first. An upload that ended twice has two, and the last one holds.
    pub(super) fn lines(&self, from: u64) -> io::Result<Lines> {
        let mut file = match own::open_to_read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => Some(file?),
        };
        if let Some(file) = &mut file {
            file.seek(SeekFrom::Start(from))?;
        }
        Ok(Lines {
            file: file.map(BufReader::new),
            at: from,
            unread: 0,
        })
    }

    /// The lines of one upload, ready to be blanked.
    pub(super) fn about(&self, id: &str) -> io::Result<About> {
        let mut places = Vec::new();
        for line in self.lines(0)? {
            let (place, row) = line?;
            if row.id == id {
                places.push(place);
            }
        }
        let file = match places.is_empty() {
            true => None,
            false => Some(own::open(&self.path, OpenOptions::new().write(true))?),
        };
        Ok(About { file, places })
    }
}

/// The lines about one upload.
#[derive(Debug)]
pub(super) struct About {
    file: Option<File>,
    places: Vec<Place>,
}

impl About {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Blanks them, and leaves JSON behind; every other line stays as it is and where it is, read or unread.
    pub(super) fn blank(self) -> io::Result<()> {
        let Some(file) = self.file else { return Ok(()) };
        for place in &self.places {
            file.write_all_at(&vec![BLANK; place.len as usize], place.at)?;
        }
        file.sync_data()?;
        for place in &self.places {
            file.write_all_at(FORGOTTEN, place.at)?;
        }
        file.sync_data()
    }
}

/// How a forgotten line begins. Shorter than any row, so that it ends with blanks.
const FORGOTTEN: &[u8] = b"{\"forgotten\":true}";

/// What a forgotten line is filled with. A power cut may leave it at one end only, and no other line begins or ends with it.
const BLANK: u8 = b' ';

/// The uploads in the history, and the places of their lines.
#[derive(Debug)]
pub(super) struct Lines {
    file: Option<BufReader<File>>,
    at: u64,
    /// Lines so far that hold no upload: torn by a full disk, or damaged.
    pub(super) unread: usize,
}

impl Iterator for Lines {
    type Item = io::Result<(Place, Upload)>;

    fn next(&mut self) -> Option<Self::Item> {
        let file = self.file.as_mut()?;
        let mut line = Vec::new();
        loop {
            line.clear();
            let at = self.at;
            match file.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(len) => self.at += len as u64,
                Err(error) => return Some(Err(error)),
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            match row(&line) {
                Ok(Some(row)) => return Some(Ok((Place::of(at, &line), row))),
                Ok(None) => {
                    let forgotten = [line.first(), line.last()].contains(&Some(&BLANK));
                    self.unread += usize::from(!line.is_empty() && !forgotten);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The upload in a text, if there is one. A text of a newer version is an error: what it says must not be passed over.
pub(super) fn row(line: &[u8]) -> io::Result<Option<Upload>> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { version }) if version > ROW_VERSION => Err(io::Error::other(format!(
            "an upload was written by a newer chunkferry (version {version}, this one reads {ROW_VERSION})"
        ))),
        _ => Ok(serde_json::from_slice(line).ok()),
    }
}

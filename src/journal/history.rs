//! `history.jsonl`: one durable line for each upload that has ended. Receipt, export, and the word that holds where the
//! database is damaged or lags behind.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::durable::{replace, sync_names};
use crate::killpoint::reach;
use crate::upload::{ROW_VERSION, Upload};

#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
}

/// What the lines of a history say, each upload once with its last word, oldest first.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) rows: Vec<Upload>,
    /// Lines that hold no upload: torn by a full disk, or damaged.
    pub(super) unread: usize,
}

impl History {
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            path: dir.join("history.jsonl"),
        }
    }

    /// Length in bytes; 0 where there is none.
    pub(super) fn len(&self) -> io::Result<u64> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Appends an ended upload; an ended row holds no session, so no secret gets here. Durable on return, which is the
    /// new length.
    pub(super) fn append(&self, row: &Upload) -> io::Result<u64> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        reach("history", "created");
        let len = file.seek(SeekFrom::End(0))?;
        let mut line = Vec::new();
        // A line that a full disk has torn must not spoil the next one.
        if len > 0 && !ends_a_line(&mut file)? {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, row)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_data()?;
        reach("history", "appended");
        if let (0, Some(dir)) = (len, self.path.parent()) {
            sync_names(dir)?;
        }
        Ok(len + line.len() as u64)
    }

    /// What is told from this offset on.
    pub(super) fn read(&self, from: u64) -> io::Result<Told> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Told::default()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(from))?;
        let mut told = Told::default();
        let mut index = std::collections::HashMap::new();
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            let Some(row) = row(&line)? else {
                told.unread += usize::from(!line.is_empty());
                continue;
            };
            match index.get(&row.id) {
                Some(&at) => told.rows[at] = row,
                None => {
                    index.insert(row.id.clone(), told.rows.len());
                    told.rows.push(row);
                }
            }
        }
        Ok(told)
    }

    /// Takes one upload out for good; every other line stays as it is, read or unread.
    pub(super) fn forget(&self, id: &str) -> io::Result<()> {
        let text = match std::fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        let about_it = |line: &[u8]| matches!(row(line), Ok(Some(row)) if row.id == id);
        let kept: Vec<&[u8]> = text
            .split_inclusive(|&byte| byte == b'\n')
            .filter(|line| !about_it(line))
            .collect();
        let kept = kept.concat();
        if kept.len() == text.len() {
            return Ok(());
        }
        replace(&self.path, &kept)
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

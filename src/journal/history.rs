//! `history.jsonl`: one durable line for each upload that has ended. Receipt, export, and what the database's finished
//! rows are rebuilt from if it is ever damaged.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::killpoint::reach;
use crate::upload::Upload;

#[derive(Debug)]
pub(super) struct History {
    path: PathBuf,
}

impl History {
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            path: dir.join("history.jsonl"),
        }
    }

    /// Appends an ended upload; an ended row holds no session, so no secret gets here. Durable on return.
    pub(super) fn append(&self, row: &Upload) -> io::Result<()> {
        let mut line = serde_json::to_vec(row)?;
        line.push(b'\n');
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        reach("history", "created");
        file.write_all(&line)?;
        file.sync_data()?;
        reach("history", "appended");
        Ok(())
    }

    /// The ended uploads, oldest first, each once with its last word. A torn last line is passed over.
    pub(super) fn read(&self) -> io::Result<Vec<Upload>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut rows: Vec<Upload> = Vec::new();
        let mut index = std::collections::HashMap::new();
        for line in BufReader::new(file).split(b'\n') {
            let Ok(row) = serde_json::from_slice::<Upload>(&line?) else {
                continue;
            };
            match index.get(&row.id) {
                Some(&at) => rows[at] = row,
                None => {
                    index.insert(row.id.clone(), rows.len());
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    /// Takes one upload out for good.
    pub(super) fn forget(&self, id: &str) -> io::Result<()> {
        let rows = self.read()?;
        if !rows.iter().any(|row| row.id == id) {
            return Ok(());
        }
        let mut text = Vec::new();
        for row in rows.iter().filter(|row| row.id != id) {
            serde_json::to_writer(&mut text, row)?;
            text.push(b'\n');
        }
        super::replace::replace(&self.path, &text)
    }
}

//! Manifests: a video on each line, as JSON objects or as CSV from a spreadsheet.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use chunkferry::Escaped;
use futures::StreamExt;
use futures::stream::{self, LocalBoxStream};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::Failure;
use super::item::{Item, Source};
use super::records::is_remote;
use super::wish::{self, Fields, Named};

pub(super) mod known;
mod table;

use known::Known;

/// Most bytes of a manifest that is read as a whole.
const MOST: u64 = 256 << 20;

/// Faults that one message names.
const SHOWN: usize = 20;

/// A file of lines, each of which is a job in the words of a service.
pub(super) struct Manifest {
    /// The path, or "standard input", for messages.
    name: String,
    /// Where relative paths of files begin.
    folder: PathBuf,
    /// Whether its lines are sent as they come.
    is_stream: bool,
}

/// The number of a line, and what is wrong with that line.
pub(super) type Fault = (usize, String);

/// The fields of a job that a line sets, and the number of the line.
type Line = (usize, Map<String, Value>);

impl Manifest {
    pub(super) fn at(path: &Path, is_stream: bool) -> Self {
        let is_stdin = path == Path::new("-");
        let name = match is_stdin {
            true => "standard input".to_owned(),
            false => Escaped::new(&*path.to_string_lossy()).to_string(),
        };
        let folder = path.parent().filter(|_| !is_stdin);
        Self {
            name,
            folder: folder.map(Path::to_owned).unwrap_or_default(),
            is_stream,
        }
    }

    /// Reads all lines: the videos of those that are jobs, and what is wrong with the others. `base` gives the options of the command
    /// for a line, which the line itself wins over. Blocks.
    pub(super) fn read(
        &self,
        path: &Path,
        base: impl Fn(bool) -> Map<String, Value>,
    ) -> Result<(Vec<Item>, Vec<Fault>), Failure> {
        let cannot = |what: &dyn std::fmt::Display| {
            Failure::usage(format!("{} is not usable as --from: {what}.", self.name))
        };
        let mut text = Vec::new();
        let read = match path == Path::new("-") {
            true => io::stdin().take(MOST + 1).read_to_end(&mut text),
            false => File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut text)),
        };
        read.map_err(|error| cannot(&error))?;
        if text.len() as u64 > MOST {
            return Err(cannot(&"it has more than 256 MiB"));
        }
        if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
            return Err(cannot(&"it is UTF-16; save it as \"CSV UTF-8\""));
        }
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        let lines = match is_json(text) {
            true => json_lines(text).collect(),
            false => table::lines(text).map_err(|why| cannot(&why))?,
        };
        let mut faults = Vec::new();
        let mut items = Vec::new();
        for (number, line) in lines {
            let item = line.and_then(|fields| self.item((number, fields), &base));
            match item {
                Ok(item) => items.push(item),
                Err(fault) => faults.push((number, fault.text)),
            }
        }
        faults.extend(repeated(&items));
        Ok((items, faults))
    }

    /// The videos of lines of JSON, each as its line comes.
    pub(super) fn lines<'a>(
        self,
        path: &Path,
        base: impl Fn(bool) -> Map<String, Value> + 'a,
        known: Known<'a>,
    ) -> LocalBoxStream<'a, Result<Item, Failure>> {
        let lines = lines_of(path.to_owned());
        let begin = (self, lines, base, known);
        let items = stream::unfold(begin, async |(manifest, mut lines, base, known)| {
            let (number, line) = lines.recv().await?;
            let item = async {
                let line =
                    line.map_err(|error| manifest.refused(vec![(number, error.to_string())]))?;
                let line = line.strip_prefix("\u{feff}").unwrap_or(&line);
                let item = object(line.as_bytes());
                let item = item.and_then(|fields| manifest.item((number, fields), &base));
                let item = item.map_err(|fault| manifest.refused(vec![(number, fault.text)]))?;
                let known = known.check(&item).await;
                known.map_err(|failure| manifest.refused(vec![(number, failure.message)]))?;
                Ok(item)
            };
            Some((item.await, (manifest, lines, base, known)))
        });
        items.boxed_local()
    }

    /// The failure that names each wrong line.
    pub(super) fn refused(&self, mut faults: Vec<Fault>) -> Failure {
        faults.sort();
        let name = &self.name;
        let mut failure = Failure::usage(match self.is_stream {
            true => format!("{name} has a line that is no job; the lines behind it are not sent."),
            false => format!("{name} has lines that are no jobs, so nothing was posted."),
        });
        let shown = faults.iter().take(SHOWN);
        let shown = shown.map(|(line, fault)| format!("line {line}: {fault}"));
        failure.details = shown.collect();
        if let Some(more @ 1..) = faults.len().checked_sub(SHOWN) {
            failure.details.push(format!("and {more} more"));
        }
        failure
    }

    fn item(
        &self,
        (number, mut fields): Line,
        base: &impl Fn(bool) -> Map<String, Value>,
    ) -> Result<Item, wish::Fault> {
        if let Some(Value::String(file)) = fields.get_mut("file")
            && !is_remote(file)
        {
            let path = self.folder.join(&*file);
            let path = std::path::absolute(&path).unwrap_or(path);
            *file = path.to_string_lossy().into_owned();
        }
        let is_url = fields.contains_key("url");
        let given = Fields::of_object(fields.clone())?;
        let source = match (given.named()?, given.text("url")?) {
            (Named::File(path), _) => Source::File(path),
            (Named::Remote(_), _) => {
                Source::Remote(given.text("file")?.unwrap_or_default().to_owned())
            }
            (Named::Url(_), url) => Source::Url(url.unwrap_or_default().to_owned()),
        };
        if given.switch("again")? == Some(true) && given.text("id")?.is_none() {
            let text = "again needs an id, which stands for the one draft more.";
            return Err(wish::Fault::field("again", text));
        }
        if given.get("once").is_some() {
            return Err(wish::Fault::field("once", "once means nothing on a line."));
        }
        fields.remove("file");
        fields.remove("url");
        let mut options = base(is_url);
        options.extend(fields);
        let whole = Fields::of_object(options.clone())?;
        let account = whole.account()?.to_owned();
        Ok(Item {
            source,
            account,
            options,
            line: Some(number),
        })
    }
}

/// Lines that name the video or the id of an earlier line for the same account.
fn repeated(items: &[Item]) -> Vec<Fault> {
    let mut seen: HashMap<(&str, String), usize> = HashMap::new();
    let mut faults = Vec::new();
    for item in items {
        let number = item.line.unwrap_or_default();
        let source = match &item.source {
            Source::File(path) => format!("file {}", path.to_string_lossy()),
            Source::Remote(url) => format!("file {url}"),
            Source::Url(url) => format!("url {url}"),
            Source::Piped(name) => format!("pipe {name}"),
        };
        let id = item.id().map(|id| format!("id {id}"));
        for (what, key) in [("video", Some(source)), ("id", id)] {
            let Some(key) = key else { continue };
            let first = *seen.entry((&item.account, key)).or_insert(number);
            if first != number {
                let text = format!("the same {what} as on line {first}, for the same account.");
                faults.push((number, text));
                break;
            }
        }
    }
    faults
}

/// The lines of a file that are not empty, with their numbers, read by a thread of its own: a pipe may have nothing to read for long.
fn lines_of(path: PathBuf) -> mpsc::Receiver<(usize, io::Result<String>)> {
    let (sender, lines) = mpsc::channel(1);
    let read = move || {
        let text: Box<dyn BufRead> = match path == Path::new("-") {
            true => Box::new(io::stdin().lock()),
            false => match File::open(&path) {
                Ok(file) => Box::new(BufReader::new(file)),
                Err(error) => return drop(sender.blocking_send((1, Err(error)))),
            },
        };
        for (number, line) in (1..).zip(text.lines()) {
            let is_empty = line.as_ref().is_ok_and(|line| line.trim().is_empty());
            let is_last = line.is_err();
            if !is_empty && sender.blocking_send((number, line)).is_err() || is_last {
                return;
            }
        }
    };
    // Without a thread there are no lines, and the run ends.
    drop(std::thread::Builder::new().spawn(read));
    lines
}

/// Whether the first character that is no space begins an object.
fn is_json(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

fn json_lines(
    text: &[u8],
) -> impl Iterator<Item = (usize, Result<Map<String, Value>, wish::Fault>)> {
    let lines = text.split(|byte| *byte == b'\n').zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim_ascii().is_empty());
    lines.map(|(line, number)| (number, object(line)))
}

fn object(line: &[u8]) -> Result<Map<String, Value>, wish::Fault> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(wish::Fault::usage("it is no JSON object.")),
        // What serde says may repeat a secret.
        Err(error) => Err(wish::Fault::usage(format!(
            "it is no JSON (column {}).",
            error.column()
        ))),
    }
}

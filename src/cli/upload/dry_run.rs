//! `upload --dry-run`: what would become of each video, from what the journal knows.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chunkferry::{Options, Record};
use serde_json::json;

use crate::Failure;
use crate::demo::sha256;
use crate::exit::Exit;
use crate::globals::Globals;
use crate::item::{Item, Source};
use crate::records;
use crate::remote::Remote;
use crate::render::Screen;
use crate::size::humane;

/// Drafts of one creator that may wait in the inbox, and for how long a draft counts.
const CAP: usize = 5;
const COUNTS: Duration = Duration::from_secs(24 * 3600);

/// What would become of a video.
enum Fate {
    Send,
    CarryOn {
        confirmed: u64,
    },
    Delivered {
        publish_id: Option<String>,
    },
    /// Too many drafts may wait by then.
    Capped,
    /// The file cannot be read.
    Unreadable(String),
}

impl Fate {
    const fn word(&self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::CarryOn { .. } => "carry_on",
            Self::Delivered { .. } => "already_delivered",
            Self::Capped => "capped",
            Self::Unreadable(_) => "source",
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Send => "would be sent".to_owned(),
            Self::CarryOn { confirmed } => {
                format!("would carry on after {}", humane(*confirmed))
            }
            Self::Delivered {
                publish_id: Some(id),
            } => format!("was delivered ({id})"),
            Self::Delivered { publish_id: None } => "was delivered".to_owned(),
            Self::Capped => format!(
                "would wait: {CAP} drafts of 24 hours can wait in an inbox until their creator posts them"
            ),
            Self::Unreadable(why) => format!("cannot be read: {why}"),
        }
    }
}

/// Shows what would become of each video, and sends nothing.
pub(super) async fn show(
    globals: &Globals,
    remote: Option<&Remote>,
    screen: &Screen,
    items: &[Item],
) -> Result<Exit, Failure> {
    let mut records = records::all(globals, remote).await?;
    let base = match remote {
        Some(remote) => remote.api_base(),
        None => globals.api_base.as_deref().unwrap_or(Options::API_BASE),
    };
    records.retain(|record| is_of(base, record));
    let mut waiting: HashMap<&str, usize> = HashMap::new();
    let mut by_size: HashMap<(&str, u64), Vec<&Record>> = HashMap::new();
    let since = SystemTime::now() - COUNTS;
    for record in &records {
        if record.state == "delivered" && record.updated() >= since {
            *waiting.entry(&record.account).or_default() += 1;
        }
        let of = by_size.entry((&record.account, record.size)).or_default();
        of.push(record);
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut exit = Exit::DELIVERED;
    for item in items {
        let mut fate = match &item.source {
            Source::Remote(_) | Source::Url(_) | Source::Piped(_) => {
                of_url(&records, &item.account, &item.name())
            }
            Source::File(path) => match size_of(path).await {
                Ok(size) => {
                    let alike = by_size.get(&(item.account.as_str(), size));
                    let alike = alike.into_iter().flatten();
                    of_file(alike.map(|record| (*record).clone()).collect(), path).await
                }
                Err(error) => Fate::Unreadable(error.to_string()),
            },
        };
        if matches!(fate, Fate::Send | Fate::CarryOn { .. }) {
            let waiting = waiting.entry(&item.account).or_default();
            match *waiting >= CAP {
                true => fate = Fate::Capped,
                false => *waiting += 1,
            }
        }
        if matches!(fate, Fate::Unreadable(_)) {
            exit = Exit(3);
        }
        *counts.entry(fate.word()).or_default() += 1;
        let (name, words) = (item.name(), fate.in_words());
        screen.say(&format!("{name}: {words}"));
        let confirmed = match &fate {
            Fate::CarryOn { confirmed } => Some(*confirmed),
            _ => None,
        };
        screen.print(
            "dry_run",
            Some(&item.account),
            json!({ "source": name, "line": item.line, "fate": fate.word(), "confirmed": confirmed }),
        );
    }
    let counted = ["send", "carry_on", "already_delivered", "capped", "source"];
    let counted = counted.into_iter().filter_map(|word| {
        let words = match word {
            "send" => "to send",
            "carry_on" => "to carry on",
            "already_delivered" => "already delivered",
            "capped" => "to wait for room in their inboxes",
            _ => "not readable",
        };
        Some(format!("{} {words}", counts.get(word)?))
    });
    let sum = counted.collect::<Vec<_>>().join(", ");
    screen.say(&format!("Nothing was sent: {sum}."));
    Ok(exit)
}

/// Whether an upload goes to this API.
fn is_of(base: &str, record: &Record) -> bool {
    record.api_base.trim_end_matches('/') == base.trim_end_matches('/')
}

fn of_url(records: &[Record], account: &str, url: &str) -> Fate {
    let is_of = |of: &Record| of.url.as_deref() == Some(url) || of.name() == url;
    let is_it = |of: &&Record| of.account == account && is_of(of);
    let mut records = records.iter().filter(is_it);
    match records.find(|record| is_delivered(record)) {
        Some(record) => delivered(record),
        None => Fate::Send,
    }
}

/// The bytes of a file.
async fn size_of(path: &Path) -> io::Result<u64> {
    let path = path.to_owned();
    let look = tokio::task::spawn_blocking(move || std::fs::metadata(path));
    Ok(look.await.map_err(io::Error::other)??.len())
}

fn is_delivered(record: &Record) -> bool {
    matches!(&*record.state, "delivered" | "published")
}

fn delivered(record: &Record) -> Fate {
    Fate::Delivered {
        publish_id: record.publish_id.clone(),
    }
}

/// What becomes of a file, from the uploads of as many bytes. Reads the file where one of them was delivered.
async fn of_file(alike: Vec<Record>, path: &Path) -> Fate {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let look = tokio::task::spawn_blocking(move || {
        let with_digest = |of: &&Record| is_delivered(of) && of.sha256.is_some();
        if alike.iter().any(|of| with_digest(&of)) {
            let digest = match sha256(&path) {
                Ok(digest) => digest,
                Err(error) => return Fate::Unreadable(error.to_string()),
            };
            let mut sent = alike.iter().filter(with_digest);
            if let Some(record) = sent.find(|of| of.sha256.as_ref() == Some(&digest)) {
                return delivered(record);
            }
        }
        let mut here = alike.iter().rev();
        let here = here.find(|of| {
            let is_open = matches!(&*of.state, "uploading" | "sealed" | "processing");
            is_open && of.file.as_deref() == Some(&path)
        });
        match here {
            Some(record) => Fate::CarryOn {
                confirmed: record.confirmed,
            },
            None => Fate::Send,
        }
    });
    match look.await {
        Ok(fate) => fate,
        Err(error) => Fate::Unreadable(error.to_string()),
    }
}

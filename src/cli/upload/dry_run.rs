//! `upload --dry-run`: what would become of each video, from what the journal knows.

use std::collections::HashMap;
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
    let records = records::all(globals, remote).await?;
    let base = globals.api_base.as_deref().unwrap_or(Options::API_BASE);
    let mut waiting: HashMap<&str, usize> = HashMap::new();
    let since = SystemTime::now() - COUNTS;
    for record in &records {
        if record.state == "delivered" && record.updated() >= since {
            *waiting.entry(&record.account).or_default() += 1;
        }
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut exit = Exit::DELIVERED;
    for item in items {
        let of = records
            .iter()
            .filter(|record| record.account == item.account && is_of(base, record));
        let mut fate = match &item.source {
            Source::Url(_) => of_url(of, &item.name()),
            Source::File(path) => of_file(of.cloned().collect(), path).await,
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

fn of_url<'a>(records: impl Iterator<Item = &'a Record>, url: &str) -> Fate {
    let mut records = records.filter(|record| record.url.as_deref() == Some(url));
    match records.find(|record| is_delivered(record)) {
        Some(record) => delivered(record),
        None => Fate::Send,
    }
}

fn is_delivered(record: &Record) -> bool {
    matches!(&*record.state, "delivered" | "published")
}

fn delivered(record: &Record) -> Fate {
    Fate::Delivered {
        publish_id: record.publish_id.clone(),
    }
}

/// Reads the file where an upload of as many bytes was delivered.
async fn of_file(records: Vec<Record>, path: &Path) -> Fate {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let look = tokio::task::spawn_blocking(move || {
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return Fate::Unreadable(error.to_string()),
        };
        let alike = records.iter().filter(|of| of.size == metadata.len());
        let alike: Vec<&Record> = alike.collect();
        let mut with_digest = alike
            .iter()
            .filter(|of| is_delivered(of) && of.sha256.is_some());
        if with_digest.clone().next().is_some() {
            match sha256(&path) {
                Ok(digest) => {
                    let same = with_digest.find(|of| of.sha256.as_ref() == Some(&digest));
                    if let Some(record) = same {
                        return delivered(record);
                    }
                }
                Err(error) => return Fate::Unreadable(error.to_string()),
            }
        }
        let is_here = |of: &&&Record| of.file.as_deref() == Some(&path);
        let mut here = alike.iter().filter(is_here).rev();
        match here.find(|of| matches!(&*of.state, "uploading" | "sealed" | "processing")) {
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

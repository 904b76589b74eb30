//! `status --pending`: asks about each upload whose end is not known.

use std::collections::BTreeMap;

use chunkferry::{Account, Engine, ErrorKind, Escaped, Record};
use futures::stream::{self, StreamExt};
use serde_json::json;

use super::{Answer, of_service};
use crate::exit::Exit;
use crate::records::all;
use crate::remote::Remote;
use crate::{Failure, Globals, json};

/// Accounts that are asked for at once. The questions of each go one after another, within its window.
const AT_ONCE: usize = 16;

/// After so many questions in a row without an answer, the others of an account are left for a later run.
const IN_VAIN: u32 = 2;

/// Who asks TikTok.
enum Asker {
    /// The engine counts the questions of each account.
    Engine(Engine),
    Service(Remote),
}

/// The uploads of one account, and what was answered.
struct Line<'a> {
    name: &'a str,
    uploads: Vec<&'a Record>,
    as_json: bool,
}

/// How many uploads have which status, and the exit code.
#[derive(Default)]
struct Sum {
    statuses: BTreeMap<String, usize>,
    unanswered: usize,
    exit: Option<Exit>,
}

/// Asks about each upload that TikTok may still work on, and shows the answers as they come.
pub(super) async fn ask(globals: &Globals, remote: Option<Remote>) -> Result<Exit, Failure> {
    let mut records = all(globals, remote.as_ref()).await?;
    let wanted = globals.given_account();
    records.retain(|record| {
        is_pending(record) && wanted.is_none_or(|wanted| record.account == wanted)
    });
    let mut sum = Sum::default();
    if !records.is_empty() {
        let asker = match remote {
            Some(remote) => Asker::Service(remote),
            None => {
                let options = globals.options(globals.state_dir()?);
                Asker::Engine(options.paused().doing("status --pending").open()?)
            }
        };
        let of_api = records.len();
        records.retain(|record| asker.sends_to(&record.api_base));
        if records.len() < of_api {
            eprintln!(
                "{} uploads went to another API, and are not asked about here.",
                of_api - records.len()
            );
        }
        let mut accounts: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in &records {
            accounts.entry(&record.account).or_default().push(record);
        }
        let lines = accounts.into_iter().map(|(name, uploads)| Line {
            name,
            uploads,
            as_json: globals.json,
        });
        let asked = lines.map(|line| line.ask(&asker, globals));
        let mut asked = stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some(one) = asked.next().await {
            sum.add(one);
        }
    }
    sum.show(globals.json);
    Ok(sum.exit.unwrap_or(Exit::DELIVERED))
}

/// Whether TikTok has the upload, and the journal does not know its end.
fn is_pending(record: &Record) -> bool {
    let state = matches!(
        &*record.state,
        "sealed" | "processing" | "pulling" | "unknown"
    );
    state && record.publish_id.is_some()
}

impl Asker {
    fn sends_to(&self, api_base: &str) -> bool {
        match self {
            Self::Engine(engine) => engine.api_base() == api_base,
            Self::Service(remote) => remote.sends_to(api_base),
        }
    }

    /// The account as [`Asker::status`] wants it: a service has the tokens itself.
    fn account(&self, name: &str, globals: &Globals) -> Result<Option<Account>, Failure> {
        let Self::Engine(_) = self else {
            return Ok(None);
        };
        let account = globals.account_among(name).unwrap_or_else(|| {
            Err(Failure::new(
                Exit::of(ErrorKind::NeedsPerson),
                format!("There is no token of the account \"{name}\" here. Log in: chunkferry login {name}. Or name the account whose token you give: --account {name}."),
            ))
        });
        account.map(Some)
    }

    async fn status(
        &self,
        publish_id: &str,
        name: &str,
        account: Option<&Account>,
    ) -> Result<Answer, Failure> {
        match (self, account) {
            (Self::Engine(engine), Some(account)) => {
                Ok(engine.status(publish_id, account).await?.into())
            }
            (Self::Engine(_), None) => Err(Failure::usage("There is no such account.")),
            (Self::Service(remote), _) => of_service(remote, publish_id, name).await,
        }
    }
}

impl Line<'_> {
    /// Asks about the uploads one after another.
    async fn ask(self, asker: &Asker, globals: &Globals) -> Sum {
        let mut sum = Sum::default();
        let mut in_vain = 0;
        let account = match asker.account(self.name, globals) {
            Ok(account) => account,
            Err(failure) => {
                sum.unanswered = self.uploads.len();
                self.leave(&mut sum, &failure);
                return sum;
            }
        };
        for (at, record) in self.uploads.iter().enumerate() {
            let publish_id = record.publish_id.as_deref().unwrap_or_default();
            let asked = asker.status(publish_id, self.name, account.as_ref());
            let failure = match asked.await {
                Ok(answer) => {
                    in_vain = 0;
                    self.show(record, &answer);
                    *sum.statuses.entry(answer.status).or_default() += 1;
                    continue;
                }
                Err(failure) => failure,
            };
            in_vain += 1;
            let is_temporary = failure.exit == Exit::of(ErrorKind::Temporary);
            let needs_person = failure.exit == Exit::of(ErrorKind::NeedsPerson);
            if needs_person || is_temporary && in_vain >= IN_VAIN {
                sum.unanswered += self.uploads.len() - at;
                self.leave(&mut sum, &failure);
                break;
            }
            sum.unanswered += 1;
            self.fail(&mut sum, record, &failure);
        }
        sum
    }

    fn show(&self, record: &Record, answer: &Answer) {
        let publish_id = record.publish_id.as_deref().unwrap_or_default();
        if self.as_json {
            let mut fields = answer.fields(publish_id);
            fields["id"] = record.id.clone().into();
            fields[named(record)] = record.name().into();
            println!("{}", json::line("status", Some(self.name), fields));
        } else {
            println!(
                "{}\t{}\t{}",
                Escaped::new(publish_id),
                Escaped::new(&answer.text()),
                Escaped::new(&*record.name())
            );
        }
    }

    /// Says why an upload has no answer.
    fn fail(&self, sum: &mut Sum, record: &Record, failure: &Failure) {
        sum.ends(failure.exit);
        if self.as_json {
            let fields = json!({
                "id": record.id,
                named(record): record.name(),
                "publish_id": record.publish_id,
                "exit": failure.exit.0,
                "error": json::error(&failure.message, failure.error.as_deref()),
            });
            println!("{}", json::line("error", Some(self.name), fields));
        }
        let text = format!("{}: {}", record.name(), failure.message);
        eprintln!("{}", Escaped::new(&text));
    }

    /// Says why the rest of the account's uploads is not asked about.
    fn leave(&self, sum: &mut Sum, failure: &Failure) {
        sum.ends(failure.exit);
        if self.as_json {
            println!("{}", json::failed(failure, self.name));
        }
        let (left, name) = (sum.unanswered, self.name);
        let text = format!("{name} ({left} without an answer): {}", failure.message);
        eprintln!("{}", Escaped::new(&text));
    }
}

/// The field that names what an upload is of.
const fn named(record: &Record) -> &'static str {
    match record.url {
        Some(_) => "url",
        None => "file",
    }
}

impl Sum {
    fn ends(&mut self, exit: Exit) {
        self.exit = Some(self.exit.map_or(exit, |other| exit.over(other)));
    }

    fn add(&mut self, other: Self) {
        for (status, number) in other.statuses {
            *self.statuses.entry(status).or_default() += number;
        }
        self.unanswered += other.unanswered;
        if let Some(exit) = other.exit {
            self.ends(exit);
        }
    }

    fn show(&self, as_json: bool) {
        let exit = self.exit.unwrap_or(Exit::DELIVERED);
        let answered: usize = self.statuses.values().sum();
        if as_json {
            let fields = json!({
                "exit": exit.0,
                "answered": answered,
                "unanswered": self.unanswered,
                "statuses": self.statuses,
            });
            println!("{}", json::line("summary", None, fields));
            return;
        }
        let statuses = self.statuses.iter();
        let mut parts: Vec<String> = statuses
            .map(|(status, number)| format!("{number} {}", Escaped::new(status)))
            .collect();
        if self.unanswered > 0 {
            parts.push(format!("{} without an answer", self.unanswered));
        }
        match parts.is_empty() {
            true => eprintln!("No upload waits for TikTok."),
            false => eprintln!("{}", parts.join(", ")),
        }
    }
}

//! `watch`: `serve` with one watched folder that the command line names.

use std::path::{Path, PathBuf};

use chunkferry::Escaped;
use clap::Args;

use super::config::{LONGEST_SCAN, PLACE, SCAN, WatchEntry};
use super::exit::Exit;
use super::remote::Remote;
use super::serve::Serve;
use super::{Failure, Globals};

/// Send each video that comes into a folder, once it is complete
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "And all options of serve.\n\nExample: chunkferry watch /render/out --account lena --done-dir /render/sent"
)]
pub(super) struct Watch {
    /// The folder; {account} in it stands for folders named after accounts
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Also the folders below it
    #[arg(long)]
    recursive: bool,
    /// Only files that fit, such as 'final/*.mp4' (repeatable) [default: *.mp4 *.mov *.webm *.m4v]
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// No files that fit (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Where delivered files are moved to; without it they stay
    #[arg(long, value_name = "DIR")]
    done_dir: Option<PathBuf>,
    /// How long a file is unchanged that may have an unseen writer
    #[arg(long, value_name = "SECS")]
    settle: Option<u64>,
    /// A label of the jobs (repeatable)
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// An entry of [[notify]] in the config file, for the jobs
    #[arg(long, value_name = "NAME")]
    notify: Option<String>,
    /// Seconds between two looks at the folder
    #[arg(long, value_name = "SECS", default_value_t = SCAN, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SCAN))]
    scan: u64,
    /// Do not let inotify wake the looks
    #[arg(long)]
    no_inotify: bool,
    #[command(flatten)]
    serve: Serve,
}

fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let parts = parts.map(|(name, value)| (name.to_owned(), value.to_owned()));
    parts.ok_or_else(|| "it is NAME=VALUE".to_owned())
}

impl Watch {
    pub(super) async fn run(self, globals: Globals) -> Result<Exit, Failure> {
        let wrong = |why: String| Failure::usage(format!("The folder {why}."));
        let entry = self.entry(&globals)?;
        entry.check().map_err(wrong)?;
        let others = &mut globals.file.watch.iter();
        if let Some(other) = others.find(|other| other.overlaps(&entry)) {
            let other = Escaped::new(&*other.path.to_string_lossy()).to_string();
            return Err(wrong(format!(
                "has files of a [[watch]] of the config file, {other}: a file belongs to one"
            )));
        }
        // One that does not answer has ended, or is found by whoever opens the journal.
        if let Ok(Some(service)) = Remote::of_state_dir(&globals.state_dir()?).await {
            println!("{}", toml(&entry));
            return Err(Failure::usage(format!(
                "The service at {} (process {}) has this state directory, and watches the folders of its config file. Nothing was changed. Add the lines above to that file, and start the service again.",
                service.name, service.process
            )));
        }
        self.serve.watching(entry).run(globals).await
    }

    /// What the command line says, as an entry of the config file.
    fn entry(&self, globals: &Globals) -> Result<WatchEntry, Failure> {
        let absolute = |path: &PathBuf| {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            match absolute.to_str() {
                Some(_) => Ok(absolute),
                None => Err(Failure::usage(format!(
                    "{} cannot be watched: its path is no UTF-8.",
                    path.display()
                ))),
            }
        };
        let path = absolute(&self.path)?;
        let has_place = path.iter().any(|part| part == PLACE);
        // The account of the environment or the config file is no word about a folder of many accounts.
        let account = match has_place {
            true => globals.given_account().map(str::to_owned),
            false => globals.account.clone(),
        };
        if account.is_none() && !has_place {
            return Err(Failure::usage(format!(
                "Whose videos are in the folder? Name the account with --account, or put {PLACE} in the place of folders that are named after accounts."
            )));
        }
        let defaults = WatchEntry::new(path);
        Ok(WatchEntry {
            account,
            recursive: self.recursive,
            include: match self.include.is_empty() {
                true => defaults.include,
                false => self.include.clone(),
            },
            exclude: self.exclude.clone(),
            settle: self.settle,
            done_dir: self.done_dir.as_ref().map(absolute).transpose()?,
            labels: self.labels.iter().cloned().collect(),
            notify: self.notify.clone(),
            scan: self.scan,
            inotify: !self.no_inotify,
            path: defaults.path,
        })
    }
}

/// The entry as the config file has it.
fn toml(entry: &WatchEntry) -> String {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let list = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    let defaults = WatchEntry::new(PathBuf::new());
    let labels = entry.labels.iter();
    let labels = labels.map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
    let labels: Vec<String> = labels.collect();
    let lines = [
        Some(("path", path(&entry.path))),
        entry.account.as_ref().map(|name| ("account", quoted(name))),
        entry.recursive.then(|| ("recursive", "true".to_owned())),
        (entry.include != defaults.include).then(|| ("include", list(&entry.include))),
        (!entry.exclude.is_empty()).then(|| ("exclude", list(&entry.exclude))),
        entry.settle.map(|settle| ("settle", settle.to_string())),
        entry.done_dir.as_ref().map(|dir| ("done_dir", path(dir))),
        (!labels.is_empty()).then(|| ("labels", format!("{{ {} }}", labels.join(", ")))),
        entry.notify.as_ref().map(|name| ("notify", quoted(name))),
        (entry.scan != SCAN).then(|| ("scan", entry.scan.to_string())),
        (!entry.inotify).then(|| ("inotify", "false".to_owned())),
    ];
    let lines = lines.into_iter().flatten();
    let lines: Vec<String> = lines
        .map(|(key, value)| format!("\n{key} = {value}"))
        .collect();
    format!("[[watch]]{}", lines.concat())
}

/// A text in quotes, as TOML and JSON have it alike: control characters are escaped.
fn quoted(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    // JSON leaves this one as it is, and TOML does not take it.
    quoted.replace('\u{7f}', "\\u007F")
}

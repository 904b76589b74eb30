//! A job as a row keeps it, and back.

use std::sync::Arc;
use std::time::Duration;

use super::dispatch::Dispatch;
use crate::account::Account;
use crate::engine::job::{Job, Ledger, Link, What};
use crate::error::{Error, NotAccepted};
use crate::journal::queue::wish::WishOptions;
use crate::journal::queue::{JobRow, Wish, WishKind};
use crate::source::{ReadMode, beneath};
use crate::upload::Address;

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is kept of a job.
///
/// # Errors
///
/// Usage, if the job cannot be made again from what is kept.
pub(super) fn of(job: &Job, api_base: &str) -> Result<Wish, Error> {
    let what = match &job.what {
        What::File { path } => WishKind::File {
            path: Address::File(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            root: job.root.clone().map(Address::File),
        },
        What::Url {
            url,
            key,
            preflight,
            send_instead,
        } => WishKind::Pull {
            send_instead: *send_instead,
            url: url.clone(),
            key: key.clone(),
            preflight: *preflight,
        },
        What::Remote(remote) if remote.headers.is_empty() && remote.renewal.is_none() => {
            WishKind::Remote {
                url: remote.url.clone(),
                url_source: remote.renewal_name.clone(),
                spool: remote.spool,
            }
        }
        What::Remote(_) => {
            return Err(Error::usage(format!(
                "{} cannot be queued with headers, or with a source of URLs that has no name: they are not kept.",
                job.name()
            )));
        }
        What::Body { name } => WishKind::Body {
            name: name.clone(),
            sha256: String::new(),
            file: String::new(),
        },
        What::Media(_) | What::Recorded { .. } => {
            return Err(Error::usage(format!(
                "{} cannot be queued: only a file or a URL can be opened again by another process.",
                job.name()
            )));
        }
    };
    let caller_id = job.caller_id.clone();
    if job.again && caller_id.is_none() && !job.once {
        return Err(Error::usage(
            "A queued job that sends a video again needs an id of its caller, so that a repeat of the call is no second draft.",
        ));
    }
    let account = job.account_name.clone();
    let account = account.or_else(|| Some(job.account.as_ref()?.name().to_owned()));
    let account = account.ok_or_else(|| Error::usage("A queued job names its account."))?;
    Ok(Wish {
        account,
        api_base: api_base.to_owned(),
        what,
        caller_id,
        labels: job.labels.clone(),
        options: WishOptions {
            chunk_size: job.chunk_size,
            content_type: job.content_type.clone(),
            again: job.again,
            no_ledger: job.ledger == Ledger::Off,
            map: job.read == ReadMode::Map,
            allow_writer: job.finished.always,
            settle_ms: job.finished.settle.map(ms),
            wait_ms: Some(ms(job.processing)),
            patience_ms: Some(ms(job.patience)),
            hand_over: job.hand_over,
            verify: job.verify,
            ignore_forecast: job.ignore_forecast,
            once: job.once,
        },
        give_up_ms: job.give_up.map(ms),
        notify: job.notify.clone(),
        by: job.by.clone(),
    })
}

/// Refuses a job whose file lies outside of the directory that it has to lie in. Whether there is such a file shows when the job
/// runs.
pub(super) async fn check_root(job: &Job) -> Result<(), Error> {
    let (What::File { path }, Some(root)) = (&job.what, job.root.clone()) else {
        return Ok(());
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let of = path.clone();
    let looked = tokio::task::spawn_blocking(move || beneath::look(&root, &of)).await;
    match looked {
        Ok(Ok(None)) => Err(Error::outside(&path).because(NotAccepted::OutsideRoot)),
        _ => Ok(()),
    }
}

/// The job of a row, for this account.
pub(super) fn job(row: &JobRow, account: Account, of: &Dispatch) -> Job {
    let wish = &row.wish;
    let mut job = match &wish.what {
        WishKind::File { path, root } => {
            let job = Job::file(path.as_path());
            match root {
                Some(root) => job.beneath(root.as_path()),
                None => job,
            }
        }
        WishKind::Body { file, .. } => {
            let path = of.spool.path(file);
            let dir = path.parent().unwrap_or(&path).to_owned();
            Job::file(path).beneath(dir)
        }
        WishKind::Remote {
            url,
            url_source,
            spool,
        } => {
            let job = Job::remote(url.expose()).spool(*spool);
            match url_source {
                Some(name) => job.url_source_named(name),
                None => job,
            }
        }
        WishKind::Pull {
            url,
            key,
            preflight,
            send_instead,
        } => {
            let job = Job::url(url.expose())
                .preflight(*preflight)
                .send_instead(*send_instead);
            match key {
                Some(key) => job.key(key),
                None => job,
            }
        }
    };
    let options = &wish.options;
    job.chunk_size = options.chunk_size;
    job.content_type.clone_from(&options.content_type);
    job.again = options.again;
    job.ledger = match options.no_ledger {
        true => Ledger::Off,
        false => Ledger::On,
    };
    job.read = match options.map {
        true => ReadMode::Map,
        false => ReadMode::Read,
    };
    // Nobody writes to a video that was taken in.
    job.finished.always = options.allow_writer || wish.spooled().is_some();
    job.finished.settle = options.settle_ms.map(Duration::from_millis);
    if let Some(wait) = options.wait_ms {
        job.processing = Duration::from_millis(wait);
    }
    if let Some(patience) = options.patience_ms {
        job.patience = Duration::from_millis(patience);
    }
    job.link = Some(Link {
        store: Arc::clone(&of.store),
        job: row.id.clone(),
        upload: row.upload.clone(),
        once: options.once,
    });
    job.hand_over = options.hand_over;
    job.verify = options.verify;
    job.ignore_forecast = options.ignore_forecast;
    job.for_account(account)
}

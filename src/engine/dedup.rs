//! Which upload of the journal a video belongs to: where a second draft of the same bytes is prevented.

use std::collections::BTreeMap;

use futures::TryStreamExt;

use super::job::Job;
use super::open::Given;
use super::record::{ledger, record};
use super::{Held, Shared};
use crate::error::Error;
use crate::journal::{Found, Recall, Trait};
use crate::source::{OpenVideo, prove};
use crate::upload::event::Event;
use crate::upload::ledger::{Entry, Running};
use crate::upload::{Identity, Key, Origin, Reply, State, Upload, Video};

/// What the journal knows of a file.
#[derive(Debug)]
pub(super) enum Placed {
    /// An unfinished upload of these bytes; `compared` if everything confirmed was just found equal.
    Unfinished {
        row: Box<Upload>,
        compared: bool,
    },
    /// An upload of these bytes that has ended.
    Ended(Box<Upload>),
    Nothing,
}

/// Finds what the journal knows of what a job has given, under any of its keys: one for each name of its creator.
pub(super) async fn place(
    shared: &Shared,
    given: &Given,
    keys: &[Key],
    job: &Job,
    tell: impl Fn(Event),
) -> Result<Placed, Error> {
    match given {
        Given::Media(sending) => place_media(shared, &*sending.media, keys, job, tell).await,
        Given::Url(remote) => place_url(shared, &remote.shown(), keys, job).await,
        Given::Recorded(row) => place_recorded(shared, row).await,
    }
}

/// Looks a file up by what the file system says of it, and where only its size is that of a known upload, by its bytes.
///
/// An unfinished upload of the same path whose sent bytes are not this file's any more is set aside: nothing of it can
/// have been posted.
async fn place_media(
    shared: &Shared,
    media: &dyn OpenVideo,
    keys: &[Key],
    job: &Job,
    tell: impl Fn(Event),
) -> Result<Placed, Error> {
    for key in keys {
        supersede(shared, media, key).await?;
    }
    let now = media.identity();
    let traits = vec![
        Trait::of_file(&now),
        Trait::Path(media.address().as_path().to_owned()),
        Trait::Fingerprint(Some(media.fingerprint().to_owned())),
        Trait::Fingerprint(None),
    ];
    let found = with_traits(shared, keys, &traits).await?;
    let (mut rows, lost) = (found.rows, found.lost);
    choose(&mut rows, job);
    // Another job may be sending such a file now; nobody else carries an upload of this path. What may be complete is
    // compared to its last byte, so that a fingerprint from before an edit does no harm.
    let foreign = |row: &Upload| {
        let other = row
            .fingerprint()
            .is_some_and(|row| row != media.fingerprint());
        other && row.address() != Some(media.address()) && !row.has_ended() && !row.may_be_posted()
    };
    let alike: Vec<Upload> = rows.iter().filter(|row| !foreign(row)).cloned().collect();
    let proven = |row: &&Upload| row.identity().is_some_and(|then| then.proves_same(&now));
    if let Some(row) = alike.iter().find(proven) {
        return Ok(placed(row.clone(), media, false));
    }
    let known = match job.again {
        true => found.has_sha256.under_way,
        false => found.has_sha256.under_way || found.has_sha256.ended,
    };
    let same = same_bytes(shared, media, &alike, known, tell).await?;
    if let Some(Same { begun, whole }) = same {
        let mut rows = begun;
        if let Some(sha256) = whole {
            let traits = vec![Trait::Sha256(sha256)];
            let whole = with_traits(shared, keys, &traits).await?.rows;
            rows.extend(whole.into_iter().filter(|row| !foreign(row)));
        }
        choose(&mut rows, job);
        if let Some(row) = rows.into_iter().next() {
            return Ok(placed(row, media, true));
        }
    }
    if let Some(row) = without_digests(alike, &now)? {
        return Ok(placed(row, media, false));
    }
    decide(&media.name(), &lost, job.again)?;
    for row in rows {
        if row.address() == Some(media.address()) && !row.state.is_final() {
            set_aside(shared, media, row).await?;
        }
    }
    Ok(Placed::Nothing)
}

/// The uploads with any of these traits, under any of these keys.
async fn with_traits(shared: &Shared, keys: &[Key], traits: &[Trait]) -> Result<Found, Error> {
    let mut found = Found::default();
    for key in keys {
        found.extend(shared.journal.alike(key.clone(), traits.to_vec()).await?);
    }
    Ok(found)
}

/// The first of `rows` of which no byte was hashed and whose size and time of modification are the file's. Where the change
/// time differs, an unfinished upload is carried on, and for an ended one a person must decide.
fn without_digests(rows: Vec<Upload>, now: &Identity) -> Result<Option<Upload>, Error> {
    let alike = |then: Identity| then.but_for_ctime(now);
    let mut rows = rows.into_iter();
    let Some(row) = rows.find(|row| row.has_no_digest() && row.identity().is_some_and(alike))
    else {
        return Ok(None);
    };
    let still = row.identity().is_some_and(|then| then.is_still(now));
    if row.has_ended() && !still {
        let why = "no byte of it was hashed, and the file was touched since";
        return Err(Error::unknown(&row.name(), row.state.publish_id(), why));
    }
    Ok(Some(row))
}

/// Looks a URL up by its key. What lay under it when it was pulled is not known here.
async fn place_url(shared: &Shared, name: &str, keys: &[Key], job: &Job) -> Result<Placed, Error> {
    let mut found = Found::default();
    for key in keys {
        found.extend(shared.journal.find(key.clone()).await?);
    }
    let Found { mut rows, lost, .. } = found;
    choose(&mut rows, job);
    let first = rows.into_iter().next();
    let is_under_way = first
        .as_ref()
        .is_some_and(|row| row.state.publish_id().is_some());
    if !is_under_way && let Some(sent) = sent_from(shared, name, keys, job).await? {
        return Ok(Placed::Ended(Box::new(sent)));
    }
    Ok(match first {
        None => {
            decide(name, &lost, job.again)?;
            Placed::Nothing
        }
        Some(row) if row.has_ended() => Placed::Ended(Box::new(row)),
        Some(row) => Placed::Unfinished {
            row: Box::new(row),
            compared: false,
        },
    })
}

/// The draft of the video under a URL that was read by ranges and sent from here.
async fn sent_from(
    shared: &Shared,
    url: &str,
    keys: &[Key],
    job: &Job,
) -> Result<Option<Upload>, Error> {
    if job.again
        || keys
            .iter()
            .any(|key| key.video != Video::Key(url.to_owned()))
    {
        return Ok(None);
    }
    for key in keys {
        let recall = Recall::Path(key.clone(), url.into());
        let row = shared.journal.recall(recall).await?;
        let is_draft =
            |row: &Upload| matches!(row.state, State::Delivered { .. } | State::Published { .. });
        if let Some(row) = row.filter(is_draft) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Reads the row of an upload again: the row may have changed while this job waited for its turn.
async fn place_recorded(shared: &Shared, known: &Upload) -> Result<Placed, Error> {
    let recall = Recall::Id(known.id.clone());
    match shared.journal.recall(recall).await? {
        None => Err(Error::no_longer_told(
            &known.name(),
            std::slice::from_ref(&known.id),
        )),
        Some(row) if row.has_ended() => Ok(Placed::Ended(Box::new(row))),
        Some(row) => Ok(Placed::Unfinished {
            row: Box::new(row),
            compared: false,
        }),
    }
}

/// One of these may have been of the same bytes, so only a person can say that they are to be sent.
fn decide(name: &str, lost: &[String], again: bool) -> Result<(), Error> {
    if again || lost.is_empty() {
        Ok(())
    } else {
        Err(Error::no_longer_told(name, lost))
    }
}

/// Keeps the rows that forbid a new upload: the queued job's own upload first, then unfinished rows, then the newest.
fn choose(rows: &mut Vec<Upload>, job: &Job) {
    let link = job.link.as_ref();
    let is_own = |row: &Upload| link.is_some_and(|link| link.upload.as_ref() == Some(&row.id));
    // A queued job that sends a video again has an upload of its own, ended or not.
    let may_carry_on = link.is_none_or(|link| link.once);
    let own = |row: &Upload| is_own(row) || may_carry_on && !row.has_ended();
    rows.retain(|row| match row.state {
        State::GivenUp { .. } => false,
        _ => !job.again || own(row),
    });
    // A queued job ends as its own upload did, whatever other uploads of these bytes there are.
    rows.sort_by_key(|row| {
        let newest = std::cmp::Reverse(row.created);
        (!is_own(row), row.has_ended(), newest)
    });
}

fn placed(mut row: Upload, media: &dyn OpenVideo, compared: bool) -> Placed {
    if row.has_ended() {
        return Placed::Ended(Box::new(row));
    }
    if let Origin::Media {
        address,
        fingerprint,
        ..
    } = &mut row.origin
    {
        media.address().clone_into(address);
        *fingerprint = Some(media.fingerprint().to_owned());
    }
    Placed::Unfinished {
        row: Box::new(row),
        compared,
    }
}

/// Sets aside unfinished uploads of this address whose video had another size.
async fn supersede(shared: &Shared, media: &dyn OpenVideo, key: &Key) -> Result<(), Error> {
    let path = media.address().as_path().to_owned();
    let rows = shared.journal.at_path(key.clone(), path);
    for row in rows.await? {
        if row.key.video != key.video {
            set_aside(shared, media, row).await?;
        }
    }
    Ok(())
}

/// The file at this path is no longer what this upload had begun to send.
async fn set_aside(shared: &Shared, media: &dyn OpenVideo, row: Upload) -> Result<(), Error> {
    // An upload whose bytes are all at the service goes on by itself, and these bytes are another video.
    if matches!(row.state, State::Processing { .. }) {
        return Ok(());
    }
    let what = if row.state.may_be_complete() {
        "its bytes".into()
    } else if row.size() == Some(media.identity().size) {
        difference(shared, media, &row).await?
    } else {
        "its size".into()
    };
    let (mut row, lease) = shared.journal.claim(row.key, row.id).await?;
    let _held = Held::new(shared, &row.id, lease);
    let (sent, posted) = (row.confirmed(), row.state.may_be_complete());
    let changed = Reply::Changed(what.clone());
    record(shared, lease, &mut row, changed).await?;
    if sent > 0 && !posted {
        Err(Error::changed(&media.name(), what))
    } else {
        Ok(())
    }
}

async fn difference(shared: &Shared, media: &dyn OpenVideo, row: &Upload) -> Result<String, Error> {
    let Some(plan) = row.plan().copied() else {
        return Ok("its time of change".into());
    };
    let entries = ledger(&*shared.journal, row).await?;
    let proof = prove(media, media.identity(), &plan, entries).await?;
    Ok(proof
        .same()
        .map_or_else(|what| what, |_| "its time of change".into()))
}

/// What the bytes of a file are the same as.
struct Same {
    /// Uploads that have begun to send it.
    begun: Vec<Upload>,
    /// Its SHA-256, where uploads with such a digest are known.
    whole: Option<String>,
}

/// Hashes the file up to each border at which a digest is known: of what these uploads have sent so far, and, `whole`, of all
/// bytes of others. An upload without digests matches nothing.
async fn same_bytes(
    shared: &Shared,
    media: &dyn OpenVideo,
    rows: &[Upload],
    whole: bool,
    tell: impl Fn(Event),
) -> Result<Option<Same>, Error> {
    let mut wanted: BTreeMap<u64, Vec<(usize, Entry)>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        if let Some((border, entry)) = last_digest(shared, row).await? {
            wanted.entry(border).or_default().push((at, entry));
        }
    }
    let size = media.identity().size;
    if whole {
        wanted.entry(size).or_default();
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    tell(Event::Comparing);
    let (mut begun, mut sha256) = (Vec::new(), None);
    let borders = wanted.keys().copied().collect();
    let mut digests = media.digests(Running::default(), 0, borders);
    while let Some((border, running)) = digests
        .try_next()
        .await
        .map_err(|error| media.unreadable(error))?
    {
        let entry = running.entry();
        let known = wanted.get(&border).into_iter().flatten();
        let same = known.filter(|(_, known)| *known == entry);
        begun.extend(same.map(|(at, _)| rows[*at].clone()));
        if border == size {
            sha256 = Some(hex::encode(entry));
        }
    }
    Ok(Some(Same {
        begun,
        whole: sha256.filter(|_| whole),
    }))
}

/// The longest digest that the journal holds of an upload whose whole SHA-256 is not known, and how many bytes it covers.
async fn last_digest(shared: &Shared, row: &Upload) -> Result<Option<(u64, Entry)>, Error> {
    let (Some(plan), None) = (row.plan(), &row.sha256) else {
        return Ok(None);
    };
    let confirmed = row.confirmed();
    let entries = ledger(&*shared.journal, row).await?;
    Ok(match entries.last() {
        Some(entry) if entries.len() == confirmed as usize => {
            Some((plan.border(confirmed), *entry))
        }
        _ => None,
    })
}

//! The keys. One keyspace, so that one batch is one atomic step.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::Sha256;

use crate::clock::Timestamp;
use crate::journal::store::ApiAccount;
use crate::upload::{Destination, Key, Video};

/// Digits of an upload's id.
const ID: usize = 16;

/// Whether this can be the id of an upload.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Prefix of the rows.
pub(super) const ROWS: &[u8] = b"u";

/// Prefixes of the marks of the uploads of one key: of files, and of URLs.
pub(super) const MARKS: [&[u8]; 2] = [b"k", b"p"];

/// Prefixes of all that is kept under a scope: marks, inits, and rows by their paths.
pub(super) const SCOPED: [&[u8]; 4] = [b"k", b"p", b"i", b"f"];

/// Prefix of the creators of accounts.
pub(super) const CREATORS: &[u8] = b"o";

/// The history as it was when its lines became known here; no such key in a database that is new or was lost.
pub(super) const CAUGHT_UP: &[u8] = b"c";

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    // One that is put together further gets an id.
    let mut key = Vec::with_capacity(1 + length + ID);
    key.push(kind);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// Account, API base and destination, so that no two scopes share a prefix.
fn scope(of: &Key) -> Vec<u8> {
    let parts = [
        of.account.as_str(),
        of.api_base.as_str(),
        of.destination.as_str(),
    ];
    let length = parts.iter().map(|part| 4 + part.len()).sum();
    let mut scope = Vec::with_capacity(length);
    for part in parts {
        scope.extend_from_slice(&(part.len() as u32).to_be_bytes());
        scope.extend_from_slice(part.as_bytes());
    }
    scope
}

fn key_with(mut prefix: Vec<u8>, id: &str) -> Vec<u8> {
    prefix.extend_from_slice(id.as_bytes());
    prefix
}

/// A row.
pub(super) fn row(id: &str) -> Vec<u8> {
    key(b'u', &[id.as_bytes()])
}

/// The secret of a row.
pub(super) fn secret(id: &str) -> Vec<u8> {
    key(b's', &[id.as_bytes()])
}

/// The id that ends the key of a row or a mark.
pub(super) fn id_of(key: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&key[key.len().saturating_sub(ID)..])
}

/// All ledger entries of an upload.
pub(super) fn ledger(id: &str) -> Vec<u8> {
    key(b'd', &[id.as_bytes()])
}

/// The ledger entry of one chunk.
pub(super) fn entry(id: &str, chunk: u32) -> Vec<u8> {
    key(b'd', &[id.as_bytes(), &chunk.to_be_bytes()])
}

/// The marks of the uploads of one key.
pub(super) fn same(of: &Key) -> Vec<u8> {
    match &of.video {
        Video::Size(size) => key(b'k', &[&scope(of), &size.to_be_bytes()]),
        Video::Key(text) => {
            let length = (text.len() as u32).to_be_bytes();
            key(b'p', &[&scope(of), &length, text.as_bytes()])
        }
    }
}

/// One of them.
pub(super) fn one_of_same(of: &Key, id: &str) -> Vec<u8> {
    key_with(same(of), id)
}

/// What the marks of the same key have in common with this one.
pub(super) fn prefix_of(mark: &[u8]) -> &[u8] {
    &mark[..mark.len().saturating_sub(ID)]
}

/// The key of which this is a mark.
pub(super) fn key_of(mark: &[u8]) -> Option<Key> {
    let (kind, mut rest) = mark.split_first()?;
    let account = text(&mut rest)?;
    let api_base = text(&mut rest)?;
    let destination = Destination::named(&text(&mut rest)?)?;
    let video = match kind {
        b'k' => Video::Size(u64::from_be_bytes(*rest.first_chunk()?)),
        _ => Video::Key(text(&mut rest)?),
    };
    Some(Key {
        account,
        api_base,
        destination,
        video,
    })
}

/// Takes off a text that is led by its length.
fn text(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

/// The rows of files at one path, by a digest of the path: a key is short, and a path may be long.
pub(super) fn at_path(of: &Key, path: &Path) -> Vec<u8> {
    let digest = <Sha256 as sha2::Digest>::digest(path.as_os_str().as_bytes());
    key(b'f', &[&scope(of), &digest[..16]])
}

/// One of them.
pub(super) fn one_at_path(of: &Key, path: &Path, id: &str) -> Vec<u8> {
    key_with(at_path(of, path), id)
}

/// The prefix of the keys that are kept under the same account and API base as this one, and that base.
pub(super) fn account_and_base(key: &[u8]) -> Option<(&[u8], String)> {
    let mut rest = key.get(1..)?;
    text(&mut rest)?;
    let api_base = text(&mut rest)?;
    Some((&key[..key.len() - rest.len()], api_base))
}

/// The inits of a scope within the last minute, in the order of their times.
pub(super) fn inits(of: &Key) -> Vec<u8> {
    key(b'i', &[&scope(of)])
}

/// One of them.
pub(super) fn init(of: &Key, at: Timestamp, id: &str) -> Vec<u8> {
    key(b'i', &[&scope(of), &at.0.to_be_bytes(), id.as_bytes()])
}

/// The creator of an account's name, for each API base.
pub(super) fn creators(account: &str) -> Vec<u8> {
    key(
        b'o',
        &[&(account.len() as u32).to_be_bytes(), account.as_bytes()],
    )
}

/// The creator of this name at one API base.
pub(super) fn creator(of: &ApiAccount) -> Vec<u8> {
    let mut key = creators(&of.account);
    key.extend_from_slice(of.api_base.as_bytes());
    key
}

/// The account and the API base in the key of a creator.
pub(super) fn account_of(key: &[u8]) -> Option<(String, String)> {
    let mut rest = key.get(1..)?;
    let account = text(&mut rest)?;
    Some((account, String::from_utf8(rest.to_vec()).ok()?))
}

/// The names that creators are kept under at one API base; an open_id follows.
pub(super) fn kept_names(api_base: &str) -> Vec<u8> {
    let length = (api_base.len() as u32).to_be_bytes();
    key(b'n', &[&length, api_base.as_bytes()])
}

/// The last known rate to an API base.
pub(super) fn rate(api_base: &str) -> Vec<u8> {
    key(b'r', &[api_base.as_bytes()])
}

/// The time in the key of an init.
pub(super) fn time_of(key: &[u8]) -> Option<Timestamp> {
    let end = key.len().checked_sub(ID)?;
    let bytes = key.get(end.checked_sub(8)?..end)?;
    Some(Timestamp(u64::from_be_bytes(bytes.try_into().ok()?)))
}

/// Prefixes of jobs, and of those that have not ended.
pub(super) const JOBS: &[u8] = b"j";
pub(super) const OPEN_JOBS: &[u8] = b"q";

/// Prefix of the outbox.
pub(super) const NEWS: &[u8] = b"e";

/// The number of the last job, and of the last entry of the outbox that was dropped.
pub(super) const LAST_JOB: &[u8] = b"lj";
pub(super) const LAST_NEWS: &[u8] = b"le";

/// Prefix of the marks of accounts for whose token a person is needed.
pub(super) const TOKENLESS: &[u8] = b"t";

pub(super) fn tokenless(account: &str) -> Vec<u8> {
    key(b't', &[account.as_bytes()])
}

/// The pause of the whole queue.
pub(super) const HALT: &[u8] = b"lh";

pub(super) fn job(id: &str) -> Vec<u8> {
    key(b'j', &[id.as_bytes()])
}

/// The mark of a job that has not ended.
pub(super) fn open_job(id: &str) -> Vec<u8> {
    key(b'q', &[id.as_bytes()])
}

/// The first job of an upload.
pub(super) fn job_of(upload: &str) -> Vec<u8> {
    key(b'w', &[upload.as_bytes()])
}

/// What is kept of a caller's id, by its digest.
pub(super) fn caller_id(account: &str, digest: &[u8]) -> Vec<u8> {
    let length = (account.len() as u32).to_be_bytes();
    key(b'x', &[&length, account.as_bytes(), digest])
}

/// An entry of the outbox.
pub(super) fn news(number: u64) -> Vec<u8> {
    key(b'e', &[&number.to_be_bytes()])
}

/// The number of an entry of the outbox.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(1..)?.first_chunk()?))
}

//! The keys. One keyspace, so that one batch is one atomic step.

use crate::clock::Timestamp;
use crate::upload::{Key, Video};

/// Digits of an upload's id.
const ID: usize = 16;

/// Prefix of the ids of uploads that have not ended.
pub(super) const UNFINISHED: &[u8] = b"o";

/// The length of the history up to which its lines are known here; no such key in a database that is new or was lost.
pub(super) const CAUGHT_UP: &[u8] = b"h";

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// Account, API base and destination, so that no two scopes share a prefix.
fn scope(of: &Key) -> Vec<u8> {
    let mut scope = Vec::new();
    for part in [
        of.account.as_str(),
        of.api_base.as_str(),
        of.destination.as_str(),
    ] {
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

/// The id in the key of a row.
pub(super) fn id_of_row(key: &[u8]) -> Option<&str> {
    str::from_utf8(key.strip_prefix(b"u")?).ok()
}

/// The mark of an upload that has not ended.
pub(super) fn unfinished(id: &str) -> Vec<u8> {
    key(UNFINISHED[0], &[id.as_bytes()])
}

/// All ledger entries of an upload.
pub(super) fn ledger(id: &str) -> Vec<u8> {
    key(b'd', &[id.as_bytes()])
}

/// The ledger entry of one chunk.
pub(super) fn entry(id: &str, chunk: u32) -> Vec<u8> {
    key(b'd', &[id.as_bytes(), &chunk.to_be_bytes()])
}

/// The uploads of one key.
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

/// The inits of a scope within the last minute, in the order of their times.
pub(super) fn inits(of: &Key) -> Vec<u8> {
    key(b'i', &[&scope(of)])
}

/// One of them.
pub(super) fn init(of: &Key, at: Timestamp, id: &str) -> Vec<u8> {
    key(b'i', &[&scope(of), &at.0.to_be_bytes(), id.as_bytes()])
}

/// The deliveries of a scope, in the order of their times.
pub(super) fn deliveries(of: &Key) -> Vec<u8> {
    key(b'f', &[&scope(of)])
}

/// One of them.
pub(super) fn delivery(of: &Key, at: Timestamp, id: &str) -> Vec<u8> {
    key(b'f', &[&scope(of), &at.0.to_be_bytes(), id.as_bytes()])
}

/// The last known rate to an API base.
pub(super) fn rate(api_base: &str) -> Vec<u8> {
    key(b'r', &[api_base.as_bytes()])
}

/// The time in the key of an init or a delivery.
pub(super) fn time_of(key: &[u8]) -> Option<Timestamp> {
    let end = key.len().checked_sub(ID)?;
    let bytes = key.get(end.checked_sub(8)?..end)?;
    Some(Timestamp(u64::from_be_bytes(bytes.try_into().ok()?)))
}

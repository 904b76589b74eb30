//! Digests of the bytes sent: one running SHA-256 over the file, noted at each chunk border.
//!
//! One pass over the bytes serves three needs: entry `k` proves the bytes up to the end of chunk `k`, the last entry is
//! the SHA-256 of the file, and a later process continues from the stored state without reading those bytes again.

use sha2::Digest;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

/// SHA-256 of the file from its first byte to a chunk border.
pub(crate) type Entry = [u8; 32];

/// The running hash at an offset.
#[derive(Clone, Default)]
pub(crate) struct Running(sha2::Sha256);

impl Running {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of the bytes so far; hashing can continue.
    pub(crate) fn entry(&self) -> Entry {
        self.0.clone().finalize().into()
    }

    /// The state as text for the journal.
    pub(crate) fn store(&self) -> String {
        hex::encode(self.0.serialize())
    }

    /// The state from the journal; `None` if it is damaged.
    pub(crate) fn load(text: &str) -> Option<Self> {
        let bytes = hex::decode(text).ok()?;
        let state = SerializedState::<sha2::Sha256>::try_from(bytes.as_slice()).ok()?;
        sha2::Sha256::deserialize(&state).ok().map(Self)
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_carried_on_by_another_process_is_the_hash_of_the_whole() {
        let bytes: Vec<u8> = (0..100_003_u32).map(|i| (i * 31 % 251) as u8).collect();
        for cut in [0, 1, 63, 64, 65, 50_001, bytes.len()] {
            let mut first = Running::default();
            first.update(&bytes[..cut]);
            let mut second = Running::load(&first.store()).expect("a stored state");
            second.update(&bytes[cut..]);
            assert_eq!(
                second.entry(),
                <Entry>::from(sha2::Sha256::digest(&bytes)),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_damaged_state_is_not_believed() {
        let stored = Running::default().store();
        assert!(Running::load(&stored[2..]).is_none());
        assert!(Running::load(&stored.replace('0', "x")).is_none());
        assert!(Running::load("").is_none());
    }
}

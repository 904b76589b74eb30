//! Sealed files of accounts: AES-256-GCM by keys of the caller. A sealed file is JSON that names the key and the account; all
//! else of the account is in the sealed text.

use std::fmt;
use std::io;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hex::FromHex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The version of sealed files, so that a chunkferry that knows no seal refuses them as newer.
pub(super) const SEALED_VERSION: u32 = 2;

/// The keys that seal the files of [`Accounts`](crate::Accounts): the first one seals, and each of them opens. Cheap to clone;
/// `Debug` shows the IDs of the keys. See [`Options::seal_keys`](crate::Options::seal_keys).
#[derive(Clone)]
pub struct SealKeys(Arc<[Key]>);

struct Key {
    id: String,
    key: LessSafeKey,
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealKeys").field(&self.ids()).finish()
    }
}

impl SealKeys {
    /// Reads keys of 32 random bytes: one on each line, as 64 hexadecimal digits. Empty lines are skipped. To replace a key, put
    /// the new one before it until [`Accounts::renew_all`](crate::Accounts::renew_all) has sealed every account with the new one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) without a key, or for a line that is none. The error repeats no line.
    pub fn from_lines(text: &str) -> Result<Self, Error> {
        let lines = text.lines().map(str::trim).zip(1..);
        let lines = lines.filter(|(line, _)| !line.is_empty());
        let keys = lines.map(|(line, number)| Key::new(line).ok_or_else(|| Error::no_key(number)));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>()?;
        match keys.is_empty() {
            true => Err(Error::no_key(1)),
            false => Ok(Self(keys.into())),
        }
    }

    /// The ID of each key: the first 16 hexadecimal digits of its SHA-256. Sealed files name their key by it.
    pub fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|key| &*key.id).collect()
    }

    /// A file of this account that holds `text` sealed by the first key.
    pub(super) fn seal(&self, name: &str, kind: &str, mut text: Vec<u8>) -> io::Result<Vec<u8>> {
        let key = &self.0[0];
        let nonce: [u8; NONCE_LEN] = super::login::random_bytes()?;
        let of = Aad::from(bound_to(name, kind));
        key.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), of, &mut text)
            .map_err(|_| io::Error::other("the file cannot be sealed"))?;
        Ok(serde_json::to_vec(&File {
            version: SEALED_VERSION,
            name,
            sealed: Sealed {
                key: key.id.clone(),
                nonce: hex::encode(nonce),
                text: STANDARD.encode(text),
            },
        })?)
    }
}

/// What the sealed text of this account's file of this kind was.
pub(super) fn open(
    keys: Option<&SealKeys>,
    name: &str,
    kind: &str,
    sealed: serde_json::Value,
) -> Result<Vec<u8>, Error> {
    let opened = |sealed: &Sealed, key: &Key| {
        let nonce = <[u8; NONCE_LEN]>::from_hex(&sealed.nonce).ok()?;
        let mut text = STANDARD.decode(&sealed.text).ok()?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let of = Aad::from(bound_to(name, kind));
        let length = key.key.open_in_place(nonce, of, &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    };
    let sealed = serde_json::from_value::<Sealed>(sealed).map_err(|_| Error::bad_seal(name))?;
    let keys = keys.ok_or_else(|| Error::sealed(name, &sealed.key, &[]))?;
    let key = keys.0.iter().find(|key| key.id == sealed.key);
    let key = key.ok_or_else(|| Error::sealed(name, &sealed.key, &keys.ids()))?;
    opened(&sealed, key).ok_or_else(|| Error::bad_seal(name))
}

/// What a seal is bound to, so that no file can be used as another account's or as one of another kind.
fn bound_to(name: &str, kind: &str) -> String {
    format!("chunkferry account {SEALED_VERSION}\n{kind}\n{name}")
}

impl Key {
    fn new(line: &str) -> Option<Self> {
        let bytes = <[u8; 32]>::from_hex(line).ok()?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
        Some(Self {
            id: hex::encode(&Sha256::digest(bytes)[..8]),
            key: LessSafeKey::new(key),
        })
    }
}

#[derive(Serialize)]
struct File<'a> {
    version: u32,
    name: &'a str,
    sealed: Sealed,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    /// The ID of the key.
    key: String,
    nonce: String,
    /// With the tag at its end.
    text: String,
}

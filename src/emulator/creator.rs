//! The creator of a token, and the token's rate windows.

use std::collections::VecDeque;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

use super::bounded::{LastKeys, MOST_KEYS};
use super::clock::Moment;
use super::endpoint::Endpoint;

/// The token in `Authorization: Bearer …`, unless it is missing or empty.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The creator of a token: NAME of `act.NAME.anything`; any other token is its own creator.
pub(crate) fn creator_of(token: &str) -> &str {
    let mut parts = token.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("act"), Some(name), Some(_)) if !name.is_empty() => name,
        _ => token,
    }
}

/// The creator's name in logs and pages: never the token itself.
pub(crate) fn public_name(creator: &str, token: &str) -> String {
    match creator == token {
        true => format!("token-{:08x}", short_hash(token)),
        false => creator.to_owned(),
    }
}

/// The creator's id for apps: stable, and different from the name.
pub(crate) fn open_id(creator: &str) -> String {
    let digest = hex::encode(Sha256::digest(creator));
    format!("-000{}", &digest[..32])
}

/// FNV-1a: short, stable names, only for readability.
pub(crate) fn short_hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

const WINDOW: Duration = Duration::from_secs(60);

/// One-minute sliding windows, one for each token and endpoint (D RL).
#[derive(Debug)]
pub(crate) struct Windows {
    calls: LastKeys<(String, Endpoint), VecDeque<Moment>>,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            calls: LastKeys::new(MOST_KEYS),
        }
    }
}

impl Windows {
    /// Takes a place in the window; without a free one, returns the wait for it. A refused call takes no place.
    pub(crate) fn enter(
        &mut self,
        token: &str,
        endpoint: Endpoint,
        most: u64,
        now: Moment,
    ) -> Result<(), Duration> {
        let key = (token.to_owned(), endpoint);
        let mut calls = self.calls.remove(&key).unwrap_or_default();
        while calls.front().is_some_and(|call| now.since(*call) >= WINDOW) {
            calls.pop_front();
        }
        let entered = match calls.len() as u64 >= most {
            true => {
                let oldest = calls.front().copied().unwrap_or(now);
                Err(WINDOW.saturating_sub(now.since(oldest)))
            }
            false => {
                calls.push_back(now);
                Ok(())
            }
        };
        self.calls.insert(key, calls);
        entered
    }

    pub(crate) fn forget(&mut self, token: Option<&str>) {
        self.calls
            .retain(|(known, _)| token.is_some_and(|token| token != known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_token_stays_with_its_creator() {
        assert_eq!(creator_of("act.lena.1"), "lena");
        assert_eq!(creator_of("act.lena.2.3"), "lena");
        assert_eq!(creator_of("act.lena"), "act.lena");
        assert_eq!(creator_of("act..x"), "act..x");
        assert_eq!(creator_of("anything"), "anything");
    }

    #[test]
    fn the_window_slides_instead_of_starting_over() {
        let mut windows = Windows::default();
        let at = |seconds| Moment(Duration::from_secs(seconds));
        let mut enter = |seconds| windows.enter("t", Endpoint::InboxInit, 2, at(seconds));
        assert_eq!(enter(0), Ok(()));
        assert_eq!(enter(59), Ok(()));
        assert_eq!(enter(59), Err(Duration::from_secs(1)));
        assert_eq!(enter(60), Ok(()));
        assert_eq!(enter(61), Err(Duration::from_secs(58)));
    }
}

//! Signatures by [Standard Webhooks](https://www.standardwebhooks.com), so that a receiver knows who has called.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What each secret begins with.
const PREFIX: &str = "whsec_";

/// A secret, to sign with. Debug shows nothing of it.
pub(super) struct SigningKey(Box<hmac::Key>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// The key of a secret: `whsec_` and 24 to 64 bytes in base64. `None` for any other text.
    pub(super) fn of(secret: &str) -> Option<Self> {
        let bytes = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        let fits = (24..=64).contains(&bytes.len());
        fits.then(|| Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }

    /// The value of `webhook-signature`; `timestamp` is in seconds since 1970.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_has_its_published_signature() {
        // Source: the tests of the libraries of Standard Webhooks.
        let key = SigningKey::of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        assert_eq!(
            key.sign(id, 1_614_265_330, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(format!("{key:?}"), "SigningKey");
    }

    #[test]
    fn what_is_too_short_too_long_or_in_no_base64_is_no_secret() {
        let of =
            |bytes: usize| SigningKey::of(&format!("whsec_{}", STANDARD.encode(vec![7; bytes])));
        assert_eq!(
            [23, 24, 64, 65].map(|bytes| of(bytes).is_some()),
            [false, true, true, false]
        );
        for text in ["", "whsec_", "whsec_%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(SigningKey::of(text).is_none(), "{text}");
        }
    }
}

//! Removes secrets from a server's answers, which may repeat a request's secrets raw or encoded.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Secret;

/// The text in place of a secret.
const MARK: &str = "REDACTED";

/// Most secrets that are remembered: those of the last calls.
const REMEMBERED: usize = 1024;

/// Parts shorter than this are not hidden: they reveal nothing, and other text would become unreadable. A whole query is
/// always hidden.
const SHORTEST: usize = 6;

/// A part of a URL with this many characters counts as a credential.
const CREDENTIAL: usize = 16;

/// Most layers of encoding that are decoded, such as a percent-encoded URL in a JSON text in a JSON text.
const LAYERS: usize = 4;

/// The secrets that one client's calls have carried.
#[derive(Default)]
pub(crate) struct Redactor(Mutex<VecDeque<Known>>);

struct Known {
    secret: Secret,
    /// The parts to hide, decoded and in lower case.
    parts: Vec<Part>,
}

struct Part {
    text: Vec<u8>,
    /// Whether this part is a credential by itself, and not a number or word that may occur in other texts.
    is_credential: bool,
}

impl Redactor {
    /// Hides an access token.
    pub(crate) fn learn_token(&self, token: &Secret) {
        self.learn(token, |text| vec![text.to_owned()]);
    }

    /// Hides an upload URL: the whole, its path and query, and each longer part of these.
    pub(crate) fn learn_url(&self, url: &Secret) {
        self.learn(url, |text| {
            let mut parts = query_parts(text);
            let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            let segments = path.split('?').next().unwrap_or_default().split('/');
            parts.extend(
                segments
                    .filter(|part| part.len() >= CREDENTIAL)
                    .map(str::to_owned),
            );
            if path.contains('?') {
                parts.push(path.to_owned());
            }
            parts.extend([rest.to_owned(), text.to_owned()]);
            parts
        });
    }

    /// Hides the query of a URL that the service is to fetch. The part before the query is no secret.
    pub(crate) fn learn_query(&self, url: &Secret) {
        self.learn(url, query_parts);
    }

    fn learn(&self, secret: &Secret, parts: impl FnOnce(&str) -> Vec<String>) {
        let mut known = self.known();
        let place = known.iter().position(|known| known.secret == *secret);
        if let Some(again) = place.and_then(|place| known.remove(place)) {
            known.push_back(again);
            return;
        }
        let parts = parts(secret.expose()).into_iter();
        let parts = parts.filter(|part| part.len() >= SHORTEST || part.starts_with('?'));
        let parts = parts.map(Part::of).collect();
        let secret = secret.clone();
        known.push_back(Known { secret, parts });
        if known.len() > REMEMBERED {
            known.pop_front();
        }
    }

    /// `text` without secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        let decoded = decode(text);
        let mut hidden: Vec<Range<usize>> = Vec::new();
        for part in self.known().iter().flat_map(|known| &known.parts) {
            hidden.extend(part.places(&decoded));
        }
        hidden.sort_by_key(|range| (range.start, range.end));
        let (mut redacted, mut at) = (String::new(), 0);
        for Range { start, end } in hidden {
            if start >= at {
                redacted.push_str(&text[at..start]);
                redacted.push_str(MARK);
            }
            at = at.max(end);
        }
        redacted.push_str(&text[at..]);
        redacted
    }

    /// Whether `text` holds a credential: a token, a whole query or a long value. Numbers do not count, as a publish_id
    /// may repeat the upload_id of a URL.
    pub(crate) fn has_credential(&self, text: &str) -> bool {
        let (decoded, known) = (decode(text), self.known());
        let mut parts = known.iter().flat_map(|known| &known.parts);
        parts.any(|part| part.is_credential && part.places(&decoded).next().is_some())
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor(..)")
    }
}

impl Part {
    fn of(text: String) -> Self {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            text: decode(&text).into_iter().map(|byte| byte.value).collect(),
            is_credential: text.len() >= CREDENTIAL && !is_number,
        }
    }

    /// Where this part occurs in a decoded text, as ranges of the text before decoding.
    fn places(&self, decoded: &[Byte]) -> impl Iterator<Item = Range<usize>> {
        let windows = decoded.windows(self.text.len().max(1));
        let equal = windows.filter(|window| {
            let bytes = window.iter().map(|byte| byte.value);
            !self.text.is_empty() && bytes.eq(self.text.iter().copied())
        });
        equal.filter_map(|window| Some(window.first()?.from.start..window.last()?.from.end))
    }
}

/// The query of a URL, and each longer value in it.
fn query_parts(url: &str) -> Vec<String> {
    let Some((_, query)) = url.split_once('?') else {
        return Vec::new();
    };
    let values = query
        .split('&')
        .map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    let mut parts: Vec<String> = values.chain([query]).map(str::to_owned).collect();
    if !query.is_empty() {
        parts.push(format!("?{query}"));
    }
    parts
}

/// A byte of a decoded text, in lower case, and its range in the original text.
#[derive(Clone)]
struct Byte {
    value: u8,
    from: Range<usize>,
}

/// Removes all layers of URL, JSON and HTML encoding from `text`.
fn decode(text: &str) -> Vec<Byte> {
    let mut decoded: Vec<Byte> = Vec::with_capacity(text.len());
    for (start, c) in text.char_indices() {
        let from = start..start + c.len_utf8();
        let bytes = c.encode_utf8(&mut [0; 4]).to_owned();
        decoded.extend(bytes.bytes().map(|value| Byte {
            value,
            from: from.clone(),
        }));
    }
    for _ in 0..LAYERS {
        let before = decoded.len();
        decoded = without_a_layer(&decoded);
        if decoded.len() == before {
            break;
        }
    }
    for byte in &mut decoded {
        byte.value.make_ascii_lowercase();
    }
    decoded
}

fn without_a_layer(text: &[Byte]) -> Vec<Byte> {
    let (mut decoded, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(first) = text.get(at) {
        let next: Vec<u8> = text[at..].iter().take(6).map(|byte| byte.value).collect();
        let (bytes, len) = one(&next);
        let end = text[at + len - 1].from.end;
        let from = first.from.start..end;
        decoded.extend(bytes.into_iter().map(|value| Byte {
            value,
            from: from.clone(),
        }));
        at += len;
    }
    decoded
}

/// Decodes the first character of `text`, which is not empty: its bytes, and the bytes of `text` that it took.
fn one(text: &[u8]) -> (Vec<u8>, usize) {
    let number = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    match text {
        [b'%', digits @ ..] if digits.len() >= 2 => match number(&digits[..2]) {
            Some(byte) => (vec![byte as u8], 3),
            None => (vec![b'%'], 1),
        },
        [b'\\', b'u' | b'U', digits @ ..] if digits.len() >= 4 => {
            match number(&digits[..4]).and_then(char::from_u32) {
                Some(c) => (c.to_string().into_bytes(), 6),
                None => (vec![b'\\'], 1),
            }
        }
        [b'\\', escaped @ (b'/' | b'"' | b'\\'), ..] => (vec![*escaped], 2),
        [b'&', b'a', b'm', b'p', b';', ..] => (vec![b'&'], 5),
        _ => (text[..1].to_vec(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let redactor = Redactor::default();
        redactor.learn_token(&Secret::new("act.lena.sEcReT/+0123=="));
        redactor.learn_url(&Secret::new(
            "https://open-upload.tiktokapis.com/video/?upload_id=7301234567890123456&upload_token=Xza%2B123abc",
        ));
        redactor.learn_query(&Secret::new("https://media.example/a.mp4?sig=s3cret&k=1"));
        redactor
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_encoded() {
        for text in [
            "act.lena.sEcReT/+0123==",
            "ACT.LENA.SECRET/+0123==",
            "act%2Elena%2EsEcReT%2F%2B0123%3D%3D",
            "act.lena.sEcReT%252f%252B0123%253d=",
            r"act.lena.sEcReT\/+0123==",
            r"act.lena.sEcReT\\\/\\u002b0123\u003D=",
            "https://open-upload.tiktokapis.com/video/?upload_id=7301234567890123456&upload_token=Xza%2B123abc",
            "open-upload.tiktokapis.com/video/?upload_id=7301234567890123456&amp;upload_token=Xza+123abc",
            "/video/?upload_id=7301234567890123456&upload_token=Xza%2B123abc",
            "upload_id=7301234567890123456&upload_token=Xza%2B123abc",
            "Xza+123abc",
            "7301234567890123456",
            "?sig=s3cret&k=1",
            "sig%3Ds3cret%26k%3D1",
            "s3cret",
        ] {
            let redacted = redactor().redact(&format!("a {text} b"));
            assert_eq!(redacted, "a REDACTED b", "{text}");
        }
        let pulled = redactor().redact("https://media.example/a.mp4?sig=s3cret&k=1 is gone");
        assert_eq!(pulled, "https://media.example/a.mp4REDACTED is gone");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in [
            "",
            "100% of \\ a & b; %zz \\u12 é\u{301} %C3%A9",
            "act.lena.1",
            "rank=1",
        ] {
            assert_eq!(redactor().redact(text), text);
        }
        assert!(!redactor().has_credential("v_inbox_file~v2.7301234567890123456"));
        assert!(redactor().has_credential("v_inbox_file~act.lena.sEcReT/+0123=="));
    }

    #[test]
    fn only_the_last_secrets_are_remembered() {
        let redactor = Redactor::default();
        for number in 0..3000 {
            redactor.learn_token(&Secret::new("token.in.use"));
            redactor.learn_token(&Secret::new(&format!("token.{number}")));
        }
        assert_eq!(redactor.known().len(), REMEMBERED);
        for (text, redacted) in [
            ("token.in.use", MARK),
            ("token.2999", MARK),
            ("token.1", "token.1"),
        ] {
            assert_eq!(redactor.redact(text), redacted);
        }
    }
}

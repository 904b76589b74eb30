//! Faults: which requests they hit, and how.

mod armed;
mod chaos;
mod script;

use std::ops::RangeInclusive;
use std::time::Duration;

pub(crate) use armed::{Faults, Occasion, Strike};
pub use chaos::Chaos;
pub use script::FaultError;

use super::endpoint::Endpoint;

/// A fault for chosen requests.
///
/// Made from a script (`"put chunk=7 nth=1 cut=3MB".parse()`) or with the methods below. Without an action it only
/// delays, and without `nth` it hits every request that fits. Each fault counts the requests that fit its other
/// selectors.
///
/// ```
/// use chunkferry_emulator::{Endpoint, Fault};
///
/// let typed = Fault::on(Endpoint::Put).chunk(7).nth(1).cut(3_000_000);
/// assert_eq!(Ok(typed), "put chunk=7 nth=1 cut=3MB".parse());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fault {
    target: Target,
    chunk: Option<u64>,
    upload: Option<Upload>,
    token: Option<String>,
    creator: Option<String>,
    nth: Option<RangeInclusive<u64>>,
    delay: Duration,
    action: Option<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Any,
    AnyInit,
    One(Endpoint),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Upload {
    /// Counted from 1 in the order of the inits.
    Number(u64),
    PublishId(String),
}

/// The effect on a request that is hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Answers at once and does nothing.
    Answer(Canned),
    /// Resets the connection after so many body bytes.
    Cut(u64),
    /// Handles the request, then resets the connection instead of answering.
    Lose,
    /// Handles the request, then gives this answer.
    Store(Canned),
    /// Reads nothing more after so many body bytes.
    Stall(u64),
    /// Reads the body at so many bytes a second.
    Trickle(u64),
    /// The upload URL expires, then the request is handled.
    ExpireUrl,
    /// The token stops working, then the request is handled.
    RevokeToken,
    /// The upload host forgets the upload, then the request is handled.
    DropSession,
}

/// An answer that a fault gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canned {
    pub(crate) status: u16,
    pub(crate) body: CannedBody,
    pub(crate) code: Option<String>,
    pub(crate) retry_after: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CannedBody {
    /// The envelope on API calls, the usual body on PUTs.
    Usual,
    None,
    /// An error page of a gateway.
    Html,
    Text(String),
}

impl Target {
    fn may_be_put(self) -> bool {
        matches!(self, Self::Any | Self::One(Endpoint::Put))
    }
}

impl Fault {
    fn new(target: Target) -> Self {
        Self {
            target,
            chunk: None,
            upload: None,
            token: None,
            creator: None,
            nth: None,
            delay: Duration::ZERO,
            action: None,
        }
    }

    /// A fault of one kind of request.
    pub fn on(endpoint: Endpoint) -> Self {
        Self::new(Target::One(endpoint))
    }

    /// A fault of every init.
    pub fn on_init() -> Self {
        Self::new(Target::AnyInit)
    }

    /// Only the chunk with this index, counted from 0.
    pub fn chunk(mut self, index: u64) -> Self {
        self.chunk = Some(index);
        self
    }

    /// Only the upload with this number, counted from 1 in the order of the inits.
    pub fn upload(mut self, number: u64) -> Self {
        self.upload = Some(Upload::Number(number));
        self
    }

    /// Only requests of this bearer token, PUTs of its uploads included.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Only the nth request that fits, counted from 1.
    pub fn nth(self, nth: u64) -> Self {
        self.nth_in(nth..=nth)
    }

    /// Only these of the requests that fit, counted from 1.
    pub fn nth_in(mut self, nth: RangeInclusive<u64>) -> Self {
        self.nth = Some(nth);
        self
    }

    /// Waits before the request is handled, in real time.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn act(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Answers this HTTP status at once and does nothing.
    pub fn answer(self, status: u16) -> Self {
        self.act(Action::Answer(Canned::new(status)))
    }

    /// Answers this error code under its documented HTTP status and does nothing.
    pub fn answer_code(self, code: impl Into<String>) -> Self {
        let code = code.into();
        let mut canned = Canned::new(super::answer::status_of(&code).unwrap_or(400));
        canned.code = Some(code);
        self.act(Action::Answer(canned))
    }

    /// Resets the connection after `bytes` of the body; calls other than PUT, at once.
    pub fn cut(self, bytes: u64) -> Self {
        self.act(Action::Cut(bytes))
    }

    /// Handles the request, then resets the connection instead of answering.
    pub fn lose_answer(self) -> Self {
        self.act(Action::Lose)
    }

    /// Handles the request, then answers this HTTP status.
    pub fn store_then_answer(self, status: u16) -> Self {
        self.act(Action::Store(Canned::new(status)))
    }

    /// Reads nothing more after `bytes` of the body and never answers.
    pub fn stall(self, bytes: u64) -> Self {
        self.act(Action::Stall(bytes))
    }

    /// Reads the body at `rate` bytes a second.
    pub fn trickle(self, rate: u64) -> Self {
        self.act(Action::Trickle(rate.max(1)))
    }

    /// Lets the upload URL expire, then handles the request.
    pub fn expire_url(self) -> Self {
        self.act(Action::ExpireUrl)
    }

    /// Makes the token invalid, then handles the request.
    pub fn revoke_token(self) -> Self {
        self.act(Action::RevokeToken)
    }

    /// Lets the upload host forget the upload, then handles the request.
    pub fn drop_session(self) -> Self {
        self.act(Action::DropSession)
    }

    fn fits(&self, occasion: &Occasion<'_>) -> bool {
        let endpoint = match self.target {
            Target::Any => true,
            Target::AnyInit => occasion.endpoint.is_init(),
            Target::One(endpoint) => endpoint == occasion.endpoint,
        };
        let upload = match &self.upload {
            None => true,
            Some(Upload::Number(number)) => occasion.upload == Some(*number),
            Some(Upload::PublishId(id)) => occasion.publish_id == Some(id),
        };
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == found
        };
        endpoint
            && upload
            && (self.chunk.is_none() || self.chunk == occasion.chunk)
            && is(&self.token, occasion.token)
            && is(&self.creator, occasion.creator)
    }
}

impl Canned {
    fn new(status: u16) -> Self {
        Self {
            status,
            body: CannedBody::Usual,
            code: None,
            retry_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(chunk: u64, upload: u64) -> Occasion<'static> {
        Occasion {
            endpoint: Endpoint::Put,
            chunk: Some(chunk),
            upload: Some(upload),
            publish_id: None,
            token: Some("act.lena.1"),
            creator: Some("lena"),
        }
    }

    #[test]
    fn nth_counts_only_what_fits_the_other_selectors() {
        let mut faults = Faults::default();
        faults.arm("put chunk=2 nth=2 reset".parse().unwrap(), None);
        let mut hit = |chunk| faults.strike(&put(chunk, 1)).action.is_some();
        assert!(!hit(0));
        assert!(!hit(2));
        assert!(!hit(1));
        assert!(hit(2));
        assert!(!hit(2));
    }

    #[test]
    fn a_fault_of_one_token_spares_the_others() {
        let mut faults = Faults::default();
        faults.arm("put reset".parse().unwrap(), Some("act.olga.1"));
        assert!(faults.strike(&put(0, 1)).action.is_none());
        faults.arm("put creator=lena upload=3 reset".parse().unwrap(), None);
        assert!(faults.strike(&put(0, 1)).action.is_none());
        assert!(faults.strike(&put(0, 3)).action.is_some());
    }

    #[test]
    fn chaos_with_one_seed_always_does_the_same() {
        let run = |seed| {
            let mut faults = Faults::default();
            faults.set_chaos(Some(Chaos::new(seed, 0.3)));
            let strikes = (0..200).map(|chunk| faults.strike(&put(chunk, 1)).scripts);
            strikes.collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).iter().filter(|scripts| !scripts.is_empty()).count();
        assert!((30..90).contains(&hits), "{hits} of 200 at a rate of 0.3");
    }
}

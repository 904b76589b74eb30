//! Checks a URL before the service is asked to fetch it: what the service would refuse an hour later is an error at once.

use crate::answer::Failure;
use crate::error::Error;
use crate::tiktok::client::Client;
use crate::tiktok::preflight::{Judgement, Remote};
use crate::upload::event::{Event, Notice};
use crate::upload::plan::Limits;

/// Makes sure, as far as that shows from here, that the service can fetch this; its size, where the host states it.
pub(super) async fn preflight(
    client: &Client,
    remote: &Remote,
    tell: impl Fn(Event),
) -> Result<Option<u64>, Error> {
    for closer in [false, true] {
        let looked = client.look(remote, closer).await;
        let looked = looked.map_err(|error| match error {
            Failure::Untrusted(reason) => Error::untrusted_look(&remote.shown(), &reason),
            error => Error::unreachable(&remote.shown(), error),
        })?;
        if let Judgement::Fit { size } = remote.judge(&looked)? {
            let limit = Limits::DOCUMENTED.sure_file();
            tell(Event::Notice(match size {
                Some(size) if size > limit => Notice::Large { size, limit },
                Some(_) => return Ok(size),
                None => Notice::SizeUnknown,
            }));
            return Ok(size);
        }
    }
    Err(Error::unreachable(
        &remote.shown(),
        "its host did not tell what it is",
    ))
}

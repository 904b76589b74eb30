//! Turns HTTP answers and the service's codes into values.
//!
//! What is repeated, and why. The waits between repeats are 0.5 s, then twice as long each time, at most 20 s, half of
//! each random; they end with the run's patience.
//!
//! | answer | word | then |
//! |---|---|---|
//! | no connection | `NotSent` | the same call again: nothing reached the service |
//! | a connection that broke, silence, an answer that cannot be read | `Lost` | a question again; a chunk once status was asked; an init twice more, as it may have made a session that nobody can use |
//! | 408, 5xx | `Faulty` | as `Lost`: the guide says to send a chunk again after a 5xx |
//! | 429, `rate_limit_exceeded` | `Busy` | after the wait that the service names, or a minute and five seconds |
//! | 416 for a chunk | `OtherRange` | status is asked for the service's progress |
//! | 403 for a chunk | `Expired` | a new session; the same chunk first if the URL is too young for that |
//! | 401, 404, 405, 410 for a chunk | `Gone` | a new session |
//! | 202 to 205, 207 to 299 for a chunk | `Unclear` | status is asked |
//! | everything else | `Refused` | never: the same request would be refused again |
//!
//! Sources: Media Transfer Guide, Upload Video, Get Video Status, TikTok API v2 Error Handling.

use std::time::Duration;

use super::codes::Code;
use crate::answer::{Failure, Put, Refusal, Said};

/// The failure of a refused call: some refusals are only a matter of time.
pub(crate) fn failure(refusal: Refusal) -> Failure {
    match (refusal.http_status, refusal.code.as_str()) {
        (429, _) | (_, "rate_limit_exceeded") => Failure::Busy(refusal),
        (408 | 500.., _) => Failure::Faulty(refusal),
        _ => Failure::Refused(refusal),
    }
}

/// A refusal of which only the HTTP status is known.
pub(crate) fn without_words(http_status: u16) -> Refusal {
    let code = format!("http_{http_status}");
    Refusal {
        meaning: Code::of(&code, http_status).meaning,
        code,
        message: String::new(),
        log_id: None,
        retry_after: None,
        http_status,
    }
}

/// The answer to a chunk. By the documents a 201 belongs to the last chunk and a 206 to all others, but field reports
/// also have the reverse, and a 200 for either.
pub(crate) fn put(
    http_status: u16,
    progress: Option<u64>,
    wait: Option<Duration>,
    last: bool,
) -> Result<Put, Failure> {
    let said = match http_status {
        200 | 201 | 206 => {
            let expected = if last { 201 } else { 206 };
            if http_status != expected {
                tracing::warn!(http_status, expected, "unexpected success code");
            }
            Said::Accepted
        }
        202..300 => Said::Unclear(format!("HTTP {http_status}")),
        416 => Said::OtherRange,
        403 => Said::Expired,
        401 | 404 | 405 | 410 => Said::Gone,
        429 => Said::Busy,
        408 | 500.. => Said::Faulty(format!("HTTP {http_status}")),
        _ => return Err(Failure::Refused(without_words(http_status))),
    };
    Ok(Put {
        said,
        progress,
        wait,
    })
}

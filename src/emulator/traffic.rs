//! The last requests, for the page and the log; older ones are forgotten.

use std::collections::VecDeque;

use hyper::header::USER_AGENT;
use hyper::http::request::Parts;

use super::bounded::short;
use super::log::RequestLog;

/// Most requests that are kept.
const MOST: usize = 200;
/// Most characters of a path or a client's name.
const LONGEST: usize = 120;

#[derive(Debug, Default)]
pub(crate) struct Traffic {
    begun: u64,
    recent: VecDeque<RequestLog>,
}

impl Traffic {
    /// Records a request; returns its number.
    pub(crate) fn begin(&mut self, mut request: RequestLog) -> u64 {
        self.begun += 1;
        request.number = self.begun;
        request.open = true;
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back(request);
        self.begun
    }

    /// Records the status of its answer; `None` without one.
    pub(crate) fn end(&mut self, number: u64, http_status: Option<u16>) {
        let known = |request: &&mut RequestLog| request.number == number;
        if let Some(request) = self.recent.iter_mut().rev().find(known) {
            request.open = false;
            request.http_status = http_status;
        }
    }

    pub(crate) fn recent(&self) -> impl DoubleEndedIterator<Item = &RequestLog> {
        self.recent.iter()
    }

    /// Forgets all requests, or those of one creator.
    pub(crate) fn forget(&mut self, creator: Option<&str>) {
        self.recent
            .retain(|request| creator.is_some() && request.creator.as_deref() != creator);
    }
}

/// The log entry of a request. The query is left out: an upload URL's query is a credential.
pub(crate) fn request(at: u64, parts: &Parts) -> RequestLog {
    let client = parts.headers.get(USER_AGENT);
    let client = client.map(|client| String::from_utf8_lossy(client.as_bytes()));
    RequestLog {
        at,
        method: parts.method.to_string(),
        path: short(parts.uri.path(), LONGEST),
        client: client.map(|client| short(&client, LONGEST)),
        ..RequestLog::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_runs_for_days_remembers_only_the_last_requests() {
        let mut traffic = Traffic::default();
        for _ in 0..10 * MOST {
            let number = traffic.begin(RequestLog::default());
            traffic.end(number, Some(200));
        }
        assert_eq!(traffic.recent().count(), MOST);
        // One that was answered after it was forgotten is nobody's.
        traffic.end(1, Some(500));
        assert!(traffic.recent().all(|known| known.http_status == Some(200)));
    }
}

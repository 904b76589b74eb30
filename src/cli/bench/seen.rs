//! What an emulator saw of the uploads of one run.

use std::io;

use chunkferry::emulator::Client;

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Seconds from the head of the first chunk to the answer to the last one.
    pub(super) transfer: f64,
    /// Seconds between the answer to a chunk and the head of the next one of its upload, in ascending order.
    pub(super) gaps: Vec<f64>,
    /// Bytes of all chunks that came.
    pub(super) bytes: u64,
    /// Bytes that came again after they had been accepted.
    pub(super) again: u64,
}

impl Seen {
    /// Reads the logs of the creators of these tokens.
    pub(super) fn of(client: &Client, tokens: &[String]) -> io::Result<Self> {
        let (mut seen, mut began, mut ended) = (Self::default(), u64::MAX, 0);
        for token in tokens {
            for session in client.log_of(token)?.sessions {
                seen.again += session.sent_again();
                let mut answered = None;
                for put in session.puts {
                    if let Some(answered) = answered {
                        let gap = put.began_us.saturating_sub(answered);
                        seen.gaps.push(gap as f64 / 1e6);
                    }
                    seen.bytes += put.bytes;
                    began = began.min(put.began_us);
                    ended = ended.max(put.answered_us.unwrap_or(0));
                    answered = put.answered_us;
                }
            }
        }
        seen.gaps.sort_by(f64::total_cmp);
        seen.transfer = ended.saturating_sub(began) as f64 / 1e6;
        Ok(seen)
    }
}

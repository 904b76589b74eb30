//! What an emulator in another process says of what it saw.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use chunkferry::Escaped;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest answer that is read, in bytes; a log has a line for each of thousands of chunks.
const LONGEST: u64 = 64 << 20;

/// Asks one of its own pages, such as `log`: for everyone, or for the creator of a token.
pub(crate) fn ask<T: DeserializeOwned>(
    address: &str,
    page: &str,
    token: Option<&str>,
) -> io::Result<T> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET /_emulator/{page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n"
    )?;
    if let Some(token) = token {
        write!(stream, "Authorization: Bearer {token}\r\n")?;
    }
    write!(stream, "\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(end) = end.filter(|_| answer.starts_with(b"HTTP/1.1 200 ")) else {
        let status = answer.split(|byte| *byte == b'\r').next();
        let status = String::from_utf8_lossy(status.unwrap_or_default());
        let status: String = status.chars().take(40).collect();
        let status = Escaped::new(&status);
        return Err(io::Error::other(format!("it says `{status}`")));
    };
    serde_json::from_slice(&answer[end + 4..]).map_err(io::Error::other)
}

/// What it saw of some uploads.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Seen {
    /// Seconds from the head of the first chunk to the answer to the last one.
    pub(crate) transfer: f64,
    /// Seconds between the answer to a chunk and the head of the next one of its upload, in ascending order.
    pub(crate) gaps: Vec<f64>,
    /// Chunks that came, and bytes of them.
    pub(crate) chunks: usize,
    pub(crate) bytes: u64,
    /// Bytes that came although they were there.
    pub(crate) again: u64,
}

/// The PUTs of the uploads of a token's creator, by upload.
pub(crate) fn puts(address: &str, token: &str) -> io::Result<Vec<Vec<Put>>> {
    let log: Log = ask(address, "log", Some(token))?;
    Ok(log
        .sessions
        .into_iter()
        .map(|session| session.puts)
        .collect())
}

/// What it saw of the creators of these tokens.
pub(crate) fn seen(address: &str, tokens: &[String]) -> io::Result<Seen> {
    let (mut seen, mut began, mut ended) = (Seen::default(), u64::MAX, 0);
    for token in tokens {
        for puts in puts(address, token)? {
            let (mut accepted, mut answered) = (0, None);
            for put in puts {
                seen.again += put.again(&mut accepted);
                if let Some(answered) = answered {
                    seen.gaps
                        .push(put.began_us.saturating_sub(answered) as f64 / 1e6);
                }
                seen.chunks += 1;
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

#[derive(Deserialize)]
struct Log {
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
struct Session {
    puts: Vec<Put>,
}

/// One PUT, as its log has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Put {
    first: Option<u64>,
    last: Option<u64>,
    http_status: Option<u16>,
    bytes: u64,
    /// On the clock of the log.
    #[serde(default)]
    pub(crate) began_us: u64,
    answered_us: Option<u64>,
}

impl Put {
    /// Bytes of it that had been accepted before; `accepted` goes from PUT to PUT of one upload.
    pub(crate) fn again(&self, accepted: &mut u64) -> u64 {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return 0;
        };
        let again = (*accepted).min(last + 1).saturating_sub(first);
        if self.http_status.is_some_and(|status| status < 300) {
            *accepted = (*accepted).max(last + 1);
        }
        again
    }
}

//! What an emulator in another process says of what it saw.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::de::DeserializeOwned;

/// Asks one of its own pages, such as `log`: for everyone, or for the creator of a token.
pub(super) fn ask<T: DeserializeOwned>(
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
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(end) = end.filter(|_| answer.starts_with(b"HTTP/1.1 200 ")) else {
        let status = answer.split(|byte| *byte == b'\r').next();
        let status = String::from_utf8_lossy(status.unwrap_or_default());
        // Whoever it is, it does not get to write to a terminal.
        let status: String = status
            .chars()
            .filter(|c| !c.is_control())
            .take(40)
            .collect();
        return Err(io::Error::other(format!("it says `{status}`")));
    };
    serde_json::from_slice(&answer[end + 4..]).map_err(io::Error::other)
}

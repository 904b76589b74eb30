//! A client of the emulator's own pages.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::log::Log;
use crate::sink::Usage;

/// Longest answer that is read, in bytes; a log has an entry for each of thousands of chunks.
const LONGEST: u64 = 64 << 20;

/// How long the server may pause within an answer.
const PAUSE: Duration = Duration::from_secs(10);

/// A blocking client of the pages below `/_emulator`, for an emulator in another process or on another machine.
///
/// Each call opens a connection of its own over plain HTTP; an emulator under TLS answers it if it runs as a sink. Calls
/// need no async runtime, and may be made on a thread of one where their milliseconds do not matter.
///
/// Every function fails when the server cannot be reached, pauses for 10 seconds, answers with another status than 200,
/// with more than 64 MiB, or with something else than the page that was asked for.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
}

impl Client {
    /// A client of the emulator at an address (`127.0.0.1:8787`) or URL (`http://127.0.0.1:8787`). Connects when it is asked.
    #[must_use]
    pub fn new(address_or_url: &str) -> Self {
        let (_, address) = address_or_url
            .split_once("://")
            .unwrap_or(("http", address_or_url));
        Self {
            address: address.trim_end_matches('/').to_owned(),
        }
    }

    /// Host and port, like `127.0.0.1:8787`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the emulator saw so far.
    ///
    /// # Errors
    ///
    /// As [`Client`] says.
    pub fn log(&self) -> io::Result<Log> {
        self.page("log", None)
    }

    /// What the emulator saw of the creator whom this access token belongs to.
    ///
    /// # Errors
    ///
    /// As [`Client`] says, and when the token does not fit in a header.
    pub fn log_of(&self, token: &str) -> io::Result<Log> {
        self.page("log", Some(token))
    }

    /// What the emulator's process has used so far.
    ///
    /// # Errors
    ///
    /// As [`Client`] says.
    pub fn usage(&self) -> io::Result<Usage> {
        self.page("usage", None)
    }

    /// The JSON of any page that answers a GET, such as `review` or `settings`; with an access token, of its creator alone.
    ///
    /// # Errors
    ///
    /// As [`Client`] says, and when the name or the token does not fit in the head of a request.
    pub fn page<T: DeserializeOwned>(&self, name: &str, token: Option<&str>) -> io::Result<T> {
        let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits(name) || !token.is_none_or(fits) {
            let text = "the name of a page or a token has a character that is not printable ASCII";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let address = &self.address;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PAUSE))?;
        let mut head =
            format!("GET /_emulator/{name} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(LONGEST + 1).read_to_end(&mut answer)?;
        if answer.len() as u64 > LONGEST {
            return Err(io::Error::other("its answer is longer than 64 MiB"));
        }
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end.filter(|_| answer.starts_with(b"HTTP/1.1 200 ")) else {
            return Err(io::Error::other(format!(
                "it says `{}`",
                status_line(&answer)
            )));
        };
        serde_json::from_slice(&answer[end + 4..]).map_err(io::Error::other)
    }
}

/// The first line of an answer, cut short, with everything escaped that could act on a terminal: the server may be anyone.
fn status_line(answer: &[u8]) -> String {
    let line = answer.split(|byte| *byte == b'\r').next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    line.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use serde_json::Value;

    use super::*;
    use crate::Emulator;

    /// A server that answers each of its connections with the next of these texts.
    fn stranger(answers: &'static [&'static str]) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Client::new(&address)
    }

    fn init(emulator: &Emulator, token: &str) {
        let body = r#"{"source_info":{"source":"FILE_UPLOAD","video_size":9,"chunk_size":9,"total_chunk_count":1}}"#;
        let mut stream = TcpStream::connect(emulator.address()).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST /v2/post/publish/inbox/video/init/ HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }

    #[test]
    fn the_log_from_outside_is_the_log_from_inside_and_a_token_narrows_it() {
        let emulator = Emulator::builder().start_blocking().unwrap();
        init(&emulator, "act.lena.1");
        init(&emulator, "act.olga.1");
        let client = Client::new(&format!("{}/", emulator.url()));
        assert_eq!(client.address(), emulator.address().to_string());
        assert_eq!(client.log().unwrap(), emulator.log());
        let lena = client.log_of("act.lena.2").unwrap();
        assert_eq!((lena.inits, &*lena.sessions[0].creator), (1, "lena"));
        assert_eq!(client.usage().unwrap().connections, 2);
        let settings: Value = client.page("settings", None).unwrap();
        assert!(
            settings.to_string().contains("processing_time"),
            "{settings}"
        );
    }

    #[test]
    fn what_is_no_answer_of_an_emulator_is_an_error_that_can_be_printed() {
        let client = stranger(&[
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "SSH-2.0-\x1b[31m\u{202e}OpenSSH\r\n",
            "",
            "HTTP/1.1 200 OK\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n{\"inits\": 1",
        ]);
        for part in [
            "`HTTP/1.1 404 Not Found`",
            "`SSH-2.0-\\u{1b}[31m\\u{202e}OpenSSH`",
            "``",
            "missing field",
            "EOF",
        ] {
            let refused = client.log().unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn a_token_or_a_page_cannot_add_to_the_head_of_the_request() {
        // Nobody listens there: it fails before it connects.
        let client = Client::new("127.0.0.1:1");
        let token = client.log_of("act.lena.1\r\nx: y").unwrap_err();
        let page = client.page::<Value>("log HTTP/1.1\r\n", None).unwrap_err();
        let kinds = [token.kind(), page.kind()];
        assert_eq!(kinds, [io::ErrorKind::InvalidInput; 2]);
    }
}

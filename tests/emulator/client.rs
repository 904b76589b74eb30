//! A client that says exactly what a test wants said.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use chunkferry::emulator::Emulator;
use serde_json::{Value, json};

pub(crate) const INBOX_INIT: &str = "/v2/post/publish/inbox/video/init/";
pub(crate) const STATUS: &str = "/v2/post/publish/status/fetch/";
pub(crate) const TOKEN: &str = "act.lena.1";

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// One connection.
pub(crate) struct Line {
    stream: BufReader<TcpStream>,
}

impl Line {
    pub(crate) fn open(emulator: &Emulator) -> Self {
        Self::to(emulator.address())
    }

    pub(crate) fn to(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        // Head and body are two small writes, of which the second would wait for the first one's acknowledgement.
        stream.set_nodelay(true).unwrap();
        // A server that never answers must fail the test, not hang it.
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more comes.
    pub(crate) fn no_more(&mut self) {
        // The other side may be gone.
        let _ = self.stream.get_mut().shutdown(Shutdown::Write);
    }

    /// Whatever still comes.
    pub(crate) fn rest(&mut self) -> &mut impl Read {
        &mut self.stream
    }

    pub(crate) fn head(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.host());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send(head.as_bytes()).unwrap();
    }

    fn host(&self) -> String {
        self.stream.get_ref().peer_addr().unwrap().to_string()
    }

    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None => break,
            }
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        if status >= 200 {
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }
}

pub(crate) fn post(emulator: &Emulator, path: &str, token: &str, body: &Value) -> Answer {
    try_post(emulator, path, token, body).unwrap()
}

pub(crate) fn try_post(
    emulator: &Emulator,
    path: &str,
    token: &str,
    body: &Value,
) -> io::Result<Answer> {
    let body = body.to_string();
    let authorization = format!("Bearer {token}");
    let length = body.len().to_string();
    let mut line = Line::open(emulator);
    let headers = [
        ("authorization", &*authorization),
        ("content-type", "application/json; charset=UTF-8"),
        ("content-length", &*length),
    ];
    line.head("POST", path, &headers);
    line.send(body.as_bytes())?;
    line.answer()
}

pub(crate) fn get(emulator: &Emulator, path: &str) -> Answer {
    let mut line = Line::open(emulator);
    line.head("GET", path, &[]);
    line.answer().unwrap()
}

pub(crate) fn plan(size: u64, chunk: u64, count: u64) -> Value {
    json!({"source_info": {
        "source": "FILE_UPLOAD",
        "video_size": size,
        "chunk_size": chunk,
        "total_chunk_count": count,
    }})
}

/// An upload that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) publish_id: String,
    pub(crate) url: String,
    pub(crate) size: u64,
}

impl Upload {
    pub(crate) fn init(emulator: &Emulator, size: u64, chunk: u64, count: u64) -> Self {
        Self::of(
            &post(emulator, INBOX_INIT, TOKEN, &plan(size, chunk, count)),
            size,
        )
    }

    /// A whole upload by another token.
    pub(crate) fn init_for(emulator: &Emulator, token: &str, size: u64) -> Self {
        Self::of(
            &post(emulator, INBOX_INIT, token, &plan(size, size, 1)),
            size,
        )
    }

    pub(crate) fn of(answer: &Answer, size: u64) -> Self {
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let data = &answer.json()["data"];
        Self {
            publish_id: data["publish_id"].as_str().unwrap().to_owned(),
            url: data["upload_url"].as_str().unwrap().to_owned(),
            size,
        }
    }

    /// The part of the URL that follows the origin.
    pub(crate) fn target(&self) -> &str {
        let start = self.url.find("://").unwrap() + 3;
        &self.url[start + self.url[start..].find('/').unwrap()..]
    }

    pub(crate) fn range(&self, first: u64, end: u64) -> String {
        format!("bytes {first}-{}/{}", end - 1, self.size)
    }

    /// Sends the head of a PUT of `[first, end)`.
    pub(crate) fn put_head(&self, line: &mut Line, first: u64, end: u64, more: &[(&str, &str)]) {
        let (length, range) = ((end - first).to_string(), self.range(first, end));
        let mut headers = vec![
            ("content-type", "video/mp4"),
            ("content-length", &*length),
            ("content-range", &*range),
        ];
        headers.extend_from_slice(more);
        line.head("PUT", self.target(), &headers);
    }

    /// Sends `[first, end)` of the sample and reads the answer.
    pub(crate) fn try_put(&self, emulator: &Emulator, first: u64, end: u64) -> io::Result<Answer> {
        let mut line = Line::open(emulator);
        self.put_head(&mut line, first, end, &[]);
        // The server may refuse on the headers; what counts is its answer.
        let _ = line.send(&sample(first, end));
        line.answer()
    }

    pub(crate) fn put(&self, emulator: &Emulator, first: u64, end: u64) -> Answer {
        self.try_put(emulator, first, end).unwrap()
    }

    pub(crate) fn status(&self, emulator: &Emulator) -> Value {
        let body = json!({"publish_id": self.publish_id});
        let answer = post(emulator, STATUS, TOKEN, &body);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()["data"].clone()
    }

    pub(crate) fn received(&self, emulator: &Emulator) -> u64 {
        self.status(emulator)["uploaded_bytes"].as_u64().unwrap()
    }
}

/// Bytes `[first, end)` of a file that never repeats within a chunk.
pub(crate) fn sample(first: u64, end: u64) -> Vec<u8> {
    (first..end)
        .map(|byte| (byte ^ (byte >> 8) ^ (byte >> 16)) as u8)
        .collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

pub(crate) fn started(set: &[&str], faults: &[&str]) -> Emulator {
    let mut settings = chunkferry::emulator::Settings::default();
    settings.set("processing_time", "0s").unwrap();
    for pair in set {
        settings.set_pair(pair).unwrap();
    }
    let mut builder = Emulator::builder().settings(settings);
    for fault in faults {
        builder = builder.fault(fault.parse().unwrap());
    }
    builder.start_blocking().unwrap()
}

//! A web server that holds one video, and answers for it in any manner, good or bad.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// How the host answers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Manner {
    /// As it should.
    #[default]
    Good,
    /// All of the video, whatever range is asked for.
    IgnoresRange,
    /// A range that begins one byte earlier, and says so.
    OtherRange,
    /// The right range, one byte shorter, and says so.
    ShortRange,
    /// Says that it is compressed.
    Gzip,
    /// A weak tag.
    WeakTag,
    /// Neither tag nor time.
    NoValidator,
    /// A time of modification instead of a tag.
    OnlyTime,
    /// Bytes of whatever version there is, whatever version is asked for; it states which.
    IgnoresCondition,
    /// So many KiB of each answer, and then an end of the connection.
    Breaks(usize),
    /// So many bytes each 20 ms.
    Trickles(usize),
    /// The same status to everything.
    Refuses(u16),
}

/// A host of one video; stopped with the test.
pub(crate) struct Host {
    pub(crate) origin: String,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    content: Arc<Vec<u8>>,
    version: u32,
    pub(crate) manner: Manner,
    /// The query that the video is given for; any, if there is none.
    pub(crate) signature: Option<String>,
    /// Whether requests for the whole video are refused.
    pub(crate) only_ranges: bool,
    /// Where `/moved` leads.
    pub(crate) moved_to: String,
    /// The head of each request, in small letters.
    pub(crate) requests: Vec<String>,
}

impl Host {
    pub(crate) fn of(content: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            content: Arc::new(content),
            version: 1,
            manner: Manner::Good,
            signature: None,
            only_ranges: false,
            moved_to: String::new(),
            requests: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                // A client that hangs up has seen enough.
                thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Self { origin, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/clip.mp4", self.origin)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn behaves(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// Another version under the same URL.
    pub(crate) fn replace(&self, content: Vec<u8>) {
        let mut state = self.state();
        state.content = Arc::new(content);
        state.version += 1;
    }

    /// Other bytes that the host takes for the same version.
    pub(crate) fn replace_unnoticed(&self, content: Vec<u8>) {
        self.state().content = Arc::new(content);
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        answer(&mut stream, &head, state)?;
    }
}

fn answer(stream: &mut TcpStream, head: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: HashMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let (content, tag, manner, signature, moved_to, only_ranges) = {
        let mut state = state.lock().unwrap();
        state.requests.push(head.to_lowercase());
        let tag = format!("\"v{}\"", state.version);
        let parts = (
            state.manner,
            state.signature.clone(),
            state.moved_to.clone(),
        );
        (
            Arc::clone(&state.content),
            tag,
            parts.0,
            parts.1,
            parts.2,
            state.only_ranges,
        )
    };
    let plain =
        |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{more}\r\n");
    if target.starts_with("/moved") {
        return stream
            .write_all(plain("302 Found", &format!("Location: {moved_to}\r\n")).as_bytes());
    }
    let query = target.split_once('?').map_or("", |(_, query)| query);
    if signature.is_some_and(|signature| signature != query) {
        return stream.write_all(plain("403 Forbidden", "").as_bytes());
    }
    if only_ranges && !headers.contains_key("range") {
        return stream.write_all(plain("403 Forbidden", "").as_bytes());
    }
    if let Manner::Refuses(status) = manner {
        return stream.write_all(plain(&format!("{status} No"), "").as_bytes());
    }
    let condition = headers.get("if-match");
    let is_other = condition.is_some_and(|wanted| *wanted != tag);
    if is_other && manner != Manner::IgnoresCondition {
        return stream.write_all(plain("412 Precondition Failed", "").as_bytes());
    }
    let range = headers.get("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    let size = content.len();
    let (mut first, mut last) = range.unwrap_or((0, size - 1));
    last = last.min(size - 1);
    if first >= size {
        let more = format!("Content-Range: bytes */{size}\r\n");
        return stream.write_all(plain("416 Range Not Satisfiable", &more).as_bytes());
    }
    match manner {
        Manner::OtherRange => (first, last) = (first.saturating_sub(1), last - 1),
        Manner::ShortRange if last > first => last -= 1,
        Manner::IgnoresRange => (first, last) = (0, size - 1),
        _ => {}
    }
    let is_part = range.is_some() && manner != Manner::IgnoresRange;
    let status = if is_part {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    let mut lines = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n",
        last + 1 - first
    );
    if is_part {
        lines += &format!("Content-Range: bytes {first}-{last}/{size}\r\n");
    }
    lines += &match manner {
        Manner::WeakTag => format!("ETag: W/{tag}\r\n"),
        Manner::NoValidator => String::new(),
        Manner::OnlyTime => {
            "Last-Modified: Fri, 02 Jan 2026 10:00:00 GMT\r\nDate: Fri, 02 Jan 2026 11:00:00 GMT\r\n".to_owned()
        }
        _ => format!("ETag: {tag}\r\n"),
    };
    if manner == Manner::Gzip {
        lines += "Content-Encoding: gzip\r\n";
    }
    stream.write_all(format!("{lines}\r\n").as_bytes())?;
    if head.starts_with("HEAD ") {
        return Ok(());
    }
    let bytes = &content[first..=last];
    match manner {
        Manner::Breaks(kib) if bytes.len() > kib << 10 => {
            stream.write_all(&bytes[..kib << 10])?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        Manner::Trickles(size) => bytes.chunks(size).try_for_each(|piece| {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(piece)
        }),
        _ => stream.write_all(bytes),
    }
}

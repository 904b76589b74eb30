//! A server of our own that keeps one object, speaks like S3 and like Google, and can be told to lie.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::video;

const MIB: u64 = 1 << 20;
/// The smallest chunk there is.
const CHUNK: u64 = 5 * MIB;

/// What the server does with requests for more than a megabyte behind the first chunk, and with those that say so.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) enum Lie {
    #[default]
    None,
    /// `If-Match` is passed over: the bytes are those of the object that is there now.
    Unconditional,
    /// One byte less than was asked for, as the answer itself says.
    Shortened,
    /// One byte less than the answer says.
    ShortBody,
    /// 200 with the whole object.
    Whole,
    /// 200 with the range, and a `Content-Range`.
    RangeAs200,
    /// A range of as many bytes that begins one byte later.
    Shifted,
    /// The object has grown, under the same tag.
    Grown,
    /// The bytes are called compressed.
    Compressed,
    /// No lie: each connection breaks after a megabyte.
    Breaks,
    /// No lie: 503 to every second request.
    Busy,
    /// 403 to all, and the request is repeated in the answer.
    Denied,
    /// The object has no ETag.
    NoTag,
    /// The ETag is a weak one.
    WeakTag,
    /// A version by its id is another permission, and there is none.
    NoVersions,
}

#[derive(Debug, Default)]
struct State {
    object: Bytes,
    tag: String,
    /// The version id that is stated.
    version: Option<String>,
    lie: Lie,
    /// The heads of all requests.
    heads: Vec<String>,
    /// Rises when all connections are cut.
    cut: u32,
    is_up: bool,
}

/// Stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Liar(Shared);

/// What the threads of the server share with the test.
#[derive(Debug, Clone)]
struct Shared {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Liar {
    pub(crate) fn start(object: Vec<u8>) -> Self {
        let liar = Self(Shared {
            port: free_port(),
            state: Arc::default(),
        });
        liar.replace(object);
        liar.listen();
        liar
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    pub(crate) fn lie(&self, lie: Lie) {
        self.0.state.lock().unwrap().lie = lie;
    }

    pub(crate) fn replace(&self, object: Vec<u8>) {
        let mut state = self.0.state.lock().unwrap();
        state.tag = format!("\"{}\"", &video::sha256_of(&object)[..32]);
        state.object = object.into();
    }

    pub(crate) fn state_version(&self, version: &str) {
        self.0.state.lock().unwrap().version = Some(version.to_owned());
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.0.state.lock().unwrap().heads.clone()
    }

    /// Cuts all connections, and refuses new ones.
    pub(crate) fn stop(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.is_up = false;
        state.cut += 1;
    }

    pub(crate) fn listen(&self) {
        self.0.state.lock().unwrap().is_up = true;
        let shared = self.0.clone();
        let listener = TcpListener::bind(("127.0.0.1", self.0.port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            while shared.state.lock().unwrap().is_up {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let shared = shared.clone();
                        stream.set_nonblocking(false).unwrap();
                        thread::spawn(move || {
                            let _ = shared.serve(&stream);
                            let _ = stream.shutdown(Shutdown::Both);
                        });
                    }
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
    }
}

impl Shared {
    /// Answers the requests of a connection.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let cut = self.state.lock().unwrap().cut;
        let mut lines = BufReader::new(stream).lines();
        loop {
            let mut head = Vec::new();
            loop {
                let Some(line) = lines.next() else {
                    return Ok(());
                };
                match line? {
                    line if line.is_empty() => break,
                    line => head.push(line),
                }
            }
            if self.state.lock().unwrap().cut != cut {
                return Ok(());
            }
            self.answer(stream, &head)?;
        }
    }

    fn answer(&self, mut stream: &TcpStream, head: &[String]) -> io::Result<()> {
        let field = |name: &str| {
            let mut fields = head.iter().filter_map(|line| line.split_once(": "));
            let found = fields.find(|(found, _)| found.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned())
        };
        let (object, tag, version, lie, cut, count) = {
            let mut state = self.state.lock().unwrap();
            state.heads.push(head.join("\n"));
            let State {
                object,
                tag,
                version,
                lie,
                cut,
                heads,
                ..
            } = &*state;
            (
                object.clone(),
                tag.clone(),
                version.clone(),
                *lie,
                *cut,
                heads.len(),
            )
        };
        let size = object.len() as u64;
        let range = field("range").map(|range| parse(&range, size));
        let is_meant = range
            .as_ref()
            .is_some_and(|range| range.start >= CHUNK && range.end - range.start > MIB);
        let is_named = matches!(
            lie,
            Lie::Denied | Lie::NoTag | Lie::WeakTag | Lie::NoVersions
        );
        let lie = if is_meant || is_named { lie } else { Lie::None };
        let refuse = |mut stream: &TcpStream, status: &str, body: &str| {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        };
        let is_versioned = head[0].contains("versionId=");
        if lie == Lie::Denied || lie == Lie::NoVersions && is_versioned {
            let repeated = format!(
                "<Error><Code>AccessDenied</Code><Message>{}</Message></Error>",
                head.join(" ")
            );
            let is_head = head[0].starts_with("HEAD");
            return refuse(
                stream,
                "403 Forbidden",
                if is_head { "" } else { &repeated },
            );
        }
        if lie == Lie::Busy && count % 2 == 0 {
            return refuse(
                stream,
                "503 Slow Down",
                "<Error><Code>SlowDown</Code></Error>",
            );
        }
        let is_other = field("if-match").is_some_and(|wanted| wanted != tag);
        if is_other && lie != Lie::Unconditional {
            return refuse(stream, "412 Precondition Failed", "");
        }
        let mut sent = range.clone().unwrap_or(0..size);
        match lie {
            Lie::Shortened | Lie::ShortBody => sent.end -= 1,
            Lie::Whole => sent = 0..size,
            Lie::Shifted => sent = sent.start - 1..sent.end - 1,
            _ => {}
        }
        let mut fields = format!(
            "content-length: {}\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
            sent.end - sent.start
        );
        let stated = match lie {
            Lie::ShortBody => sent.start..sent.end + 1,
            _ => sent.clone(),
        };
        let total = if lie == Lie::Grown { size + 1 } else { size };
        if range.is_some() && lie != Lie::Whole {
            fields += &format!(
                "content-range: bytes {}-{}/{total}\r\n",
                stated.start,
                stated.end - 1
            );
        }
        match lie {
            Lie::NoTag => {}
            Lie::WeakTag => fields += &format!("etag: W/{tag}\r\n"),
            _ => fields += &format!("etag: {tag}\r\n"),
        }
        if lie == Lie::Compressed {
            fields += "content-encoding: gzip\r\n";
        }
        if let Some(version) = version {
            fields += &format!("x-amz-version-id: {version}\r\n");
        }
        let status = match (&range, lie) {
            (None, _) | (_, Lie::Whole | Lie::RangeAs200) => "200 OK",
            _ => "206 Partial Content",
        };
        write!(stream, "HTTP/1.1 {status}\r\n{fields}\r\n")?;
        if head[0].starts_with("HEAD") {
            return Ok(());
        }
        let body = object.slice(sent.start as usize..sent.end as usize);
        for (piece, at) in body.chunks(64 * 1024).zip((0..).step_by(64 * 1024)) {
            let is_cut = self.state.lock().unwrap().cut != cut;
            if is_cut || lie == Lie::Breaks && at >= MIB {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            stream.write_all(piece)?;
        }
        Ok(())
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn parse(range: &str, size: u64) -> Range<u64> {
    let (start, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    start.parse().unwrap()..(last.parse::<u64>().unwrap() + 1).min(size)
}

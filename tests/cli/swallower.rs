//! A proxy that once acknowledges a chunk in the service's place: the service never hears of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub(crate) struct Swallower {
    address: SocketAddr,
    done: Arc<AtomicBool>,
}

impl Swallower {
    /// Passes everything on to `to`, but for the first chunk that begins at byte `first`: that is answered `status`.
    pub(crate) fn before(to: SocketAddr, first: u64, status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let swallower = Self {
            address: listener.local_addr().unwrap(),
            done: Arc::default(),
        };
        let done = Arc::clone(&swallower.done);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let done = Arc::clone(&done);
                // A client that hangs up has seen enough.
                thread::spawn(move || drop(serve(client, to, first, status, &done)));
            }
        });
        swallower
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn has_swallowed(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

fn serve(
    mut client: TcpStream,
    to: SocketAddr,
    first: u64,
    status: u16,
    done: &AtomicBool,
) -> io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    loop {
        let head = head(&mut client)?;
        let lower = String::from_utf8_lossy(&head).to_lowercase();
        let begins = lower.contains(&format!("\r\ncontent-range: bytes {first}-"));
        if begins && !done.swap(true, Ordering::SeqCst) {
            pass(&mut client, &mut io::sink(), length(&lower))?;
            write!(client, "HTTP/1.1 {status} OK\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        }
        server.write_all(&head)?;
        pass(&mut client, &mut server, length(&lower))?;
        let answer = self::head(&mut server)?;
        let lower = String::from_utf8_lossy(&answer).to_lowercase();
        client.write_all(&answer)?;
        pass(&mut server, &mut client, length(&lower))?;
    }
}

fn head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn length(head: &str) -> u64 {
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length:"));
    length
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

fn pass(from: &mut TcpStream, into: &mut impl Write, bytes: u64) -> io::Result<u64> {
    io::copy(&mut from.take(bytes), into)
}

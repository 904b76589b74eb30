//! A line between the command and the emulator: counts connections, and remembers what the service answered.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    requests: Vec<u8>,
    answers: Vec<u8>,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `to`.
    pub(crate) fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let seen = Arc::clone(&proxy.seen);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                seen.lock().unwrap().connections += 1;
                let server = TcpStream::connect(to).unwrap();
                let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (up, down) = (Arc::clone(&seen), Arc::clone(&seen));
                thread::spawn(move || pass(from, into, |bytes| keep_heads(&up, bytes)));
                thread::spawn(move || {
                    pass(server, client, |bytes| {
                        down.lock().unwrap().answers.extend_from_slice(bytes)
                    });
                });
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// The beginnings of what was sent: heads of requests, and the bodies of calls.
    pub(crate) fn requests(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().requests).into_owned()
    }

    pub(crate) fn answers(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().answers).into_owned()
    }
}

/// Heads come at the start of a read; what does not look like one is video.
fn keep_heads(seen: &Mutex<Seen>, bytes: &[u8]) {
    if bytes.starts_with(b"POST ") || bytes.starts_with(b"PUT ") {
        let head = &bytes[..bytes.len().min(2048)];
        seen.lock().unwrap().requests.extend_from_slice(head);
    }
}

fn pass(mut from: TcpStream, mut into: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        see(&buffer[..read]);
        if into.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other side may have gone first.
    let _ = into.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

//! A line that breaks: between the command and the emulator, connection by connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// What becomes of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    None,
    /// It is reset after so many bytes from the client.
    Cut(u64),
    /// It ends when the service has something to say, before a byte of that has passed.
    LoseAnswer,
    /// It ends so long after an answer has passed, whatever the client does then.
    CloseAfter(Duration),
    /// It carries so many bytes a second.
    Slow(u64),
}

pub(crate) struct Line {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Line {
    /// Each connection in turn has the trouble that `plan` gives its number.
    pub(crate) fn before(to: SocketAddr, plan: impl Fn(usize) -> Trouble + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
        };
        let connections = Arc::clone(&line.connections);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let trouble = plan(connections.fetch_add(1, Ordering::SeqCst));
                let Ok(server) = TcpStream::connect(to) else {
                    return; // The test is over.
                };
                carry(client, server, trouble);
            }
        });
        line
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn carry(client: TcpStream, server: TcpStream, trouble: Trouble) {
    let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || up(from, into, trouble));
    thread::spawn(move || down(server, client, trouble));
}

fn up(mut from: TcpStream, mut into: TcpStream, trouble: Trouble) {
    let (started, mut passed) = (Instant::now(), 0_u64);
    let mut buffer = vec![0; 1 << 14];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if let Trouble::Cut(after) = trouble
            && passed + read as u64 > after
        {
            return reset(&from, &into);
        }
        if into.write_all(&buffer[..read]).is_err() {
            break;
        }
        passed += read as u64;
        if let Trouble::Slow(rate) = trouble {
            let due = Duration::from_secs_f64(passed as f64 / rate as f64);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    // The other side may have gone first.
    let _ = into.shutdown(Shutdown::Write);
}

fn down(mut from: TcpStream, mut into: TcpStream, trouble: Trouble) {
    let mut buffer = vec![0; 1 << 14];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if matches!(trouble, Trouble::LoseAnswer) {
            break;
        }
        if into.write_all(&buffer[..read]).is_err() {
            break;
        }
        if let Trouble::CloseAfter(wait) = trouble {
            thread::sleep(wait);
            break;
        }
    }
    for stream in [&from, &into] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn reset(one: &TcpStream, other: &TcpStream) {
    for stream in [one, other] {
        // A socket that lingers for no time is reset instead of closed.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        let _ = stream.shutdown(Shutdown::Both);
    }
}

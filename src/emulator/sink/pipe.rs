//! A connection's bytes, plain or under TLS. Both discard a body at the least cost.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::UnbufferedServerConnection;
use tokio_rustls::rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};

/// Bytes of one read.
const GULP: usize = 512 << 10;

/// Largest TLS record.
const RECORD: usize = (16 << 10) + 2048;

pub(super) struct Pipe {
    stream: TcpStream,
    tls: Option<Tls>,
    /// Decrypted bytes that were not requested yet.
    ready: Vec<u8>,
    buffer: Vec<u8>,
}

struct Tls {
    connection: UnbufferedServerConnection,
    incoming: Vec<u8>,
    /// Bytes of `incoming` that were not decrypted yet.
    filled: usize,
    outgoing: Vec<u8>,
    ended: bool,
}

impl Pipe {
    pub(super) fn open(
        stream: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        patience: Duration,
    ) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let tls = tls.map(|config| {
            Ok::<_, io::Error>(Tls {
                connection: UnbufferedServerConnection::new(config).map_err(io::Error::other)?,
                incoming: vec![0; GULP],
                filled: 0,
                outgoing: Vec::new(),
                ended: false,
            })
        });
        let tls = tls.transpose()?;
        Ok(Self {
            buffer: vec![0; if tls.is_some() { 0 } else { 16 << 10 }],
            stream,
            tls,
            ready: Vec::new(),
        })
    }

    /// Reads the next head with its blank line; `None` at the end of the connection.
    pub(super) fn head(&mut self, longest: usize) -> io::Result<Option<Vec<u8>>> {
        loop {
            let end = self.ready.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                let rest = self.ready.split_off(end + 4);
                return Ok(Some(std::mem::replace(&mut self.ready, rest)));
            }
            if self.ready.len() > longest {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads the next `length` bytes.
    pub(super) fn take(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let length = length as usize;
        while self.ready.len() < length {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.ready.split_off(length);
        Ok(std::mem::replace(&mut self.ready, rest))
    }

    /// Discards the next `length` bytes.
    pub(super) fn discard(&mut self, length: u64) -> io::Result<()> {
        let here = length.min(self.ready.len() as u64);
        self.ready.drain(..here as usize);
        let mut left = length - here;
        while left > 0 {
            let gone = match &mut self.tls {
                None => swallow(&self.stream, &mut self.buffer, left)?,
                Some(tls) => {
                    let (mut gone, ready) = (0, &mut self.ready);
                    tls.read(&mut self.stream, |bytes| {
                        let now = (left - gone).min(bytes.len() as u64);
                        gone += now;
                        ready.extend_from_slice(&bytes[now as usize..]);
                    })?;
                    match (gone, tls.ended) {
                        (0, true) => 0,
                        (0, false) => continue,
                        _ => gone,
                    }
                }
            };
            if gone == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= gone;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes),
            Some(tls) => tls.write(&mut self.stream, bytes),
        }
    }

    /// Closes the connection so that the last answer arrives.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let mut rest = [0; 4096];
        while self.stream.read(&mut rest)? > 0 {}
        Ok(())
    }

    /// Reads more bytes; returns their number, 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        let before = self.ready.len();
        match &mut self.tls {
            None => {
                let read = self.stream.read(&mut self.buffer)?;
                self.ready.extend_from_slice(&self.buffer[..read]);
            }
            Some(tls) => {
                while self.ready.len() == before && !tls.ended {
                    let ready = &mut self.ready;
                    tls.read(&mut self.stream, |bytes| ready.extend_from_slice(bytes))?;
                }
            }
        }
        Ok(self.ready.len() - before)
    }
}

/// Discards at most `most` bytes of the socket's buffer: Linux does so without copying them (tcp(7), `MSG_TRUNC`).
#[cfg(target_os = "linux")]
fn swallow(stream: &TcpStream, buffer: &mut Vec<u8>, most: u64) -> io::Result<u64> {
    use rustix::net::{RecvFlags, recv};
    if buffer.len() < GULP {
        buffer.resize(GULP, 0);
    }
    let most = (most as usize).min(GULP);
    let gone = recv(stream, &mut buffer[..most], RecvFlags::TRUNC)?;
    Ok(gone.1 as u64)
}

#[cfg(not(target_os = "linux"))]
fn swallow(mut stream: &TcpStream, buffer: &mut Vec<u8>, most: u64) -> io::Result<u64> {
    if buffer.len() < GULP {
        buffer.resize(GULP, 0);
    }
    let most = (most as usize).min(GULP);
    Ok(stream.read(&mut buffer[..most])? as u64)
}

impl Tls {
    /// Decrypts the buffered bytes, or reads more first.
    fn read(&mut self, stream: &mut TcpStream, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut start = 0;
        let mut got = false;
        loop {
            let UnbufferedStatus { discard, state, .. } = self
                .connection
                .process_tls_records(&mut self.incoming[start..self.filled]);
            let mut used = discard;
            match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(io::Error::other)?;
                        used += record.discard;
                        each(record.payload);
                        got = true;
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    encode(&mut self.outgoing, |room| data.encode(room))?;
                }
                ConnectionState::TransmitTlsData(data) => {
                    stream.write_all(&self.outgoing)?;
                    self.outgoing.clear();
                    data.done();
                }
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.ended = true;
                    return Ok(());
                }
                // The buffered bytes do not make a whole record.
                _ => {
                    start += used;
                    self.incoming.copy_within(start..self.filled, 0);
                    self.filled -= start;
                    if got {
                        return Ok(());
                    }
                    let read = stream.read(&mut self.incoming[self.filled..])?;
                    self.filled += read;
                    self.ended = read == 0;
                    if self.ended {
                        return Ok(());
                    }
                    start = 0;
                    continue;
                }
            }
            start += used;
        }
    }

    fn write(&mut self, stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            let ConnectionState::WriteTraffic(mut traffic) = state.map_err(io::Error::other)?
            else {
                return Err(io::ErrorKind::BrokenPipe.into());
            };
            let (now, rest) = bytes.split_at(bytes.len().min(16 << 10));
            let mut room = vec![0; now.len() + RECORD];
            let len = traffic.encrypt(now, &mut room).map_err(io::Error::other)?;
            stream.write_all(&room[..len])?;
            bytes = rest;
        }
        Ok(())
    }
}

/// Appends to `outgoing` the output of `encode`, which states the room that it needs.
fn encode(
    outgoing: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> io::Result<()> {
    let start = outgoing.len();
    outgoing.resize(start + RECORD, 0);
    let written = match encode(&mut outgoing[start..]) {
        Err(EncodeError::InsufficientSize(size)) => {
            outgoing.resize(start + size.required_size, 0);
            encode(&mut outgoing[start..])
        }
        written => written,
    };
    outgoing.truncate(start + written.map_err(io::Error::other)?);
    Ok(())
}

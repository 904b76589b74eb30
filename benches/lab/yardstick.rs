//! The limit: the least that a program can do to send a file, or to hash it. Each runs in a process of its own.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use memmap2::MmapOptions;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const PIECE: u64 = 256 << 10;

/// `raw ADDRESS FILE`, `rustls ADDRESS FILE CA_FILE`, `sha256 FILE`.
pub(crate) fn run(words: &[String]) -> io::Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["raw", address, file] => send(TcpStream::connect(address)?, address, Path::new(file)),
        ["rustls", address, file, ca_file] => {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let tls =
                ClientConnection::new(trusting(ca_file)?, name()?).map_err(io::Error::other)?;
            send(StreamOwned::new(tls, stream), address, Path::new(file))
        }
        ["sha256", file] => hash(Path::new(file)),
        _ => Err(io::Error::other("no such yardstick")),
    }
}

fn name() -> io::Result<ServerName<'static>> {
    ServerName::try_from("127.0.0.1").map_err(io::Error::other)
}

fn trusting(ca_file: &str) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(io::Error::other)? {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// One PUT of the whole file from a map, by blocking writes.
#[expect(
    unsafe_code,
    reason = "a map is the least that sending a file can cost"
)]
fn send(mut stream: impl Read + Write, address: &str, file: &Path) -> io::Result<()> {
    let file = File::open(file)?;
    let size = file.metadata()?.len();
    write!(
        stream,
        "PUT /_emulator/sink HTTP/1.1\r\nHost: {address}\r\nContent-Length: {size}\r\n\r\n"
    )?;
    // SAFETY: the lab made this sample and changes it only after this process has ended.
    let all = unsafe { MmapOptions::new().populate().map(&file)? };
    for piece in all.chunks(PIECE as usize) {
        stream.write_all(piece)?;
    }
    stream.flush()?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(io::Error::other(answer)),
    }
}

fn hash(file: &Path) -> io::Result<()> {
    let (mut file, mut hasher) = (File::open(file)?, Sha256::new());
    let mut buffer = vec![0; PIECE as usize];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    println!("{}", hex::encode(hasher.finalize()));
    Ok(())
}

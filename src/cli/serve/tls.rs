//! TLS of the service's address: a certificate and its key from files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Failure;

/// Most bytes of a file.
const MOST: u64 = 1 << 20;

/// Reads both files, which have to belong together.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Failure> {
    let (_, text) = read(certificate).map_err(|error| cannot(certificate, &error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = match chain {
        Ok(chain) if !chain.is_empty() => chain,
        _ => return Err(cannot(certificate, &"there is no certificate in PEM in it")),
    };
    let (mode, text) = read(key).map_err(|error| cannot(key, &error))?;
    if mode & 0o077 != 0 {
        let key = key.display();
        return Err(Failure::usage(format!(
            "{key} is the private key of TLS, and others can read it (mode {:04o}): chmod 600 {key}",
            mode & 0o7777
        )));
    }
    // What is wrong with a key stays unsaid: the text may repeat some of it.
    let private = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| cannot(key, &"there is no private key in PEM in it"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let built = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            config
                .with_no_client_auth()
                .with_single_cert(chain, private)
        });
    let mut config = built.map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        Failure::usage(format!(
            "{certificate} and {key} are no certificate and its key: {error}."
        ))
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn cannot(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{} cannot be used for TLS: {why}.", path.display()))
}

/// The mode of a file, and its bytes.
fn read(path: &Path) -> io::Result<(u32, Vec<u8>)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST {
        true => Err(io::Error::other("it has more than 1 MiB")),
        false => Ok((mode, bytes)),
    }
}

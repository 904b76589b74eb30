//! TLS on both sides: the server's certificate, and the roots that a pull trusts.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The service's hosts, documented (D MTG, UP, DP, GSU, LKW) or seen (F AutoPromote, aitiktokz), for clients with fixed
/// hosts that a hosts entry sends here.
pub(crate) const SERVICE: [&str; 8] = [
    "open.tiktokapis.com",
    "open-upload.tiktokapis.com",
    "open-upload-va.tiktokapis.com",
    "open-upload-i18n.tiktokapis.com",
    "open-upload-sg.tiktokapis.com",
    "open-upload.us.tiktokapis.com",
    "upload.us.tiktokapis.com",
    "www.tiktok.com",
];

/// The local names of every machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Makes a certificate for the service's hosts, this machine and `more` names or addresses, and writes the authority
/// that signed it to `ca_file` in PEM.
///
/// Authority and keys are new each time, and keys are never written: a client that trusts the file trusts only this run
/// of the server. The authority has a new name each time, and the certificate names its signing key: clients that trust
/// several authorities find the right one by these.
pub(crate) fn config(
    ca_file: &Path,
    http2: bool,
    more: impl IntoIterator<Item = String>,
) -> io::Result<Arc<ServerConfig>> {
    let mut params = CertificateParams::default();
    let name = format!("chunkferry emulator {:016x}", fastrand::u64(..));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let authority = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;

    let mut names: Vec<String> = SERVICE
        .iter()
        .chain(&LOCAL)
        .map(|&name| name.to_owned())
        .collect();
    // IPv6 addresses are in brackets as hosts.
    names.extend(
        more.into_iter()
            .map(|name| name.trim_matches(['[', ']']).to_owned()),
    );
    names.sort_unstable();
    names.dedup();
    let mut leaf = CertificateParams::new(names).map_err(io::Error::other)?;
    leaf.distinguished_name.push(DnType::CommonName, SERVICE[0]);
    // Stated explicitly, so that a subject key id is written, too.
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = leaf.signed_by(&key, &authority).map_err(io::Error::other)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;

    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .map_err(io::Error::other)?;
    // HTTP/2 is offered only if the server speaks it.
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    std::fs::write(ca_file, authority.pem())?;
    Ok(Arc::new(config))
}

/// Largest file of certificates in bytes.
const MOST_CERTIFICATES: u64 = 1 << 20;

/// Reads a file that a setting names; refuses files that block or never end.
fn read_certificates(file: &str) -> io::Result<Vec<u8>> {
    let wrong = |what: &str| io::Error::other(format!("{file} {what}"));
    // Checked before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(file)?.is_file() {
        return Err(wrong("is no regular file"));
    }
    let mut text = Vec::new();
    let opened = std::fs::File::open(file)?;
    opened.take(MOST_CERTIFICATES + 1).read_to_end(&mut text)?;
    match text.len() as u64 > MOST_CERTIFICATES {
        true => Err(wrong("is larger than 1 MiB")),
        false => Ok(text),
    }
}

/// Connects to the host of a pull; trusts the system's roots and those in `ca_file`.
pub(crate) async fn connect(
    stream: TcpStream,
    host: &str,
    ca_file: Option<&str>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    // On a system without roots only the file counts.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let text = read_certificates(file)?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(io::Error::other)?;
            roots.add(certificate).map_err(io::Error::other)?;
        }
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

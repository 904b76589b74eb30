//! The address that the service listens on beside its socket.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::access::Entrance;
use super::hosts::{self, Hosts};
use super::{key_file, tls};
use crate::Failure;

#[derive(Debug, Args)]
pub(super) struct Address {
    /// Listen on TCP, too, such as 127.0.0.1:8790, with keys
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "api_keys_file")]
    listen: Option<SocketAddr>,
    /// The keys for --listen: names, roles, accounts and digests in TOML
    #[arg(long, value_name = "FILE", requires = "listen")]
    api_keys_file: Option<PathBuf>,
    /// The certificate of the address in PEM, with those that signed it
    #[arg(long, value_name = "FILE", requires_all = ["listen", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A proxy in front of the address speaks TLS for it
    #[arg(long, requires = "listen", conflicts_with = "tls_cert")]
    behind_proxy: bool,
    /// A name under which clients reach the address (repeatable)
    #[arg(long = "host", value_name = "NAME", requires = "listen", value_parser = hosts::named)]
    hosts: Vec<String>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = "it is an IP address with a port, such as 127.0.0.1:8790 or [::1]:8790";
    text.parse().map_err(|_| wrong.to_owned())
}

/// An address that is listened on.
pub(super) struct Network {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<TlsAcceptor>,
}

impl Address {
    /// Reads all files and listens, if there is an address. Nobody is answered yet.
    pub(super) async fn open(self) -> Result<Option<(Network, Entrance)>, Failure> {
        let (Some(address), Some(keys)) = (self.listen, self.api_keys_file) else {
            return Ok(None);
        };
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
            _ => None,
        };
        if tls.is_none() && !self.behind_proxy && !address.ip().to_canonical().is_loopback() {
            return Err(Failure::usage(format!(
                "{address} is reached from other machines, and keys must not cross a network in the clear. Give --tls-cert and --tls-key, or --behind-proxy if a proxy in front speaks TLS."
            )));
        }
        let keys = key_file::follow(keys)?;
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => Failure::temporary(format!(
                "Another process listens on {address}. Name another address with --listen."
            )),
            _ => Failure::usage(format!("{address} cannot be listened on: {error}.")),
        };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let hosts = Hosts::new(&self.hosts, tls.is_some());
        let entrance = Entrance {
            keys,
            hosts,
            is_encrypted: tls.is_some() || self.behind_proxy,
        };
        let network = Network {
            listener,
            address,
            tls,
        };
        Ok(Some((network, entrance)))
    }
}

impl Network {
    pub(super) async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.listener.accept().await?;
        // Answers are small and urgent; if this fails they are only late.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Where clients reach it.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

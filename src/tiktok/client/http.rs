//! How connections are made: certificates, proxies, timeouts.

use std::sync::Arc;

use crate::error::cause::innermost;
use crate::error::{Error, Remedy};
use crate::source::https::network::Resolver;
use crate::tiktok::ca_file::CaFile;
use crate::tiktok::hosts::{HostPolicy, is_loopback};
use crate::upload::retry::Waits;

/// Most header lines of an answer; gateways add some of their own.
const MOST_HEADERS: usize = 200;

/// A client whose requests use HTTP/1.1 with an exact length, follow no redirect, and are never repeated by the transport.
pub(super) fn client(
    hosts: &HostPolicy,
    waits: Waits,
    ca_file: Option<&CaFile>,
    resolver: Option<Resolver>,
) -> Result<reqwest::Client, Error> {
    let named = ca_file.map_or_else(|| Ok(Vec::new()), certificates)?;
    let resolver = resolver.map(Arc::new);
    let build = |roots: Roots| {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("chunkferry/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_max_headers(MOST_HEADERS)
            .connect_timeout(waits.connect)
            .tcp_nodelay(true);
        if let Some(resolver) = &resolver {
            builder = builder.dns_resolver(Arc::clone(resolver));
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            builder = builder.tcp_user_timeout(waits.stall);
        }
        // A proxy would resolve loopback to itself, and would see the token unencrypted.
        if is_loopback(hosts.base()) {
            builder = builder.no_proxy();
        }
        match roots {
            Roots::System => builder.tls_certs_merge(named.clone()),
            Roots::Named => builder.tls_certs_only(named.clone()),
        }
        .build()
    };
    let http = match build(Roots::System) {
        // A system without certificates: an emulator over http needs none, and a CA file suffices.
        Err(_) if ca_file.is_some() || hosts.base().scheme() == "http" => build(Roots::Named),
        built => built,
    };
    http.map_err(|error| {
        Error::usage(format!("TLS cannot be set up: {}.", innermost(&error)))
            .helped_by([Remedy::TrustCertificates])
    })
}

/// The trusted certificates.
#[derive(Clone, Copy)]
enum Roots {
    /// The system's, and those of the CA file.
    System,
    /// Only those of the CA file.
    Named,
}

fn certificates(file: &CaFile) -> Result<Vec<reqwest::Certificate>, Error> {
    let found = reqwest::Certificate::from_pem_bundle(&file.pem()?);
    let found = found.map_err(|error| file.unusable(&error.to_string()))?;
    match found.is_empty() {
        true => Err(file.unusable("it has no certificate")),
        false => Ok(found),
    }
}

//! Who may choose the files that this server reads and the hosts that it calls; and the addresses that it never calls.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::http::request::Parts;

use super::connection::Line;

/// The origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// A program on this machine.
    Local,
    /// Another machine, by its address.
    Remote(IpAddr),
    /// A client behind a proxy.
    Proxied,
}

/// Headers that proxies add to requests.
const BY_PROXY: [&str; 5] = [
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-real-ip",
];

impl Sender {
    pub(crate) fn of(parts: &Parts) -> Self {
        let proxied = BY_PROXY
            .iter()
            .any(|name| parts.headers.contains_key(*name));
        match parts.extensions.get::<Arc<Line>>() {
            Some(line) if !proxied && line.client.address.is_loopback() => Self::Local,
            Some(line) if !proxied => Self::Remote(line.client.address),
            _ => Self::Proxied,
        }
    }
}

/// The addresses of a host that may be called.
///
/// Link-local addresses never are: cloud machines serve their credentials there. `only`: the one allowed address.
pub(crate) fn callable(
    host: &str,
    found: impl Iterator<Item = SocketAddr>,
    only: Option<IpAddr>,
) -> io::Result<Vec<SocketAddr>> {
    let mut refused = format!("{host} has no address");
    let mut callable = Vec::new();
    for address in found {
        let ip = address.ip().to_canonical();
        if is_link_local(ip) {
            refused = format!("{host} has the link-local address {ip}, which is never called");
        } else if only.is_some_and(|only| only != ip) {
            refused = format!("{host} is not the machine that registered it");
        } else {
            callable.push(address);
        }
    }
    match callable.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::PermissionDenied, refused)),
        false => Ok(callable),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(found: &[&str], only: Option<&str>) -> Result<usize, String> {
        let found = found
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 80));
        let only = only.map(|ip| ip.parse().unwrap());
        let callable = callable("host.example", found, only);
        callable
            .map(|found| found.len())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn whatever_a_name_resolves_to_a_link_local_address_is_never_called() {
        for address in [
            "169.254.169.254",
            "fe80::1",
            "febf::1",
            "::ffff:169.254.169.254",
        ] {
            let why = called(&[address], None).unwrap_err();
            assert!(why.contains("link-local"), "{why}");
            assert_eq!(called(&[address, "192.0.2.1"], None), Ok(1));
        }
        assert_eq!(
            called(&["127.0.0.1", "::1", "10.0.0.1", "fec0::1"], None),
            Ok(4)
        );
        assert!(called(&[], None).is_err());
    }

    #[test]
    fn a_receiver_that_must_be_one_machine_is_no_other() {
        assert_eq!(
            called(&["10.0.0.7", "::ffff:10.0.0.7"], Some("10.0.0.7")),
            Ok(2)
        );
        let why = called(&["127.0.0.1", "10.0.0.8"], Some("10.0.0.7")).unwrap_err();
        assert!(why.contains("not the machine"), "{why}");
    }
}

//! Which hosts a video may be fetched from: a service that takes URLs from others must be no way into its own network.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Where videos may lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// Hosts of this network, too: private and link-local addresses.
    pub(crate) private: bool,
    /// This machine, too, also over http: the API base is no longer the live service's.
    pub(crate) this_machine: bool,
}

impl Reach {
    fn allows(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            address if address.is_loopback() => self.private || self.this_machine,
            IpAddr::V4(address) => self.private || is_public(address),
            IpAddr::V6(address) => self.private || is_public_v6(address),
        }
    }

    /// Refuses a URL that is not fetched, before any request; the addresses of a name are checked when they are known.
    pub(super) fn check(self, url: &Url) -> Result<(), &'static str> {
        let (here, address) = match url.host() {
            Some(Host::Ipv4(address)) => (address.is_loopback(), Some(IpAddr::from(address))),
            Some(Host::Ipv6(address)) => (address.is_loopback(), Some(IpAddr::from(address))),
            Some(Host::Domain(name)) => (name == "localhost", None),
            None => return Err("it names no host"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it carries a user name");
        }
        match url.scheme() {
            "https" => {}
            "http" if here && (self.this_machine || self.private) => {}
            _ => return Err("a video is fetched over https only"),
        }
        match address {
            Some(address) if !self.allows(address) => Err(PRIVATE),
            _ => Ok(()),
        }
    }
}

/// Why a host is not asked.
pub(super) const PRIVATE: &str =
    "its host is in this network or on this machine, which is not allowed";

/// Whether the address is one of the internet. Source: IANA's registry of special-purpose addresses.
fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarks = a == 198 && (18..20).contains(&b);
    let assignments = (a, b, c) == (192, 0, 0);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || shared
        || benchmarks
        || assignments
        || a == 0
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Addresses of IPv4 behind a translator (64:ff9b::/96) and of 6to4 (2002::/16).
    let [.., a, b, c, d] = address.octets();
    let translated = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let [_, _, e, f, g, h, ..] = address.octets();
    match segments[0] {
        0x64 if translated => is_public(Ipv4Addr::new(a, b, c, d)),
        0x2002 => is_public(Ipv4Addr::new(e, f, g, h)),
        0x2001 => segments[1] >= 0x200 && segments[1] != 0xdb8,
        0x2000..0x4000 => true,
        _ => false,
    }
}

/// Finds the addresses of hosts, and leaves out those that are not reached.
#[derive(Debug)]
pub(crate) struct Resolver {
    reach: Reach,
    /// Hosts of proxies. They belong to this network, and decide themselves what they reach.
    proxies: Vec<String>,
}

impl Resolver {
    pub(crate) fn new(reach: Reach) -> Self {
        let names = [
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ];
        let proxies = names.iter().filter_map(|name| {
            let uri: Uri = std::env::var(name).ok()?.parse().ok()?;
            Some(uri.host()?.to_owned())
        });
        Self {
            reach,
            proxies: proxies.collect(),
        }
    }
}

/// No address of a host is reached.
#[derive(Debug)]
pub(super) struct Unreached;

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PRIVATE)
    }
}

impl std::error::Error for Unreached {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        let is_proxy = self.proxies.iter().any(|proxy| proxy == name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::AddrNotAvailable).into());
            }
            let reached = found.into_iter();
            let reached = reached.filter(|address| is_proxy || reach.allows(address.ip()));
            let reached: Vec<SocketAddr> = reached.collect();
            match reached.is_empty() {
                true => Err(Unreached.into()),
                false => Ok(Box::new(reached.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Reach = Reach {
        private: false,
        this_machine: false,
    };

    fn check(reach: Reach, url: &str) -> Result<(), &'static str> {
        reach.check(&Url::parse(url).expect("a URL"))
    }

    #[test]
    fn a_url_is_no_way_into_the_network() {
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::1]",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.170",
            "2130706433",
            "0x7f.1",
            "[2001:db8::1]",
        ] {
            let url = format!("https://{address}/clip.mp4");
            assert_eq!(check(LIVE, &url), Err(PRIVATE), "{address}");
            let private = Reach {
                private: true,
                ..LIVE
            };
            assert_eq!(check(private, &url), Ok(()), "{address}");
        }
        for address in [
            "93.184.216.34",
            "[2606:2800:220:1::1]",
            "media.example",
            "8.8.8.8",
        ] {
            assert_eq!(
                check(LIVE, &format!("https://{address}/clip.mp4")),
                Ok(()),
                "{address}"
            );
        }
    }

    #[test]
    fn a_video_goes_through_no_network_in_the_clear() {
        let emulated = Reach {
            this_machine: true,
            ..LIVE
        };
        for url in [
            "http://media.example/a.mp4",
            "http://93.184.216.34/a.mp4",
            "ftp://media.example/a.mp4",
        ] {
            assert!(check(LIVE, url).is_err(), "{url}");
            assert!(check(emulated, url).is_err(), "{url}");
        }
        for url in [
            "http://127.0.0.1:80/a.mp4",
            "http://[::1]/a.mp4",
            "http://localhost/a.mp4",
        ] {
            assert!(check(LIVE, url).is_err(), "{url}");
            assert_eq!(check(emulated, url), Ok(()), "{url}");
        }
        assert_eq!(check(emulated, "https://10.0.0.1/a.mp4"), Err(PRIVATE));
        assert!(check(LIVE, "https://lena:secret@media.example/a.mp4").is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_into_the_network_is_not_followed() {
        let name = || "localhost".parse().expect("a name");
        let refused = Resolver::new(LIVE).resolve(name()).await;
        let error = refused.err().expect("this machine");
        assert!(error.downcast_ref::<Unreached>().is_some(), "{error}");
        let emulated = Reach {
            this_machine: true,
            ..LIVE
        };
        assert!(Resolver::new(emulated).resolve(name()).await.is_ok());
    }
}

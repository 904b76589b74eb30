//! What a started emulator prints for people: where its page and its API are, which tokens it takes, and a command that
//! uploads a video to it.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, absolute};

use chunkferry::Escaped;
use chunkferry::emulator::Emulator;

/// The lines after `listening on URL`, each with its line break. `ca_file`: the authority to trust if it speaks TLS;
/// `issued`: it takes only tokens that it issued itself.
pub(super) fn hints(emulator: &Emulator, ca_file: Option<&Path>, issued: bool) -> String {
    let base = base(emulator);
    let (token, account, tokens) = match issued {
        false => (
            "act.lena.x",
            " --account lena",
            "act.NAME.x acts for the creator NAME, any other token for a creator of its own"
                .to_owned(),
        ),
        true => (
            "TOKEN",
            "",
            format!(
                "{base}/v2/auth/authorize/ gives a code, and {base}/v2/oauth/token/ a token for it"
            ),
        ),
    };
    let mut more = String::new();
    if let Some(file) = ca_file {
        let file = absolute(file).unwrap_or_else(|_| file.to_owned());
        let file = quoted(&Escaped::new(&file).to_string());
        // Writing to a string does not fail.
        let _ = write!(more, " --ca-file {file}");
    } else if !reached_at(emulator).is_loopback() {
        more.push_str(" --allow-http");
    }
    format!(
        "  page:     {base}/\n  API base: {base}\n  token:    {tokens}\n  upload:\n    \
         TIKTOK_ACCESS_TOKEN={token} chunkferry upload clip.mp4{account} --api-base {base}{more}\n"
    )
}

/// Its URL as this machine reaches it.
fn base(emulator: &Emulator) -> String {
    let url = emulator.url();
    let listens = emulator.address().ip().to_string();
    url.replacen(&listens, &reached_at(emulator).to_string(), 1)
}

/// Whoever listens on every address is reached on loopback, too.
fn reached_at(emulator: &Emulator) -> IpAddr {
    match emulator.address().ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    match text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

//! The lines that a started emulator prints: its page, its API, its tokens, and a command that uploads a video to it.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, absolute};

use chunkferry::Escaped;
use chunkferry::emulator::Emulator;

/// The lines after `listening on URL`, each with its line break. `ca_file`: the authority to trust, if it speaks TLS;
/// `issued`: it accepts only tokens that it issued.
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

/// The URL by which this machine reaches the emulator.
fn base(emulator: &Emulator) -> String {
    let url = emulator.url();
    let listens = emulator.address().ip().to_string();
    url.replacen(&listens, &reached_at(emulator).to_string(), 1)
}

/// An emulator on all addresses is reached on loopback, too.
fn reached_at(emulator: &Emulator) -> IpAddr {
    match emulator.address().ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Quotes a text as one word for a shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    match text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

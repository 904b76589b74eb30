//! TLS, HTTP/2, and a server that stops.

use std::path::Path;
use std::process::{Command, Stdio};

use chunkferry::emulator::{Emulator, Settings};
use serde_json::json;

use crate::client::{INBOX_INIT, TOKEN, plan, post, sample, sha256, started};
use crate::transfer::wait_until;

/// curl speaks for clients that are not ours; machines without it prove nothing here.
fn curl(args: &[&str]) -> Option<String> {
    output(
        Command::new("curl")
            .args(["-sS", "--max-time", "20"])
            .args(args),
    )
}

/// What a program prints; `None`, and a word about it, where it is not installed.
fn output(command: &mut Command) -> Option<String> {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("NOT TESTED: {command:?} does not start");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}

/// An emulator that speaks TLS, and the authority it wrote.
fn tls(dir: &Path, name: &str) -> (Emulator, String) {
    let ca = dir.join(name);
    let emulator = Emulator::builder().tls(&ca).start_blocking().unwrap();
    (emulator, std::fs::read_to_string(ca).unwrap())
}

#[test]
fn a_client_with_fixed_hosts_trusts_the_authority_that_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let emulator = Emulator::builder().tls(&ca).start_blocking().unwrap();
    assert!(emulator.url().starts_with("https://127.0.0.1:"));
    let port = emulator.address().port();
    let ca = ca.to_str().unwrap();
    for host in [
        "open.tiktokapis.com",
        "open-upload.tiktokapis.com",
        "open-upload-va.tiktokapis.com",
        "open-upload-i18n.tiktokapis.com",
        "open-upload-sg.tiktokapis.com",
        "open-upload.us.tiktokapis.com",
        "upload.us.tiktokapis.com",
        "www.tiktok.com",
        "localhost",
    ] {
        let to = format!("{host}:{port}:127.0.0.1");
        let url = format!("https://{host}:{port}/_emulator/log");
        if let Some(log) = curl(&["--cacert", ca, "--resolve", &to, "--noproxy", "*", &url]) {
            assert!(log.contains("\"drafts\":0"), "{log}");
            let page = format!("https://{host}:{port}/");
            let page = curl(&["--cacert", ca, "--resolve", &to, "--noproxy", "*", &page]);
            let here = format!("<code>https://{host}:{port}</code>");
            assert!(page.is_some_and(|page| page.contains(&here)));
        }
    }
}

#[test]
fn a_bundle_in_which_an_older_authority_comes_first_is_no_trap() {
    let dir = tempfile::tempdir().unwrap();
    let (older, first) = tls(dir.path(), "older.pem");
    drop(older);
    let (emulator, second) = tls(dir.path(), "ca.pem");
    let bundle = dir.path().join("bundle.pem");
    std::fs::write(&bundle, first + &second).unwrap();
    let port = emulator.address().port();
    let url = format!("https://localhost:{port}/_emulator/log");

    let file = bundle.to_str().unwrap();
    let asked = [
        curl(&["--cacert", file, "--noproxy", "*", &url]),
        // Strict, as newer releases are by default.
        output(
            Command::new("python3")
                .args(["-c", PYTHON, &url])
                .env("BUNDLE", file),
        ),
        output(
            Command::new("node")
                .args(["-e", NODE, &url])
                .env("NODE_EXTRA_CA_CERTS", file),
        ),
    ];
    for log in asked.into_iter().flatten() {
        assert!(log.contains("\"drafts\":0"), "{log}");
    }
    output(
        Command::new("openssl")
            .args(["s_client", "-verify_return_error", "-x509_strict"])
            .args(["-verify_hostname", "localhost", "-CAfile", file])
            .args(["-connect", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null()),
    );
}

const PYTHON: &str = "
import os, ssl, sys, urllib.request
context = ssl.create_default_context(cafile=os.environ['BUNDLE'])
context.verify_flags |= ssl.VERIFY_X509_STRICT
https = urllib.request.HTTPSHandler(context=context)
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
print(direct.open(sys.argv[1]).read().decode())
";

const NODE: &str = "
require('https').get(process.argv[1], answer => answer.pipe(process.stdout))
    .on('error', error => { console.error(error); process.exit(1); });
";

#[test]
fn authorities_of_two_starts_are_told_apart_and_leaves_name_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let subject = |name: &str| {
        let (emulator, _) = tls(dir.path(), name);
        let file = dir.path().join(name);
        let args = ["x509", "-noout", "-subject", "-ext", "subjectKeyIdentifier"];
        let shown = output(Command::new("openssl").args(args).arg("-in").arg(&file))?;
        let to = format!("127.0.0.1:{}", emulator.address().port());
        let leaf = output(
            Command::new("openssl")
                .args(["s_client", "-connect", &to])
                .stdin(Stdio::null()),
        )?;
        let leaf_file = dir.path().join("leaf.pem");
        std::fs::write(&leaf_file, leaf).unwrap();
        let args = [
            "x509",
            "-noout",
            "-ext",
            "authorityKeyIdentifier,subjectKeyIdentifier,extendedKeyUsage",
        ];
        let leaf = output(
            Command::new("openssl")
                .args(args)
                .arg("-in")
                .arg(&leaf_file),
        )?;
        let key = shown.lines().last().unwrap().trim().to_owned();
        let mut named = leaf.lines().skip_while(|line| !line.contains("Authority"));
        assert_eq!(named.nth(1).unwrap().trim(), key, "{shown}{leaf}");
        assert!(leaf.contains("Subject Key Identifier"), "{leaf}");
        assert!(leaf.contains("TLS Web Server Authentication"), "{leaf}");
        Some(shown.lines().next().unwrap().to_owned())
    };
    let subjects = [subject("a.pem"), subject("b.pem")];
    assert!(
        subjects[0].is_none() || subjects[0] != subjects[1],
        "{subjects:?}"
    );
}

#[test]
fn a_name_or_an_address_that_the_user_chose_is_in_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let emulator = Emulator::builder()
        .listen("127.0.0.7:0".parse().unwrap())
        .allow_host("emulator.test")
        .allow_host("[::1]")
        .upload_origin("https://upload.test:8443")
        .tls(&ca)
        .start_blocking()
        .unwrap();
    let (ca, port) = (ca.to_str().unwrap(), emulator.address().port());
    for host in ["emulator.test", "upload.test", "127.0.0.7"] {
        let to = format!("{host}:{port}:127.0.0.7");
        let url = format!("https://{host}:{port}/_emulator/log");
        let args = ["--cacert", ca, "--resolve", &to, "--noproxy", "*", &url];
        if let Some(log) = curl(&args) {
            assert!(log.contains("\"drafts\":0"), "{log}");
        }
    }
}

#[test]
fn http2_is_spoken_only_where_it_was_switched_on() {
    for (set, version) in [("off", "1.1"), ("on", "2")] {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let mut settings = Settings::default();
        settings.set("http2", set).unwrap();
        let emulator = Emulator::builder()
            .settings(settings)
            .tls(&ca)
            .start_blocking()
            .unwrap();
        let url = format!("{}/_emulator/log", emulator.url());
        let ca = ca.to_str().unwrap();
        let args = [
            "--cacert",
            ca,
            "--http2",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-w",
            "%{http_version}",
            &url,
        ];
        if let Some(spoken) = curl(&args) {
            assert_eq!(spoken, version);
        }
    }
}

#[test]
fn a_stopped_server_frees_its_port_and_its_clients() {
    let emulator = Emulator::builder().start_blocking().unwrap();
    let address = emulator.address();
    let mut held = std::net::TcpStream::connect(address).unwrap();
    drop(emulator);
    let again = Emulator::builder().listen(address).start_blocking();
    assert!(again.is_ok(), "{again:?}");
    let ended = std::io::Read::read(&mut held, &mut [0]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_runtime_with_one_thread_can_block_on_it() {
    let emulator = Emulator::start().await.unwrap();
    let upload = crate::client::Upload::init(&emulator, 1000, 1000, 1);
    assert_eq!(upload.put(&emulator, 0, 1000).status, 201);
}

#[test]
fn a_pull_over_tls_trusts_the_file_it_was_given_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let host = Emulator::builder().tls(&ca).start_blocking().unwrap();
    let url = format!("https://localhost:{}/_emulator/log", host.address().port());
    let trusted = format!("pull_ca_file={}", ca.display());
    for (set, ending) in [
        (&*trusted, "SEND_TO_USER_INBOX"),
        ("pull_ca_file=none", "FAILED"),
    ] {
        let emulator = started(&[set], &[]);
        let body = json!({"source_info": {"source": "PULL_FROM_URL", "video_url": url}});
        assert_eq!(post(&emulator, INBOX_INIT, TOKEN, &body).status, 200);
        wait_until(|| emulator.log().sessions[0].status == ending);
        assert_eq!(emulator.log().sessions[0].received > 0, ending != "FAILED");
    }
}

#[test]
fn a_chunk_over_http2_counts_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, clip) = (dir.path().join("ca.pem"), dir.path().join("clip"));
    std::fs::write(&clip, sample(0, 3_000_000)).unwrap();
    let mut settings = Settings::default();
    settings.set("http2", "on").unwrap();
    let emulator = Emulator::builder()
        .settings(settings)
        .tls(&ca)
        .start_blocking()
        .unwrap();
    let (ca, clip) = (ca.to_str().unwrap(), format!("@{}", clip.display()));
    let base = ["--cacert", ca, "--http2", "--noproxy", "*"];
    let init = format!("{}{INBOX_INIT}", emulator.url());
    let body = plan(3_000_000, 3_000_000, 1).to_string();
    let bearer = "Authorization: Bearer act.lena.1";
    let json_type = "Content-Type: application/json";
    let call = ["-H", bearer, "-H", json_type, "--data-binary", &body, &init];
    let Some(answer) = curl(&[&base[..], &call[..]].concat()) else {
        return;
    };
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let url = answer["data"]["upload_url"].as_str().unwrap();
    let put = [
        "-X",
        "PUT",
        "-H",
        "Content-Type: video/mp4",
        "-H",
        "Content-Range: bytes 0-2999999/3000000",
        "--data-binary",
        &clip,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{http_version}",
        url,
    ];
    assert_eq!(
        curl(&[&base[..], &put[..]].concat()).as_deref(),
        Some("201 2")
    );
    let expected = sha256(&sample(0, 3_000_000));
    assert_eq!(emulator.log().sessions[0].sha256, Some(expected));
}

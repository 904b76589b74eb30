//! TLS, HTTP/2, and a server that stops.

use std::process::Command;

use chunkferry::emulator::{Emulator, Settings};
use serde_json::json;

use crate::client::{INBOX_INIT, TOKEN, plan, post, sample, sha256, started};
use crate::transfer::wait_until;

/// curl speaks for clients that are not ours; machines without it prove nothing here.
fn curl(args: &[&str]) -> Option<String> {
    let output = match Command::new("curl")
        .args(["-sS", "--max-time", "20"])
        .args(args)
        .output()
    {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
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

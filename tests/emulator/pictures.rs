//! The pictures of `docs/emulator.md` and `docs/performance.md`, made anew by
//! `cargo test --release --test emulator pictures -- --ignored`.

use std::path::Path;

use crate::browser::Browser;
use crate::page::{Scene, clip};

/// Width, height, dark, the name of the file.
const PICTURES: [(u64, u64, bool, &str); 4] = [
    (1280, 1000, false, "page-light"),
    (1280, 1000, true, "page-dark"),
    (390, 844, false, "phone-light"),
    (390, 844, true, "phone-dark"),
];

#[test]
#[ignore = "writes into docs/img"]
fn pictures() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/img");
    std::fs::create_dir_all(&dir).unwrap();
    let Some(browser) = Browser::start() else {
        return;
    };
    let scene = Scene::start(
        &["receive_rate=8MB", "progress_unit=last_index"],
        &["put chunk=1 nth=1 cut=3MB"],
    );
    let (url, _received) = crate::webhooks::receiver(&[]);
    crate::webhooks::register(&scene.emulator, &url, None);
    scene.upload(&clip(36_263), "lena").wait().unwrap();
    let mut under_way = scene.upload(&clip(60_000_000), "lena");
    browser.open(&scene.emulator.url());
    browser.wait("document.querySelector('video')?.readyState >= 2");
    browser.run("document.querySelector('video').currentTime = 1.2");
    browser.wait("document.getElementById('webhooks').textContent.includes('inbox_delivered')");
    browser.wait("document.querySelector('.bar .got')?.width.baseVal.value > 500");
    for (width, height, dark, name) in PICTURES {
        browser.picture(width, height, dark, &dir.join(format!("{name}.png")));
    }
    under_way.kill().unwrap();
    under_way.wait().unwrap();
}

/// The page of `bench`, of this machine.
#[test]
#[ignore = "writes into docs/img"]
fn pictures_of_the_bench() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("bench.html");
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_chunkferry"))
        .args(["bench", "--rounds", "5", "--size", "1GB", "--report"])
        .arg(&page)
        .arg("--state-dir")
        .arg(dir.path().join("state"))
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    browser.open(&format!("file://{}", page.display()));
    for dark in [false, true] {
        let scheme = if dark { "dark" } else { "light" };
        let name = format!("docs/img/bench-{scheme}.png");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        browser.picture(960, 1120, dark, &file);
    }
}

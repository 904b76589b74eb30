//! A state directory that somebody else has prepared: no file outside of it is touched, and nothing waits for them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::*;

/// Writes each kind of file that a journal has.
async fn live(dir: &Path, row: &Upload) -> Result<(), Error> {
    let store = SledStore::open(dir, "test")?;
    let mut row = row.clone();
    store.add(row.clone()).await?;
    row.apply(Reply::Intended(None), Now::read(), 0);
    store.init(next(&mut row), Timestamp(1)).await?;
    database::suspect(&dir.join("journal")).map_err(not_noted)?;
    Ok(store.write(delivered(row, 5), None).await?)
}

#[tokio::test]
async fn a_link_that_somebody_planted_leads_no_write_of_ours_to_another_file() {
    let row = pull("lena");
    let note = format!("sealed/{}.new", row.id);
    for name in [
        "lock",
        "status.json",
        "status.new",
        "history.jsonl",
        "journal/db",
        "journal/conf",
        "journal/suspect",
        &note,
    ] {
        let outer = report::scratch();
        let (state, victim) = (outer.path().join("state"), outer.path().join("victim"));
        let planted = state.join(name);
        fs::create_dir_all(planted.parent().expect("a parent")).expect("made");
        fs::write(&victim, "the victim's").expect("written");
        fs::set_permissions(&victim, Permissions::from_mode(0o644)).expect("open");
        symlink(&victim, &planted).expect("planted");
        let lived = live(&state, &row).await;
        assert_eq!(
            fs::read_to_string(&victim).expect("there"),
            "the victim's",
            "{name}"
        );
        let mode = fs::metadata(&victim).expect("there").mode() & 0o777;
        assert_eq!(mode, 0o644, "{name}: its mode was changed");
        if let Err(error) = lived {
            let told = cause(&error);
            assert!(
                told.contains(name.trim_end_matches(".new")),
                "{name}: {told}"
            );
        }
        let _ = crate::journal::StateDir::new(&state).records();
    }
    for name in ["journal", "sealed"] {
        let outer = report::scratch();
        let (state, victim) = (outer.path().join("state"), outer.path().join("victim"));
        fs::create_dir(&state).expect("made");
        fs::create_dir(&victim).expect("made");
        fs::set_permissions(&victim, Permissions::from_mode(0o755)).expect("open");
        symlink(&victim, state.join(name)).expect("planted");
        let error = live(&state, &row).await.expect_err("a link");
        let told = format!("{error}: {}", cause(&error));
        assert!(told.contains(name) && told.contains("link"), "{told}");
        assert_eq!(fs::read_dir(&victim).expect("there").count(), 0, "{name}");
        let mode = fs::metadata(&victim).expect("there").mode() & 0o777;
        assert_eq!(mode, 0o755, "{name}: its mode was changed");
    }
}

#[test]
fn a_pipe_that_somebody_planted_hangs_neither_an_open_nor_a_listing() {
    for name in [
        "lock",
        "status.json",
        "history.jsonl",
        "journal/db",
        "journal/suspect",
        "sealed/0123456789abcdef",
    ] {
        let outer = report::scratch();
        let state = outer.path().join("state");
        let planted = state.join(name);
        fs::create_dir_all(planted.parent().expect("a parent")).expect("made");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &planted,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .expect("planted");
        let (ended, awaited) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            let lived = runtime.block_on(live(&state, &pull("lena")));
            let _ = crate::journal::StateDir::new(&state).records();
            let _ = ended.send(lived);
        });
        let lived = awaited.recv_timeout(Duration::from_secs(60));
        drop(lived.unwrap_or_else(|_| panic!("it hangs: {name}")));
    }
}

#[test]
fn a_directory_of_somebody_else_or_open_to_everybody_is_refused() {
    let dir = report::scratch();
    let mode = |mode| fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("set");
    for open in [0o777, 0o1777, 0o702] {
        mode(open);
        let error = SledStore::open(dir.path(), "test").expect_err("open to everybody");
        assert_eq!(error.kind(), crate::ErrorKind::Usage, "{error}");
        let told = error.to_string();
        assert!(told.contains(&*dir.path().to_string_lossy()), "{told}");
        assert!(told.contains("everybody"), "{told}");
        assert_eq!(error.remedies(), [crate::Remedy::ChangeStateDir]);
    }
    mode(0o770);
    reopen(dir.path()).expect("a shared volume");
    mode(0o700);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a directory to somebody else");
        return;
    }
    chown(dir.path(), Some(65534), None).expect("given away");
    let error = SledStore::open(dir.path(), "test").expect_err("another user's");
    assert_eq!(error.kind(), crate::ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("65534"), "{error}");
    // A directory of ours that is reached through another user's link is theirs to exchange.
    let outer = report::scratch();
    let (own, link) = (outer.path().join("own"), outer.path().join("link"));
    fs::create_dir(&own).expect("made");
    symlink(&own, &link).expect("linked");
    reopen(&link).expect("our own link");
    std::os::unix::fs::lchown(&link, Some(65534), None).expect("given away");
    SledStore::open(&link, "test").expect_err("another user's link");
}

//! Sealed files: what opens them, and what does not.

use super::*;

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn keys(lines: &[&str]) -> SealKeys {
    SealKeys::from_lines(&lines.join("\n")).expect("keys")
}

fn id(key: &str) -> String {
    keys(&[key]).ids()[0].to_owned()
}

impl Scene {
    fn sealed_by(&self, lines: &[&str]) -> Accounts {
        Options::new(self.dir.path())
            .api_base(&self.emulator.url())
            .seal_keys(keys(lines))
            .open_accounts(None, Some(App::new("my-app", "s3cr3t-of-the-app")))
            .expect("opened")
    }

    /// A scene in which lena has logged in with the key `ONE`.
    async fn sealed() -> (Self, Accounts) {
        let scene = Self::new(&[]).await;
        let accounts = scene.sealed_by(&[ONE]);
        let logged_in = scene.log_in(&accounts, "lena", "lena").await;
        logged_in.expect("logged in");
        (scene, accounts)
    }
}

fn read(accounts: &Accounts, file: &str) -> String {
    std::fs::read_to_string(accounts.path().join(file)).expect("read")
}

/// The ID of the key by which a file is sealed.
fn key_of(accounts: &Accounts, file: &str) -> Option<String> {
    let file: serde_json::Value = serde_json::from_str(&read(accounts, file)).expect("JSON");
    file["sealed"]["key"].as_str().map(str::to_owned)
}

/// No file holds a token, or anything else of an account but its name.
fn assert_sealed(accounts: &Accounts) {
    let mut files = 0;
    for entry in std::fs::read_dir(accounts.path()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("read");
        if path.extension().is_some_and(|kind| kind == "lock") {
            continue;
        }
        files += 1;
        let text = String::from_utf8_lossy(&bytes);
        for clear in [
            "act.", "rft.", "refresh", "verifier", "state", "open_id", "body",
        ] {
            assert!(!text.contains(clear), "{clear} in {path:?}: {text}");
        }
    }
    assert!(files > 0, "no file");
}

async fn refused(accounts: &Accounts, name: &str) -> Error {
    accounts.token(name, None).await.expect_err("refused")
}

#[tokio::test]
async fn a_sealed_account_logs_in_renews_and_waits_for_a_link_and_no_file_holds_a_token() {
    let (scene, accounts) = Scene::sealed().await;
    assert_sealed(&accounts);
    assert!(
        read(&accounts, "lena.json").starts_with("{\"version\":2,\"name\":\"lena\",\"sealed\"")
    );
    // Each sealing has a nonce of its own, so the same content is never the same text.
    let once = read(&accounts, "lena.json");
    accounts.0.seal("lena").await.expect("sealed");
    assert_ne!(read(&accounts, "lena.json"), once);

    let old = accounts.token("lena", None).await.expect("a token");
    let again = scene.sealed_by(&[ONE]);
    let new = again.token("lena", Some(&old)).await.expect("renewed");
    assert_ne!(new, old);
    assert_sealed(&accounts);

    let scopes = ["video.upload"];
    let login = accounts.begin_login("mia/ä", REDIRECT, &scopes);
    accounts
        .keep_login(&login.expect("begun"))
        .await
        .expect("kept");
    assert_sealed(&accounts);
    let login = again.kept_login("mia/ä").await.expect("kept");
    let address = visit(&format!("{}&creator=mia", login.url())).await;
    let logged_in = again.finish_login(&login, &address, false).await;
    logged_in.expect("logged in");
    assert_sealed(&accounts);
    let names = listed(&accounts).await.into_iter().map(|of| of.account);
    assert_eq!(names.collect::<Vec<_>>(), ["lena", "mia/ä"]);
    let shown = format!("{accounts:?} {:?}", keys(&[ONE, TWO]));
    assert!(
        !shown.contains("1111") && !shown.contains("2222"),
        "{shown}"
    );
    assert!(shown.contains(&id(TWO)), "{shown}");
}

#[tokio::test]
async fn without_its_key_an_account_needs_a_person_and_is_not_touched() {
    let (scene, accounts) = Scene::sealed().await;
    let before = read(&accounts, "lena.json");
    let requests = scene.refreshes();
    for (other, says) in [
        (scene.accounts(), "no seal key is given".to_owned()),
        (scene.sealed_by(&[TWO]), id(TWO)),
    ] {
        let error = refused(&other, "lena").await;
        assert_eq!(error.kind(), ErrorKind::NeedsPerson);
        assert_eq!(error.remedies(), [Remedy::GiveSealKey]);
        let text = error.to_string();
        for part in ["\"lena\"", &id(ONE), &says] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let source = other.tokens("lena").token(None).await.expect_err("refused");
        assert!(!source.is_temporary(), "{source}");
        assert!(listed(&other).await.is_empty());
        for listed in [
            other.list().await.expect("listed").remove(0).1.map(drop),
            other.renew_all().await.expect("listed").remove(0).1,
            other.renew_idle().await.expect("listed").remove(0).1,
            other.log_out("lena").await.map(drop),
            other.import("lena", &"rft.x".into()).await,
            scene.log_in(&other, "lena", "lena").await.map(drop),
        ] {
            assert_eq!(listed.expect_err("refused").to_string(), text);
        }
    }
    assert_eq!(read(&accounts, "lena.json"), before);
    assert_eq!(scene.refreshes(), requests, "no code and no token is spent");
    accounts.token("lena", None).await.expect("a token");
}

#[tokio::test]
async fn a_changed_file_and_another_accounts_file_are_not_opened() {
    let (scene, accounts) = Scene::sealed().await;
    scene
        .log_in(&accounts, "mia", "mia")
        .await
        .expect("logged in");
    let before = read(&accounts, "lena.json");
    let mut file: serde_json::Value = serde_json::from_str(&before).expect("JSON");
    let text = file["sealed"]["text"].as_str().expect("text").to_owned();
    let flipped = if text.starts_with('A') { "B" } else { "A" };
    file["sealed"]["text"] = format!("{flipped}{}", &text[1..]).into();
    let mut no_text = file.clone();
    no_text["sealed"] = serde_json::json!({ "key": id(ONE) });
    let renamed = read(&accounts, "mia.json");
    let bad = [
        file.to_string(),
        no_text.to_string(),
        renamed.clone(),
        renamed.replace("\"mia\"", "\"lena\""),
    ];
    for bad in bad {
        std::fs::write(accounts.path().join("lena.json"), &bad).expect("written");
        let error = refused(&accounts, "lena").await;
        assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
        assert!(error.to_string().contains("not valid"), "{error}");
        let listed = accounts.list().await.expect("listed");
        assert_eq!((&*listed[0].0, listed[0].1.is_err()), ("lena", true));
        assert!(listed[1].1.is_ok());
        assert_eq!(read(&accounts, "lena.json"), bad);
    }
    // Nor is the file of an account an answer or a login of it.
    std::fs::write(accounts.path().join("lena.json"), &before).expect("written");
    for kind in ["answer", "login"] {
        std::fs::write(accounts.path().join(format!("lena.{kind}")), &before).expect("written");
    }
    let error = accounts.kept_login("lena").await.expect_err("refused");
    assert!(error.to_string().contains("not valid"), "{error}");
    let error = accounts.renew("lena").await.expect_err("refused");
    assert!(error.to_string().contains("not valid"), "{error}");
}

#[tokio::test]
async fn a_file_in_the_clear_is_read_and_sealed_with_its_next_write() {
    let (scene, clear, old) = Scene::logged_in(&[]).await;
    scene.log_in(&clear, "mia", "mia").await.expect("logged in");
    assert_eq!(key_of(&clear, "lena.json"), None);
    assert!(read(&clear, "lena.json").starts_with("{\"version\":1"));
    let sealed = scene.sealed_by(&[ONE]);
    assert_eq!(sealed.token("lena", None).await.expect("a token"), old);
    assert_eq!(key_of(&clear, "lena.json"), None);
    sealed.renew("lena").await.expect("renewed");
    assert_eq!(key_of(&clear, "lena.json"), Some(id(ONE)));
    assert_eq!(key_of(&clear, "mia.json"), None);
    sealed.renew_all().await.expect("renewed");
    assert_sealed(&sealed);
}

#[tokio::test]
async fn a_key_is_replaced_by_a_line_before_it_also_for_an_account_that_must_log_in_again() {
    let (scene, accounts) = Scene::sealed().await;
    scene
        .log_in(&accounts, "mia", "mia")
        .await
        .expect("logged in");
    let before = read(&accounts, "mia.json");
    accounts.renew("mia").await.expect("renewed");
    // The older refresh token is spent.
    std::fs::write(accounts.path().join("mia.json"), before).expect("set back");
    accounts.renew("mia").await.expect_err("spent");

    let both = scene.sealed_by(&[TWO, "", ONE]);
    both.token("lena", None).await.expect("a token");
    let renewed = both.renew_all().await.expect("renewed");
    assert!(
        matches!(&renewed[..], [(name, Ok(()))] if name == "lena"),
        "{renewed:?}"
    );
    for file in ["lena.json", "mia.json"] {
        assert_eq!(key_of(&both, file), Some(id(TWO)), "{file}");
    }
    let new = scene.sealed_by(&[TWO]);
    new.token("lena", None).await.expect("a token");
    let listed = listed(&new).await;
    assert!(listed[1].needs_login.is_some(), "{listed:?}");
    scene
        .log_in(&new, "mia", "mia")
        .await
        .expect("logged in again");
}

#[test]
fn a_line_that_is_no_key_is_named_and_not_repeated() {
    for (text, line) in [
        ("", "Line 1 "),
        ("\n \n", "Line 1 "),
        ("abc", "Line 1 "),
        (&format!("{ONE}\n\n{}", &TWO[1..]), "Line 3 "),
        (&format!("{ONE}{TWO}"), "Line 1 "),
        (&format!("{}x", &ONE[1..]), "Line 1 "),
    ] {
        let error = SealKeys::from_lines(text).expect_err("no key");
        assert_eq!(error.kind(), ErrorKind::Usage);
        let said = error.to_string();
        assert!(said.starts_with(line), "{text}: {said}");
        assert!(!said.contains("11") && !said.contains("22"), "{said}");
    }
    let spelled = SealKeys::from_lines(&format!(" {}\r\n", "aB".repeat(32))).expect("a key");
    assert_eq!(spelled.ids(), [id(&"Ab".repeat(32))]);
}

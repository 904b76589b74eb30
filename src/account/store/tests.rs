//! Logins and renewals against an emulator that takes the tokens it has issued, and no other.

use std::os::unix::fs::PermissionsExt;

use chunkferry_emulator::Emulator;
use chunkferry_emulator::settings::Settings;

use super::*;
use crate::error::ErrorKind;
use crate::{Options, Pkce};

const REDIRECT: &str = "http://127.0.0.1:4711/";

struct Scene {
    emulator: Emulator,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new(settings: &[&str]) -> Self {
        let mut set = Settings::default();
        for setting in [&["auth=issued"], settings].concat() {
            let (key, value) = setting.split_once('=').expect("KEY=VALUE");
            set.set(key, value).expect("a setting");
        }
        let emulator = Emulator::builder().settings(set).start().await;
        Self {
            emulator: emulator.expect("started"),
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    fn accounts_of(&self, app: App) -> Accounts {
        Options::new(self.dir.path())
            .api_base(&self.emulator.url())
            .open_accounts(None, Some(app))
            .expect("opened")
    }

    fn accounts(&self) -> Accounts {
        self.accounts_of(App::new("my-app", "s3cr3t-of-the-app"))
    }

    /// Logs `creator` in under the name `account`.
    async fn log_in(
        &self,
        accounts: &Accounts,
        account: &str,
        creator: &str,
    ) -> Result<LoggedIn, Error> {
        let scopes = ["user.info.basic", "video.upload"];
        let login = accounts.begin_login(account, REDIRECT, &scopes)?;
        let address = visit(&format!("{}&creator={creator}", login.url())).await;
        accounts.finish_login(&login, &address, false).await
    }

    /// A scene in which lena has logged in, and her token.
    async fn logged_in(settings: &[&str]) -> (Self, Accounts, Secret) {
        let scene = Self::new(settings).await;
        let accounts = scene.accounts();
        let logged_in = scene.log_in(&accounts, "lena", "lena").await;
        logged_in.expect("logged in");
        let token = accounts.token("lena", None).await.expect("a token");
        (scene, accounts, token)
    }

    fn refreshes(&self) -> u64 {
        self.emulator.log().requests.token
    }
}

/// Where the consent page sends a program, which it grants at once.
async fn visit(url: &str) -> String {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client");
    let answer = client.get(url).send().await.expect("answered");
    let location = answer.headers().get("location").expect("sent on");
    location.to_str().expect("text").to_owned()
}

/// The accounts whose files can be read.
async fn listed(accounts: &Accounts) -> Vec<LogIn> {
    let listed = accounts.list().await.expect("listed").into_iter();
    listed.filter_map(|(_, login)| login.ok()).collect()
}

#[tokio::test]
async fn a_login_is_stored_for_its_owner_alone_and_its_token_is_taken() {
    let scene = Scene::new(&[]).await;
    let accounts = scene.accounts();
    let logged_in = scene
        .log_in(&accounts, "lena/ä", "lena")
        .await
        .expect("logged in");
    assert!(logged_in.missing.is_empty() && logged_in.aliases.is_empty());
    let token = accounts.token("lena/ä", None).await.expect("a token");
    assert!(!token.is_empty());
    let listed = listed(&accounts).await;
    assert_eq!(listed[0].account, "lena/ä");
    assert_eq!(listed[0].open_id, logged_in.open_id);
    for entry in std::fs::read_dir(accounts.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
    }
    let shown = format!("{accounts:?} {logged_in:?} {listed:?}");
    assert!(
        !shown.contains("act.") && !shown.contains("rft."),
        "{shown}"
    );
}

#[tokio::test]
async fn both_forms_of_the_challenge_log_in_where_the_service_takes_them() {
    for (setting, pkce, is_taken) in [
        ("pkce=hex", Pkce::Hex, true),
        ("pkce=hex", Pkce::Base64Url, false),
        ("pkce=base64url", Pkce::Base64Url, true),
        ("pkce=base64url", Pkce::Hex, false),
    ] {
        let scene = Scene::new(&[setting]).await;
        let accounts = scene.accounts_of(App::new("my-app", "s3cr3t").pkce(pkce));
        let outcome = scene.log_in(&accounts, "lena", "lena").await;
        assert_eq!(outcome.is_ok(), is_taken, "{setting} {pkce:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_login_with_a_wrong_state_or_a_refusal_stores_nothing() {
    let scene = Scene::new(&[]).await;
    let accounts = scene.accounts();
    let scopes = ["video.upload"];
    let login = accounts
        .begin_login("lena", REDIRECT, &scopes)
        .expect("begun");
    let other = accounts
        .begin_login("lena", REDIRECT, &scopes)
        .expect("begun");
    let address = visit(other.url()).await;
    let wrong = accounts.finish_login(&login, &address, false).await;
    assert_eq!(
        wrong.map_err(|error| error.kind()),
        Err(ErrorKind::NeedsPerson)
    );
    let refusal = visit(&format!("{}&deny=1", login.url())).await;
    let refused = accounts
        .finish_login(&login, &refusal, false)
        .await
        .expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::NeedsPerson);
    assert!(refused.to_string().contains("access_denied"), "{refused}");
    let none = accounts
        .finish_login(&login, REDIRECT, false)
        .await
        .expect_err("no code");
    assert_eq!(none.kind(), ErrorKind::Usage);
    assert!(listed(&accounts).await.is_empty());
    assert_eq!(scene.refreshes(), 0, "no code was exchanged");
}

#[tokio::test]
async fn a_name_is_one_creator_until_it_is_given_away_and_a_second_name_is_said() {
    let (scene, accounts, _) = Scene::logged_in(&[]).await;
    let taken = scene
        .log_in(&accounts, "lena", "mia")
        .await
        .expect_err("taken");
    assert_eq!(
        taken.remedies(),
        [Remedy::ReplaceAccount {
            account: "lena".into()
        }]
    );
    let alias = scene
        .log_in(&accounts, "studio", "lena")
        .await
        .expect("logged in");
    assert_eq!(alias.aliases, ["lena"]);
}

#[tokio::test]
async fn many_callers_at_the_end_of_a_token_renew_it_once() {
    let (scene, accounts, old) = Scene::logged_in(&["access_lifetime=1h"]).await;
    assert_eq!(scene.refreshes(), 1, "the code");
    // Of their own, as in other processes: only the files connect them.
    let calls = (0..16).map(|_| {
        let (accounts, old) = (scene.accounts(), old.clone());
        tokio::spawn(async move { accounts.token("lena", Some(&old)).await })
    });
    let tokens = futures::future::join_all(calls).await;
    let tokens: Vec<Secret> = tokens
        .into_iter()
        .map(|token| token.expect("ran").expect("a token"))
        .collect();
    assert!(
        tokens
            .iter()
            .all(|token| *token == tokens[0] && *token != old)
    );
    assert_eq!(scene.refreshes(), 2);
    // What was refused once does not spend another refresh token.
    accounts.token("lena", Some(&old)).await.expect("a token");
    assert_eq!(scene.refreshes(), 2);
}

#[tokio::test]
async fn a_refresh_token_that_is_spent_needs_a_login_and_is_said_without_asking_again() {
    let (scene, accounts, _) = Scene::logged_in(&[]).await;
    let file = accounts.path().join("lena.json");
    let before = std::fs::read(&file).expect("stored");
    let first = accounts.token("lena", None).await.expect("a token");
    accounts.token("lena", Some(&first)).await.expect("renewed");
    // A copy of an older pair, as another program would have it.
    std::fs::write(&file, before).expect("set back");
    let lost = accounts
        .token("lena", Some(&first))
        .await
        .expect_err("spent");
    assert_eq!(lost.kind(), ErrorKind::NeedsPerson);
    assert_eq!(lost.remedies(), [log_in("lena")]);
    assert!(lost.to_string().contains("invalid_grant"), "{lost}");
    let asked = scene.refreshes();
    let again = accounts
        .token("lena", Some(&first))
        .await
        .expect_err("spent");
    assert_eq!(again.to_string(), lost.to_string());
    assert_eq!(scene.refreshes(), asked);
    let listed = listed(&accounts).await;
    assert!(listed[0].needs_login.is_some());
    scene
        .log_in(&accounts, "lena", "lena")
        .await
        .expect("logged in again");
    accounts.token("lena", None).await.expect("a token");
}

#[tokio::test]
async fn tokens_of_one_api_are_sent_to_no_other_and_a_newer_file_is_left_alone() {
    let (scene, other) = (Scene::new(&[]).await, Scene::new(&[]).await);
    let accounts = scene.accounts();
    scene
        .log_in(&accounts, "lena", "lena")
        .await
        .expect("logged in");
    let elsewhere = Options::new(scene.dir.path())
        .api_base(&other.emulator.url())
        .open_accounts(None, Some(App::new("my-app", "s3cr3t")))
        .expect("opened");
    let refused = elsewhere.token("lena", None).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::NeedsPerson);
    let file = accounts.path().join("lena.json");
    let text = std::fs::read_to_string(&file).expect("stored");
    let newer = text.replace("\"version\":1", "\"version\":9");
    std::fs::write(&file, &newer).expect("written");
    let refused = accounts.token("lena", None).await.expect_err("refused");
    assert!(
        format!("{refused:?}").contains("newer chunkferry"),
        "{refused:?}"
    );
    assert!(!format!("{refused:?}").contains("act."), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("stored"), newer);
}

#[tokio::test]
async fn a_logout_revokes_at_the_service_and_forgets() {
    let (_scene, accounts, _) = Scene::logged_in(&[]).await;
    assert!(accounts.log_out("lena").await.expect("logged out"));
    assert!(listed(&accounts).await.is_empty());
    let gone = accounts.token("lena", None).await.expect_err("gone");
    assert_eq!(gone.remedies(), [log_in("lena")]);
}

#[tokio::test]
async fn a_renewal_whose_caller_is_gone_is_finished_and_waited_for() {
    let (scene, accounts, old) = Scene::logged_in(&[]).await;
    let call = {
        let (accounts, old) = (accounts.clone(), old.clone());
        tokio::spawn(async move { accounts.token("lena", Some(&old)).await })
    };
    while scene.refreshes() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    call.abort();
    Accounts::finish_renewals().await;
    let requests = scene.refreshes();
    let new = accounts.token("lena", Some(&old)).await.expect("a token");
    assert_ne!(new, old);
    assert_eq!(scene.refreshes(), requests, "the answer was kept");
}

#[tokio::test]
async fn a_token_that_lives_on_is_used_though_the_creator_must_log_in_again() {
    let (_scene, accounts, token) = Scene::logged_in(&[]).await;
    let file = accounts.path().join("lena.json");
    let text = std::fs::read_to_string(&file).expect("stored");
    let mut stored: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    // More than half of its life is over, and the refresh token is spent.
    let asked = stored["asked"].as_u64().expect("a time");
    stored["asked"] = (asked - 90 * 60 * 1000).into();
    stored["refresh"] = "rft.lena.spent".into();
    std::fs::write(&file, stored.to_string()).expect("written");
    assert_eq!(accounts.token("lena", None).await.expect("a token"), token);
    let listed = listed(&accounts).await;
    assert!(listed[0].needs_login.is_some());
    accounts
        .token("lena", Some(&token))
        .await
        .expect_err("refused");
}

#[tokio::test]
async fn a_damaged_file_hides_no_other_account() {
    let (scene, accounts, _) = Scene::logged_in(&[]).await;
    std::fs::write(accounts.path().join("mia.json"), "{\"access\":\"act.").expect("written");
    assert_eq!(listed(&accounts).await.len(), 1);
    let damaged = accounts.token("mia", None).await.expect_err("damaged");
    assert!(format!("{damaged:?}").contains("damaged"), "{damaged:?}");
    scene
        .log_in(&accounts, "mia", "mia")
        .await
        .expect_err("not over a damaged file");
}

/// Does not compile if a login can be serialised: `check` is then there for both types.
#[test]
fn a_login_that_has_begun_can_be_serialised_by_nobody_else() {
    struct Yes;
    struct No;
    trait Serialised<Answer> {
        fn check() {}
    }
    impl<T> Serialised<No> for T {}
    impl<T: serde::Serialize> Serialised<Yes> for T {}
    <Login as Serialised<_>>::check();
}

mod seal;

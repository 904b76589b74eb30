//! An app asks, a creator decides: in a real browser, and as programs see it.

use std::collections::HashMap;

use chunkferry::emulator::Emulator;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::browser::Browser;
use crate::client::{Answer, Line, STATUS, Upload, post, sha256, started};
use crate::webhooks;

const VERIFIER: &str = "a-verifier-that-nobody-else-knows-0123456789";
const SCOPES: &str = "user.info.basic,video.upload";

/// The address an app sends its users to.
fn wish(emulator: &Emulator, redirect_uri: &str, more: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("client_key", "my-app"),
            ("state", "s ä&1"),
            ("response_type", "code"),
        ])
        .extend_pairs([("scope", SCOPES), ("redirect_uri", redirect_uri)])
        // The quirk of desktop apps: hex, not base64 (D LKD).
        .extend_pairs([
            ("code_challenge", &*sha256(VERIFIER.as_bytes())),
            ("code_challenge_method", "S256"),
        ])
        .extend_pairs(more)
        .finish();
    format!("{}/v2/auth/authorize/?{query}", emulator.url())
}

/// What the app gets to know when the user comes back.
fn told(address: &str) -> HashMap<String, String> {
    Url::parse(address)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect()
}

fn form(emulator: &Emulator, path: &str, pairs: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let mut line = Line::open(emulator);
    let length = body.len().to_string();
    let kind = ("content-type", "application/x-www-form-urlencoded");
    line.head("POST", path, &[kind, ("content-length", &length)]);
    line.send(body.as_bytes()).unwrap();
    line.answer().unwrap()
}

fn exchange(emulator: &Emulator, code: &str, redirect_uri: &str, verifier: &str) -> Answer {
    form(
        emulator,
        "/v2/oauth/token/",
        &[
            ("client_key", "my-app"),
            ("client_secret", "secret"),
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ],
    )
}

/// Asks as a program does: without a browser, and without following.
fn location(emulator: &Emulator, address: &str, accept: &str) -> Option<String> {
    let mut line = Line::open(emulator);
    line.head(
        "GET",
        address.split_once(&emulator.url()).unwrap().1,
        &[("accept", accept)],
    );
    line.answer().unwrap().header("location").map(str::to_owned)
}

#[test]
fn a_person_lets_an_app_in_and_another_does_not() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let emulator = started(&["auth=issued"], &[]);
    let (back, _requests) = webhooks::receiver(&[]);

    browser.open(&wish(&emulator, &back, &[]));
    assert!(
        browser
            .value("document.body.innerText")
            .as_str()
            .unwrap()
            .contains("my-app")
    );
    browser.click("button[value=refuse]");
    let refused = told(&browser.arrive(&format!("{back}?")));
    assert_eq!(
        (&*refused["error"], &*refused["state"]),
        ("access_denied", "s ä&1")
    );
    assert!(!refused.contains_key("code"));

    browser.open(&wish(&emulator, &back, &[]));
    browser.wait("document.getElementById('creator')");
    browser.run("document.getElementById('creator').value = ''");
    browser.write("#creator", "olga");
    browser.click("button[value=allow]");
    let allowed = told(&browser.arrive(&format!("{back}?")));
    assert_eq!((&*allowed["state"], &*allowed["scopes"]), ("s ä&1", SCOPES));
    let wrong = exchange(&emulator, &allowed["code"], &back, "another verifier");
    assert_eq!(
        (wrong.status, &wrong.json()["error"]),
        (400, &json!("invalid_grant"))
    );

    // The wrong attempt used the code up; the creator is not asked again for what was granted.
    browser.open(&wish(&emulator, &back, &[]));
    let again = told(&browser.arrive(&format!("{back}?")));
    let tokens = exchange(&emulator, &again["code"], &back, VERIFIER).json();
    assert_eq!(tokens["scope"], SCOPES);
    let token = tokens["access_token"].as_str().unwrap();
    assert!(token.starts_with("act.olga."));
    let upload = Upload::init_for(&emulator, token, 1000);
    assert_eq!(emulator.log().sessions[0].creator, "olga");

    // Unless the app wants it asked, or wants more.
    for more in [("disable_auto_auth", "1"), ("scope", "video.publish")] {
        browser.open(&wish(&emulator, &back, &[more]));
        browser.wait("document.querySelector('button[value=allow]')");
        assert_eq!(
            browser.value("document.getElementById('creator').value"),
            "olga"
        );
    }

    // Taken back: what was on its way fails, the tokens are dead, and consent is asked for anew.
    let (hook, events) = webhooks::receiver(&[]);
    webhooks::register(&emulator, &hook, None);
    let pairs = [
        ("client_key", "my-app"),
        ("client_secret", "secret"),
        ("token", token),
    ];
    assert_eq!(form(&emulator, "/v2/oauth/revoke/", &pairs).status, 200);
    assert_eq!(webhooks::next(&events).event().0, "authorization.removed");
    assert_eq!(upload.put(&emulator, 0, 1000).status, 404);
    let session = &emulator.log().sessions[0];
    assert_eq!(
        (&*session.status, session.fail_reason.as_deref()),
        ("FAILED", Some("auth_removed"))
    );
    let asked = post(
        &emulator,
        STATUS,
        token,
        &json!({"publish_id": upload.publish_id}),
    );
    assert_eq!(
        (asked.status, &*asked.code()),
        (401, "access_token_invalid")
    );
    browser.open(&wish(&emulator, &back, &[]));
    browser.wait("document.querySelector('button[value=allow]')");
    assert_eq!(
        browser
            .complaints()
            .iter()
            .filter(|said| !said.contains("favicon"))
            .count(),
        0
    );
}

#[test]
fn programs_are_answered_at_once_and_a_setting_answers_everyone() {
    let back = "https://app.example/cb";
    let rows = [
        ("consent=ask", "*/*", "code"),
        ("consent=granted", "text/html", "code"),
        ("consent=refused", "*/*", "error"),
        ("consent=refused", "text/html", "error"),
    ];
    for (set, accept, key) in rows {
        let emulator = started(&[set], &[]);
        let address = wish(&emulator, back, &[("creator", "lena")]);
        let location = location(&emulator, &address, accept).unwrap();
        assert!(
            told(&location).contains_key(key),
            "{set} {accept}: {location}"
        );
    }
    let emulator = started(&[], &[]);
    assert_eq!(
        location(&emulator, &wish(&emulator, back, &[]), "text/html"),
        None,
        "a browser is asked"
    );
}

#[test]
fn a_creator_whose_name_a_token_cannot_carry_is_refused() {
    let emulator = started(&[], &[]);
    for name in ["a.b", "", "lena/..", "ä"] {
        let address = wish(&emulator, "https://app.example/cb", &[("creator", name)]);
        assert_eq!(location(&emulator, &address, "*/*"), None, "{name}");
    }
}

/// Tokens live and are replaced as the switches say, also through the whole flow.
#[test]
fn lifetimes_and_rotation_follow_their_switches() {
    let back = "https://app.example/cb";
    let rows = [
        (
            "token_lifetimes=2h_180d",
            "refresh_rotation=always",
            7_200,
            15_552_000,
            true,
        ),
        (
            "token_lifetimes=24h_365d",
            "refresh_rotation=sometimes",
            86_400,
            31_536_000,
            false,
        ),
    ];
    for (lifetimes, rotation, access, refresh, replaced) in rows {
        let emulator = started(&["auth=issued", lifetimes, rotation], &[]);
        let location = location(&emulator, &wish(&emulator, back, &[]), "*/*").unwrap();
        let first = exchange(&emulator, &told(&location)["code"], back, VERIFIER).json();
        assert_eq!(
            (&first["expires_in"], &first["refresh_expires_in"]),
            (&json!(access), &json!(refresh))
        );
        let renew = |tokens: &Value| {
            let old = tokens["refresh_token"].as_str().unwrap();
            let pairs = [
                ("client_key", "my-app"),
                ("client_secret", "secret"),
                ("grant_type", "refresh_token"),
                ("refresh_token", old),
            ];
            form(&emulator, "/v2/oauth/token/", &pairs)
        };
        let second = renew(&first).json();
        assert_ne!(second["access_token"], first["access_token"]);
        assert_eq!(second["refresh_token"] != first["refresh_token"], replaced);
        assert_eq!(renew(&first).status, if replaced { 400 } else { 200 });
        emulator.advance(std::time::Duration::from_secs(access));
        let token = first["access_token"].as_str().unwrap();
        let asked = post(&emulator, STATUS, token, &json!({"publish_id": "x"}));
        assert_eq!(asked.code(), "access_token_invalid");
    }
}

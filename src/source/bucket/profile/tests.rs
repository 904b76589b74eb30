//! Profiles as people and tools write them.

use std::fs;

use super::*;

fn settings(dir: &std::path::Path, profile: &str) -> BucketSettings {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    BucketSettings::new()
        .variable("AWS_SHARED_CREDENTIALS_FILE", &path("credentials"))
        .variable("AWS_CONFIG_FILE", &path("config"))
        .variable("AWS_PROFILE", profile)
}

#[tokio::test]
async fn keys_are_those_of_the_named_profile_and_of_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let credentials = "[default]\naws_access_key_id=AKIAD\naws_secret_access_key=d\n\n[ team ]\n# a comment\naws_access_key_id = AKIAT\naws_secret_access_key = t=/+ # ours\naws_session_token=tok\n[other]\naws_access_key_id = AKIAO\n";
    let config = "[default]\nregion=eu-north-1\n[profile team]\nregion = eu-west-3\ns3 =\n  region = nested\n  endpoint_url = http://nested\nendpoint_url = http://127.0.0.1:9\n[team]\nregion = wrong\n";
    fs::write(dir.path().join("credentials"), credentials).expect("written");
    fs::write(dir.path().join("config"), config).expect("written");
    let profile = Profile::read(&settings(dir.path(), "team")).expect("read");
    let profile = profile.expect("a profile");
    assert_eq!(profile.section.get("region"), Some("eu-west-3"));
    assert_eq!(
        profile.section.get("endpoint_url"),
        Some("http://127.0.0.1:9")
    );
    let from = FromProfile::new(profile);
    let keys = from.credential().await.expect("keys");
    let of = |keys: &AwsCredential| {
        (
            keys.key_id.clone(),
            keys.secret_key.clone(),
            keys.token.clone(),
        )
    };
    assert_eq!(
        of(&keys),
        ("AKIAT".into(), "t=/+".into(), Some("tok".into()))
    );
    // Another tool renews them.
    fs::write(
        dir.path().join("credentials"),
        credentials.replace("AKIAT", "AKIAN"),
    )
    .expect("written");
    assert_eq!(from.credential().await.expect("keys").key_id, "AKIAN");

    let default = Profile::read(&settings(dir.path(), ""))
        .expect("read")
        .expect("a profile");
    assert_eq!(default.section.get("region"), Some("eu-north-1"));
    assert_eq!(default.section.get("aws_access_key_id"), Some("AKIAD"));
    let Err(error) = Profile::read(&settings(dir.path(), "missing")) else {
        panic!("there is no such profile");
    };
    assert!(error.to_string().contains("\"missing\""), "{error}");
}

#[tokio::test]
async fn a_command_is_asked_again_before_its_keys_end_and_its_output_is_not_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let calls = dir.path().join("calls");
    let program = dir.path().join("keys.sh");
    let profile = |script: &str| {
        fs::write(&program, script).expect("written");
        let config = format!(
            "[profile p]\ncredential_process = sh {}\n",
            program.display()
        );
        fs::write(dir.path().join("config"), config).expect("written");
        let profile = Profile::read(&settings(dir.path(), "p")).expect("read");
        FromProfile::new(profile.expect("a profile"))
    };
    let prints = |expiration: &str| {
        let json = format!(
            "{{\"Version\":1,\"AccessKeyId\":\"AKIAP\",\"SecretAccessKey\":\"hunter2\",\"SessionToken\":\"t\"{expiration}}}"
        );
        format!("echo x >> {}\necho '{json}'\n", calls.display())
    };
    let count = || fs::read_to_string(&calls).map_or(0, |text| text.lines().count());
    for (expiration, asked) in [
        ("", 1),
        (",\"Expiration\":\"2999-01-01T00:00:00Z\"", 1),
        (",\"Expiration\":\"2001-01-01T00:00:00+02:00\"", 2),
    ] {
        let _ = fs::remove_file(&calls);
        let from = profile(&prints(expiration));
        for _ in 0..2 {
            assert_eq!(from.credential().await.expect("keys").key_id, "AKIAP");
        }
        assert_eq!(count(), asked, "{expiration}");
    }
    for script in [
        "echo hunter2; echo hunter2 >&2; exit 3",
        "echo '{\"Version\":1,\"AccessKeyId\":\"hunter2\"}'",
        "echo '{\"Version\":\"hunter2\"}'",
        "echo '{\"Version\":2,\"AccessKeyId\":\"hunter2\",\"SecretAccessKey\":\"hunter2\"}'",
    ] {
        let from = profile(script);
        let error = from.credential().await.expect_err("no keys");
        let shown = format!("{error} {error:?} {from:?}");
        assert!(
            !shown.contains("hunter2") && shown.contains("credential_process"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_profile_that_logs_in_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = "[profile sso]\nsso_session = work\nregion = eu-west-1\n";
    fs::write(dir.path().join("config"), config).expect("written");
    let profile = Profile::read(&settings(dir.path(), "sso")).expect("read");
    let profile = profile.expect("a profile");
    assert!(profile.has_credentials());
    let error = FromProfile::new(profile)
        .credential()
        .await
        .expect_err("none");
    assert!(
        error
            .to_string()
            .contains("credential_process prints its keys"),
        "{error}"
    );
}

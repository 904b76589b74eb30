use super::*;
use crate::upload::plan::PlanError;

fn service(http_status: u16, code: &str) -> Refusal {
    Refusal {
        meaning: Code::of(code, http_status).meaning,
        http_status,
        code: code.into(),
        message: "Some text.".into(),
        log_id: Some("2026L1".into()),
        retry_after: None,
    }
}

#[test]
fn messages_say_what_happened_and_remedies_what_helps() {
    let file = Path::new("/videos/clip.mp4");
    let errors = [
        Error::changed("clip.mp4", "chunk 3 differs"),
        Error::unfit(file, "it is a directory"),
        Error::plan("clip.mp4", PlanError::Empty),
        Error::foreign_token("lena"),
        Error::other_creator("lena"),
        Error::not_logged_in("lena"),
        Error::needs_login(
            "lena",
            "the service no longer takes the refresh token: invalid_grant",
        ),
        Error::logged_in_elsewhere("lena", "https://api.example"),
        Error::other_app("lena"),
        Error::no_app("lena"),
        Error::accounts(Path::new("/state/accounts"), std::io::Error::other("full")),
        Error::sealed("lena", "66687aadf862bd77", &[]),
        Error::sealed("lena", "66687aadf862bd77", &["02d449a31fbb267c"]),
        Error::bad_seal("lena"),
        Error::no_key(2),
        Error::account_busy("lena"),
        Error::no_code(),
        Error::no_login("lena"),
        Error::login_expired("lena"),
        Error::other_login("lena"),
        Error::no_consent("lena", "access_denied", "The user denied the request"),
        Error::account_taken("lena"),
        Error::refused(Call::Token, "lena", service(401, "invalid_client")),
        Error::too_slow("clip.mp4", 46_000_000, 5_000, 15_000),
        Error::too_large("clip.mp4", 4_100_000_000, service(400, "invalid_params")),
        Error::unknown(
            "clip.mp4",
            Some("v_inbox_file~v2.1"),
            "the service no longer knows it",
        ),
        Error::unknown(
            "https://media.example/clip.mp4",
            None,
            "the answer to its init was lost: reset",
        ),
        Error::no_longer_told("clip.mp4", &["3f9c0a117b2d5e64".to_owned()]),
        Error::no_longer_told("clip.mp4", &["1", "2", "3", "4", "5"].map(str::to_owned)),
        Error::not_pulled(
            "http://media.example/clip.mp4",
            "TikTok fetches over https only",
        ),
        Error::not_a_video("https://media.example/clip.mp4", "it redirects (301)"),
        Error::unreachable("https://media.example/clip.mp4", "no connection: refused"),
        Error::refused(Call::Init, "lena", service(403, "url_ownership_unverified")),
        Error::refused(
            Call::Cancel,
            "lena",
            service(400, "publish_not_cancellable"),
        ),
        Error::failed(
            "https://media.example/clip.mp4",
            "video_pull_failed",
            "v_inbox_url~v2.1",
        ),
        Error::failed(
            "https://media.example/clip.mp4",
            "publish_cancelled",
            "v_inbox_url~v2.1",
        ),
        Error::refused(
            Call::Init,
            "lena",
            service(403, "spam_risk_too_many_pending_share"),
        ),
        Error::refused(Call::Init, "lena", service(400, "invalid_params")),
        Error::refused(Call::Status, "lena", service(401, "access_token_invalid")),
        Error::refused(Call::Status, "lena", service(500, "internal_error")),
        Error::refused(Call::Put, "lena", service(418, "http_418")),
        Error::failed("clip.mp4", "frame_rate_check_failed", "v_inbox_file~v2.1"),
        Error::failed("clip.mp4", "auth_removed", "v_inbox_file~v2.1"),
        Error::failed("clip.mp4", "brand_new_reason", "v_inbox_file~v2.1"),
        Error::host(&BadHost::Foreign("uploads.example".into())),
        Error::api_base("http://api.example", &BadHost::Plain),
        Error::untrusted("invalid peer certificate: UnknownIssuer"),
        Error::untrusted_look(
            "https://media.example/clip.mp4",
            "invalid peer certificate: Expired",
        ),
        Error::no_directory(Path::new("/var/lib/state")),
        Error::cancelled(),
    ];
    let line = |error: &Error| {
        let remedies: Vec<&str> = error.remedies().iter().map(Remedy::as_str).collect();
        let (kind, who) = (error.kind(), error.who_must_act().as_str());
        format!("{kind:?}/{who} [{}]: {error}", remedies.join(" "))
    };
    let lines: Vec<String> = errors.iter().map(line).collect();
    for error in &errors {
        assert!(!speaks_of_the_command(&error.to_string()), "{error}");
    }
    insta::assert_snapshot!(lines.join("\n"));
}

/// The string literals of a file, without its comments and tests.
fn literals(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let code = code.replace("'\"'", "").replace("'\\\"'", "");
    let mut parts = code.split('"');
    let mut found = Vec::new();
    // Code and literals take turns.
    while let (Some(_), Some(literal)) = (parts.next(), parts.next()) {
        let mut literal = literal.to_owned();
        while literal.ends_with('\\') {
            let Some(rest) = parts.next() else { break };
            literal = format!("{literal}\"{rest}");
        }
        found.push(literal);
    }
    found
}

/// Whether a text speaks of the command, or of one of its options.
fn speaks_of_the_command(text: &str) -> bool {
    let names_option = text.split("--").skip(1);
    let names_option = names_option
        .into_iter()
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    names_option || text.to_lowercase().contains("command")
}

fn sources(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = ["cli", "emulator", "emulator.rs", "tests", "tests.rs"];
        if aside.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_text_of_the_library_names_an_option_or_the_command() {
    let mut paths = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src, &mut paths);
    let mut faults = Vec::new();
    let mut read = 0;
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("readable");
        for literal in literals(&text) {
            read += 1;
            if speaks_of_the_command(&literal) {
                faults.push(format!("{}: {literal}", path.display()));
            }
        }
    }
    assert!(read > 1000, "only {read} texts were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_text_that_names_an_option_is_found() {
    let code =
        "let a = \"Say \\\"now\\\".\"; // \"fine\"\nlet b = ('\"', \"Name it (--ca-file).\");";
    let found = literals(code);
    assert!(
        found.contains(&"Name it (--ca-file).".to_owned()),
        "{found:?}"
    );
    assert!(speaks_of_the_command("Run the same Command."));
    assert!(!speaks_of_the_command(
        "ffmpeg -i IN -r 30 OUT.mp4 -- or not"
    ));
}

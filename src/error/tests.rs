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
    insta::assert_snapshot!(lines.join("\n"));
}

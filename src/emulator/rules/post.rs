//! The fields of a direct post (D DP) and of a photo post (D PH).

use serde_json::Value;

use super::number::whole;
use crate::answer::Refusal;
use crate::settings::{BrandContentToggle, PhotoIsAigc, Settings};

/// The privacy levels of a public creator (D CI, DP).
pub(crate) const PRIVACY_LEVELS: [&str; 3] =
    ["PUBLIC_TO_EVERYONE", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"];

/// All privacy levels; the last one belongs to private accounts.
const ALL_PRIVACY_LEVELS: [&str; 4] = [
    "PUBLIC_TO_EVERYONE",
    "MUTUAL_FOLLOW_FRIENDS",
    "SELF_ONLY",
    "FOLLOWER_OF_CREATOR",
];

/// Latest cover of a video in milliseconds, an int32 (D DP).
const LONGEST_MS: u64 = 2_147_483_647;

/// The stored fields of an accepted post.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) public: bool,
    /// Posted at once, without the inbox.
    pub(crate) direct: bool,
    pub(crate) images: Vec<String>,
}

/// Judges the `post_info` of a direct video post.
pub(crate) fn judge_video_post(body: &Value, settings: &Settings) -> Result<Post, Refusal> {
    let info = post_info(body)?;
    let title = text(info, "title", 2200)?;
    for key in [
        "disable_duet",
        "disable_stitch",
        "disable_comment",
        "is_aigc",
    ] {
        flag(info, key)?;
    }
    flag(info, "brand_organic_toggle")?;
    let brand = flag(info, "brand_content_toggle")?;
    if brand.is_none() && settings.brand_content_toggle == BrandContentToggle::Required {
        return Err(Refusal::param("brand_content_toggle is required"));
    }
    match info.get("video_cover_timestamp_ms") {
        None | Some(Value::Null) => {}
        Some(value) if whole(value, settings).is_some_and(|ms| ms <= LONGEST_MS) => {}
        Some(_) => return Err(Refusal::param("video_cover_timestamp_ms must be an int32")),
    }
    let public = privacy_level(info)?;
    Ok(Post {
        title,
        description: None,
        public,
        direct: true,
        images: Vec::new(),
    })
}

/// Judges a photo post: its mode, its texts and its list of images.
pub(crate) fn judge_photo_post(body: &Value, settings: &Settings) -> Result<Post, Refusal> {
    if body.get("media_type").and_then(Value::as_str) != Some("PHOTO") {
        return Err(Refusal::param("media_type must be PHOTO"));
    }
    if body.get("is_aigc").is_some() && settings.photo_is_aigc == PhotoIsAigc::Refuse {
        return Err(Refusal::param("is_aigc does not belong to a photo post"));
    }
    let direct = match body.get("post_mode").and_then(Value::as_str) {
        // The field table has a space where the samples have an underscore.
        Some("DIRECT_POST" | "DIRECT POST") => true,
        Some("MEDIA_UPLOAD") => false,
        _ => {
            return Err(Refusal::param(
                "post_mode must be DIRECT_POST or MEDIA_UPLOAD",
            ));
        }
    };
    let info = post_info(body)?;
    let title = text(info, "title", 90)?;
    let description = text(info, "description", 4000)?;
    let flags = [
        "disable_comment",
        "auto_add_music",
        "brand_content_toggle",
        "brand_organic_toggle",
    ];
    for key in flags {
        flag(info, key)?;
    }
    let public = match direct {
        true => privacy_level(info)?,
        false => true,
    };
    Ok(Post {
        title,
        description,
        public,
        direct,
        images: images(body, settings)?,
    })
}

fn images(body: &Value, settings: &Settings) -> Result<Vec<String>, Refusal> {
    const MOST: usize = 35;
    let source = body.get("source_info").unwrap_or(&Value::Null);
    if source.get("source").and_then(Value::as_str) != Some("PULL_FROM_URL") {
        return Err(Refusal::param("the source of photos must be PULL_FROM_URL"));
    }
    let list = source.get("photo_images").and_then(Value::as_array);
    let urls: Option<Vec<String>> = list.and_then(|list| {
        let urls = list.iter().map(|url| url.as_str().map(str::to_owned));
        urls.collect()
    });
    let Some(urls) = urls.filter(|urls| (1..=MOST).contains(&urls.len())) else {
        return Err(Refusal::param(
            "photo_images must be a list of 1 to 35 URLs",
        ));
    };
    let cover = source
        .get("photo_cover_index")
        .map_or(Some(0), |cover| whole(cover, settings));
    match cover.is_some_and(|cover| cover < urls.len() as u64) {
        true => Ok(urls),
        false => Err(Refusal::param("photo_cover_index counts the images from 0")),
    }
}

fn post_info(body: &Value) -> Result<&Value, Refusal> {
    body.get("post_info")
        .filter(|info| info.is_object())
        .ok_or_else(|| Refusal::param("post_info is required"))
}

/// Returns whether the post will be public.
fn privacy_level(info: &Value) -> Result<bool, Refusal> {
    let level = info.get("privacy_level").and_then(Value::as_str);
    match level {
        None => Err(Refusal::param("privacy_level is required")),
        Some(level) if PRIVACY_LEVELS.contains(&level) => Ok(level == PRIVACY_LEVELS[0]),
        Some(level) if ALL_PRIVACY_LEVELS.contains(&level) => Err(Refusal::new(
            "privacy_level_option_mismatch",
            format!("{level} is not among the creator's privacy_level_options"),
        )),
        Some(level) => Err(Refusal::param(format!("{level} is no privacy_level"))),
    }
}

fn text(info: &Value, key: &str, most: usize) -> Result<Option<String>, Refusal> {
    match info.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.encode_utf16().count() <= most => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(Refusal::param(format!(
            "{key} is longer than {most} UTF-16 units"
        ))),
        Some(_) => Err(Refusal::param(format!("{key} must be text"))),
    }
}

fn flag(info: &Value, key: &str) -> Result<Option<bool>, Refusal> {
    match info.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Refusal::param(format!("{key} must be true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(info: Value) -> Result<Post, String> {
        let judged = judge_video_post(&json!({"post_info": info}), &Settings::default());
        judged.map_err(|refusal| refusal.code)
    }

    #[test]
    fn a_caption_is_measured_in_utf16_units() {
        let info = |title: String| json!({"privacy_level": "SELF_ONLY", "brand_content_toggle": false, "title": title});
        assert!(judge(info("x".repeat(2200))).is_ok());
        assert!(judge(info("\u{1F600}".repeat(1100))).is_ok());
        assert!(judge(info("\u{1F600}".repeat(1101))).is_err());
    }

    #[test]
    fn a_privacy_level_nobody_offered_is_a_mismatch_not_a_post() {
        let info = |level| json!({"privacy_level": level, "brand_content_toggle": false});
        assert!(judge(info("PUBLIC_TO_EVERYONE")).unwrap().public);
        let mismatch = "privacy_level_option_mismatch".to_owned();
        assert_eq!(judge(info("FOLLOWER_OF_CREATOR")), Err(mismatch));
        assert_eq!(judge(info("EVERYBODY")), Err("invalid_params".to_owned()));
        assert_eq!(judge(json!({})), Err("invalid_params".to_owned()));
    }

    fn with(mut body: Value, key: &str, value: Value) -> Value {
        body[key] = value;
        body
    }

    #[test]
    fn what_a_video_says_of_itself_is_judged_field_by_field() {
        let info = || json!({"privacy_level": "SELF_ONLY", "title": "clip"});
        let post = judge(info()).unwrap();
        assert_eq!(
            (post.title.as_deref(), post.public, post.direct),
            (Some("clip"), false, true)
        );
        for (key, value, allowed) in [
            ("title", json!(null), true),
            ("title", json!(7), false),
            ("disable_duet", json!(true), true),
            ("disable_duet", json!("yes"), false),
            ("is_aigc", json!(null), true),
            ("brand_content_toggle", json!(1), false),
            ("brand_organic_toggle", json!({}), false),
            ("video_cover_timestamp_ms", json!(null), true),
            ("video_cover_timestamp_ms", json!(0), true),
            ("video_cover_timestamp_ms", json!(2_147_483_647), true),
            ("video_cover_timestamp_ms", json!(2_147_483_648_u64), false),
            ("video_cover_timestamp_ms", json!(-1), false),
            ("video_cover_timestamp_ms", json!("0"), false),
        ] {
            let judged = judge(with(info(), key, value.clone()));
            assert_eq!(judged.is_ok(), allowed, "{key} {value}");
        }
        for body in [json!({}), json!({"post_info": "text"})] {
            assert!(judge_video_post(&body, &Settings::default()).is_err());
        }
    }

    #[test]
    fn a_toggle_that_is_required_is_missed_only_where_it_is_missing() {
        let mut settings = Settings::default();
        settings.set_pair("brand_content_toggle=required").unwrap();
        let judge = |info| judge_video_post(&json!({"post_info": info}), &settings);
        assert!(judge(json!({"privacy_level": "SELF_ONLY"})).is_err());
        for toggle in [true, false] {
            let info = json!({"privacy_level": "SELF_ONLY", "brand_content_toggle": toggle});
            assert!(judge(info).is_ok(), "{toggle}");
        }
    }

    fn photos() -> Value {
        json!({
            "media_type": "PHOTO",
            "post_mode": "DIRECT_POST",
            "post_info": {"privacy_level": "SELF_ONLY", "title": "day", "description": "of rain"},
            "source_info": {
                "source": "PULL_FROM_URL",
                "photo_images": ["https://a/1.jpg", "https://a/2.jpg"],
                "photo_cover_index": 1,
            },
        })
    }

    #[test]
    fn photos_are_kept_as_they_were_declared() {
        let judge = |body| judge_photo_post(&body, &Settings::default()).unwrap();
        let post = judge(photos());
        assert_eq!(post.title.as_deref(), Some("day"));
        assert_eq!(post.description.as_deref(), Some("of rain"));
        assert_eq!(post.images, ["https://a/1.jpg", "https://a/2.jpg"]);
        assert!(post.direct && !post.public);
        assert!(judge(with(photos(), "post_mode", "DIRECT POST".into())).direct);
        let draft = with(photos(), "post_mode", "MEDIA_UPLOAD".into());
        let draft = judge(with(draft, "post_info", json!({})));
        assert!(!draft.direct && draft.public);
    }

    #[test]
    fn photos_that_break_a_rule_never_pass() {
        let judge = |body, pair| {
            let mut settings = Settings::default();
            settings.set_pair(pair).unwrap();
            judge_photo_post(&body, &settings).is_ok()
        };
        let default = "photo_is_aigc=refuse";
        for (key, value) in [
            ("media_type", json!("VIDEO")),
            ("post_mode", json!("LATER")),
            ("post_info", json!(null)),
            ("post_info", json!({"privacy_level": "EVERYBODY"})),
            (
                "post_info",
                json!({"privacy_level": "SELF_ONLY", "title": "x".repeat(91)}),
            ),
            (
                "post_info",
                json!({"privacy_level": "SELF_ONLY", "auto_add_music": "yes"}),
            ),
            ("source_info", json!({"source": "FILE_UPLOAD"})),
            ("is_aigc", json!(true)),
        ] {
            assert!(
                !judge(with(photos(), key, value.clone()), default),
                "{key} {value}"
            );
        }
        assert!(judge(
            with(photos(), "is_aigc", json!(true)),
            "photo_is_aigc=ignore"
        ));

        for (count, cover, allowed) in [
            (0, json!(0), false),
            (1, json!(0), true),
            (1, json!(1), false),
            (35, json!(34), true),
            (36, json!(0), false),
            (2, json!("0"), false),
        ] {
            let mut body = photos();
            let url = json!("https://a/1.jpg");
            body["source_info"]["photo_images"] = vec![url; count].into();
            body["source_info"]["photo_cover_index"] = cover;
            assert_eq!(judge(body, default), allowed, "{count}");
        }
        let mut body = photos();
        body["source_info"]["photo_images"] = json!(["https://a/1.jpg", 2]);
        assert!(!judge(body, default), "an image that is no URL");
    }
}

//! The calls that start a post, cancel it, and report its status.

use serde_json::{Value, json};

use super::answer::{Outcome, Refusal};
use super::bounded::short;
use super::call::Call;
use super::caps::{check_daily_posts, check_pending};
use super::creator::public_name;
use super::endpoint::Endpoint;
use super::rules::{judge_photo_post, judge_plan, judge_video_post, legal_under_both_readings};
use super::service::{Order, Service};
use super::session::{Session, Source, State};
use super::settings::{InboxPostInfo, RefusedInit, Settings};

/// Longest URL of a pull in bytes.
const LONGEST_URL: usize = 2048;

/// Most pulls that run or wait.
const MOST_PULLS: usize = 1_000;

/// An inbox draft: `/v2/post/publish/inbox/video/init/` (D UP).
pub(crate) fn inbox_init(
    service: &mut Service,
    call: &Call,
    token: &str,
    settings: &Settings,
) -> Outcome {
    let body = call.json(settings)?;
    let (source, urls) = source(service, &body, settings)?;
    check_pending(service, call, settings)?;
    let mut session = Session::new(call.endpoint, source, service.now(), settings);
    if settings.inbox_post_info == InboxPostInfo::ApplyTitle {
        let title = body.pointer("/post_info/title").and_then(Value::as_str);
        // The limit of a direct post's title.
        session.title = title.map(|title| short(title, 2200));
    }
    Ok(open(service, call, token, session, urls))
}

/// A direct post: `/v2/post/publish/video/init/` (D DP).
pub(crate) fn direct_init(
    service: &mut Service,
    call: &Call,
    token: &str,
    settings: &Settings,
) -> Outcome {
    let body = call.json(settings)?;
    let post = judge_video_post(&body, settings)?;
    let (source, urls) = source(service, &body, settings)?;
    check_daily_posts(service, call, settings)?;
    let mut session = Session::new(call.endpoint, source, service.now(), settings);
    session.title = post.title;
    session.public = post.public;
    session.direct = true;
    Ok(open(service, call, token, session, urls))
}

/// Photos: `/v2/post/publish/content/init/` (D PH).
pub(crate) fn photo_init(
    service: &mut Service,
    call: &Call,
    token: &str,
    settings: &Settings,
) -> Outcome {
    let body = call.json(settings)?;
    let post = judge_photo_post(&body, settings)?;
    for url in &post.images {
        check_url(url, settings)?;
    }
    check_pulls(service)?;
    match post.direct {
        true => check_daily_posts(service, call, settings)?,
        false => check_pending(service, call, settings)?,
    }
    let mut session = Session::new(call.endpoint, Source::Pull, service.now(), settings);
    session.title = post.title;
    session.description = post.description;
    session.public = post.public;
    session.direct = post.direct;
    Ok(open(service, call, token, session, post.images))
}

/// The status of an upload: `/v2/post/publish/status/fetch/` (D ST).
pub(crate) fn status(service: &mut Service, call: &Call, settings: &Settings) -> Outcome {
    let body = call.json(settings)?;
    let number = owned(service, call, &body, settings)?;
    service.review.status_asked(number);
    Ok(service.sessions[&number].status_data(service.now(), settings))
}

/// Cancels a pull in progress: `/v2/post/publish/cancel/` (D MTG).
///
/// Uploads by the client are refused, as the documents mention pulls only.
pub(crate) fn cancel(service: &mut Service, call: &Call, settings: &Settings) -> Outcome {
    let body = call.json(settings)?;
    let number = owned(service, call, &body, settings)?;
    let now = service.now();
    let pulling = |session: &&mut Session| {
        matches!(session.source, Source::Pull) && session.state(now, settings) == State::Arriving
    };
    match service.sessions.get_mut(&number).filter(pulling) {
        Some(session) => {
            session.failed = Some("publish_cancelled".to_owned());
            Ok(json!({}))
        }
        None => Err(Refusal::new(
            "publish_not_cancellable",
            "Only a download in progress can be cancelled",
        )),
    }
}

/// The upload with the call's publish_id, if it belongs to the call's creator.
fn owned(
    service: &Service,
    call: &Call,
    body: &Value,
    settings: &Settings,
) -> Result<u64, Refusal> {
    let Some(publish_id) = body.get("publish_id").and_then(Value::as_str) else {
        return Err(Refusal::param("publish_id is required"));
    };
    let found = service.by_publish_id(publish_id).and_then(|number| {
        let session = service.sessions.get(&number)?;
        let age = service.now().since(session.issued);
        let known = settings.publish_id_ttl.is_none_or(|ttl| age < ttl);
        known.then_some((number, session))
    });
    let Some((number, session)) = found else {
        return Err(Refusal::new(
            "invalid_publish_id",
            "The publish_id does not exist",
        ));
    };
    match session.creator == call.creator() {
        true => Ok(number),
        false => Err(Refusal::new(
            "token_not_authorized_for_specified_publish_id",
            "The publish_id belongs to another creator",
        )),
    }
}

/// The source of the video, and the URLs to fetch.
fn source(
    service: &Service,
    body: &Value,
    settings: &Settings,
) -> Result<(Source, Vec<String>), Refusal> {
    let info = body.get("source_info").filter(|info| info.is_object());
    let info = info.ok_or_else(|| Refusal::param("source_info is required"))?;
    match info.get("source").and_then(Value::as_str) {
        Some("FILE_UPLOAD") => {
            let plan = judge_plan(info, settings)?;
            Ok((Source::Upload(plan), Vec::new()))
        }
        Some("PULL_FROM_URL") => match info.get("video_url").and_then(Value::as_str) {
            Some(url) => {
                check_url(url, settings)?;
                check_pulls(service)?;
                Ok((Source::Pull, vec![url.to_owned()]))
            }
            None => Err(Refusal::param("video_url is required")),
        },
        Some(_) => Err(Refusal::param(
            "source must be FILE_UPLOAD or PULL_FROM_URL",
        )),
        None => Err(Refusal::param("source is required")),
    }
}

/// A pull URL must be https, name a host, and lie below the verified prefix (D MTG).
fn check_url(text: &str, settings: &Settings) -> Result<(), Refusal> {
    if text.len() > LONGEST_URL {
        let why = format!("the URL is longer than {LONGEST_URL} bytes");
        return Err(Refusal::param(why));
    }
    let Ok(url) = url::Url::parse(text) else {
        return Err(Refusal::param("the URL cannot be read"));
    };
    let by_name = matches!(url.host(), Some(url::Host::Domain(_)));
    let allowed = match (url.scheme(), settings.pull_allow_http) {
        ("https" | "http", true) => true,
        ("https", false) => by_name,
        _ => false,
    };
    if !allowed {
        return Err(Refusal::param("the URL must be https and name a host"));
    }
    let verified = settings.verified_prefix.as_ref();
    match verified.is_none_or(|prefix| text.starts_with(prefix)) {
        true => Ok(()),
        false => Err(Refusal::new(
            "url_ownership_unverified",
            "The URL is not below a verified prefix",
        )),
    }
}

/// Refuses a pull if there are too many: each holds its URLs, and later a connection.
fn check_pulls(service: &Service) -> Result<(), Refusal> {
    let runs = |session: &&Session| {
        let ended = session.completed.is_some() || session.failed.is_some();
        matches!(session.source, Source::Pull) && !session.orphan && !ended
    };
    match service.sessions.values().filter(runs).count() < MOST_PULLS {
        true => Ok(()),
        false => Err(Refusal::new(
            "internal_error",
            format!("{MOST_PULLS} pulls are under way; this server takes no more at a time"),
        )),
    }
}

fn open(
    service: &mut Service,
    call: &Call,
    token: &str,
    session: Session,
    urls: Vec<String>,
) -> Value {
    if let Source::Upload(plan) = &session.source
        && let Err(remark) = legal_under_both_readings(plan)
    {
        let name = public_name(call.creator(), token);
        service.review.one_reading_only(&name, remark);
    }
    let number = service.open(token, session);
    let session = &service.sessions[&number];
    let publish_id = session.publish_id.clone();
    match session.source {
        Source::Upload(_) => json!({
            "publish_id": publish_id,
            "upload_url": format!(
                "{}/video/?upload_id={}&upload_token={}",
                call.origin, session.upload_id, session.upload_token
            ),
        }),
        Source::Pull => {
            service.orders.push(Order {
                session: number,
                urls,
            });
            json!({ "publish_id": publish_id })
        }
    }
}

/// Creates the task that a refused init may leave (O-12), which no client knows.
pub(crate) fn leave_orphan(service: &mut Service, call: &Call, status: u16, settings: &Settings) {
    let created = status == 400 || status >= 500;
    let Some(token) = call.token.as_deref().filter(|_| created) else {
        return;
    };
    if call.endpoint.is_init() && settings.refused_init == RefusedInit::Task {
        let mut session = Session::new(call.endpoint, Source::Pull, service.now(), settings);
        session.orphan = true;
        session.direct = call.endpoint == Endpoint::DirectInit;
        service.open(token, session);
    }
}

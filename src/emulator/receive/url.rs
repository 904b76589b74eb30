//! Finds the upload of an upload URL.

use ::url::form_urlencoded;

use crate::rules::Judgement;
use crate::service::Service;
use crate::session::Session;
use crate::settings::{DeadUrlStatus, Settings};

/// The upload in a URL's query, if the token is right.
pub(super) fn find(service: &Service, query: &str) -> Option<u64> {
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(key, value)| (key == wanted).then(|| value.into_owned()))
    };
    let number = service.by_upload_id(&value("upload_id")?)?;
    let token = value("upload_token")?;
    let session = service.sessions.get(&number)?;
    (session.upload_token == token).then_some(number)
}

/// The status for a dead URL: the documented one, unless the setting has another.
pub(super) fn dead(documented: u16, settings: &Settings) -> u16 {
    match settings.dead_url_status {
        DeadUrlStatus::Documented => documented,
        DeadUrlStatus::NotAllowed => 405,
    }
}

/// The upload host does not know the URL.
pub(super) fn gone(settings: &Settings) -> Judgement {
    Judgement::Refuse {
        status: dead(404, settings),
        why: "there is no live upload task for this URL".to_owned(),
    }
}

/// Refuses a URL that is expired or unknown.
pub(super) fn refuse_dead(
    session: &Session,
    service: &Service,
    settings: &Settings,
) -> Option<Judgement> {
    if session.dropped || session.failed.is_some() {
        return Some(gone(settings));
    }
    let expired = service.now() >= session.expires;
    expired.then(|| Judgement::Refuse {
        status: dead(403, settings),
        why: "the upload URL has expired".to_owned(),
    })
}

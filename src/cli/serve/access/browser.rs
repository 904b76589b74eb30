//! The part of the guard for browsers: how a session begins, and the cookie that stands for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::header::{ACCEPT, COOKIE, HeaderName, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;

use super::{Door, Guard, Need, Visit, forbidden, unauthorized};
use crate::serve::page::form::Form;
use crate::serve::page::session::{SESSION, Session};
use crate::serve::problem::{Problem, set};
use crate::serve::request::Query;

/// The header in which a browser says that nobody looks at the answer yet.
const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

impl Guard {
    /// The session of the browser that sends this request.
    pub(super) fn session(&self, head: &Parts, visit: &Visit) -> Option<Arc<Session>> {
        let token = cookie(&head.headers, visit.local.port())?;
        let keys = self
            .entrance
            .as_ref()
            .map(|entrance| entrance.keys.borrow());
        let sessions = &self.service.sessions;
        sessions.find(token, keys.as_deref().map(|keys| &**keys))
    }

    /// Begins a session: by a link, which works on the listener for browsers of this machine alone, or by a key of the network.
    pub(super) async fn sign_in(&self, head: &Parts, body: Body) -> Result<Response, Problem> {
        let (sessions, door) = (&self.service.sessions, head.extensions.get::<Door>());
        let (visit, token, is_encrypted) = match (door, &self.entrance) {
            (Some(Door::Page(visit)), _) if head.method == Method::GET => {
                // A browser that looks ahead would spend the link.
                if head.headers.contains_key(PURPOSE) {
                    return Err(unauthorized());
                }
                let query = Query::of(&head.uri, &["once"])?;
                let once = query.text("once").ok_or_else(unauthorized)?;
                let token = sessions.follow(once).map_err(no_random)?;
                (visit, token.ok_or_else(used)?, false)
            }
            (Some(Door::Network(visit)), Some(entrance)) if head.method == Method::POST => {
                let form = Form::read(body).await?;
                let found = entrance
                    .keys
                    .borrow()
                    .find(form.text("key").trim().as_bytes());
                let key = found.ok_or_else(wrong_key)?;
                if !Need::Read.is_met_by(key.role) {
                    return Err(forbidden("The role of the key does not allow the page."));
                }
                let token = sessions.begin(Some(key)).map_err(no_random)?;
                (visit, token, entrance.is_encrypted)
            }
            _ => return Err(unauthorized()),
        };
        visit.admitted.store(true, Ordering::Relaxed);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        set(&mut response, LOCATION, "/");
        let secure = if is_encrypted { "; Secure" } else { "" };
        let cookie = format!(
            "{}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{secure}",
            name(visit.local.port()),
            SESSION.as_secs()
        );
        set(&mut response, SET_COOKIE, &cookie);
        Ok(response)
    }
}

/// The name of the cookie. A browser sends cookies to all ports of a host, and each may have a service.
fn name(port: u16) -> String {
    format!("chunkferry-{port}")
}

/// The token of a session among the cookies of a request.
pub(in crate::serve) fn cookie(headers: &HeaderMap, port: u16) -> Option<&str> {
    let name = name(port);
    let all = headers.get_all(COOKIE).into_iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(of, token)| (of == name).then_some(token))
}

/// Reads a form that was made for this session.
pub(super) async fn own_form(session: &Session, body: Body) -> Result<Form, Problem> {
    let form = Form::read(body).await?;
    match session.is_own(form.text("csrf")) {
        true => Ok(form),
        false => Err(forbidden(
            "This form is of another session. Load the page again. Nothing was changed.",
        )),
    }
}

/// Whether the answer is for a person.
pub(super) fn wants_a_page(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter();
    accepted.any(|accepted| {
        accepted
            .to_str()
            .is_ok_and(|text| text.contains("text/html"))
    })
}

fn used() -> Problem {
    let text = "This link was used, or is older than five minutes.";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
}

fn wrong_key() -> Problem {
    let text = "This is no key of the service.";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
}

pub(super) fn no_random(_: io::Error) -> Problem {
    let text = "The system has no random numbers.";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unknown", text)
}

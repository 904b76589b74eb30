//! Who may do what: the one place that each request passes before its route.
//!
//! Whoever can connect to the socket may do everything. Over the network a key says who comes, and on the page a browser's session; a
//! route that is not listed here is for admins alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::Service;
use super::hosts::{Hosts, check_site};
use super::key_file::Current;
use super::keys::ApiKey;
use super::page;
use super::page::session::Session;
use super::problem::{Problem, set};

mod browser;
mod need;

use need::Asked;
pub(super) use need::Need;

pub(super) use browser::cookie;

/// How a request came in; each connection has one.
#[derive(Debug, Clone)]
pub(super) enum Door {
    Socket,
    Network(Arc<Visit>),
    /// The listener for browsers of this machine: it has the page alone.
    Page(Arc<Visit>),
}

impl Door {
    /// The port that a browser has come to.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Self::Socket => None,
            Self::Network(visit) | Self::Page(visit) => Some(visit.local.port()),
        }
    }
}

/// A connection over TCP.
#[derive(Debug)]
pub(super) struct Visit {
    /// The address that it leads to.
    local: SocketAddr,
    admitted: AtomicBool,
}

impl Visit {
    pub(super) const fn new(local: SocketAddr) -> Self {
        Self {
            local,
            admitted: AtomicBool::new(false),
        }
    }

    /// Whether a key, or a browser with a session, has come over it.
    pub(super) fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Relaxed)
    }
}

/// Who sends a request.
#[derive(Clone)]
pub(super) enum Caller {
    /// Whoever can connect to the socket.
    Owner,
    Key(Arc<ApiKey>),
    /// A browser, on the routes of the page.
    Browser(Arc<Session>),
    /// Asks for nothing that needs a key.
    Nobody,
}

impl Caller {
    /// Who that is, for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Owner => "socket".to_owned(),
            Self::Key(key) => format!("key {}", key.name),
            Self::Browser(session) => match &session.key {
                Some(key) => format!("page, key {}", key.name),
                None => "page".to_owned(),
            },
            Self::Nobody => "nobody".to_owned(),
        }
    }

    /// Whether the caller is on this machine, and may connect to the socket.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Owner => true,
            Self::Browser(session) => session.key.is_none(),
            Self::Key(_) | Self::Nobody => false,
        }
    }

    fn key(&self) -> Option<&ApiKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Browser(session) => session.key.as_deref(),
            Self::Owner | Self::Nobody => None,
        }
    }

    /// Whether the caller may do what needs this.
    pub(super) fn may(&self, need: Need) -> bool {
        need == Need::Nothing
            || self.is_local()
            || self.key().is_some_and(|key| need.is_met_by(key.role))
    }

    /// Whether jobs of this account exist for the caller.
    pub(super) fn sees(&self, account: &str) -> bool {
        self.is_local() || self.key().is_some_and(|key| key.reaches(account))
    }

    /// Whether there is no account that the caller does not see.
    pub(super) fn sees_all(&self) -> bool {
        self.is_local() || self.key().is_some_and(ApiKey::reaches_all)
    }

    /// Refuses a job for an account that the caller does not see.
    pub(super) fn check_account(&self, account: &str) -> Result<(), Problem> {
        match self.sees(account) {
            true => Ok(()),
            false => Err(
                forbidden("The key is not for this account. Nothing was accepted.")
                    .with("field", "account"),
            ),
        }
    }
}

/// What the network needs to know who comes.
pub(super) struct Entrance {
    pub(super) keys: Current,
    pub(super) hosts: Hosts,
    /// Whether browsers speak TLS with it, or with a proxy in front.
    pub(super) is_encrypted: bool,
}

struct Guard {
    service: Arc<Service>,
    entrance: Option<Entrance>,
    /// The names of the listener for browsers of this machine.
    own_hosts: Hosts,
}

/// Puts the guard before all routes of the router.
pub(super) fn guarded(router: Router, service: Arc<Service>, entrance: Option<Entrance>) -> Router {
    let guard = Arc::new(Guard {
        service,
        entrance,
        own_hosts: Hosts::new(&[], false),
    });
    router.layer(from_fn_with_state(guard, pass))
}

async fn pass(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (mut head, mut body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let asked = Asked::of(&head.method, &path);
    let caller = match guard.judge(&head, &asked).await {
        Ok(caller) => caller,
        Err(problem) => return refused(problem, &head, &asked),
    };
    if asked.need == Need::SignIn {
        return match guard.sign_in(&head, body).await {
            Ok(response) => response,
            Err(problem) => refused(problem, &head, &asked),
        };
    }
    if let Caller::Browser(session) = &caller
        && !is_read(&head.method)
    {
        match browser::own_form(session, body).await {
            Ok(form) => drop(head.extensions.insert(form)),
            Err(problem) => return refused(problem, &head, &asked),
        }
        body = Body::empty();
    }
    head.extensions.insert(caller.clone());
    let request = Request::from_parts(head, body);
    match (caller, &guard.entrance) {
        (Caller::Owner | Caller::Browser(_), _) => next.run(request).await,
        (Caller::Key(key), Some(entrance)) => entrance.answer(key, request, next).await,
        _ => closing(next.run(request).await),
    }
}

/// The answer to a request that may not pass: for a person who looks at the page, or for a program.
fn refused(problem: Problem, head: &Parts, asked: &Asked<'_>) -> Response {
    let response = match head.extensions.get::<Door>() {
        Some(door) if asked.is_page && browser::wants_a_page(&head.headers) => {
            page::refusal(&problem, door)
        }
        _ => problem.into_response(),
    };
    closing(response)
}

impl Guard {
    /// Who comes, if the request may pass.
    async fn judge(&self, head: &Parts, asked: &Asked<'_>) -> Result<Caller, Problem> {
        let door = head.extensions.get::<Door>().ok_or_else(unauthorized)?;
        let (visit, hosts) = match (door, &self.entrance) {
            (Door::Socket, _) if !asked.is_page => return Ok(Caller::Owner),
            (Door::Socket, _) => {
                // A proxy may have brought a browser here.
                check_site(&head.headers)?;
                let owner = self.service.sessions.owner().map_err(browser::no_random)?;
                return Ok(Caller::Browser(owner));
            }
            (Door::Page(visit), _) => (visit, &self.own_hosts),
            (Door::Network(visit), Some(entrance)) => (visit, &entrance.hosts),
            (Door::Network(_), None) => return Err(unauthorized()),
        };
        check_site(&head.headers)?;
        if asked.need == Need::Nothing {
            return Ok(Caller::Nobody);
        }
        hosts.check(head, visit.local)?;
        if asked.need == Need::SignIn {
            return Ok(Caller::Nobody);
        }
        let caller = match (asked.is_page, &self.entrance, door) {
            (true, ..) => self.session(head, visit).map(Caller::Browser),
            (false, Some(entrance), Door::Network(_)) => {
                entrance.key(&head.headers).map(Caller::Key)
            }
            (false, ..) => None,
        };
        let caller = caller.ok_or_else(unauthorized)?;
        visit.admitted.store(true, Ordering::Relaxed);
        if !caller.may(asked.need) {
            return Err(forbidden("The role of the key does not allow this."));
        }
        if let Some(id) = asked.job
            && !caller.sees_all()
        {
            self.check_job(&caller, id).await?;
        }
        Ok(caller)
    }

    /// A job of an account that the caller does not see is as one that does not exist.
    async fn check_job(&self, caller: &Caller, id: &str) -> Result<(), Problem> {
        // Another spelling of an id, such as one with escapes, is the id of no job here.
        let is_id = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let job = match is_id {
            true => self.service.engine.job(id).await?,
            false => None,
        };
        match job {
            Some(job) if caller.sees(&job.account) => Ok(()),
            _ => Err(Problem::no_job()),
        }
    }
}

impl Entrance {
    fn key(&self, headers: &HeaderMap) -> Option<Arc<ApiKey>> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (given.next()?, given.next());
        let (scheme, key) = first.to_str().ok()?.split_once(' ')?;
        let found = self.keys.borrow().find(key.trim().as_bytes());
        found.filter(|_| second.is_none() && scheme.eq_ignore_ascii_case("bearer"))
    }

    /// Answers for as long as the key is one: when it is taken away, a read that waits is refused, and an answer that goes on and on
    /// ends.
    async fn answer(&self, key: Arc<ApiKey>, request: Request, next: Next) -> Response {
        let mut keys = self.keys.clone();
        let mut taken_away = Box::pin(async move {
            if keys.wait_for(|keys| !keys.contains(&key)).await.is_err() {
                // Nobody looks at the file any more: the service ends.
                std::future::pending::<()>().await;
            }
        });
        let reads = is_read(request.method());
        let response = tokio::select! {
            response = next.run(request) => response,
            // What a change has done would stay unsaid, so its answer is waited for.
            () = &mut taken_away, if reads => return closing(unauthorized().into_response()),
        };
        match response.body().size_hint().exact() {
            Some(_) => response,
            None => response
                .map(|body| Body::from_stream(body.into_data_stream().take_until(taken_away))),
        }
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// The same for no key and for a wrong one.
fn unauthorized() -> Problem {
    let text = "A key of the service is needed: Authorization: Bearer KEY.";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
}

fn forbidden(text: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", text)
}

/// Ends the connection with this answer: nobody keeps one who is not let in.
fn closing(mut response: Response) -> Response {
    set(&mut response, CONNECTION, "close");
    if response.status() == StatusCode::UNAUTHORIZED {
        set(&mut response, WWW_AUTHENTICATE, "Bearer");
    }
    response
}

//! Who may do what: the one place that each request passes before its route.
//!
//! Whoever can connect to the socket may do everything. Over the network a key says who comes; a route that is not listed here is for
//! admins alone.

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
use super::keys::{ApiKey, Role};
use super::problem::{Problem, set};

/// How a request came in; each connection has one.
#[derive(Debug, Clone)]
pub(super) enum Door {
    Socket,
    Network(Arc<Visit>),
}

/// A connection over the network.
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

    /// Whether a key has come over it.
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
    /// Asks for nothing that needs a key.
    Nobody,
}

impl Caller {
    /// Who that is, for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Owner => "socket".to_owned(),
            Self::Key(key) => format!("key {}", key.name),
            Self::Nobody => "nobody".to_owned(),
        }
    }

    /// Whether the caller is on this machine, and may connect to the socket.
    pub(super) const fn is_local(&self) -> bool {
        matches!(self, Self::Owner)
    }

    /// Whether jobs of this account exist for the caller.
    pub(super) fn sees(&self, account: &str) -> bool {
        match self {
            Self::Owner => true,
            Self::Key(key) => key.reaches(account),
            Self::Nobody => false,
        }
    }

    /// Whether there is no account that the caller does not see.
    pub(super) fn sees_all(&self) -> bool {
        match self {
            Self::Owner => true,
            Self::Key(key) => key.reaches_all(),
            Self::Nobody => false,
        }
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
}

struct Guard {
    service: Arc<Service>,
    entrance: Option<Entrance>,
}

/// Puts the guard before all routes of the router.
pub(super) fn guarded(router: Router, service: Arc<Service>, entrance: Option<Entrance>) -> Router {
    let guard = Arc::new(Guard { service, entrance });
    router.layer(from_fn_with_state(guard, pass))
}

async fn pass(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let (caller, mut request) = match guard.judge(&head).await {
        Ok(caller) => (caller, Request::from_parts(head, body)),
        Err(problem) => return closing(problem.into_response()),
    };
    request.extensions_mut().insert(caller.clone());
    match (caller, &guard.entrance) {
        (Caller::Owner, _) => next.run(request).await,
        (Caller::Key(key), Some(entrance)) => entrance.answer(key, request, next).await,
        _ => closing(next.run(request).await),
    }
}

impl Guard {
    /// Who comes, if the request may pass.
    async fn judge(&self, head: &Parts) -> Result<Caller, Problem> {
        let visit = match (head.extensions.get::<Door>(), &self.entrance) {
            (Some(Door::Socket), _) => return Ok(Caller::Owner),
            (Some(Door::Network(visit)), Some(entrance)) => (visit, entrance),
            _ => return Err(unauthorized()),
        };
        let (visit, entrance) = visit;
        check_site(&head.headers)?;
        let (need, job) = need(&head.method, head.uri.path());
        if need == Need::Nothing {
            return Ok(Caller::Nobody);
        }
        entrance.hosts.check(head, visit.local)?;
        let key = entrance.key(&head.headers).ok_or_else(unauthorized)?;
        visit.admitted.store(true, Ordering::Relaxed);
        if !need.is_met_by(key.role) {
            return Err(forbidden("The role of the key does not allow this."));
        }
        let caller = Caller::Key(key);
        if let Some(id) = job
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

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Metrics,
    Read,
    Submit,
    Admin,
}

impl Need {
    const fn is_met_by(self, role: Role) -> bool {
        match self {
            Self::Nothing => true,
            Self::Metrics => matches!(role, Role::Metrics | Role::Admin),
            Self::Read => matches!(role, Role::Read | Role::Submit | Role::Admin),
            Self::Submit => matches!(role, Role::Submit | Role::Admin),
            Self::Admin => matches!(role, Role::Admin),
        }
    }
}

/// What a request needs, and the job that it is about.
fn need<'a>(method: &Method, path: &'a str) -> (Need, Option<&'a str>) {
    let mut parts = [""; 5];
    let mut count = 0;
    for part in path.split('/') {
        if count == parts.len() {
            return (Need::Admin, None);
        }
        parts[count] = part;
        count += 1;
    }
    let reads = is_read(method);
    let posts = method == Method::POST;
    match &parts[1..count] {
        ["healthz" | "readyz"] if reads => (Need::Nothing, None),
        ["metrics"] if reads => (Need::Metrics, None),
        [
            "v1",
            "jobs" | "events" | "accounts" | "queue" | "service" | "openapi.json",
        ] if reads => (Need::Read, None),
        ["v1", "jobs", id] | ["v1", "jobs", id, "follow"] if reads => (Need::Read, Some(id)),
        ["v1", "jobs"] if posts => (Need::Submit, None),
        ["v1", "jobs", id, "pause" | "retry" | "cancel"] if posts => (Need::Submit, Some(id)),
        _ => (Need::Admin, None),
    }
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

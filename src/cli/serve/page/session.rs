//! Who looks at the page: links that work once, and the sessions of browsers. Both are kept as digests, in memory alone.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc};

use crate::serve::keys::{ApiKey, ApiKeys};

/// How long a link may be opened.
pub(in crate::serve) const LINK: Duration = Duration::from_secs(5 * 60);

/// How long a session lasts.
pub(in crate::serve) const SESSION: Duration = Duration::from_secs(12 * 3600);

/// Links and sessions that are kept at once; the oldest ones go first.
const MOST: usize = 100;

/// 256 random bits; their digest is what is kept.
type Hash = [u8; 32];

/// A browser that may look at the page.
pub(in crate::serve) struct Session {
    /// The key that it was begun with; `None` if its link came over the socket, whose clients may do everything.
    pub(in crate::serve) key: Option<Arc<ApiKey>>,
    /// What the page's own forms bring along.
    csrf: String,
    began: Instant,
}

impl Session {
    fn new(key: Option<Arc<ApiKey>>) -> io::Result<Self> {
        Ok(Self {
            key,
            csrf: random()?,
            began: Instant::now(),
        })
    }

    pub(in crate::serve) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form was made for this session. How long that takes depends on the length alone.
    pub(in crate::serve) fn is_own(&self, csrf: &str) -> bool {
        verify_slices_are_equal(self.csrf.as_bytes(), csrf.as_bytes()).is_ok()
    }
}

/// The links and the sessions.
pub(in crate::serve) struct Sessions {
    links: Mutex<HashMap<Hash, Instant>>,
    sessions: Mutex<HashMap<Hash, Arc<Session>>>,
    /// Of whoever uses the page over the socket.
    owner: OnceLock<Arc<Session>>,
    address: OnceCell<SocketAddr>,
    opened: mpsc::Sender<TcpListener>,
}

impl Sessions {
    /// No sessions; and where the listener for browsers of this machine comes from, once somebody has asked for a link.
    pub(in crate::serve) fn new() -> (Self, mpsc::Receiver<TcpListener>) {
        let (opened, listeners) = mpsc::channel(1);
        let sessions = Self {
            links: Mutex::default(),
            sessions: Mutex::default(),
            owner: OnceLock::new(),
            address: OnceCell::new(),
            opened,
        };
        (sessions, listeners)
    }

    /// The session of whoever uses the page over the socket.
    pub(in crate::serve) fn owner(&self) -> io::Result<Arc<Session>> {
        if let Some(owner) = self.owner.get() {
            return Ok(Arc::clone(owner));
        }
        let new = Arc::new(Session::new(None)?);
        Ok(Arc::clone(self.owner.get_or_init(|| new)))
    }

    /// Makes a link that begins a session with all rights, once. Listens for browsers of this machine from the first link on.
    pub(in crate::serve) async fn link(&self) -> io::Result<String> {
        let open = || async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let address = listener.local_addr()?;
            let sent = self.opened.send(listener).await;
            sent.map_err(io::Error::other)?;
            Ok::<_, io::Error>(address)
        };
        let address = *self.address.get_or_try_init(open).await?;
        let token = random()?;
        let mut links = lock(&self.links);
        links.retain(|_, made| made.elapsed() < LINK);
        make_room(&mut links, |made| *made);
        links.insert(hash(&token), Instant::now());
        Ok(format!("http://{address}/login?once={token}"))
    }

    /// Begins the session of a link, which does not work again. The token of the session; `None` if there is no such link any more.
    pub(in crate::serve) fn follow(&self, token: &str) -> io::Result<Option<String>> {
        let made = lock(&self.links).remove(&hash(token));
        match made.filter(|made| made.elapsed() < LINK) {
            Some(_) => self.begin(None).map(Some),
            None => Ok(None),
        }
    }

    /// Begins a session with the rights of a key. The token of the session, which nothing else has.
    pub(in crate::serve) fn begin(&self, key: Option<Arc<ApiKey>>) -> io::Result<String> {
        let (token, session) = (random()?, Session::new(key)?);
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, session| session.began.elapsed() < SESSION);
        make_room(&mut sessions, |session| session.began);
        sessions.insert(hash(&token), Arc::new(session));
        Ok(token)
    }

    /// The session of this token. It has ended when its key is none of these any more.
    pub(in crate::serve) fn find(
        &self,
        token: &str,
        keys: Option<&ApiKeys>,
    ) -> Option<Arc<Session>> {
        let (hash, mut sessions) = (hash(token), lock(&self.sessions));
        let session = Arc::clone(sessions.get(&hash)?);
        let is_key = |key: &Arc<ApiKey>| keys.is_some_and(|keys| keys.contains(key));
        let lasts = session.began.elapsed() < SESSION && session.key.as_ref().is_none_or(is_key);
        if !lasts {
            sessions.remove(&hash);
        }
        lasts.then_some(session)
    }

    /// Ends a session.
    pub(in crate::serve) fn end(&self, token: &str) {
        lock(&self.sessions).remove(&hash(token));
    }
}

fn make_room<V>(all: &mut HashMap<Hash, V>, age: impl Fn(&V) -> Instant) {
    if all.len() >= MOST
        && let Some(oldest) = all
            .iter()
            .min_by_key(|(_, of)| age(of))
            .map(|(hash, _)| *hash)
    {
        all.remove(&oldest);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

/// 256 bits as 64 hexadecimal digits.
pub(super) fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_the_past(seconds: u64) -> Instant {
        let past = Instant::now().checked_sub(Duration::from_secs(seconds));
        past.expect("the machine runs for so long")
    }

    #[test]
    fn a_link_works_once_and_none_that_is_old_or_made_up_works() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let (sessions, _listeners) = Sessions::new();
        let link = runtime.block_on(sessions.link()).expect("a link");
        let (_, token) = link.split_once("/login?once=").expect("a token");
        assert!(sessions.follow("").expect("random").is_none());
        assert!(sessions.follow(&token[1..]).expect("random").is_none());
        let session = sessions.follow(token).expect("random").expect("a session");
        assert!(sessions.find(&session, None).is_some());
        assert!(sessions.find(token, None).is_none(), "a link is no session");
        assert!(sessions.follow(token).expect("random").is_none(), "twice");
        let old = runtime.block_on(sessions.link()).expect("a link");
        let (_, token) = old.split_once("/login?once=").expect("a token");
        if Instant::now().checked_sub(LINK).is_some() {
            let made = of_the_past(LINK.as_secs());
            lock(&sessions.links).insert(hash(token), made);
            assert!(sessions.follow(token).expect("random").is_none(), "old");
        }
        sessions.end(&session);
        assert!(sessions.find(&session, None).is_none());
    }

    #[test]
    fn nobody_who_asks_again_and_again_fills_the_memory() {
        let (sessions, _listeners) = Sessions::new();
        let first = sessions.begin(None).expect("a session");
        for _ in 0..MOST {
            sessions.begin(None).expect("a session");
        }
        assert!(sessions.find(&first, None).is_none());
        assert_eq!(lock(&sessions.sessions).len(), MOST);
    }

    #[test]
    fn a_form_of_another_session_is_not_this_one_s() {
        let (one, other) = (Session::new(None), Session::new(None));
        let (one, other) = (one.expect("random"), other.expect("random"));
        assert!(one.is_own(one.csrf()));
        assert!(!one.is_own(other.csrf()) && !one.is_own(""));
    }
}

//! The open connections: who is at the other end, and which of them makes room for the next one.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task::{AbortHandle, Id, JoinSet};

/// More connections than this are never held, however many descriptors there are.
const MOST: usize = 10_000;

/// Threads that may block at a time. Each connection of a sink takes one, and files take the others.
pub(crate) const BLOCKING_THREADS: usize = 512;
const MOST_OF_SINK: usize = BLOCKING_THREADS - 64;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that are being served.
    requests: usize,
    /// When that changed last.
    since: Instant,
}

impl Client {
    pub(crate) fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            // An IPv4 client of an IPv6 socket.
            address: address.to_canonical(),
            state: Mutex::new(State {
                requests: 0,
                since: Instant::now(),
            }),
        })
    }

    /// A request has come in; it is served until the guard is dropped.
    pub(crate) fn serve(self: &Arc<Self>) -> Served {
        self.change(1);
        Served(Arc::clone(self))
    }

    fn change(&self, by: isize) {
        let mut state = self.state();
        state.requests = state.requests.saturating_add_signed(by);
        state.since = Instant::now();
    }

    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.requests == 0).then_some(state.since)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request of a client that is being served.
pub(crate) struct Served(Arc<Client>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.change(-1);
    }
}

/// All connections of one server; dropping it ends them.
pub(crate) struct Connections {
    most: usize,
    tasks: JoinSet<()>,
    open: HashMap<Id, (AbortHandle, Arc<Client>)>,
}

impl Connections {
    pub(crate) fn new(sink: bool) -> Self {
        // An eighth is left for kept files, pulls and webhooks.
        let descriptors = descriptors();
        let most = (descriptors - descriptors / 8).min(MOST);
        Self {
            most: match sink {
                // Its connections take two descriptors each.
                true => (most / 2).min(MOST_OF_SINK),
                false => most,
            },
            tasks: JoinSet::new(),
            open: HashMap::new(),
        }
    }

    /// Serves one more connection; beyond the most, the one that is idle for the longest time is closed.
    pub(crate) fn add(
        &mut self,
        client: Arc<Client>,
        served: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(served);
        self.open.insert(task.id(), (task, client));
        if self.open.len() > self.most {
            self.close_oldest_idle();
        }
    }

    /// Whether there was one that could be closed.
    pub(crate) fn close_oldest_idle(&mut self) -> bool {
        let idle = self
            .open
            .iter()
            .filter_map(|(id, (_, client))| Some((client.idle_since()?, *id)));
        let Some((_, oldest)) = idle.min_by_key(|(since, _)| *since) else {
            return false;
        };
        if let Some((task, _)) = self.open.remove(&oldest) {
            task.abort();
        }
        true
    }

    /// Waits until a connection has ended; `None`: there is none.
    pub(crate) async fn ended(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.open.remove(&id);
        Some(())
    }
}

/// How many files and sockets this process may have open.
#[cfg(unix)]
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn descriptors() -> usize {
    usize::MAX
}

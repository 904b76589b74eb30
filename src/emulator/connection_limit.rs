//! The open connections, their clients, and which connection is closed to make room for a new one.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};

/// Most open connections, however many descriptors there are.
const MOST: usize = 10_000;

/// Least number of descriptors reserved for kept files, pulls, webhooks and the process itself; otherwise an eighth.
const LEAST_SPARE: usize = 32;

/// Most threads that may block. Each connection of a sink needs one, and file access needs the others.
pub(crate) const BLOCKING_THREADS: usize = 512;
const MOST_OF_SINK: usize = BLOCKING_THREADS - 64;

/// The client of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Notified when its connection must make room.
    pub(crate) leave: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests in progress.
    requests: usize,
    /// When `requests` last changed.
    since: Instant,
    /// Whether the client was asked to leave.
    leaving: bool,
}

impl Client {
    pub(crate) fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            // An IPv4 client on an IPv6 socket.
            address: address.to_canonical(),
            leave: Notify::new(),
            state: Mutex::new(State {
                requests: 0,
                since: Instant::now(),
                leaving: false,
            }),
        })
    }

    /// Counts a request as in progress until the guard is dropped.
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
        (state.requests == 0 && !state.leaving).then_some(state.since)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress.
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
    open: HashMap<Id, Arc<Client>>,
}

impl Connections {
    /// `two`: each connection may need two descriptors.
    pub(crate) fn new(sink: bool, two: bool) -> Self {
        let descriptors = descriptors();
        let spare = (descriptors / 8).max(LEAST_SPARE);
        let most = descriptors.saturating_sub(spare) / if two { 2 } else { 1 };
        let threads = if sink { MOST_OF_SINK } else { MOST };
        Self {
            most: most.clamp(1, threads),
            tasks: JoinSet::new(),
            open: HashMap::new(),
        }
    }

    /// Serves one more connection.
    pub(crate) fn add(
        &mut self,
        client: Arc<Client>,
        served: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(served);
        self.open.insert(task.id(), client);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= self.most
    }

    /// Asks the connection that has been idle for the longest time to leave.
    pub(crate) fn close_oldest_idle(&self) {
        let clients = self.open.values();
        let idle = clients.filter_map(|client| Some((client.idle_since()?, client)));
        if let Some((_, oldest)) = idle.min_by_key(|(since, _)| *since) {
            oldest.state().leaving = true;
            oldest.leave.notify_one();
        }
    }

    /// Waits until a connection has ended; `None` if there is none.
    pub(crate) async fn ended(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        self.open.remove(&id);
        Some(())
    }
}

/// Most descriptors that this process may have.
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

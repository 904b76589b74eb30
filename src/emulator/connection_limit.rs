//! The open connections, their clients, and which connection is closed to make room for a new one.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};

/// More connections than this are never held, however many descriptors there are.
const MOST: usize = 10_000;

/// Descriptors that are left for kept files, pulls, webhooks and the process itself: an eighth, and no fewer than this.
const LEAST_SPARE: usize = 32;

/// Threads that may block at a time. Each connection of a sink takes one, and files take the others.
pub(crate) const BLOCKING_THREADS: usize = 512;
const MOST_OF_SINK: usize = BLOCKING_THREADS - 64;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Told when its connection is to make room.
    pub(crate) leave: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that are being served.
    requests: usize,
    /// When that changed last.
    since: Instant,
    /// It was asked to leave already.
    leaving: bool,
}

impl Client {
    pub(crate) fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            // An IPv4 client of an IPv6 socket.
            address: address.to_canonical(),
            leave: Notify::new(),
            state: Mutex::new(State {
                requests: 0,
                since: Instant::now(),
                leaving: false,
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
        (state.requests == 0 && !state.leaving).then_some(state.since)
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
    open: HashMap<Id, Arc<Client>>,
}

impl Connections {
    /// `two`: each may take two descriptors.
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

    /// Asks the connection to leave that has been idle for the longest time.
    pub(crate) fn close_oldest_idle(&self) {
        let clients = self.open.values();
        let idle = clients.filter_map(|client| Some((client.idle_since()?, client)));
        if let Some((_, oldest)) = idle.min_by_key(|(since, _)| *since) {
            oldest.state().leaving = true;
            oldest.leave.notify_one();
        }
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

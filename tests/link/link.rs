//! A link between two TUN devices: a rate, a distance, and a queue that drops what it cannot hold.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tappers::Tun;

/// Largest packet. With 1500 the two cores of a small machine are busy with packets before 1 Gbit/s is full.
pub(crate) const MTU: usize = 9000;

/// Packets taken in before those that are due are looked at again.
const GULP: usize = 32;

/// Both directions have the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Bits per second.
    pub(crate) rate: u64,
    pub(crate) rtt: Duration,
}

impl Shape {
    /// Longest wait of a packet in the queue; a packet that would wait longer is dropped.
    fn queue(&self) -> Duration {
        self.rtt.max(Duration::from_millis(100))
    }

    /// How long the link is busy with so many bytes.
    pub(crate) fn busy(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.rate as f64)
    }
}

/// Carries packets until it is dropped.
pub(crate) struct Link {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Link {
    pub(crate) fn between(one: Tun, other: Tun, shape: Shape) -> Self {
        let (one, other) = (Arc::new(one), Arc::new(other));
        let stop = Arc::new(AtomicBool::new(false));
        let ways = [
            (Arc::clone(&one), Arc::clone(&other)),
            (Arc::clone(&other), Arc::clone(&one)),
        ];
        let threads = ways.map(|(from, to)| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || carry(&from, &to, shape, &stop))
        });
        Self {
            stop,
            threads: threads.into(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that has panicked has said so.
            let _ = thread.join();
        }
    }
}

/// One direction. A packet's time on the link follows from arithmetic when it comes in; this thread only has to hand it
/// over not too late, so being woken late costs no rate as long as packets were waiting.
fn carry(from: &Tun, to: &Tun, shape: Shape, stop: &AtomicBool) {
    let mut flying: VecDeque<(Instant, Box<[u8]>)> = VecDeque::new();
    let mut free = Instant::now();
    let mut buffer = vec![0; MTU];
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        while let Some((_, packet)) = flying.pop_front_if(|(due, _)| *due <= now) {
            // What the other side cannot take is lost, as on any wire.
            let _ = to.send(&packet);
        }
        let wait = flying
            .front()
            .map_or(Duration::from_millis(50), |(due, _)| {
                due.saturating_duration_since(Instant::now())
            });
        let wait = Timespec::try_from(wait).expect("below a second");
        let _ = poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&wait));
        for _ in 0..GULP {
            let Ok(len) = from.recv(&mut buffer) else {
                break;
            };
            let now = Instant::now();
            let turn = free.max(now);
            if turn - now <= shape.queue() {
                free = turn + shape.busy(len as u64);
                flying.push_back((free + shape.rtt / 2, buffer[..len].into()));
            }
        }
    }
}

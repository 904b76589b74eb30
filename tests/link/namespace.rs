//! A machine of its own, as far as the network goes.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tappers::{Interface, Tun};

use crate::link::MTU;

/// The name of the device in each namespace.
const DEVICE: &str = "ferry";

/// What every machine here is set to: buffers that no link of the matrix outgrows, and nothing remembered of earlier
/// connections.
const SYSCTLS: [(&str, &str); 3] = [
    ("tcp_wmem", "4096 16384 67108864"),
    ("tcp_rmem", "4096 131072 67108864"),
    ("tcp_no_metrics_save", "1"),
];

/// The kernel's own choice, unless another one is asked for.
pub(crate) fn congestion_control() -> String {
    std::env::var("CHUNKFERRY_TCP").unwrap_or_else(|_| {
        let chosen = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
        chosen.trim_end().to_owned()
    })
}

/// Taken down when it is dropped.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// `None` where that is not permitted.
    pub(crate) fn new(name: String) -> Option<Self> {
        ip(&["netns", "add", &name]).then_some(Self { name })
    }

    /// Gives it a TUN device between two addresses.
    pub(crate) fn device(&self, here: &str, there: &str) -> Option<Tun> {
        let tun = self.enter(|| {
            let set = |name, value: &str| fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
            for (name, value) in SYSCTLS {
                set(name, value).ok()?;
            }
            set("tcp_congestion_control", &congestion_control())
                .expect("a namespace may choose what tcp_allowed_congestion_control lists");
            let mut tun = Tun::new_named(Interface::new(DEVICE).ok()?).ok()?;
            tun.set_nonblocking(true).ok()?;
            Some(tun)
        })?;
        let mtu = MTU.to_string();
        let rows: [&[&str]; 3] = [
            &["addr", "add", here, "peer", there, "dev", DEVICE],
            // Only the link's own queue may drop packets, so a burst must reach it whole.
            &["link", "set", DEVICE, "mtu", &mtu, "txqueuelen", "50000"],
            &["link", "set", DEVICE, "up"],
        ];
        let inside = ["-n", &self.name];
        rows.iter()
            .all(|row| ip(&[&inside, *row].concat()))
            .then_some(tun)
    }

    /// Does something in it, on a thread that ends with it.
    pub(crate) fn enter<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(path).unwrap();
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .unwrap();
                act()
            });
            inside.join().unwrap()
        })
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command.stdin(Stdio::null());
        command
    }

    /// One of the kernel's counters of TCP, such as `ActiveOpens`.
    pub(crate) fn tcp(&self, counter: &str) -> u64 {
        let text = self.enter(|| fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let mut rows = text.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let mut pairs = names.split(' ').zip(values.split(' '));
        let (_, value) = pairs.find(|(name, _)| *name == counter).unwrap();
        value.parse().unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> bool {
    let mut command = Command::new("ip");
    let tried = command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

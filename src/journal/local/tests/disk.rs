//! What a disk may hold after a power cut, from a record of the calls that wrote to it.
//!
//! The record comes from strace. After a cut, everything that was synced is there: a file's bytes by a sync of the file,
//! its name by a sync of its directory. Of the rest of the bytes any part may be there, page by page. Names follow each
//! other in order, as journaling file systems keep them, or not even that.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// Bytes that reach a disk together.
const PAGE: u64 = 4096;

/// Calls that are recorded.
pub(super) const CALLS: &str = "openat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,ftruncate,\
    fallocate,write,writev,pwrite64,pwritev,lseek,fsync,fdatasync,close,fcntl,dup,dup2,dup3";

#[derive(Debug)]
enum Op {
    Mkdir(PathBuf),
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
    Write {
        inode: usize,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        inode: usize,
        len: u64,
    },
    SyncFile(usize),
    SyncDir(PathBuf),
    Said(String),
}

#[derive(Debug)]
struct Event {
    op: Op,
    start: usize,
    end: usize,
}

/// Everything that happened below one directory, in the order of the calls' returns.
#[derive(Debug, Default)]
pub(super) struct Disk {
    root: PathBuf,
    events: Vec<Event>,
    names: BTreeMap<PathBuf, Option<usize>>,
    lens: HashMap<usize, u64>,
    /// For each event, the one whose return made it durable.
    durable: Vec<usize>,
    time: usize,
}

#[derive(Debug, Clone)]
enum Opened {
    File { inode: usize, append: bool, at: u64 },
    Dir(PathBuf),
    Notes,
}

/// How a cut treats what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// All of it is gone.
    Strict,
    /// All of it is there.
    Kind,
    /// Some of it is there, names in their order.
    Ordered(u64),
    /// Some of it is there, names in any order.
    Wild(u64),
}

impl Disk {
    /// `root` is there, and durable, before anything happens.
    pub(super) fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            names: BTreeMap::from([(root.to_owned(), None)]),
            ..Self::default()
        }
    }

    /// Moments at which the power can fail.
    pub(super) fn moments(&self) -> usize {
        self.events.len()
    }

    /// Takes in the record of one process; what it wrote to `notes` is remembered with its place in the order.
    pub(super) fn record(&mut self, strace: &str, notes: &Path) {
        let mut fds: HashMap<i64, Opened> = HashMap::new();
        let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
        for line in strace.lines() {
            self.time += 1;
            let Some((thread, rest)) = line.split_once(char::is_whitespace) else {
                continue;
            };
            let rest = rest.trim_start();
            if let Some(part) = rest.strip_suffix("<unfinished ...>") {
                begun.insert(thread, (self.time, part.trim_end().to_owned()));
                continue;
            }
            let (start, call) = match rest.strip_prefix("<... ") {
                None => (self.time, rest.to_owned()),
                Some(resumed) => {
                    let (Some((start, part)), Some((_, tail))) =
                        (begun.remove(thread), resumed.split_once(" resumed>"))
                    else {
                        continue;
                    };
                    (start, part + tail)
                }
            };
            self.call(start, &call, &mut fds, notes);
        }
        self.durable = self
            .events
            .iter()
            .map(|event| self.sync_of(event))
            .collect();
    }

    /// The first sync that covers an event: one that began after the event had returned.
    fn sync_of(&self, event: &Event) -> usize {
        let covers = |sync: &Op| match (&event.op, sync) {
            (Op::Write { inode, .. } | Op::Truncate { inode, .. }, Op::SyncFile(synced)) => {
                inode == synced
            }
            (
                Op::Mkdir(path) | Op::Create(path, _) | Op::Unlink(path) | Op::Rename(path, _),
                Op::SyncDir(dir),
            ) => path.parent() == Some(dir),
            _ => false,
        };
        let mut later = self.events.iter();
        let found = later.position(|sync| sync.start > event.end && covers(&sync.op));
        found.unwrap_or(usize::MAX)
    }

    fn call(&mut self, start: usize, call: &str, fds: &mut HashMap<i64, Opened>, notes: &Path) {
        let (Some((name, rest)), Some((_, result))) =
            (call.split_once('('), call.rsplit_once(" = "))
        else {
            return;
        };
        let Ok(result) = result.split(' ').next().unwrap_or("").parse::<i64>() else {
            return;
        };
        if result < 0 {
            return;
        }
        let args: Vec<&str> = rest.split(',').map(|arg| arg.trim()).collect();
        let strings: Vec<Vec<u8>> = rest.split('"').skip(1).step_by(2).map(unhex).collect();
        let number = |at: usize| {
            let text = args.get(at).and_then(|arg| arg.split(')').next());
            text.and_then(|text| text.trim().parse::<i64>().ok())
        };
        let paths: Vec<PathBuf> = strings
            .iter()
            .map(|bytes| PathBuf::from(String::from_utf8_lossy(bytes).into_owned()))
            .collect();
        let ours = |path: &PathBuf| path.starts_with(&self.root);
        let fd = number(0).unwrap_or(-1);
        let op = match name {
            "openat" => {
                let (Some(path), flags) = (paths.first(), args.get(2).copied().unwrap_or(""))
                else {
                    return;
                };
                fds.remove(&result);
                if path == notes {
                    fds.insert(result, Opened::Notes);
                }
                if !ours(path) {
                    return;
                }
                let path = path.clone();
                match self.names.get(&path) {
                    Some(None) => {
                        fds.insert(result, Opened::Dir(path));
                        return;
                    }
                    known => {
                        let inode = known.copied().flatten();
                        let append = flags.contains("O_APPEND");
                        if let Some(inode) = inode {
                            fds.insert(
                                result,
                                Opened::File {
                                    inode,
                                    append,
                                    at: 0,
                                },
                            );
                            if !flags.contains("O_TRUNC") || self.lens[&inode] == 0 {
                                return;
                            }
                            self.lens.insert(inode, 0);
                            Op::Truncate { inode, len: 0 }
                        } else {
                            assert!(flags.contains("O_CREAT"), "opened, but never made: {call}");
                            let inode = self.lens.len();
                            self.lens.insert(inode, 0);
                            fds.insert(
                                result,
                                Opened::File {
                                    inode,
                                    append,
                                    at: 0,
                                },
                            );
                            self.names.insert(path.clone(), Some(inode));
                            Op::Create(path, inode)
                        }
                    }
                }
            }
            "mkdir" | "mkdirat" if ours(&paths[0]) => {
                self.names.insert(paths[0].clone(), None);
                Op::Mkdir(paths[0].clone())
            }
            "rename" | "renameat" | "renameat2" if ours(&paths[0]) => {
                rename(&mut self.names, &paths[0], &paths[1]);
                Op::Rename(paths[0].clone(), paths[1].clone())
            }
            "unlink" | "unlinkat" if ours(&paths[0]) => {
                self.names.remove(&paths[0]);
                Op::Unlink(paths[0].clone())
            }
            "write" | "pwrite64" | "ftruncate" => match fds.get_mut(&fd) {
                Some(Opened::Notes) => {
                    Op::Said(String::from_utf8_lossy(&strings[0]).trim().to_owned())
                }
                Some(Opened::File { inode, append, at }) => {
                    let inode = *inode;
                    let len = self.lens.entry(inode).or_default();
                    if name == "ftruncate" {
                        *len = number(1).unwrap_or(0) as u64;
                        Op::Truncate { inode, len: *len }
                    } else {
                        let offset = match name {
                            "pwrite64" => {
                                let text = rest.rsplit_once(')').map_or("", |(args, _)| args);
                                text.rsplit(',')
                                    .next()
                                    .unwrap_or("")
                                    .trim()
                                    .parse()
                                    .unwrap()
                            }
                            _ if *append => *len,
                            _ => *at,
                        };
                        let bytes = strings[0][..result as usize].to_vec();
                        if name == "write" {
                            *at = offset + result as u64;
                        }
                        *len = (*len).max(offset + result as u64);
                        Op::Write {
                            inode,
                            at: offset,
                            bytes,
                        }
                    }
                }
                _ => return,
            },
            "lseek" => {
                if let Some(Opened::File { at, .. }) = fds.get_mut(&fd) {
                    *at = result as u64;
                }
                return;
            }
            "fsync" | "fdatasync" => match fds.get(&fd) {
                Some(Opened::File { inode, .. }) => Op::SyncFile(*inode),
                Some(Opened::Dir(path)) => Op::SyncDir(path.clone()),
                _ => return,
            },
            "close" => {
                fds.remove(&fd);
                return;
            }
            "fcntl" if !rest.contains("F_DUPFD") => return,
            "fcntl" | "dup" | "dup2" | "dup3" => {
                if let Some(opened) = fds.get(&fd).cloned() {
                    fds.insert(result, opened);
                }
                return;
            }
            "link" | "linkat" if !ours(&paths[0]) => return,
            "writev" | "pwritev" | "fallocate" | "link" | "linkat" => {
                assert!(
                    !fds.contains_key(&fd) && paths.is_empty(),
                    "not replayed: {call}"
                );
                return;
            }
            _ => return,
        };
        self.events.push(Event {
            op,
            start,
            end: self.time,
        });
    }

    /// What was noted before the power failed at `moment`.
    pub(super) fn notes(&self, moment: usize) -> impl Iterator<Item = &str> {
        self.events[..moment]
            .iter()
            .filter_map(|event| match &event.op {
                Op::Said(text) => Some(text.as_str()),
                _ => None,
            })
    }

    /// Writes to `dir` what may be left of the root if the power fails at `moment`.
    pub(super) fn leave(&self, moment: usize, cut: Cut, dir: &Path) {
        let past = &self.events[..moment];
        let mut rng = match cut {
            Cut::Ordered(seed) | Cut::Wild(seed) => Rng::with_seed(seed ^ (moment as u64) << 20),
            Cut::Strict | Cut::Kind => Rng::with_seed(0),
        };
        let is_name = |event: &Event| !matches!(event.op, Op::Write { .. } | Op::Truncate { .. });
        let sure = |at: usize| self.durable[at] < moment;
        let named = (0..moment).rev().find(|&at| is_name(&past[at]) && sure(at));
        let named = named.map_or(0, |at| at + 1);
        let limit = match cut {
            Cut::Strict => named,
            Cut::Ordered(_) => rng.usize(named..=moment),
            Cut::Kind | Cut::Wild(_) => moment,
        };
        let mut names = BTreeMap::from([(self.root.clone(), None)]);
        let mut files: HashMap<usize, Vec<u8>> = HashMap::new();
        for (at, event) in past.iter().enumerate() {
            let (Op::Write { inode, .. } | Op::Truncate { inode, .. }) = &event.op else {
                let kept = match cut {
                    Cut::Wild(_) => sure(at) || rng.bool(),
                    _ => at < limit,
                };
                if kept {
                    apply(&mut names, &event.op);
                }
                continue;
            };
            if cut == Cut::Strict && !sure(at) {
                continue;
            }
            let whole = sure(at) || cut == Cut::Kind;
            let file = files.entry(*inode).or_default();
            match &event.op {
                Op::Truncate { len, .. } if whole || rng.bool() => file.resize(*len as usize, 0),
                Op::Write { at, bytes, .. } => {
                    // Kept, lost, or torn.
                    let fate = if whole { 0 } else { rng.u8(0..3) };
                    let mut offset = 0;
                    while offset < bytes.len() as u64 {
                        let page = (PAGE - (at + offset) % PAGE).min(bytes.len() as u64 - offset);
                        let keep = fate == 0 || fate == 2 && rng.bool();
                        if keep {
                            let (from, to) =
                                ((at + offset) as usize, (at + offset + page) as usize);
                            file.resize(file.len().max(to), 0);
                            file[from..to]
                                .copy_from_slice(&bytes[offset as usize..(offset + page) as usize]);
                        }
                        offset += page;
                    }
                }
                _ => {}
            }
        }
        for (path, inode) in names {
            let Ok(below) = path.strip_prefix(&self.root) else {
                continue;
            };
            let place = dir.join(below);
            match inode {
                None if place == dir => {}
                None => std::fs::create_dir(&place).expect("made"),
                Some(inode) => {
                    std::fs::write(&place, files.get(&inode).map_or(&[][..], |bytes| bytes))
                        .expect("written")
                }
            }
        }
    }
}

/// A name comes or goes, if what it needs is there.
fn apply(names: &mut BTreeMap<PathBuf, Option<usize>>, op: &Op) {
    let parent = |path: &Path| {
        path.parent()
            .is_some_and(|parent| names.get(parent) == Some(&None))
    };
    match op {
        Op::Mkdir(path) if parent(path) => {
            names.insert(path.clone(), None);
        }
        Op::Create(path, inode) if parent(path) => {
            names.insert(path.clone(), Some(*inode));
        }
        Op::Rename(from, to) if parent(to) => rename(names, from, to),
        Op::Unlink(path) => {
            names.remove(path);
        }
        _ => {}
    }
}

fn rename(names: &mut BTreeMap<PathBuf, Option<usize>>, from: &Path, to: &Path) {
    let moved: Vec<PathBuf> = names
        .keys()
        .filter(|path| path.starts_with(from))
        .cloned()
        .collect();
    for path in moved {
        let inode = names.remove(&path).flatten();
        let below = path.strip_prefix(from).expect("below it");
        let target = if below.as_os_str().is_empty() {
            to.to_owned()
        } else {
            to.join(below)
        };
        names.insert(target, inode);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .filter_map(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok())
        .collect()
}

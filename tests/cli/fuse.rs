//! A file system that a test can tell to fail, as one of another machine does: it speaks the kernel's FUSE protocol (7.31) on `/dev/fuse`,
//! and has one directory of files in memory.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use rustix::mount::{MountFlags, mount};

/// How the file system answers from now on.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The error of each read at or behind an offset.
    pub(crate) error: Option<(u64, i32)>,
    /// Reads of these bytes are not answered.
    pub(crate) hangs: Option<Range<u64>>,
    /// Whether each open gives the files other inode numbers.
    pub(crate) moves_inodes: bool,
    /// Whether the kernel may keep the bytes that it has read, over opens as well, as long as size and times are the same.
    pub(crate) is_cached: bool,
    /// Seconds of the times of all files; `changed` is `None` where the file system has no time of change.
    pub(crate) modified: u64,
    pub(crate) changed: Option<u64>,
    /// Bytes that reads were answered with, behind each other.
    pub(crate) read: u64,
    pub(crate) opens: u64,
    /// Reads that are not answered yet.
    pub(crate) waiting: Vec<(u64, Ask)>,
}

/// A read: the node of the file, the offset, and the most bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask(u64, u64, usize);

/// A mounted file system; gone when it is dropped.
pub(crate) struct Fuse {
    at: PathBuf,
    kernel: Arc<File>,
    manner: Arc<Mutex<Manner>>,
    serving: Option<JoinHandle<()>>,
}

const ROOT: u64 = 1;

// Numbers of the protocol.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;
/// Requests that are answered by success alone: RELEASE, FSYNC, FLUSH, OPENDIR, READDIR, RELEASEDIR.
const DONE: [u32; 6] = [18, 20, 25, 27, 28, 29];
const DIRECT_IO: u32 = 1;
const KEEP_CACHE: u32 = 2;

impl Fuse {
    /// Mounts it on a new directory. `None`, and said, where that may not be done.
    pub(crate) fn new(at: PathBuf, manner: Manner) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let kernel = File::options().read(true).write(true).open("/dev/fuse");
        let mounted = kernel.and_then(|kernel| {
            let fd = kernel.as_raw_fd();
            let data = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other");
            let data = CString::new(data).unwrap();
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("chunkferry-test", &at, "fuse", flags, Some(&*data))?;
            Ok(kernel)
        });
        let kernel = match mounted {
            Ok(kernel) => Arc::new(kernel),
            Err(error) => {
                println!("NOT TESTED: a FUSE file system cannot be mounted here ({error})");
                return None;
            }
        };
        let manner = Arc::new(Mutex::new(manner));
        let (from, of) = (Arc::clone(&kernel), Arc::clone(&manner));
        let serving = thread::spawn(move || serve(&from, &of));
        Some(Self {
            at,
            kernel,
            manner,
            serving: Some(serving),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    pub(crate) fn manner(&self) -> MutexGuard<'_, Manner> {
        self.manner.lock().unwrap()
    }

    /// Whether a read waits for its answer.
    pub(crate) fn is_hanging(&self) -> bool {
        !self.manner().waiting.is_empty()
    }

    /// Answers all reads again.
    pub(crate) fn release(&self) {
        let mut manner = self.manner();
        manner.hangs = None;
        for (unique, ask) in std::mem::take(&mut manner.waiting) {
            answer_read(&self.kernel, &mut manner, unique, ask);
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.release();
        // Lazily, as a command may have been killed a moment ago.
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
        drop(self.serving.take().map(JoinHandle::join));
    }
}

/// Answers requests until the file system is unmounted.
fn serve(kernel: &File, manner: &Mutex<Manner>) {
    let mut buffer = vec![0; 1 << 18];
    loop {
        let length = match (&*kernel).read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return,
            Err(_) => continue,
        };
        let request = &buffer[..length];
        let (opcode, unique, node) = (u32_at(request, 4), u64_at(request, 8), u64_at(request, 16));
        let body = &request[40..];
        let mut manner = manner.lock().unwrap();
        let answered = match opcode {
            FORGET | BATCH_FORGET => continue,
            INTERRUPT => {
                let of = u64_at(body, 0);
                manner.waiting.retain(|(unique, _)| *unique != of);
                reply(kernel, of, Err(libc::EINTR));
                continue;
            }
            INIT => Ok(init()),
            LOOKUP => manner.lookup(&body[..body.len() - 1]),
            GETATTR => manner.attributes(node).map(|attributes| {
                let valid = [0_u8; 16];
                [&valid[..], &attributes].concat()
            }),
            OPEN => {
                manner.opens += 1;
                let flags = match manner.is_cached {
                    true => KEEP_CACHE,
                    false => DIRECT_IO,
                };
                Ok(words(&[0, 0, flags, 0]))
            }
            READ => {
                let ask = Ask(node, u64_at(body, 8), u32_at(body, 16) as usize);
                let end = ask.1 + ask.2 as u64;
                match &manner.hangs {
                    Some(range) if end > range.start && ask.1 < range.end => {
                        manner.waiting.push((unique, ask))
                    }
                    _ => answer_read(kernel, &mut manner, unique, ask),
                }
                continue;
            }
            STATFS => Ok(vec![0; 80]),
            done if DONE.contains(&done) => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        };
        reply(kernel, unique, answered);
    }
}

fn answer_read(kernel: &File, manner: &mut Manner, unique: u64, Ask(node, offset, most): Ask) {
    let answered = match manner.error {
        Some((from, error)) if offset + most as u64 > from => Err(error),
        _ => manner.bytes(node).map(|bytes| {
            let begin = bytes.len().min(offset as usize);
            bytes[begin..bytes.len().min(begin + most)].to_vec()
        }),
    };
    manner.read += answered.as_ref().map_or(0, |bytes| bytes.len() as u64);
    reply(kernel, unique, answered);
}

impl Manner {
    fn bytes(&self, node: u64) -> Result<&Vec<u8>, i32> {
        let mut files = self.files.values();
        let file = files.nth((node - ROOT - 1) as usize);
        file.ok_or(libc::ESTALE)
    }

    fn lookup(&self, name: &[u8]) -> Result<Vec<u8>, i32> {
        let mut names = self.files.keys();
        let found = names.position(|known| known.as_bytes() == name);
        let node = ROOT + 1 + found.ok_or(libc::ENOENT)? as u64;
        let attributes = self.attributes(node)?;
        // Neither the name nor the attributes may be kept.
        let valid = [0; 24];
        Ok([&node.to_ne_bytes()[..], &[0; 8], &valid, &attributes].concat())
    }

    fn attributes(&self, node: u64) -> Result<Vec<u8>, i32> {
        let (mode, size) = match node {
            ROOT => (0o040_755, 0),
            _ => (0o100_644, self.bytes(node)?.len() as u64),
        };
        let inode = match self.moves_inodes {
            true => node + 1000 * self.opens,
            false => node,
        };
        let (modified, changed) = (self.modified, self.changed.unwrap_or(0));
        let mut text = Vec::new();
        for word in [inode, size, size.div_ceil(512), modified, modified, changed] {
            text.extend_from_slice(&word.to_ne_bytes());
        }
        // Nanoseconds, mode, links, owner and group, device, block size, flags.
        text.extend(words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]));
        Ok(text)
    }
}

/// The version, and how much is read at a time.
fn init() -> Vec<u8> {
    let (readahead, flags, background) = (1 << 17, 0, 0);
    let mut text = words(&[7, 31, readahead, flags, background, 1 << 17, 1]);
    text.resize(64, 0);
    text
}

fn reply(mut kernel: &File, unique: u64, answered: Result<Vec<u8>, i32>) {
    let (error, body) = match answered {
        Ok(body) => (0, body),
        Err(error) => (-error, Vec::new()),
    };
    let length = 16 + body.len() as u32;
    let mut text = length.to_ne_bytes().to_vec();
    text.extend(error.to_ne_bytes());
    text.extend(unique.to_ne_bytes());
    text.extend(body);
    // Whoever asked may be gone.
    let _: io::Result<usize> = kernel.write(&text);
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A file of a file system on another machine.
pub(crate) fn with_file(at: PathBuf, name: &str, file: &Path, manner: Manner) -> Option<Fuse> {
    let mut manner = manner;
    let bytes = std::fs::read(file).unwrap();
    manner.files.insert(name.to_owned(), bytes);
    if manner.modified == 0 {
        manner.modified = 1_700_000_000;
    }
    Fuse::new(at, manner)
}

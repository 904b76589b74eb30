//! Whether a program has a file open for writing: the kernel refuses a read lease while a program of this machine does.
//! One of the two files with `unsafe`.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::writer::Writers;

// Of fcntl(2); libc has them for some targets only.
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_TID: libc::c_int = 0;

#[repr(C)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// Takes the lease and gives it back at once. Blocks for less than a millisecond.
///
/// If a program opens the file for writing in between, the kernel sends SIGIO to the lease's owner, which kills a
/// process by default. So the owner is a short-lived thread that blocks the signal.
pub(super) fn writers(file: &File) -> Writers {
    std::thread::scope(|scope| {
        let asked = std::thread::Builder::new()
            .name("chunkferry-lease".to_owned())
            .spawn_scoped(scope, || ask(file));
        let answer = asked.ok().and_then(|thread| thread.join().ok());
        answer.unwrap_or(Writers::Unknown)
    })
}

fn ask(file: &File) -> Writers {
    let file = file.as_raw_fd();
    // SAFETY: `set` is plain memory that sigemptyset initialises; the mask is that of this thread, which ends here.
    let blocked = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGIO);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
    };
    let owner = Owner {
        kind: F_OWNER_TID,
        id: rustix::thread::gettid().as_raw_nonzero().get(),
    };
    // SAFETY: the descriptor is open for as long as the borrowed file, and `owner` has the layout of `f_owner_ex`.
    let owned = unsafe { libc::fcntl(file, F_SETOWN_EX, &raw const owner) };
    if blocked != 0 || owned != 0 {
        return Writers::Unknown;
    }
    // SAFETY: these commands take an integer and touch no memory of this process.
    if unsafe { libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) } == 0 {
        // SAFETY: as above.
        unsafe { libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) };
        return Writers::None;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Writers::Some,
        _ => Writers::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn disks() -> Vec<tempfile::TempDir> {
        let here = tempfile::tempdir().ok();
        let memory = tempfile::tempdir_in("/dev/shm").ok();
        here.into_iter().chain(memory).collect()
    }

    #[test]
    fn a_file_is_unfinished_for_as_long_as_somebody_has_it_open_for_writing() {
        for disk in disks() {
            let path = disk.path().join("clip.mp4");
            std::fs::write(&path, b"video").expect("written");
            let file = File::open(&path).expect("open");
            assert_eq!(writers(&file), Writers::None);
            let writer = OpenOptions::new().append(true).open(&path).expect("open");
            assert_eq!(writers(&file), Writers::Some);
            drop(writer);
            assert_eq!(writers(&file), Writers::None);
        }
    }

    #[test]
    fn a_writer_that_opens_meanwhile_does_not_kill_the_process() {
        for disk in disks() {
            let path = disk.path().join("clip.mp4");
            std::fs::write(&path, b"video").expect("written");
            let file = File::open(&path).expect("open");
            let done = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        drop(OpenOptions::new().append(true).open(&path));
                    }
                });
                for _ in 0..500 {
                    writers(&file);
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
        }
    }
}

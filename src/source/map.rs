//! Windows of a file that are mapped instead of read: the bytes go from the page cache to the socket, or into the
//! cipher, without a copy of our own. The only place with `unsafe`.
//!
//! The price: whoever shortens the file under a mapping makes its next access fail, which kills a process by SIGBUS.
//! Here a handler puts a page of zeros there instead and remembers it, so that the sender can tell it as an error before
//! anything is completed with such a page in it.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use memmap2::{Mmap, MmapOptions};

/// What became of the windows of one file.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    alive: AtomicUsize,
    torn: AtomicBool,
}

impl Mapped {
    /// Whether a window still waits to be sent.
    pub(crate) fn is_in_use(&self) -> bool {
        self.alive.load(Ordering::Acquire) > 0
    }

    /// Whether the file was shorter, at some time, than a window that is gone by now.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn.load(Ordering::Acquire)
    }
}

/// Some bytes of a file, mapped.
#[derive(Debug)]
pub(crate) struct Window {
    map: Mmap,
    slot: &'static Slot,
    of: Arc<Mapped>,
}

impl Window {
    /// Maps `range`, which must not be empty. `None` where so many windows are open that it could not be guarded.
    pub(crate) fn open(
        file: &File,
        range: Range<u64>,
        of: &Arc<Mapped>,
    ) -> io::Result<Option<Self>> {
        guard()?;
        let taken = SLOTS.iter().find(|slot| slot.take());
        let Some(slot) = taken else {
            return Ok(None);
        };
        let length = (range.end - range.start) as usize;
        let mut options = MmapOptions::new();
        options.offset(range.start).len(length).populate();
        // SAFETY: what lies under the mapping can change while it is read. A change of its bytes is what the ledger and
        // the proof before the last bytes are for; nothing here relies on them to stay the same. A file that becomes
        // shorter raises SIGBUS, which `on_bus_error` mends for every window whose slot is set, as this one's is before
        // anyone can look at it.
        let mapped = unsafe { options.map(file) };
        match mapped {
            Ok(map) => {
                slot.set(&map);
                of.alive.fetch_add(1, Ordering::AcqRel);
                Ok(Some(Self {
                    map,
                    slot,
                    of: Arc::clone(of),
                }))
            }
            Err(error) => {
                slot.give_back();
                Err(error)
            }
        }
    }
}

impl AsRef<[u8]> for Window {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.slot.give_back() {
            self.of.torn.store(true, Ordering::Release);
        }
        self.of.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where a window lies, for the handler, which may neither wait nor allocate.
#[derive(Debug)]
struct Slot {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    torn: AtomicBool,
}

/// More windows than this at once are read instead.
static SLOTS: [Slot; 512] = [const { Slot::free() }; 512];

impl Slot {
    const fn free() -> Self {
        Self {
            taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            torn: AtomicBool::new(false),
        }
    }

    fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    fn set(&self, bytes: &[u8]) {
        let range = bytes.as_ptr_range();
        self.end.store(range.end as usize, Ordering::Release);
        self.start.store(range.start as usize, Ordering::Release);
    }

    fn holds(&self, address: usize) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start != 0 && (start..self.end.load(Ordering::Acquire)).contains(&address)
    }

    /// Whether it was torn.
    fn give_back(&self) -> bool {
        self.start.store(0, Ordering::Release);
        let torn = self.torn.swap(false, Ordering::AcqRel);
        self.taken.store(false, Ordering::Release);
        torn
    }
}

/// What stood in for the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

static PAGE: AtomicUsize = AtomicUsize::new(0);

/// Sets the handler up, once in a process.
fn guard() -> io::Result<()> {
    static SET_UP: OnceLock<Option<i32>> = OnceLock::new();
    let failed = SET_UP.get_or_init(|| {
        // SAFETY: a plain question.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Release);
        // SAFETY: all zeros is a valid `sigaction`; both pointers are to values that live through the call. The handler
        // only touches atomics and calls `mmap`, which is a system call and safe in a handler.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(libc::SIGBUS, null(), &raw mut before) != 0 {
                return io::Error::last_os_error().raw_os_error();
            }
            BEFORE.get_or_init(|| before);
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = on_bus_error as *const () as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            if libc::sigaction(libc::SIGBUS, &raw const ours, null_mut()) != 0 {
                return io::Error::last_os_error().raw_os_error();
            }
        }
        None
    });
    match failed {
        None => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(*code)),
    }
}

extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with `SA_SIGINFO`.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some(slot) = SLOTS.iter().find(|slot| slot.holds(address)) {
        let page = PAGE.load(Ordering::Acquire);
        let start = address & !(page - 1);
        // SAFETY: the page belongs to a window of ours, is replaced in place, and stays readable. Whoever reads it sees
        // zeros, and the window says that it was torn.
        let put = unsafe {
            libc::mmap(
                start as *mut libc::c_void,
                page,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if put != libc::MAP_FAILED {
            slot.torn.store(true, Ordering::Release);
            return;
        }
    }
    // SAFETY: not ours, so whoever was here before us is called as it was registered; without anybody the default is put
    // back, and the access that failed, made again, ends the process as it would have without us.
    unsafe {
        match BEFORE.get() {
            Some(before)
                if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN =>
            {
                if before.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(
                        libc::c_int,
                        *mut libc::siginfo_t,
                        *mut libc::c_void,
                    ) = std::mem::transmute(before.sa_sigaction);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(libc::c_int) =
                        std::mem::transmute(before.sa_sigaction);
                    handler(signal);
                }
            }
            _ => drop(libc::signal(signal, libc::SIG_DFL)),
        }
    }
}

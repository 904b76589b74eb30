//! Maps windows of a file instead of reading it: the bytes go from the page cache to the socket, or into the cipher,
//! without another copy. One of the two files with `unsafe`.
//!
//! A file that is truncated under a mapping makes the next access fail with SIGBUS, which kills a process. The handler
//! here maps a page of zeros in its place and marks the window as torn, so that the sender reports an error before such
//! a page can complete a video.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use memmap2::{Mmap, MmapOptions};

/// The state of the windows of one file.
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

    /// Whether the file was ever shorter than a window that has been dropped since.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn.load(Ordering::Acquire)
    }
}

/// A mapped range of a file.
#[derive(Debug)]
pub(crate) struct Window {
    map: Mmap,
    slot: &'static Slot,
    of: Arc<Mapped>,
}

impl Window {
    /// Maps `range`, which must not be empty. `None` if all slots are taken, so the handler could not guard the window.
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
        // SAFETY: the bytes under the mapping can change while they are read; nothing here relies on them to stay the
        // same, and the ledger and the proof before the last bytes find such a change. A truncated file raises SIGBUS,
        // which `on_bus_error` handles for every window in a slot; this window is in one before anyone can read it.
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

/// The address range of a window, for the handler, which may neither wait nor allocate.
#[derive(Debug)]
struct Slot {
    taken: AtomicBool,
    /// Number of the first page and of pages; 0 while free. One value, so that the handler never sees half of it.
    pages: AtomicU64,
    torn: AtomicBool,
}

/// One slot for each window; without a free slot the file is read instead.
static SLOTS: [Slot; 512] = [const { Slot::free() }; 512];

impl Slot {
    const fn free() -> Self {
        Self {
            taken: AtomicBool::new(false),
            pages: AtomicU64::new(0),
            torn: AtomicBool::new(false),
        }
    }

    fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    fn set(&self, bytes: &[u8]) {
        let (range, page) = (bytes.as_ptr_range(), page());
        let first = range.start as usize / page;
        let count = (range.end as usize).div_ceil(page) - first;
        let pages = (first as u64) << COUNT_BITS | count as u64;
        self.pages.store(pages, Ordering::Release);
    }

    fn holds(&self, address: usize) -> bool {
        let pages = self.pages.load(Ordering::Acquire);
        let (first, count) = (pages >> COUNT_BITS, pages & ((1 << COUNT_BITS) - 1));
        let page = (address / page()) as u64;
        (first..first + count).contains(&page)
    }

    /// Frees the slot; returns whether its window was torn.
    fn give_back(&self) -> bool {
        self.pages.store(0, Ordering::Release);
        let torn = self.torn.swap(false, Ordering::AcqRel);
        self.taken.store(false, Ordering::Release);
        torn
    }
}

/// Bits for the number of pages of a window. Above it is the number of its first page: addresses have at most 57 bits,
/// pages at least 4 KiB, and a window 2 MiB.
const COUNT_BITS: u32 = 16;

/// Bytes of a page; exact once the handler is set up.
static PAGE: AtomicUsize = AtomicUsize::new(4096);

fn page() -> usize {
    PAGE.load(Ordering::Acquire)
}

/// The handlers registered before ours: at first, and when another library last replaced ours. Null means the default.
static FIRST: OnceLock<libc::sigaction> = OnceLock::new();
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(null_mut());

/// Registers the handler, again if another library has registered its own since.
fn guard() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let ours = on_bus_error as *const () as usize;
    // SAFETY: all zeros is a valid `sigaction`; the pointers are null or to values that live through the calls. The
    // handler only touches atomics and makes system calls that are safe in a handler. The value behind `BEFORE` is never
    // freed, as a handler on another thread may be reading it; that leaks some bytes each time another library replaces
    // our handler.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, null(), &raw mut before) != 0 {
            return Err(io::Error::last_os_error());
        }
        if before.sa_sigaction == ours {
            return Ok(());
        }
        if let Ok(page) = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)) {
            PAGE.store(page, Ordering::Release);
        }
        FIRST.get_or_init(|| before);
        BEFORE.store(Box::into_raw(Box::new(before)), Ordering::Release);
        match register() {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Registers the handler and returns the result of `sigaction`.
fn register() -> libc::c_int {
    // SAFETY: all zeros is a valid `sigaction`, which lives through the call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, null_mut())
    }
}

/// Registers the handler again if the handler that got the signal has restored the default, as Rust's own does.
fn stay() {
    // SAFETY: as above.
    let now = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, null(), &raw mut now);
        now.sa_sigaction
    };
    if now == libc::SIG_DFL {
        BEFORE.store(null_mut(), Ordering::Release);
        register();
    }
}

extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the place of this thread's `errno`, which the interrupted code may be about to read.
    let errno = unsafe { errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with `SA_SIGINFO`.
    if !unsafe { mend(&*info) } {
        // SAFETY: these are the arguments of this handler, unchanged.
        unsafe { pass_on(signal, info, context) };
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_location;
#[cfg(target_os = "linux")]
use libc::__errno_location as errno_location;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly"
))]
use libc::__error as errno_location;

/// Maps a page of zeros where a window has lost its own. Returns `false` for any other signal: the kernel gives an
/// address only for a fault, and a signal that a process sends has another value there.
///
/// # Safety
///
/// For a handler only: `info` is what the kernel passed.
unsafe fn mend(info: &libc::siginfo_t) -> bool {
    if info.si_code != libc::BUS_ADRERR {
        return false;
    }
    // SAFETY: with this code there is an address.
    let address = unsafe { info.si_addr() } as usize;
    let Some(slot) = SLOTS.iter().find(|slot| slot.holds(address)) else {
        return false;
    };
    let page = page();
    // SAFETY: the page belongs to one of our windows, is replaced in place, and stays readable. Readers see zeros, and
    // the window is marked as torn.
    let put = unsafe {
        libc::mmap(
            (address & !(page - 1)) as *mut libc::c_void,
            page,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    if put == libc::MAP_FAILED {
        return false;
    }
    slot.torn.store(true, Ordering::Release);
    true
}

thread_local! {
    /// Whether this thread is passing a signal on. Needs no set-up, so it is safe in a handler.
    static PASSING: Cell<bool> = const { Cell::new(false) };
}

/// Does what would have happened without our handler.
///
/// # Safety
///
/// For a handler only: the arguments are what the kernel passed.
unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // A handler that replaced ours may pass signals back to it. They go to the handler registered before both.
    let back = PASSING.replace(true);
    // SAFETY: `BEFORE` is null or points to a value that is never freed.
    let before = match back {
        false => unsafe { BEFORE.load(Ordering::Acquire).as_ref() },
        true => FIRST.get(),
    };
    let (action, flags) = before.map_or((libc::SIG_DFL, 0), |before| {
        (before.sa_sigaction, before.sa_flags)
    });
    // SAFETY: the handler is called in the way it was registered for. Otherwise the default is restored and the signal
    // raised, which ends the process as soon as this handler returns.
    unsafe {
        match action {
            // A fault cannot be ignored: the access would fail again for ever.
            libc::SIG_IGN if (*info).si_code <= 0 => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            handler if flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
                stay();
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
                stay();
            }
        }
    }
    PASSING.set(back);
}

//! Windows, and files that are cut off under them.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::source::map::{Mapped, Window};

#[test]
fn a_file_that_is_cut_off_under_its_window_tears_the_window_and_not_the_process() {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&vec![7; 1 << 20]).expect("written");
    let of = Arc::new(Mapped::default());
    let window = Window::open(&file, 4096..1 << 20, &of)
        .expect("mapped")
        .expect("a slot");
    assert!(of.is_in_use());
    file.set_len(8192).expect("cut off");
    let bytes = window.as_ref();
    assert_eq!(bytes.len(), (1 << 20) - 4096);
    assert_eq!(bytes[0], 7, "what is there is still read");
    assert_eq!(bytes[bytes.len() - 1], 0, "and zeros where nothing is");
    assert!(!of.is_torn(), "it shows when the window is gone");
    drop(window);
    assert!(of.is_torn() && !of.is_in_use());
}

#[test]
fn a_window_of_one_file_says_nothing_of_another() {
    let file = |len: u64| {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(len).expect("long enough");
        file
    };
    let (cut, whole) = (file(100_000), file(100_000));
    let of = [Arc::new(Mapped::default()), Arc::new(Mapped::default())];
    let open = |file, of| {
        Window::open(file, 0..100_000, of)
            .expect("mapped")
            .expect("a slot")
    };
    let windows = [open(&cut, &of[0]), open(&whole, &of[1])];
    cut.set_len(1).expect("cut off");
    let sum: u64 = windows
        .iter()
        .flat_map(|window| window.as_ref())
        .map(|byte| u64::from(*byte))
        .sum();
    assert_eq!(sum, 0);
    drop(windows);
    assert!(of[0].is_torn() && !of[1].is_torn());
}

#[test]
fn more_windows_than_can_be_guarded_are_not_opened() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(1).expect("a byte");
    let of = Arc::new(Mapped::default());
    let open = || Window::open(&file, 0..1, &of).expect("mapped");
    let all: Vec<_> = std::iter::from_fn(open).collect();
    assert!(!all.is_empty() && all.len() <= 512);
    drop(all);
    assert!(open().is_some(), "a slot that is given back serves again");
}

/// A file of 100,000 bytes, mapped, of which only the first is left.
fn cut_window(of: &Arc<Mapped>) -> Window {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(100_000).expect("long enough");
    let window = Window::open(&file, 0..100_000, of)
        .expect("mapped")
        .expect("a slot");
    file.set_len(1).expect("cut off");
    window
}

/// Reads pages of a window that the file no longer has; whether the window counts as torn.
fn is_guarded() -> bool {
    is_guarded_after(|| ())
}

/// The same of a window that was open when this came.
fn is_guarded_after(comes: impl FnOnce()) -> bool {
    let of = Arc::new(Mapped::default());
    let window = cut_window(&of);
    comes();
    let last = window.as_ref().last().copied();
    drop(window);
    last == Some(0) && of.is_torn()
}

/// To this thread, so that the signal is handled before the call returns.
#[allow(unsafe_code)]
fn bus() {
    // SAFETY: raises a signal and touches no memory.
    assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0);
}

/// The handler of another library, which keeps the handler before it and passes signals on.
#[allow(unsafe_code)]
fn another_handler(chains: bool) {
    use std::sync::OnceLock;
    static BEFORE: OnceLock<libc::sighandler_t> = OnceLock::new();
    extern "C" fn ends(_: libc::c_int) {
        // SAFETY: may be called in a handler.
        unsafe { libc::_exit(99) }
    }
    extern "C" fn passes_on(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        if let Some(before) = BEFORE.get() {
            // SAFETY: the handler of `map.rs`, which is of this type.
            let before: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(*before) };
            before(signal, info, context);
        }
    }
    let before = match chains {
        true => handle_with(passes_on as *const () as usize, libc::SA_SIGINFO),
        false => handle_with(ends as *const () as usize, 0),
    };
    let _ = BEFORE.set(before);
}

/// Registers a handler; which one was there before.
#[allow(unsafe_code)]
fn handle_with(handler: libc::sighandler_t, flags: libc::c_int) -> libc::sighandler_t {
    // SAFETY: all zeros is a valid `sigaction`, and the handlers above only do what a handler may.
    unsafe {
        let mut theirs: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        (theirs.sa_sigaction, theirs.sa_flags) = (handler, flags);
        libc::sigaction(libc::SIGBUS, &raw const theirs, &raw mut before);
        before.sa_sigaction
    }
}

#[test]
#[ignore = "the child of the test beside it"]
fn child() {
    match std::env::var("CHUNKFERRY_MAP_CHILD").as_deref() {
        Ok("once") => {
            assert!(is_guarded_after(bus), "the handler is gone");
            std::process::exit(5);
        }
        Ok("twice") => {
            assert!(is_guarded());
            bus();
            bus();
        }
        Ok("default") => {
            handle_with(libc::SIG_DFL, 0);
            assert!(is_guarded());
            bus();
        }
        Ok("other first") => {
            another_handler(false);
            assert!(is_guarded());
            bus();
        }
        Ok("replaced") => {
            assert!(is_guarded());
            another_handler(false);
            assert!(is_guarded(), "the handler was not put back");
            std::process::exit(5);
        }
        Ok("chained") => {
            assert!(is_guarded());
            another_handler(true);
            assert!(is_guarded_after(bus), "the handler is gone");
            std::process::exit(5);
        }
        _ => {}
    }
}

/// How a process of its own ends: its code, and the signal that killed it.
fn ends(setup: &str, ignore: bool) -> (Option<i32>, Option<i32>) {
    let script = match ignore {
        true => "trap '' BUS; exec \"$0\" \"$@\"",
        false => "ulimit -c 0; exec \"$0\" \"$@\"",
    };
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("a test"))
        .args(["--exact", "source::tests::map::child", "--ignored"])
        .env("CHUNKFERRY_MAP_CHILD", setup)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("run");
    (status.code(), status.signal())
}

#[test]
fn a_signal_that_somebody_sends_does_what_it_would_do_without_a_window() {
    let bus = (None, Some(libc::SIGBUS));
    assert_eq!(ends("once", true), (Some(5), None), "it is ignored");
    assert_eq!(ends("default", false), bus, "it ends the process");
    // Rust's own handler takes itself away at the first one.
    assert_eq!(ends("once", false), (Some(5), None));
    assert_eq!(ends("twice", false), bus);
    assert_eq!(ends("other first", false), (Some(99), None));
}

#[test]
fn a_handler_that_another_library_replaced_is_put_back_for_the_next_window() {
    assert_eq!(ends("replaced", false), (Some(5), None));
    let chained = ends("chained", false);
    assert_eq!(chained, (Some(5), None), "no two call each other for ever");
}

//! Windows, and files that are cut off under them.

use std::io::Write;
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

//! Standard output and standard error: lines that stay and, on a terminal, lines below them that are redrawn at each
//! change. All output of the command goes through here, so that neither breaks the other.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};

use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

use super::exit::Exit;

/// The properties of standard error; fixed at the start.
struct Manner {
    draws: bool,
    colours: bool,
}

static MANNER: LazyLock<Manner> = LazyLock::new(|| {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let draws = io::stderr().is_terminal() && set("TERM").is_none_or(|term| term != "dumb");
    Manner {
        draws,
        colours: draws && set("NO_COLOR").is_none(),
    }
});

/// Whether lines can be redrawn: standard error is a terminal with a movable cursor.
pub(super) fn draws() -> bool {
    MANNER.draws
}

/// Whether standard error also shows colours.
pub(super) fn has_colours() -> bool {
    MANNER.colours
}

/// Columns and rows of the terminal at this time.
pub(super) fn size() -> (usize, usize) {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// A line that is redrawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Emphasised, if there are colours.
    pub(super) name: String,
    pub(super) rest: String,
}

impl Line {
    /// Its width in columns of the terminal.
    pub(super) fn width(&self) -> usize {
        self.name.width() + self.rest.width()
    }
}

/// The lines at the end of the terminal, which are erased before any other output.
struct Drawn {
    lines: Vec<Line>,
    /// Columns of the terminal at the time of drawing.
    columns: usize,
    /// Whether an empty line is above them.
    gap: bool,
    /// Whether the next lines get no empty line.
    bare: bool,
}

static DRAWN: Mutex<Drawn> = Mutex::new(Drawn {
    lines: Vec::new(),
    columns: 0,
    gap: false,
    bare: false,
});

fn drawn() -> MutexGuard<'static, Drawn> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drawn {
    /// Appends the codes that erase the lines. Most terminals rewrap lines when they become narrower, so that the lines
    /// take more rows; others cut them off. The empty line above absorbs the difference.
    fn erase(&mut self, text: &mut String) {
        if self.lines.is_empty() {
            return;
        }
        let (columns, _) = size();
        let narrower = columns < self.columns;
        let rows = |line: &Line| match narrower {
            true => line.width().div_ceil(columns).max(1),
            false => 1,
        };
        let mut up = self.lines.iter().map(rows).sum::<usize>() - 1;
        if narrower {
            self.bare = true;
        } else if self.gap {
            up += 1;
        }
        text.push('\r');
        if up > 0 {
            text.push_str(&format!("\u{1b}[{up}A"));
        }
        text.push_str("\u{1b}[J");
        self.lines.clear();
    }
}

/// Draws these lines below all others, in place of the last ones; no line may be wider than [`size`].
pub(super) fn draw(lines: &[Line]) {
    if !draws() {
        return;
    }
    let mut drawn = drawn();
    let (columns, _) = size();
    if drawn.lines == lines && drawn.columns == columns {
        return;
    }
    let mut text = String::new();
    drawn.erase(&mut text);
    if !lines.is_empty() {
        drawn.gap = !drawn.bare;
        if drawn.gap {
            text.push('\n');
        }
        let shown: Vec<String> = lines.iter().map(shown).collect();
        text.push_str(&shown.join("\n"));
        drawn.lines = lines.to_vec();
        drawn.columns = columns;
    }
    write(&text);
}

fn shown(line: &Line) -> String {
    match has_colours() {
        true => format!("\u{1b}[1m{}\u{1b}[0m{}", line.name, line.rest),
        false => format!("{}{}", line.name, line.rest),
    }
}

/// Erases the lines that [`draw`] has drawn.
pub(super) fn clear() {
    draw(&[]);
}

/// Prints a whole line on standard error.
pub(super) fn say(line: fmt::Arguments<'_>) {
    let mut drawn = drawn();
    let mut text = String::new();
    drawn.erase(&mut text);
    drawn.bare = false;
    text.push_str(&format!("{line}\n"));
    write(&text);
}

/// Writes in one piece, so that nothing flickers. A missing reader does not stop an upload.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a whole line on standard output. A failure is reported once: the reader waits for results.
pub(super) fn print(line: fmt::Arguments<'_>) {
    let mut drawn = drawn();
    if draws() && io::stdout().is_terminal() {
        let mut text = String::new();
        drawn.erase(&mut text);
        drawn.bare = false;
        write(&text);
    }
    let written = io::stdout().write_fmt(format_args!("{line}\n"));
    drop(drawn);
    if let Err(error) = written {
        complain(&error);
    }
}

/// Reports once that standard output cannot be written, unless its reader is gone.
pub(super) fn complain(error: &io::Error) {
    static LOST: Once = Once::new();
    if error.kind() != ErrorKind::BrokenPipe {
        LOST.call_once(|| {
            say(format_args!(
                "Standard output cannot be written ({error}), so lines of it are missing. This changes nothing else."
            ));
        });
    }
}

/// Ends the process at once, even while a thread waits for a stopped terminal.
pub(super) fn exit(exit: Exit) -> ! {
    if let Ok(mut drawn) = DRAWN.try_lock() {
        let mut text = String::new();
        drawn.erase(&mut text);
        write(&text);
    }
    std::process::exit(exit.0.into())
}

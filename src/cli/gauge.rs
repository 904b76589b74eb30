//! One line of progress for any width of the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::terminal::Line;

/// Columns of the bar, and of a share such as ` 42%`.
const LONGEST_BAR: usize = 28;
const SHORTEST_BAR: usize = 10;

/// The content of a line.
#[derive(Debug)]
pub(super) struct Gauge<'a> {
    pub(super) name: &'a str,
    /// Columns for the name, so that lines below each other agree; at most a third of the line.
    pub(super) aligned: usize,
    /// From 0 to 1, if known.
    pub(super) share: Option<f64>,
    /// The text in ever fewer words: the first that leaves room for the name is shown.
    pub(super) words: &'a [String],
}

impl Gauge<'_> {
    /// A line of less than `columns` columns: the last stays free, as some terminals wrap after it.
    pub(super) fn line(&self, columns: usize) -> Line {
        let room = columns.saturating_sub(1);
        let share = self
            .share
            .map(|share| format!(" {:>3.0}%", (share * 100.0).floor().clamp(0.0, 100.0)));
        let share = share.unwrap_or_default();
        let aligned = self.aligned.min(room / 3);
        let fits = |words: &&String| aligned + share.len() + 2 + words.width() <= room;
        let words = self.words.iter().find(fits).map_or("", String::as_str);
        let words = match words.is_empty() {
            true => String::new(),
            false => format!("  {words}"),
        };
        let rest = share.len() + words.width();
        let name = shortened(self.name, room.saturating_sub(rest).min(aligned));
        let pad = aligned.saturating_sub(name.width());
        let left = room.saturating_sub(rest + name.width() + pad);
        let bar = match self.share {
            Some(share) if left > SHORTEST_BAR + 2 => bar(share, (left - 3).min(LONGEST_BAR)),
            _ => String::new(),
        };
        let rest = format!("{:pad$}{bar}{share}{words}", "");
        let rest = shortened(&rest, room - name.width().min(room));
        Line { name, rest }
    }
}

fn bar(share: f64, columns: usize) -> String {
    let full = ((columns as f64) * share.clamp(0.0, 1.0)) as usize;
    let head = if full < columns { ">" } else { "" };
    format!(
        " [{}{head:<width$}]",
        "=".repeat(full),
        width = columns - full
    )
}

/// Shortens a text to `columns` columns. The middle is left out, since names differ mostly at their ends.
fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(2);
    let mut taken = 0;
    let mut fits = |room: usize| {
        taken = 0;
        move |c: &char| {
            taken += c.width().unwrap_or(0);
            taken <= room
        }
    };
    let start: String = text.chars().take_while(fits(room.div_ceil(2))).collect();
    let end: Vec<char> = text
        .chars()
        .rev()
        .take_while(fits(room - start.width()))
        .collect();
    let mark = &".."[..columns.min(2)];
    format!("{start}{mark}{}", end.into_iter().rev().collect::<String>())
}

/// A time as `0:42` or `1:02:03`.
pub(super) fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_whatever_the_width_and_the_name() {
        let names = [
            "clip.mp4",
            "",
            "a video with quite a long name, as cameras and editors make them.mp4",
            "\u{6771}\u{4eac}\u{306e}\u{590f}\u{306e}\u{5915}\u{66ae}\u{308c}\u{3001}\u{4e8c}\u{56de}\u{76ee}.mp4",
            "e\u{301}te\u{301}.mp4",
        ];
        let words = [
            "1.20 GB sent, 1.10 GB accepted of 3.40 GB  12.3 MB/s  1:03:10 left".to_owned(),
            "12.3 MB/s  1:03:10 left".to_owned(),
        ];
        for name in names {
            for columns in 0..200 {
                for (share, words) in [
                    (Some(0.999), &words[..]),
                    (None, &words[..]),
                    (Some(1.0), &[]),
                ] {
                    let aligned = name.width();
                    let line = Gauge {
                        name,
                        aligned,
                        share,
                        words,
                    }
                    .line(columns);
                    assert!(line.width() < columns.max(1), "{columns}: {line:?}");
                    if columns >= 20 && share.is_some() {
                        assert!(line.rest.contains('%'), "{columns}: {line:?}");
                        assert!(
                            line.name.width() >= name.width().min(5),
                            "{columns}: {line:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_keeps_its_start_and_its_end() {
        assert_eq!(shortened("holiday-2026-part-1.mp4", 12), "holid..1.mp4");
        assert_eq!(shortened("clip.mp4", 8), "clip.mp4");
        assert_eq!(shortened("clip.mp4", 1), ".");
        assert_eq!(shortened("clip.mp4", 0), "");
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        let share = |share| {
            let gauge = Gauge {
                name: "x",
                aligned: 1,
                share: Some(share),
                words: &[],
            };
            gauge.line(60).rest
        };
        assert!(share(0.999).ends_with(" 99%"), "{}", share(0.999));
        assert!(share(1.0).ends_with("100%"), "{}", share(1.0));
    }

    #[test]
    fn a_clock_shows_hours_only_where_there_are_some() {
        assert_eq!(
            (clock(42), clock(754), clock(3723)),
            ("0:42".into(), "12:34".into(), "1:02:03".into())
        );
    }
}

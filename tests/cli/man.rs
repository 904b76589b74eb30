//! The manual pages have what the help has, and more of it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::scene::{Scene, Start};

/// The words of a page, without the marks of its form.
fn text(page: &str) -> String {
    page.replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fR", "")
}

/// The options that a help lists, each at the beginning of a line.
fn options(help: &str) -> BTreeSet<&str> {
    let list = help.split("\nExample").next().unwrap_or_default();
    let lines = list.lines().map(str::trim_start);
    let words = lines.filter_map(|line| line.split([' ', '[', '=']).next());
    words.filter(|word| word.starts_with("--")).collect()
}

#[test]
fn no_subcommand_and_no_option_is_left_without_its_page() {
    let scene = Scene::new(&[], &[]);
    let dir = scene.path("new/man1");
    let ended = scene.command(["man", "--dir"]).arg(&dir).end().expect(0);
    assert_eq!(ended.stdout, "");
    let read = |name: &str| text(&fs::read_to_string(dir.join(name)).unwrap());
    let top = read("chunkferry.1");
    assert_eq!(top, text(&scene.command(["man"]).end().expect(0).stdout));
    let pages = fs::read_dir(&dir).unwrap();
    let pages: BTreeSet<String> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut linked = BTreeSet::from(["chunkferry.1".to_owned()]);
    for page in &pages {
        let text = read(page);
        let lines = text.lines().filter_map(|line| line.strip_suffix("(1)"));
        linked.extend(lines.map(|name| format!("{name}.1")));
        let name = page.trim_end_matches(".1").replace('-', " ");
        let words: Vec<&str> = name.split(' ').skip(1).chain(["--help"]).collect();
        if words.len() > 2 {
            // The help of what is in a subcommand has options that mean nothing there.
            continue;
        }
        let help = scene.command(words).end().expect(0).stdout;
        for option in options(&help).difference(&BTreeSet::from(["--help"])) {
            let own = format!("\n{option}");
            assert!(text.contains(&own), "{page}: {option}\n{text}");
        }
        assert!(text.contains(".SH EXAMPLES"), "{page}");
    }
    assert_eq!(linked, pages, "left: named by another page; right: written");
    // The help has no place for these.
    let upload = read("chunkferry-upload.1");
    for seldom in [
        "--read",
        "--settle",
        "--config",
        "--service-key-file",
        "CHUNKFERRY_TOKEN_FILE",
    ] {
        assert!(upload.contains(seldom), "{seldom}\n{upload}");
    }
    assert!(!read("chunkferry-plan.1").contains("--token-file"));
}

#[test]
fn a_page_that_a_reader_of_manuals_cannot_read_is_found() {
    let scene = Scene::new(&[], &[]);
    scene.command(["man", "--dir", "man1"]).end().expect(0);
    let pages = fs::read_dir(scene.path("man1")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let mut mandoc = Command::new("mandoc");
    match mandoc
        .args(["-T", "lint", "-W", "warning"])
        .args(pages)
        .output()
    {
        Ok(output) => {
            let told = String::from_utf8(output.stdout).unwrap();
            // A page without a date is the same on every day. Blank lines are the crate's.
            let found = told.lines().filter(|line| {
                !line.contains("missing date") && !line.contains("skipping paragraph macro: br")
            });
            assert_eq!(found.collect::<Vec<_>>(), Vec::<&str>::new());
        }
        Err(error) => eprintln!("NOT TESTED: the pages in mandoc: {error}"),
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let scene = Scene::new(&[], &[]);
    fs::write(scene.path("file"), "").unwrap();
    let ended = scene.command(["man", "--dir", "file"]).end().expect(75);
    assert!(
        ended.stderr.contains("file cannot be written"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_page_of_a_command() {
    let scene = Scene::new(&[], &[]);
    scene.command(["man", "--dir", "man1"]).end().expect(0);
    let page = fs::read_to_string(scene.path("man1/chunkferry-plan.1")).unwrap();
    insta::assert_snapshot!(page.replace(env!("CARGO_PKG_VERSION"), "VERSION"), @r#"
.ie \n(.g .ds Aq \(aq
.el .ds Aq '
.TH "CHUNKFERRY-PLAN" "1" "" "chunkferry VERSION" "chunkferry"
.SH NAME
chunkferry\-plan \- Show how a file would be cut, without any request
.SH SYNOPSIS
\fBchunkferry plan\fR [OPTIONS] [FILE]
.SH DESCRIPTION
Show how a file would be cut, without any request
.SH OPTIONS
.TP
\fB\-\-size\fR \fI<SIZE>\fR
Plan for this size instead, such as 4GB or 50000123
.TP
\fB\-\-chunk\-size\fR \fI<SIZE>\fR [default: 10000000]
Size of a chunk, from 5MiB to 32MB
.TP
[\fIFILE\fR]
The file to plan
.SH "GLOBAL OPTIONS"
.TP
\fB\-\-config\fR \fI<FILE>\fR
File of defaults and accounts [default: XDG config]
.RS
May also be specified with the \fBCHUNKFERRY_CONFIG\fR environment variable.
.RE
.TP
\fB\-\-json\fR
Write JSON lines to stdout
.RS
May also be specified with the \fBCHUNKFERRY_JSON\fR environment variable.
.RE
.TP
\fB\-\-log\-format\fR \fI<text|json>\fR
The log\*(Aqs lines as text, or as JSON objects
.RS
May also be specified with the \fBCHUNKFERRY_LOG_FORMAT\fR environment variable.
.RE
.TP
\fB\-\-log\-file\fR \fI<FILE>\fR
Append the log\*(Aqs lines to this file instead of standard error
.RS
May also be specified with the \fBCHUNKFERRY_LOG_FILE\fR environment variable.
.RE
.SH EXAMPLES
.nf
chunkferry plan \-\-size 50000123
.fi
.SH SEE ALSO
chunkferry(1)
"#);
}

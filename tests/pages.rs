//! Every link in README.md and docs/ leads somewhere, and every page is found from README.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    let mut code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !fence && !code && !line.starts_with("    ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A page without code within its lines, too.
fn without_spans(prose: &str) -> String {
    let parts = prose.split('`').step_by(2);
    parts.collect::<Vec<_>>().join("`")
}

/// The anchors that GitHub gives to the headings of a page: lower case, without punctuation, with hyphens for blanks, and with
/// a number where a heading comes again.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut times = BTreeMap::<String, u32>::new();
    let prose = prose(text);
    let headings = prose.lines().filter(|line| {
        let marks = line.chars().take_while(|c| *c == '#').count();
        (1..=6).contains(&marks) && line[marks..].starts_with(' ')
    });
    let named = headings.map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        // Of a link only its text is in the heading.
        let mut kept = String::new();
        for part in heading.split("](") {
            let rest = match kept.is_empty() {
                true => part,
                false => part.split_once(')').map_or("", |(_, rest)| rest),
            };
            kept.push_str(rest);
        }
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor = kept.collect::<String>().replace(' ', "-");
        let before = times.entry(anchor.clone()).or_default();
        *before += 1;
        match *before {
            1 => anchor,
            more => format!("{anchor}-{}", more - 1),
        }
    });
    named.collect()
}

/// What the links and pictures of a page name.
fn targets(text: &str) -> Vec<String> {
    let text = without_spans(&prose(text));
    let mut targets = Vec::new();
    for (before, end) in [
        ("](", ')'),
        ("src=\"", '"'),
        ("srcset=\"", '"'),
        ("href=\"", '"'),
    ] {
        let found = text
            .split(before)
            .skip(1)
            .filter_map(|rest| rest.split(end).next());
        targets.extend(found.map(str::to_owned));
    }
    let lines = text.lines().filter(|line| line.starts_with('['));
    targets.extend(lines.filter_map(|line| Some(line.split_once("]: ")?.1.to_owned())));
    targets
}

/// The path without `..`; `None` if it leads out of the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            part => plain.push(part),
        }
    }
    Some(plain)
}

/// The pages by their paths in the repository.
fn pages(root: &Path) -> BTreeMap<PathBuf, String> {
    let within = |folder: &'static str| {
        let files = fs::read_dir(root.join(folder)).unwrap();
        files.map(move |file| Path::new(folder).join(file.unwrap().file_name()))
    };
    let docs = within("docs").chain(within("docs/habits"));
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let paths = docs.chain([PathBuf::from("README.md")]);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root.join(&path)).unwrap();
        (path, text)
    };
    paths.map(read).collect()
}

/// What is wrong with a link of this page; else the page or file that it leads to, if that is in the repository.
fn follow(
    root: &Path,
    pages: &BTreeMap<PathBuf, String>,
    page: &Path,
    target: &str,
) -> Result<Option<PathBuf>, String> {
    if target.contains("://") || target.starts_with("mailto:") {
        let host = target.strip_prefix("https://").unwrap_or_default();
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let formed = host.contains('.') && host.chars().all(name) && !target.contains(' ');
        return match formed {
            true => Ok(None),
            false => Err("no address with https".to_owned()),
        };
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => page.to_owned(),
        file => page.parent().unwrap().join(file),
    };
    let path = plain(&path).ok_or("leads out of the repository")?;
    if !root.join(&path).exists() {
        return Err("no such file".to_owned());
    }
    let headings = pages.get(&path).map(|text| anchors(text));
    match headings {
        _ if anchor.is_empty() => {}
        Some(headings) if headings.contains(anchor) => {}
        _ => return Err("no such heading".to_owned()),
    }
    Ok(Some(path))
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_found_from_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = pages(root);
    let (mut faults, mut links) = (Vec::new(), BTreeMap::<&Path, Vec<PathBuf>>::new());
    for (page, text) in &pages {
        for target in targets(text) {
            match follow(root, &pages, page, &target) {
                Ok(path) => links.entry(page).or_default().extend(path),
                Err(why) => faults.push(format!("{}: {target}: {why}", page.display())),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let mut found = BTreeSet::from([PathBuf::from("README.md")]);
    let mut open: Vec<PathBuf> = found.iter().cloned().collect();
    while let Some(page) = open.pop() {
        let links = links.get(page.as_path()).into_iter().flatten();
        open.extend(links.filter(|path| found.insert((*path).clone())).cloned());
    }
    let lost: Vec<_> = pages.keys().filter(|page| !found.contains(*page)).collect();
    assert!(lost.is_empty(), "no link leads from README.md to {lost:?}");
}

#[test]
fn every_file_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for (page, text) in pages(root) {
        let prose = prose(&text);
        let spans = prose.split('`').skip(1).step_by(2);
        let rooms = ["src/", "tests/", "docs/", "benches/", "fuzz/", ".ci/"];
        for path in spans.filter(|span| rooms.iter().any(|room| span.starts_with(room))) {
            let example = path.contains("NAME");
            if !example && !path.contains(' ') && !root.join(path).exists() {
                faults.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found_however_it_is_written() {
    let page = "# The `[[notify]]` table\n## A [link](x.md), again\n## Same\n## Same\n```\n# no heading\n```\n";
    let expected = ["a-link-again", "same", "same-1", "the-notify-table"];
    assert_eq!(anchors(page), expected.map(str::to_owned).into());
    let page = "[a](one.md#x) `[b](two.md)` <img src=\"three.png\">\n[c]: four.md\n```\n[d](five.md)\n```\n";
    assert_eq!(targets(page), ["one.md#x", "three.png", "four.md"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = BTreeMap::from([(PathBuf::from("docs/config.md"), "## At the top".to_owned())]);
    let from = Path::new("docs/service.md");
    let good = [
        "config.md#at-the-top",
        "../README.md",
        "https://a.example/b#c",
    ];
    for target in good {
        assert!(follow(root, &pages, from, target).is_ok(), "{target}");
    }
    let bad = [
        "config.md#top",
        "#here",
        "../../x",
        "lost.md",
        "http://a.example",
        "https://a b",
    ];
    for target in bad {
        assert!(follow(root, &pages, from, target).is_err(), "{target}");
    }
}

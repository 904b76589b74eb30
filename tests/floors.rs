//! Tables in the documents hold for the files they speak of.
//!
//! The house in docs/design.md is the house in `src`: each file uses only files of its own entry in that table, and of floors
//! below its own. The sources in docs/emulator.md are those that comments and tests cite.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The entries of the table by the module path they begin with, and their floors. `engine/` is the module `engine` and all in
/// it, `upload/plan.rs` one file.
type House = BTreeMap<Vec<String>, u32>;

fn modules(path: &str) -> Vec<String> {
    let path = path.trim_end_matches('/').trim_end_matches(".rs");
    path.split('/').map(str::to_owned).collect()
}

fn house(design: &str) -> House {
    let table = design.split("## The house").nth(1).unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let mut house = House::new();
    for row in rows {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let Ok(floor) = columns[1].parse() else {
            continue;
        };
        for entry in columns[2].split('`').skip(1).step_by(2) {
            house.insert(modules(entry), floor);
        }
    }
    house
}

/// The longest entry that holds this module.
fn entry<'a>(house: &'a House, module: &[String]) -> Option<(&'a Vec<String>, u32)> {
    let holds = |(entry, _): &(&'a Vec<String>, &u32)| module.starts_with(entry.as_slice());
    let entries = house.iter().filter(holds);
    let longest = entries.max_by_key(|(entry, _)| entry.len());
    longest.map(|(entry, floor)| (entry, *floor))
}

/// The modules that a file names in its code: comments and tests left out.
fn named(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(str::trim_start);
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("//")).collect();
    let code = lines.join("\n");
    let mut named = Vec::new();
    let words = |path: &str| {
        let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let path = &path[..end.unwrap_or(path.len())];
        let words = path.split("::").filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    for (at, _) in code.match_indices("crate::") {
        assert!(
            !code[at..].starts_with("crate::{"),
            "{module:?}: one path to a line, please"
        );
        named.push(words(&code[at + "crate::".len()..]));
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let (mut from, mut rest) = (module.to_vec(), &code[at..]);
        while let Some(further) = rest.strip_prefix("super::") {
            from.pop();
            rest = further;
        }
        from.extend(words(rest));
        named.push(from);
    }
    named
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What is wrong with a file of this text.
fn wrong(house: &House, module: &[String], text: &str) -> Vec<String> {
    let Some((own, floor)) = entry(house, module) else {
        return vec![format!("{module:?} has no place in the house")];
    };
    let mut wrong = Vec::new();
    for used in named(text, module) {
        if let Some((other, below)) = entry(house, &used)
            && other != own
            && below >= floor
        {
            wrong.push(format!(
                "{} (floor {floor}) uses {} (floor {below})",
                module.join("/"),
                used.join("::")
            ));
        }
    }
    wrong
}

#[test]
fn a_file_uses_only_files_on_floors_below_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let house = house(&fs::read_to_string(root.join("docs/design.md")).unwrap());
    assert!(house.len() > 15, "the table was not read: {house:?}");
    let mut paths = Vec::new();
    files(&root.join("src"), &mut paths);
    let mut faults = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root.join("src")).unwrap();
        let module = modules(name.to_str().unwrap());
        // Hooks of benchmarks and fuzzing reach everywhere; the emulator and the command are crates of their own.
        let aside =
            ["lib", "fuzz", "bench_internals", "cli", "emulator"].contains(&module[0].as_str());
        let test = module.iter().any(|name| name == "tests" || name == "model");
        let text = fs::read_to_string(&path).unwrap();
        if !aside && !test {
            faults.extend(wrong(&house, &module, &text));
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().count();
        if !test && lines > 400 {
            faults.push(format!("{} has {lines} lines, tests aside", name.display()));
        }
    }
    let entries = fs::read_dir(root.join("src")).unwrap().count();
    if entries > 25 {
        faults.push(format!("src has {entries} entries"));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_use_of_a_higher_floor_is_found_however_it_is_written() {
    let house =
        house("## The house\n|---|\n| 2 | `engine/` | |\n| 1 | `engine/job.rs`, `clock.rs` | |\n");
    let faults = |module, text| wrong(&house, &modules(module), text).len();
    assert_eq!(
        faults(
            "engine/run.rs",
            "use crate::clock::Now;\nuse super::job::Job;"
        ),
        0
    );
    assert_eq!(faults("clock.rs", "use crate::engine::Engine;"), 1);
    assert_eq!(faults("clock.rs", "fn f(_: crate::engine::run::Run) {}"), 1);
    assert_eq!(faults("engine/job.rs", "use super::run::Run;"), 1);
    assert_eq!(
        faults("engine/job.rs", "use super::super::engine::run::Run;"),
        1
    );
    assert_eq!(faults("clock.rs", "// crate::engine::Engine"), 0);
    assert_eq!(faults("lost.rs", ""), 1);
}

/// Only `tiktok/`, the errors and the command speak of the service by its name; everything else hears words.
#[test]
fn the_service_is_named_in_its_room_alone() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    for room in ["upload", "engine", "journal", "source"] {
        paths.push(src.join(room).with_extension("rs"));
        files(&src.join(room), &mut paths);
    }
    let mut named = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(str::trim_start);
        for line in lines.filter(|line| line.to_lowercase().contains("tiktok")) {
            if !line.starts_with("use crate::tiktok::") {
                named.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}

/// The marks cited in a text, one for each page or repository: `D MTG, UP; F eliza #1` cites `D MTG`, `D UP` and `F eliza`.
fn cited(text: &str) -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    for (at, _) in text.match_indices(['D', 'F']) {
        let (letter, list) = (&text[at..=at], &text[at + 1..]);
        let starts = !text[..at].ends_with(|before: char| before.is_alphanumeric());
        let Some(list) = list.strip_prefix(' ').filter(|_| starts) else {
            continue;
        };
        for key in list.split(", ") {
            let end = key.find(|c: char| !(c.is_alphanumeric() || c == '-'));
            let (name, rest) = key.split_at(end.unwrap_or(key.len()));
            let page = name.trim_end_matches("-new");
            if letter == "D" && (page.len() < 2 || !page.chars().all(|c| c.is_ascii_uppercase())) {
                break;
            }
            if !name.is_empty() {
                cited.insert(format!("{letter} {name}"));
            } else if !key.starts_with('#') {
                break;
            }
            let number = |c: char| c == ' ' || c == '#' || c.is_ascii_digit();
            if !rest.trim_start_matches(number).is_empty() {
                break;
            }
        }
    }
    cited
}

/// The open points named in a text: `O-12`.
fn open_points(text: &str) -> BTreeSet<String> {
    let points = text.match_indices("O-").map(|(at, _)| {
        let number = text[at + 2..].chars().take_while(char::is_ascii_digit);
        number.collect::<String>()
    });
    points.filter(|number| !number.is_empty()).collect()
}

#[test]
fn every_mark_of_a_source_is_in_the_guide_and_cited_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let guide = read("docs/emulator.md");
    let (before, sources) = guide.split_once("## Sources").unwrap();
    let (table, after) = sources.split_once("\n## ").unwrap();
    let mut known = BTreeSet::new();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        known.extend(cited(row.split('`').nth(1).unwrap()));
    }

    // The documents, the marks of settings and findings, comments, and the marks of the conformance cases.
    let mut texts = vec![before.to_owned(), after.to_owned()];
    texts.extend(["settings", "review"].map(|name| read(&format!("src/emulator/{name}.rs"))));
    let mut paths = Vec::new();
    files(&root.join("src"), &mut paths);
    files(&root.join("tests/emulator"), &mut paths);
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        let comments = text.lines().filter_map(|line| line.split_once("//"));
        texts.extend(comments.map(|(_, comment)| comment.to_owned()));
    }
    let cases = read("tests/emulator/conformance.json");
    let marks = cases.split("\"mark\": \"").skip(1);
    texts.extend(marks.map(|mark| mark.split('"').next().unwrap().to_owned()));
    let found: BTreeSet<String> = texts.iter().flat_map(|text| cited(text)).collect();
    assert_eq!(
        found, known,
        "left: cited; right: in the table of docs/emulator.md"
    );

    let settings = open_points(&read("src/emulator/settings.rs"));
    let points: BTreeSet<String> = texts.iter().flat_map(|text| open_points(text)).collect();
    let strangers: Vec<_> = points.difference(&settings).collect();
    assert!(strangers.is_empty(), "no setting plays {strangers:?}");
}

#[test]
fn a_list_of_marks_is_read_to_its_end() {
    let marks = |text| cited(text).into_iter().collect::<Vec<_>>().join("; ");
    assert_eq!(marks("(D MTG, OA-new: see there)"), "D MTG; D OA-new");
    assert_eq!(marks("F eliza #1, #2; D ST `ok`"), "D ST; F eliza");
    assert_eq!(marks("`D` documented, 3D MTG, D is a letter"), "");
    assert_eq!(open_points("as O-12 has it (O-3)").len(), 2);
}

//! CSV, as spreadsheets write it: a header, and a job on each row.

use serde_json::{Map, Value};

use crate::config::{is_near, nearest_of};
use crate::wish::{Fault, known};

/// Fields that are whole numbers, and fields that are switches.
const NUMBERS: [&str; 5] = ["chunk_size", "give_up_after", "patience", "settle", "wait"];
const SWITCHES: [&str; 8] = [
    "again",
    "allow_writer",
    "ignore_forecast",
    "no_ledger",
    "no_wait",
    "preflight",
    "spool",
    "verify_source",
];

type Line = (usize, Result<Map<String, Value>, Fault>);

/// The rows by the numbers of their lines. Columns that are no field of a job are labels.
pub(super) fn lines(text: &[u8]) -> Result<Vec<Line>, String> {
    // Some spreadsheets say the separator before the header.
    let (said, skipped, text) = match text.strip_prefix(b"sep=") {
        Some([separator, rest @ ..]) => {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let rest = end.map_or(&[][..], |end| &rest[end + 1..]);
            (Some(*separator), 1, rest)
        }
        _ => (None, 0, text),
    };
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let separator = said.unwrap_or_else(|| separator_of(header));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text);
    let broken = |error: csv::Error| match error.position() {
        Some(at) => format!("line {} is no CSV in UTF-8", at.line() + skipped as u64),
        None => "it is no CSV in UTF-8".to_owned(),
    };
    let columns = columns(reader.headers().map_err(broken)?)?;
    let mut lines = Vec::new();
    let (mut seen, mut number) = (0, 1 + skipped);
    for record in reader.records() {
        let record = record.map_err(broken)?;
        // The reader counts a line break that it has not passed yet to the record behind it.
        let begin = record.position().map_or(0, csv::Position::byte) as usize;
        let breaks = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let begin = begin + text[begin..].iter().take_while(breaks).count();
        number += text[seen..begin]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        seen = begin;
        if record.iter().any(|cell| !cell.is_empty()) {
            lines.push((number, row(&columns, &record)));
        }
    }
    Ok(lines)
}

/// The separator that the header has most of.
fn separator_of(header: &[u8]) -> u8 {
    let count = |of: u8| header.iter().filter(|byte| **byte == of).count();
    let of = [b',', b';', b'\t'].into_iter();
    of.rev().max_by_key(|of| count(*of)).unwrap_or(b',')
}

/// The fields and labels of the columns.
fn columns(header: &csv::StringRecord) -> Result<Vec<String>, String> {
    let is_known = |name: &str| known().any(|known| known == name);
    let columns = header.iter().map(|name| {
        let lower = name.to_lowercase();
        if is_known(&lower) {
            lower
        } else {
            name.to_owned()
        }
    });
    let columns: Vec<String> = columns.collect();
    if !columns.iter().any(|name| name == "file" || name == "url") {
        return Err(
            "its first line is neither a JSON object nor a header with a column file or url"
                .to_owned(),
        );
    }
    for (at, name) in columns.iter().enumerate() {
        if columns[..at].contains(name) && !name.is_empty() {
            return Err("its header names a column twice".to_owned());
        }
        let nearest = nearest_of(known(), name);
        if !is_known(name) && is_near(name, nearest) {
            return Err(format!(
                "its header has a column that no job has; the nearest is {nearest}. A column for a label of that name is label.NAME"
            ));
        }
    }
    Ok(columns)
}

fn row(columns: &[String], record: &csv::StringRecord) -> Result<Map<String, Value>, Fault> {
    if record.len() > columns.len() {
        return Err(Fault::usage(
            "it has more cells than the header: a cell with a separator needs quotes.",
        ));
    }
    let (mut fields, mut labels) = (Map::new(), Map::new());
    for (name, cell) in columns.iter().zip(record) {
        if cell.is_empty() || name.is_empty() {
            continue;
        }
        let is_field = known().any(|known| known == *name);
        match is_field {
            true => fields.insert(name.clone(), value(name, cell)?),
            false => {
                let name = name.strip_prefix("label.").unwrap_or(name);
                labels.insert(name.to_owned(), cell.into())
            }
        };
    }
    if !labels.is_empty() {
        fields.insert("labels".to_owned(), labels.into());
    }
    Ok(fields)
}

fn value(name: &str, cell: &str) -> Result<Value, Fault> {
    let wrong = |kind: &str| Fault::field(name, format!("{name} has to be {kind}."));
    if NUMBERS.contains(&name) {
        let number: Result<u64, _> = cell.parse();
        return number.map(Value::from).map_err(|_| wrong("a whole number"));
    }
    if SWITCHES.contains(&name) {
        return match cell.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true.into()),
            "false" | "no" | "0" => Ok(false.into()),
            _ => Err(wrong("true or false")),
        };
    }
    if name == "id" && is_rounded(cell) {
        let text = "id looks like a number that a spreadsheet has rounded: make its column text.";
        return Err(Fault::field(name, text));
    }
    if matches!(name, "labels" | "post" | "stat") {
        return Err(wrong("left out of a table; a label is a column of its own"));
    }
    Ok(cell.into())
}

/// Whether a text is a number like 1.23E+18.
fn is_rounded(text: &str) -> bool {
    let Some((number, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let is_number = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    !number.is_empty()
        && number.chars().all(is_number)
        && !exponent.is_empty()
        && exponent.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, Value)> {
        let lines = lines(text.as_bytes()).expect("a table").into_iter();
        lines
            .map(|(line, row)| (line, row.expect("a row").into()))
            .collect()
    }

    #[test]
    fn a_table_of_any_spreadsheet_gives_the_same_jobs() {
        let wanted = serde_json::json!({
            "file": "a;b,c.mp4", "account": "lena", "wait": 60, "no_wait": true,
            "labels": { "Night": "7" },
        });
        for text in [
            "file,account,wait,no_wait,Night\n\"a;b,c.mp4\",lena,60,TRUE,7\n",
            "sep=;\r\nfile;account;wait;no_wait;Night\r\n\"a;b,c.mp4\";lena;60;yes;7\r\n",
            "file\taccount\twait\tno_wait\tlabel.Night\na;b,c.mp4\tlena\t60\t1\t7\n\n",
        ] {
            let line = if text.starts_with("sep") { 3 } else { 2 };
            assert_eq!(read(text), [(line, wanted.clone())], "{text}");
        }
    }

    #[test]
    fn what_a_spreadsheet_has_spoilt_is_refused() {
        let fault = |text: &str| {
            let lines = lines(text.as_bytes());
            match lines.map(|mut lines| lines.remove(0).1) {
                Ok(row) => row.expect_err("no row").text,
                Err(why) => why,
            }
        };
        assert!(fault("file,id\na.mp4,1.23E+18\n").contains("rounded"));
        assert!(fault("file,acount\na.mp4,lena\n").contains("account"));
        assert!(fault("clip.mp4\n").contains("header"));
        assert!(fault("file,wait\na.mp4,1.5\n").contains("wait"));
        assert!(fault("file,account\na.mp4,lena,x\n").contains("quotes"));
        assert_eq!(read("file,id\na.mp4,1E\n")[0].1["id"], "1E");
    }
}

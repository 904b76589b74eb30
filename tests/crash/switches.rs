//! What can differ between two rows of the matrix: all that nobody knows of the service, all that can go wrong, and
//! how the client is called.

use chunkferry::emulator::Settings;
use fastrand::Rng;

use crate::covering;

/// One factor of a case, and its values as rows write them.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<String>,
}

/// What goes wrong; `FIRST`, `MIDDLE` and `LAST` are chunks. Each hits once or a few times, so that an end comes.
const FAULTS: &[&str] = &[
    "none",
    "inbox_init nth=1 status=503",
    "inbox_init nth=1 status=502 body=html",
    "inbox_init nth=1 status=429 retry_after=1",
    "inbox_init nth=1 reset",
    "inbox_init nth=1 lose",
    "inbox_init nth=1-3 lose",
    "inbox_init nth=1 store=500",
    "inbox_init nth=1 stall",
    "inbox_init nth=1 delay=200ms",
    "inbox_init nth=1 revoke_token",
    "put chunk=FIRST nth=1 reset",
    "put chunk=FIRST nth=1 lose",
    "put chunk=FIRST nth=1 status=404",
    "put chunk=FIRST nth=1-2 status=403 body=html",
    "put chunk=MIDDLE nth=1 status=503",
    "put chunk=MIDDLE nth=1 status=429 retry_after=1",
    "put chunk=MIDDLE nth=1 status=416",
    "put chunk=MIDDLE nth=1 cut=2MB",
    "put chunk=MIDDLE nth=1 lose",
    "put chunk=MIDDLE nth=1-2 lose",
    "put chunk=MIDDLE nth=1 store=500",
    "put chunk=MIDDLE nth=1 stall=1MB",
    "put chunk=MIDDLE nth=1 trickle=3MB",
    "put chunk=MIDDLE nth=1 delay=200ms",
    "put chunk=MIDDLE nth=1 status=206 body=none",
    "put chunk=MIDDLE nth=1 store=202 body=none",
    "put chunk=MIDDLE nth=1 expire_url",
    "put chunk=MIDDLE nth=1 drop_session",
    "put chunk=MIDDLE nth=1 revoke_token",
    "put chunk=LAST nth=1 status=500",
    "put chunk=LAST nth=1 cut=2500KB",
    "put chunk=LAST nth=1 lose",
    "put chunk=LAST nth=1 store=502 body=html",
    "put chunk=LAST nth=1 store=204 body=none",
    "put chunk=LAST nth=1 trickle=2MB",
    "put chunk=LAST nth=1 expire_url",
    "put chunk=LAST nth=1 drop_session",
    "status nth=1 status=503",
    "status nth=1-4 code=internal_error",
    "status nth=1 status=429 retry_after=1",
    "status nth=1 reset",
    "status nth=1 lose",
    "status nth=1 delay=200ms",
    "status nth=1 revoke_token",
    "chaos",
];

/// Values that the emulator's table describes in words only.
const MORE: &[(&str, &str)] = &[
    ("publish_id_ttl", "3s"),
    ("extra_status", "SOMETHING_NEW"),
    ("short_single", "accept"),
];

/// Every switch: the faults, the client's own, and each open point of the emulator's table, whatever is added there.
pub(crate) fn switches() -> Vec<Switch> {
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let mut switches = vec![
        Switch {
            name: "fault",
            values: values(FAULTS),
        },
        Switch {
            name: "file",
            values: values(&["three chunks", "whole"]),
        },
        Switch {
            name: "ledger",
            values: values(&["on", "off"]),
        },
        Switch {
            name: "processing_time",
            values: values(&["0s", "1s"]),
        },
    ];
    for setting in Settings::list() {
        if !setting.mark.starts_with("O-") {
            continue;
        }
        let words = setting
            .values
            .split(", ")
            .filter(|word| !word.contains(' '));
        let mut values: Vec<String> = words.map(str::to_owned).collect();
        for (key, value) in MORE {
            if *key == setting.key && !values.iter().any(|known| known == value) {
                values.push((*value).to_owned());
            }
        }
        switches.push(Switch {
            name: setting.key,
            values,
        });
    }
    switches
}

/// One row: a value for each switch, and the seed of the random choices.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) number: usize,
    pub(crate) values: Vec<(&'static str, String)>,
    pub(crate) seed: u64,
}

pub(crate) const CHUNKED: u64 = 16_000_000;
pub(crate) const WHOLE: u64 = 3_000_000;

impl Row {
    /// The documented settings, except for these `KEY=VALUE` pairs.
    pub(crate) fn with(changes: &[&str]) -> Self {
        let mut values: Vec<_> = switches()
            .into_iter()
            .map(|switch| (switch.name, switch.values[0].clone()))
            .collect();
        for change in changes {
            let (key, value) = change.split_once('=').unwrap();
            match values.iter_mut().find(|(name, _)| *name == key) {
                Some(known) => known.1 = value.to_owned(),
                None => {
                    let key = Settings::list().into_iter().find(|row| row.key == key);
                    values.push((key.unwrap().key, value.to_owned()));
                }
            }
        }
        Self {
            number: 0,
            values,
            seed: 1,
        }
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.values.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.get("file") == "whole"
    }

    /// What the emulator is started with.
    pub(crate) fn emulator_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        for (key, value) in &self.values {
            match *key {
                "file" | "ledger" => {}
                "fault" if value == "none" => {}
                "fault" if value == "chaos" => {
                    args.extend(["--chaos".to_owned(), format!("{},0.15", self.seed)]);
                }
                "fault" => {
                    let [middle, last] = if self.is_whole() {
                        ["0", "0"]
                    } else {
                        ["1", "2"]
                    };
                    let script = value
                        .replace("FIRST", "0")
                        .replace("MIDDLE", middle)
                        .replace("LAST", last);
                    args.extend(["--fault".to_owned(), script]);
                }
                key => args.extend(["--set".to_owned(), format!("{key}={value}")]),
            }
        }
        args
    }

    /// Why an upload may end with this exit code.
    pub(crate) fn reason(&self, code: i32) -> String {
        let keys: &[&str] = match code {
            75 if self.get("fault").contains("expire_url") => &["fault", "file"],
            75 if self.get("progress_header") == "never" => &["status_bytes", "progress_header"],
            75 => &["status_bytes", "fault"],
            5 => &["publish_id_ttl"],
            _ => &["fail_reason", "extra_fail_reason"],
        };
        let defaults = Self::with(&[]);
        let differs = keys.iter().filter(|key| {
            let value = self.get(key);
            !value.is_empty() && value != "24h" && value != defaults.get(key)
        });
        let told: Vec<String> = differs
            .map(|key| format!("{key}={}", self.get(key)))
            .collect();
        match told.is_empty() {
            true => "the file was changed between two runs or during one".to_owned(),
            false => told.join(", "),
        }
    }

    /// What is not as documented, for people.
    pub(crate) fn told(&self) -> String {
        let defaults = Self::with(&[]);
        let differs = self
            .values
            .iter()
            .filter(|(key, value)| defaults.get(key) != value);
        let told: Vec<String> = differs
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("row {}: {}", self.number, told.join(", "))
    }
}

/// The rows of the matrix.
pub(crate) fn rows(seed: u64) -> Vec<Row> {
    let switches = switches();
    let levels: Vec<usize> = switches.iter().map(|switch| switch.values.len()).collect();
    let rows = covering::rows(&levels, &mut Rng::with_seed(seed));
    let row = |(number, chosen): (usize, covering::Row)| Row {
        number: number + 1,
        values: switches
            .iter()
            .zip(chosen)
            .map(|(switch, value)| (switch.name, switch.values[value].clone()))
            .collect(),
        seed: seed.wrapping_mul(1000).wrapping_add(number as u64),
    };
    rows.into_iter().enumerate().map(row).collect()
}

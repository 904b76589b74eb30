//! The armed faults, and their effect on one request.

use std::time::Duration;

use super::{Action, Chaos, Fault};
use crate::bounded::short;
use crate::endpoint::Endpoint;

/// Most armed faults.
const MOST: usize = 1_000;
/// Most characters of a script in the log.
const LONGEST: usize = 200;

/// The properties of a request that faults select by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) chunk: Option<u64>,
    pub(crate) upload: Option<u64>,
    pub(crate) publish_id: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
    pub(crate) creator: Option<&'a str>,
}

/// The faults that hit one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strike {
    pub(crate) delay: Duration,
    pub(crate) action: Option<Action>,
    /// The scripts that fired, for the log.
    pub(crate) scripts: Vec<String>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: u64,
    /// The token whose request armed the fault; the fault hits only that token, and its reset disarms it.
    owner: Option<String>,
}

/// All armed faults.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    chaos: Option<Chaos>,
}

impl Faults {
    pub(crate) fn arm(&mut self, fault: Fault, owner: Option<&str>) {
        let fault = match owner {
            Some(owner) => fault.token(owner),
            None => fault,
        };
        self.armed.push(Armed {
            fault,
            seen: 0,
            owner: owner.map(str::to_owned),
        });
    }

    /// Refuses `more` faults if there is no room.
    pub(crate) fn check_room(&self, more: usize) -> Result<(), String> {
        match self.armed.len() + more <= MOST {
            true => Ok(()),
            false => Err("no more than 1,000 faults can be armed; disarm some first".to_owned()),
        }
    }

    /// Disarms all faults, or those of one owner.
    pub(crate) fn disarm(&mut self, owner: Option<&str>) {
        self.armed
            .retain(|armed| owner.is_some() && armed.owner.as_deref() != owner);
        if owner.is_none() {
            self.chaos = None;
        }
    }

    pub(crate) fn set_chaos(&mut self, chaos: Option<Chaos>) {
        self.chaos = chaos;
    }

    /// The armed faults of all or of one owner, without tokens.
    pub(crate) fn scripts(&self, owner: Option<&str>) -> Vec<String> {
        let theirs = |armed: &&Armed| owner.is_none() || armed.owner.as_deref() == owner;
        let armed = self.armed.iter().filter(theirs);
        armed.map(|armed| armed.fault.to_string()).collect()
    }

    /// Counts the request and returns what hits it: the sum of all delays, and the first action.
    pub(crate) fn strike(&mut self, occasion: &Occasion<'_>) -> Strike {
        let mut strike = Strike::default();
        for armed in &mut self.armed {
            if !armed.fault.fits(occasion) {
                continue;
            }
            armed.seen += 1;
            let due = armed.fault.nth.as_ref();
            if due.is_none_or(|nth| nth.contains(&armed.seen)) {
                strike.add(&armed.fault);
            }
        }
        if strike.scripts.is_empty()
            && let Some(fault) = self.chaos.as_mut().and_then(|chaos| chaos.roll(occasion))
        {
            strike.add(&fault);
        }
        strike
    }
}

impl Strike {
    fn add(&mut self, fault: &Fault) {
        self.delay = self.delay.saturating_add(fault.delay);
        if self.action.is_none() {
            self.action.clone_from(&fault.action);
        }
        self.scripts.push(short(&fault.to_string(), LONGEST));
    }

    /// The scripts that fired, on one line.
    pub(crate) fn told(&self) -> Option<String> {
        (!self.scripts.is_empty()).then(|| short(&self.scripts.join("; "), LONGEST))
    }
}

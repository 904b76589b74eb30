//! Exit codes: one for each kind of outcome.

use std::process::ExitCode;

use chunkferry::ErrorKind;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit(pub(super) u8);

impl Exit {
    pub(super) const DELIVERED: Self = Self(0);
    /// The same command later may work.
    pub(super) const AGAIN: Self = Self(75);
    pub(super) const INTERRUPTED: Self = Self(130);
    pub(super) const TERMINATED: Self = Self(143);

    pub(super) fn of(kind: ErrorKind) -> Self {
        Self(match kind {
            ErrorKind::Usage => 2,
            ErrorKind::Source | ErrorKind::SourceChanged => 3,
            ErrorKind::NeedsPerson => 4,
            ErrorKind::Unknown => 5,
            ErrorKind::Temporary | ErrorKind::Locked => 75,
            ErrorKind::Cancelled => 130,
            _ => 1,
        })
    }

    /// The word of `--json` for an outcome that is not good.
    pub(super) const fn outcome(self, kind: ErrorKind) -> &'static str {
        match (self.0, kind) {
            (_, ErrorKind::SourceChanged) => "source_changed",
            (4, _) => "needs_person",
            (5, _) => "unknown",
            (75 | 130 | 143, _) => "retry",
            _ => "failed",
        }
    }

    /// The outcome of two that decides the exit code: one that another run can cure wins over one that it cannot, so
    /// that service managers run the command again.
    pub(super) fn over(self, other: Self) -> Self {
        const FIRST: [u8; 9] = [130, 143, 75, 5, 4, 3, 2, 1, 0];
        let place = |exit: Self| FIRST.iter().position(|code| *code == exit.0).unwrap_or(0);
        if place(self) <= place(other) {
            self
        } else {
            other
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_files_the_one_that_another_run_can_cure_decides() {
        let over = |codes: &[u8]| {
            let exits = codes.iter().map(|code| Exit(*code));
            exits.fold(Exit::DELIVERED, Exit::over).0
        };
        assert_eq!(over(&[]), 0);
        assert_eq!(over(&[0, 75, 0]), 75);
        assert_eq!(over(&[3, 75, 1, 4]), 75);
        assert_eq!(over(&[3, 1, 4]), 4);
        assert_eq!(over(&[4, 5, 0]), 5);
        assert_eq!(over(&[2, 1]), 2);
        assert_eq!(over(&[75, 130, 5]), 130);
        assert_eq!(over(&[143, 75]), 143);
    }
}

//! Exit codes: one for each kind of ending.

use std::process::ExitCode;

use chunkferry::ErrorKind;

/// How the process ends. Of several files the worst decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit(pub(super) u8);

impl Exit {
    pub(super) const DELIVERED: Self = Self(0);
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

    /// The worse of two: what needs a person's eye soonest.
    pub(super) fn worse(self, other: Self) -> Self {
        const WORST_FIRST: [u8; 9] = [130, 143, 5, 4, 3, 2, 1, 75, 0];
        let rank = |exit: Self| {
            WORST_FIRST
                .iter()
                .position(|code| *code == exit.0)
                .unwrap_or(0)
        };
        if rank(self) <= rank(other) {
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
    fn the_worst_of_several_files_decides() {
        let worst = |codes: &[u8]| {
            codes
                .iter()
                .map(|code| Exit(*code))
                .fold(Exit::DELIVERED, Exit::worse)
                .0
        };
        assert_eq!(worst(&[]), 0);
        assert_eq!(worst(&[0, 75, 0]), 75);
        assert_eq!(worst(&[1, 75]), 1);
        assert_eq!(worst(&[3, 1, 4]), 4);
        assert_eq!(worst(&[4, 5, 0]), 5);
        assert_eq!(worst(&[5, 130]), 130);
    }
}

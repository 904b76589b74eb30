//! One sync for all steps that wait for one: many uploads at once would otherwise queue up for the disk.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Syncs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Steps that have asked so far, and how many of them are durable.
    asked: u64,
    durable: u64,
    syncing: bool,
}

impl Syncs {
    /// Returns once a sync that began after this call has ended. One caller at a time runs it, for all that wait; if it
    /// fails, the next one tries for itself.
    pub(super) fn share<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut state = self.lock();
        state.asked += 1;
        let mine = state.asked;
        while state.syncing && state.durable < mine {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.durable >= mine {
            return Ok(());
        }
        let covered = state.asked;
        state.syncing = true;
        drop(state);
        let syncing = Syncing(self);
        let synced = sync();
        if synced.is_ok() {
            let mut state = self.lock();
            state.durable = state.durable.max(covered);
        }
        drop(syncing);
        synced
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the others go on, even if the sync panics.
struct Syncing<'a>(&'a Syncs);

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.0.lock().syncing = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_step_returns_before_a_sync_that_began_after_it_was_applied() {
        let (syncs, applied, durable) = (Syncs::default(), AtomicU64::new(0), AtomicU64::new(0));
        let (failures, runs) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for worker in 0..16_u64 {
                let (syncs, applied, durable) = (&syncs, &applied, &durable);
                let (failures, runs) = (&failures, &runs);
                scope.spawn(move || {
                    for step in 0..50 {
                        let mine = applied.fetch_add(1, Ordering::SeqCst) + 1;
                        let synced = syncs.share(|| {
                            runs.fetch_add(1, Ordering::SeqCst);
                            let seen = applied.load(Ordering::SeqCst);
                            std::thread::sleep(Duration::from_micros(200));
                            if (worker + step) % 17 == 0 {
                                return Err("the disk is full");
                            }
                            durable.fetch_max(seen, Ordering::SeqCst);
                            Ok(())
                        });
                        match synced {
                            Ok(()) => assert!(durable.load(Ordering::SeqCst) >= mine),
                            Err(_) => drop(failures.fetch_add(1, Ordering::SeqCst)),
                        }
                    }
                });
            }
        });
        assert!(failures.into_inner() > 0);
        assert!(runs.into_inner() < 800, "syncs are shared");
    }
}

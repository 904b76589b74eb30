//! The request windows and the pending cap of one account, counted in the store, and the order in which jobs wait for them.

use std::sync::Arc;

use tokio::sync::Mutex as FairMutex;

use super::AccountQueue;
use crate::answer::Failure;
use crate::clock;
use crate::error::Error;
use crate::journal::{ApiAccount, Ask, PendingCap, ProgressStore, Question, StoreError};

/// One account in the store, which counts its windows.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) store: Arc<dyn ProgressStore>,
    pub(super) of: ApiAccount,
    /// Jobs that wait for room for a question, in order.
    pub(super) asking: FairMutex<()>,
}

impl Quota {
    /// Counts one more question, as soon as there is room for it.
    async fn count(&self) -> Result<Question, StoreError> {
        let _first = self.asking.lock().await;
        loop {
            match self.store.ask(self.of.clone()).await? {
                Ask::Granted(question) => return Ok(question),
                Ask::Wait(wait) => clock::sleep(wait).await,
            }
        }
    }

    async fn uncount(&self, question: Question) {
        // A question that counts though it never left is only one too many.
        if let Err(error) = self.store.unask(self.of.clone(), question).await {
            tracing::debug!(%error, "a question that never left still counts");
        }
    }
}

impl AccountQueue {
    /// Asks for a status as soon as one more question fits into the window. Only what may have reached the service counts.
    pub(crate) async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(quota) = &self.quota else {
            return question.await;
        };
        let counted = quota.count().await.map_err(not_asked)?;
        let answer = question.await;
        if answer.as_ref().is_err_and(Failure::never_left) {
            quota.uncount(counted).await;
        }
        answer
    }

    /// Whether a question would be asked at once.
    pub(crate) async fn can_ask_now(&self) -> bool {
        let Some(quota) = &self.quota else {
            return true;
        };
        let Ok(_first) = quota.asking.try_lock() else {
            return false;
        };
        match quota.store.ask(quota.of.clone()).await {
            Ok(Ask::Granted(question)) => {
                quota.uncount(question).await;
                true
            }
            Ok(Ask::Wait(_)) | Err(_) => false,
        }
    }

    /// Only the service knows which drafts wait. After it has said that they are too many, jobs of this account ask for no
    /// init until the oldest one no longer counts, or for some minutes.
    pub(crate) async fn set_pending_cap(&self, cap: PendingCap) {
        let Some(quota) = &self.quota else { return };
        let set = quota.store.set_pending_cap(quota.of.clone(), cap);
        if let Err(error) = set.await {
            tracing::debug!(%error, "that too many drafts wait was not recorded");
        }
    }

    /// What the service has said, if it is not to be asked again yet.
    pub(crate) async fn pending_cap(&self) -> Result<Option<PendingCap>, Error> {
        match &self.quota {
            Some(quota) => Ok(quota.store.pending_cap(quota.of.clone()).await?),
            None => Ok(None),
        }
    }
}

/// A question that cannot be counted is not asked.
fn not_asked(error: StoreError) -> Failure {
    Failure::NotSent(Error::from(error).to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::scheduler::Scheduler;
    use crate::journal::MemoryStore;

    #[tokio::test]
    async fn a_question_that_never_left_takes_no_room_and_a_full_window_is_known() {
        let store = MemoryStore::new(Duration::from_secs(30));
        let clock = store.clock().clone();
        clock.advance(Duration::ZERO);
        let scheduler = Scheduler::new(1).keeping(Arc::new(store), "http://127.0.0.1:1");
        let queue = scheduler.queue("lena");
        let unsent = || Failure::NotSent("refused".into());
        let mut asked = 0;
        while queue.can_ask_now().await {
            assert!(queue.ask(async { Err::<(), _>(unsent()) }).await.is_err());
            let lost = queue.ask(async { Err::<(), _>(Failure::Lost("reset".into())) });
            assert!(lost.await.is_err());
            asked += 1;
        }
        assert_eq!(asked, 30);
        assert!(scheduler.queue("mia").can_ask_now().await);
        // Jobs that wait keep one another waiting in order.
        let waiting = queue.ask(async { Ok::<(), Failure>(()) });
        let waited = tokio::time::timeout(Duration::from_millis(50), waiting).await;
        assert!(waited.is_err(), "there was no room");
        clock.advance(Duration::from_secs(65));
        assert!(queue.can_ask_now().await);
    }
}

//! What another job of this run has found out already, so that this one asks for no init.

use super::Shared;
use crate::account::Account;
use crate::answer::Call;
use crate::clock::Now;
use crate::engine::scheduler::Turn;
use crate::error::{Error, Remedy};
use crate::journal::PendingCap;
use crate::upload::outage::Outages;

/// Ends a job that would need an init now while too many drafts of its account wait, or while the network or the account's
/// source of tokens is out.
pub(super) async fn barred(
    shared: &Shared,
    account: &Account,
    name: &str,
    turn: &Turn,
) -> Result<(), Error> {
    let now = Now::read();
    if let Some(PendingCap { error, retry_at }) = turn.queue().pending_cap().await? {
        return Err(Error::refused(Call::Init, account.name(), error).at(retry_at));
    }
    let lack = |lack: &str, outages: &Outages| {
        let outage = outages.now(now)?;
        let text = format!(
            "{name} was not tried: another upload has just waited in vain for {lack} ({}).",
            outage.reason
        );
        Some(Error::temporary(text).helped_by([Remedy::RepeatLater]))
    };
    let no_connection = lack("a connection", &shared.scheduler.outages);
    match no_connection.or_else(|| lack("an access token", account.tokenless())) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

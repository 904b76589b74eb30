//! Calls that need an access token.

use std::borrow::Cow;
use std::time::Duration;

use tracing::Instrument;

use super::Status;
use crate::account::Account;
use crate::account::TokenError;
use crate::answer::{Call, Failure, Meaning, Stage};
use crate::clock::{self, Now};
use crate::engine::scheduler::AccountQueue;
use crate::error::{Error, Remedy};
use crate::secret::Secret;
use crate::tiktok::client::{Client, Subject};

/// How long the source of a token may take before nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// One question outside any upload, within the account's window of questions.
pub(super) async fn ask(
    client: &Client,
    queue: &AccountQueue,
    account: &Account,
    publish_id: &str,
) -> Result<Status, Error> {
    let client = &about(client, account);
    let asked = |token| queue.ask(async move { client.status(&token, publish_id).await });
    let status = authorised(queue, account, Call::Status, asked)
        .await
        .map_err(|error| for_people(Call::Status, account, error))?;
    let is_final = status.stage != Stage::Working;
    Ok(Status {
        status: status.word,
        fail_reason: status.fail_reason,
        uploaded_bytes: status.uploaded_bytes,
        downloaded_bytes: status.downloaded_bytes,
        is_final,
    })
}

/// Ends a pull, if it can still be ended.
pub(super) async fn cancel(
    client: &Client,
    queue: &AccountQueue,
    account: &Account,
    publish_id: &str,
) -> Result<(), Error> {
    let client = &about(client, account);
    let asked = |token| async move { client.cancel(&token, publish_id).await };
    authorised(queue, account, Call::Cancel, asked)
        .await
        .map_err(|error| for_people(Call::Cancel, account, error))
}

/// The client for a call outside any upload.
fn about<'a>(client: &'a Client, account: &Account) -> Cow<'a, Client> {
    client.about(|| Subject {
        account: Some(account.name().to_owned()),
        ..Subject::default()
    })
}

fn for_people(call: Call, account: &Account, error: Failure) -> Error {
    match error {
        Failure::Refused(error) | Failure::Busy(error) | Failure::Faulty(error) => {
            Error::refused(call, account.name(), error)
        }
        Failure::Token(error) if !error.is_temporary() => {
            let remedies = error.remedies().to_vec();
            Error::no_token(error.into_cause(), &remedies)
        }
        Failure::Untrusted(reason) => Error::untrusted(&reason),
        error => Error::temporary(format!("The {} was not answered ({error}).", call.name()))
            .helped_by([Remedy::RepeatLater]),
    }
}

/// The token to use now, after the service has `refused` one. The source is asked in a task of its own, which goes on to
/// its end if nobody waits any more: a refresh token that it spends is not lost half way.
pub(super) async fn token(account: &Account, refused: Option<&Secret>) -> Result<Secret, Failure> {
    let (tokens, refused) = (account.tokens(), refused.cloned());
    let call = async move { tokens.token(refused.as_ref()).await };
    let call = tokio::spawn(call.in_current_span());
    let token = match tokio::time::timeout(clock::real(PATIENCE), call).await {
        Ok(Ok(token)) => token,
        Ok(Err(error)) if error.is_panic() => Err("its source panicked".into()),
        Ok(Err(_)) => Err(TokenError::temporary("this program is ending")),
        Err(_) => Err(TokenError::temporary(format!(
            "its source did not answer within {} s",
            PATIENCE.as_secs()
        ))),
    };
    match token {
        Ok(token) if token.is_empty() => Err(Failure::Token("the one given is empty".into())),
        token => token.map_err(Failure::Token),
    }
}

/// Makes a call with the token of now; once more with a fresh one if that is refused and its source has another. No call
/// is made with a token that the service has just refused.
pub(super) async fn authorised<T, F>(
    queue: &AccountQueue,
    account: &Account,
    call: Call,
    make: impl Fn(Secret) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut refused: Option<Secret> = None;
    loop {
        let token = token(account, refused.as_ref()).await?;
        account.tokenless().end(false);
        let answer = match queue.refusal(call, &token, Now::read()) {
            Some(error) => Err(Failure::Refused(error)),
            None => make(token.clone()).await,
        };
        match &answer {
            Err(Failure::Refused(error)) => queue.learn(call, &token, error, Now::read()),
            _ => return answer,
        }
        let may_help = answer
            .as_ref()
            .is_err_and(|error| error.means(Meaning::InvalidToken));
        if !may_help || refused.is_some() {
            return answer;
        }
        refused = Some(token);
    }
}

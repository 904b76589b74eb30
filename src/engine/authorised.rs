//! Calls that need an access token.

use super::Status;
use crate::account::Account;
use crate::client::Client;
use crate::error::Error;
use crate::secret::Secret;
use crate::wire::{Call, CallError, Stage};

/// One question outside any upload.
pub(super) async fn ask(
    client: &Client,
    account: &Account,
    publish_id: &str,
) -> Result<Status, Error> {
    let asked = |token| async move { client.status(&token, publish_id).await };
    let status = authorised(account, asked)
        .await
        .map_err(|error| for_people(Call::Status, account, error))?;
    let is_final = status.stage() != Stage::Working;
    Ok(Status {
        status: status.status,
        fail_reason: status.fail_reason,
        uploaded_bytes: status.uploaded_bytes,
        downloaded_bytes: status.downloaded_bytes,
        is_final,
    })
}

/// Ends a pull, if it can still be ended.
pub(super) async fn cancel(
    client: &Client,
    account: &Account,
    publish_id: &str,
) -> Result<(), Error> {
    let asked = |token| async move { client.cancel(&token, publish_id).await };
    authorised(account, asked)
        .await
        .map_err(|error| for_people(Call::Cancel, account, error))
}

fn for_people(call: Call, account: &Account, error: CallError) -> Error {
    match error {
        CallError::Refused(error) => Error::refused(call, account.name(), error),
        CallError::Token(error) => Error::no_token(error),
        CallError::Untrusted(reason) => Error::untrusted(&reason),
        error => Error::temporary(format!(
            "The {} was not answered ({error}). Ask again later.",
            call.name()
        )),
    }
}

/// The token to use now.
pub(super) async fn token(account: &Account) -> Result<Secret, CallError> {
    let token = account.tokens().token().await.map_err(CallError::Token)?;
    if token.is_empty() {
        return Err(CallError::Token(
            "No access token: the one given is empty.".into(),
        ));
    }
    Ok(token)
}

/// Makes a call with `token`; once more with a fresh one if that is refused and its source has another.
pub(super) async fn with_token<T, F>(
    account: &Account,
    token: Secret,
    call: impl Fn(Secret) -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let answer = call(token.clone()).await;
    if !matches!(&answer, Err(error) if error.is_code("access_token_invalid")) {
        return answer;
    }
    let fresh = self::token(account).await?;
    if fresh == token {
        answer
    } else {
        call(fresh).await
    }
}

/// Makes a call with the token of now.
pub(super) async fn authorised<T, F>(
    account: &Account,
    call: impl Fn(Secret) -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    with_token(account, token(account).await?, call).await
}

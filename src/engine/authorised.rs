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
    match authorised(account, |token| async move {
        client.status(&token, publish_id).await
    })
    .await
    {
        Ok(status) => {
            let is_final = status.stage() != Stage::Working;
            Ok(Status {
                status: status.status,
                fail_reason: status.fail_reason,
                uploaded_bytes: status.uploaded_bytes,
                is_final,
            })
        }
        Err(CallError::Refused(error)) => Err(Error::refused(Call::Status, account.name(), error)),
        Err(CallError::Token(error)) => Err(Error::no_token(error)),
        Err(error) => Err(Error::temporary(format!(
            "Status was not answered ({error}). Ask again later."
        ))),
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

//! `upload --emulator`: an emulator inside the command.

use chunkferry::Escaped;
use chunkferry::emulator::Emulator;

use crate::Failure;
use crate::globals::{Globals, Source};
use crate::render::Screen;

/// Refuses or ignores options for another API, journal or token, which the internal emulator does not use. On the
/// command line such an option is an error: a job that posts nothing must not look like one that posts. From the
/// environment it is ignored, with a note.
pub(super) fn leave_aside(globals: &mut Globals) -> Result<(), Failure> {
    const OTHERS: [(&str, &str, &str); 7] = [
        ("api_base", "--api-base", "CHUNKFERRY_API_BASE"),
        ("state_dir", "--state-dir", "CHUNKFERRY_STATE_DIR"),
        ("token_file", "--token-file", "CHUNKFERRY_TOKEN_FILE"),
        (
            "token_command",
            "--token-command",
            "CHUNKFERRY_TOKEN_COMMAND",
        ),
        ("ca_file", "--ca-file", "CHUNKFERRY_CA_FILE"),
        ("upload_host", "--upload-host", "CHUNKFERRY_UPLOAD_HOST"),
        ("allow_http", "--allow-http", "CHUNKFERRY_ALLOW_HTTP"),
    ];
    if let Some((_, option, _)) = OTHERS.iter().find(|(id, ..)| globals.is_given(id)) {
        return Err(Failure::usage(format!(
            "--emulator uploads to an emulator inside this command, which has a journal and a token of its own, and posts nothing: {option} cannot go with it. To upload to another one, leave out --emulator."
        )));
    }
    let variables = OTHERS.iter().map(|(.., variable)| *variable);
    let set = variables
        .chain(["TIKTOK_ACCESS_TOKEN"])
        .filter(|variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty()));
    let set: Vec<&str> = set.collect();
    if !set.is_empty() {
        eprintln!(
            "--emulator posts nothing at TikTok and leaves aside what the environment says: {}.",
            set.join(", ")
        );
    }
    let file = globals.file.path();
    if let Some(path) = file.filter(|_| {
        OTHERS
            .iter()
            .any(|(id, ..)| globals.source(id) == Source::File)
    }) {
        let path = Escaped::new(&*path.to_string_lossy()).to_string();
        eprintln!(
            "--emulator posts nothing at TikTok and leaves aside what {path} says of API, journal and tokens."
        );
    }
    globals.api_base = None;
    globals.state_dir = None;
    globals.token_file = None;
    globals.token_command = None;
    globals.ca_file = None;
    globals.upload_host = None;
    globals.allow_http = false;
    Ok(())
}

/// The parts of `--emulator`, which end with the command.
pub(super) struct Local {
    pub(super) emulator: Emulator,
    pub(super) state: tempfile::TempDir,
}

impl Local {
    pub(super) async fn start() -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| {
            Failure::temporary(format!("The emulator cannot start: {error}"))
        };
        let state = tempfile::tempdir().map_err(cannot)?;
        let emulator = Emulator::start().await.map_err(cannot)?;
        Ok(Self { emulator, state })
    }

    pub(super) fn report(&self, screen: &Screen) {
        for session in self.emulator.log().sessions {
            let sha256 = session.sha256.as_deref().unwrap_or("not whole");
            screen.say(&format!(
                "emulator: {} received sha256 {sha256}",
                session.publish_id
            ));
        }
    }
}

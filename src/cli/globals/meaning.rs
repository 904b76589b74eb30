//! Which subcommands use which global options.

/// The global options and the subcommands that use them.
pub(crate) const GLOBALS: [(&str, &str, &[&str]); 15] = [
    (
        "config",
        "--config",
        &[
            "upload", "pull", "plan", "list", "status", "cancel", "forget", "bench", "login",
            "logout", "accounts", "doctor", "serve", "watch", "page",
        ],
    ),
    (
        "state_dir",
        "--state-dir",
        &[
            "upload", "pull", "list", "status", "cancel", "forget", "bench", "login", "logout",
            "accounts", "doctor", "serve", "watch", "page",
        ],
    ),
    (
        "accounts_dir",
        "--accounts-dir",
        &[
            "upload", "pull", "status", "cancel", "login", "logout", "accounts", "doctor", "serve",
            "watch",
        ],
    ),
    (
        "api_base",
        "--api-base",
        &[
            "upload", "pull", "status", "cancel", "bench", "login", "logout", "accounts", "doctor",
            "serve", "watch",
        ],
    ),
    (
        "account",
        "--account",
        &[
            "upload", "pull", "list", "status", "cancel", "forget", "doctor", "watch",
        ],
    ),
    (
        "token_file",
        "--token-file",
        &["upload", "pull", "status", "cancel", "doctor"],
    ),
    (
        "token_command",
        "--token-command",
        &["upload", "pull", "status", "cancel", "doctor"],
    ),
    (
        "ca_file",
        "--ca-file",
        &[
            "upload", "pull", "status", "cancel", "bench", "login", "logout", "accounts", "doctor",
            "serve", "watch", "page",
        ],
    ),
    (
        "upload_host",
        "--upload-host",
        &["upload", "bench", "doctor", "serve", "watch"],
    ),
    (
        "allow_http",
        "--allow-http",
        &[
            "upload", "pull", "status", "cancel", "bench", "login", "logout", "accounts", "doctor",
            "serve", "watch",
        ],
    ),
    (
        "service",
        "--service",
        &[
            "upload", "pull", "list", "status", "cancel", "forget", "page",
        ],
    ),
    (
        "service_key_file",
        "--service-key-file",
        &[
            "upload", "pull", "list", "status", "cancel", "forget", "page",
        ],
    ),
    (
        "json",
        "--json",
        &[
            "upload", "pull", "plan", "list", "status", "cancel", "forget", "bench", "login",
            "logout", "accounts", "doctor", "serve", "watch", "page",
        ],
    ),
    (
        "log_format",
        "--log-format",
        &[
            "upload", "pull", "plan", "list", "status", "cancel", "forget", "bench", "login",
            "logout", "accounts", "doctor", "serve", "watch", "demo", "emulator", "page",
        ],
    ),
    (
        "log_file",
        "--log-file",
        &[
            "upload", "pull", "plan", "list", "status", "cancel", "forget", "bench", "login",
            "logout", "accounts", "doctor", "serve", "watch", "demo", "emulator",
        ],
    ),
];

/// Whether a subcommand uses a global option.
pub(crate) fn means_something(option: &str, subcommand: &str) -> bool {
    let mut globals = GLOBALS.iter();
    globals.any(|(id, _, subcommands)| *id == option && subcommands.contains(&subcommand))
}

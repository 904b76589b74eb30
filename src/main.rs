//! The command: grammar, rendering and exit codes over the library's public surface.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}

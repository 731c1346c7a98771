//! `eppctl`: the operator's tool.

use std::env;
use std::io::Write as _;
use std::process::ExitCode;

use convoy_node::bench::{self, Asked, Output};
use convoy_node::{logging, version};

/// A load generator should cost little beside what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
eppctl: the operator's tool for endpoint pickers

  eppctl bench    ext_proc load on a picker, as Envoy would make it

eppctl COMMAND --help tells more; eppctl --version prints the version.
";

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let command = arguments.next();
    match command.as_ref().and_then(|command| command.to_str()) {
        Some("bench") => bench(arguments),
        Some("--help" | "-h" | "help") => print(HELP, ExitCode::SUCCESS),
        Some("--version" | "version") => print(&version::line("eppctl"), ExitCode::SUCCESS),
        Some(other) => complain(&format!("unknown command {other:?}; eppctl --help lists all")),
        None => complain("no command; eppctl --help lists all"),
    }
}

fn bench(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let (settings, output) = match bench::read(arguments) {
        Ok(Asked::Help) => return print(bench::HELP, ExitCode::SUCCESS),
        Ok(Asked::Run { settings, output }) => (settings, output),
        Err(error) => return complain(&format!("bench: {error}; eppctl bench --help lists all")),
    };
    let report = match bench::run(*settings) {
        Ok(report) => report,
        Err(error) => return complain(&format!("bench: {}", logging::chain(&error))),
    };
    let code = if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match output {
        Output::Text => print(&report.to_string(), code),
        Output::Json => print(&format!("{}\n", report.to_json()), code),
    }
}

/// Prints `text` and returns `code`, or a failure if nobody can read it.
fn print(text: &str, code: ExitCode) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) -> ExitCode {
    // Nobody can be told when standard error is closed.
    let _ = writeln!(std::io::stderr(), "eppctl: {text}");
    ExitCode::from(2)
}

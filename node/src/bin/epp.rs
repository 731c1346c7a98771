//! `epp`: the endpoint picker.

use std::{env, io::Write as _, process::ExitCode};

use convoy_node::{
    command_line::{self, Environment, Invocation, Settings},
    logging::{self, Log},
    replica, version,
};

/// One small allocation after another, freed on the thread that made it, is what this is best at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment = Environment { namespace: env::var("NAMESPACE").ok() };
    let settings = match command_line::parse(env::args_os().skip(1), &environment) {
        Ok(Invocation::Run(settings)) => settings,
        Ok(Invocation::Help) => return print(&command_line::help()),
        Ok(Invocation::Version) => return print(&version::line("epp")),
        Err(error) => {
            // Nobody can be told when standard error is closed.
            let _ = writeln!(std::io::stderr(), "epp: {error}: {}", error.remedy());
            return ExitCode::from(2);
        }
    };
    match logging::start(settings.logging) {
        Ok(log) => run(*settings, &log),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "epp: the system gives no thread: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings, log: &Log) -> ExitCode {
    // The allocator asks for huge pages, of which most stays empty: without them a small replica
    // takes half the memory. A kernel that does not know the question knows no huge pages either.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = logging::chain(&error), "epp cannot start");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(replica::run(settings, log.outlet())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let remedy = error.remedy().unwrap_or_default();
            tracing::error!(error = logging::chain(&error), remedy, "epp ends");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

//! `cargo demo`: Convoy on real parts, from clone to result.

use std::io::Write;
use std::process::ExitCode;

use convoy_tests::demo::{self, DemoError, Screen, Shown};
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
cargo demo: chat requests travel client -> Envoy -> epp -> model server and back

  --once       show it, then end; the exit code says whether all went well
  --seed N     other conversations (1)
  --help       this text

Without --once everything stays up for requests of your own until Ctrl-C.";

/// What the command line asks for.
struct Asked {
    once: bool,
    seed: u64,
}

fn main() -> ExitCode {
    let asked = match read(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => return say(HELP),
        Err(complaint) => return complain(&complaint),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.to_string()),
    };
    match runtime.block_on(run(&asked)) {
        Ok(code) => code,
        Err(error) => complain(&demo::with_causes(&error)),
    }
}

/// Shows the demo, and keeps its parts up if nobody asked for an end. Ctrl-C, SIGTERM or the end of
/// its terminal ends it at any moment; what was started ends with it, and its files go.
async fn run(asked: &Asked) -> Result<ExitCode, DemoError> {
    let mut screen = Screen::standard();
    let [mut interrupt, mut terminate, mut hangup] = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    };
    tokio::pin!(stopped);
    let Shown { stage, complaints } = tokio::select! {
        shown = demo::show(&mut screen, asked.seed) => shown?,
        () = &mut stopped => return Ok(ExitCode::from(130)),
    };
    let code = if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if asked.once {
        return Ok(code);
    }
    screen.line("Everything stays up until Ctrl-C. Ask for yourself:")?;
    screen.line("")?;
    screen.line(&format!("  {}", demo::curl_line(&stage)))?;
    screen.line("")?;
    stopped.await;
    Ok(code)
}

/// Reads the arguments; nothing if help is wanted.
fn read(arguments: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
    let mut asked = Asked { once: false, seed: 1 };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--once" => asked.once = true,
            "--help" | "-h" => return Ok(None),
            "--seed" => {
                let value = arguments.next().ok_or("--seed needs a number")?;
                asked.seed = value.parse().map_err(|_| format!("--seed: {value} is no number"))?;
            }
            other => return Err(format!("unknown argument {other}; --help lists all")),
        }
    }
    Ok(Some(asked))
}

fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) -> ExitCode {
    eprintln!("demo: {text}");
    ExitCode::FAILURE
}

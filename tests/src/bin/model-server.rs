//! Plays model servers: `convoy_tests::model_server` as a process.

use std::io::{Read, Write};
use std::process::ExitCode;

use convoy_tests::model_server::Server;
use convoy_tests::model_server::command_line::{self, Asked, HELP, Plan};
use serde_json::json;
use tokio::task::JoinSet;

/// Enough for one process to keep 16 servers at work, on machines that have more to do.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let plan = match command_line::read(std::env::args().skip(1)) {
        Ok(Asked::Serve(plan)) => plan,
        Ok(Asked::Help) => return say(HELP.trim_end()),
        Err(error) => return complain(&error),
    };
    if plan.exit_with_parent {
        std::thread::spawn(exit_when_input_ends);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(*plan)),
        Err(error) => complain(&error),
    }
}

async fn serve(plan: Plan) -> ExitCode {
    let mut running = JoinSet::new();
    for wanted in plan.listen {
        let server = match Server::bind(wanted, plan.settings.clone()).await {
            Ok(server) => server,
            Err(error) => return complain(&format_args!("cannot listen on {wanted}: {error}")),
        };
        let line = json!({"address": server.address(), "model": plan.settings.model});
        running.spawn(server.run());
        if say(&line.to_string()) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    if say(&json!({"ready": true}).to_string()) != ExitCode::SUCCESS {
        return ExitCode::FAILURE;
    }
    running.join_next().await;
    complain(&"a server ended")
}

/// Ends the process when whoever started it is gone.
///
/// The other end of standard input closes with its process, however that dies. The kernel's
/// signal on a parent's death would come when the *thread* ends that started this process, and
/// threads of tests and of runtimes end early.
fn exit_when_input_ends() {
    let mut input = std::io::stdin().lock();
    let mut ignored = [0; 256];
    while input.read(&mut ignored).is_ok_and(|count| count != 0) {}
    std::process::exit(0);
}

fn say(line: &str) -> ExitCode {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{line}").and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(error: &dyn std::fmt::Display) -> ExitCode {
    // Nothing is left to do when not even standard error takes it.
    let _ = writeln!(std::io::stderr(), "model-server: {error}");
    ExitCode::FAILURE
}

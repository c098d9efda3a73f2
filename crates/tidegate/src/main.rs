//! The binary: settings, logging and the control runtime, then the command.
//!
//! [`mod@run`] is the way in for `tidegate run`: from there the control loop ([`control`]) turns documents
//! ([`document_files`]) and discovery into snapshots for the data path, whose workers are threads of their own.

mod alerts;
mod check;
mod control;
mod ctl;
mod demo;
mod document_files;
mod health;
mod home;
mod listen_hosts;
mod logging;
mod metrics;
mod observe;
mod pages;
mod places;
mod rule;
mod rule_names;
mod run;
mod session_key;
mod settings;
mod watching;
mod zeus_variables;

use std::{
    future::Future,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use tidegate_telemetry::logging::LogFormat;

use crate::settings::{Command, CommandLine, Environment, SettingsError};

/// Threads of the control side.
const CONTROL_THREADS: usize = 2;
/// Exit status of a wrong command line or setting, as clap has it.
const USAGE: u8 = 2;

/// Connections come and go with a few blocks of some kilobytes each, which the system's allocator merges and splits anew
/// every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    let environment = settings::process_environment();
    let outcome = match command {
        Command::Run(options) => run(*options, &environment),
        Command::Check(options) => Ok(check::check(&options, &environment)),
        Command::Rule(command) => rule::rule(&command),
        Command::Ctl(options) => return ctl::ctl(*options, &environment),
        Command::Export(options) => return ctl::export::export(*options, &environment),
        Command::Completion { shell } => Ok(ctl::completion::print(shell)),
        Command::Demo(options) => demo(options, &environment),
        Command::Version => {
            print(&format!("tidegate {}", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|reason| {
        // The log goes to standard output; this is for whoever started the program.
        drop(writeln!(io::stderr().lock(), "tidegate: {reason}"));
        ExitCode::FAILURE
    })
}

fn run(options: settings::RunOptions, environment: &Environment) -> Result<ExitCode, String> {
    let settings = match settings::resolve(options, environment, settings::usable_cpus()) {
        Ok(settings) => settings,
        Err(SettingsError(reason)) => {
            drop(writeln!(io::stderr().lock(), "tidegate: {reason}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let _kept = logging::to_stdout(settings.log_format, &settings.log_filter)?;
    let outcome = on_control_runtime(run::run(settings, environment))?;
    if let Err(reason) = &outcome {
        // Kubernetes shows the log.
        tracing::error!("{reason}");
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

fn demo(options: settings::DemoOptions, environment: &Environment) -> Result<ExitCode, String> {
    let (logs, _kept) = if demo::is_live(&options) {
        (Some(logging::to_channel()), None)
    } else {
        (None, Some(logging::to_stdout(LogFormat::Human, logging::DEFAULT_FILTER)?))
    };
    on_control_runtime(demo::run(options, environment, logs))?
}

/// Runs `work` on the runtime of the control side. Data workers have threads and runtimes of their own.
fn on_control_runtime<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .on_thread_start(give_way)
        .enable_all()
        .build()
        .map_err(|error| format!("the control threads cannot start: {error}"))?;
    let outcome = runtime.block_on(work);
    // A name being resolved or a file being read must not hold up the end.
    runtime.shutdown_background();
    Ok(outcome)
}

/// Where CPUs are short, requests come before builds of snapshots and looks at files.
const CONTROL_NICENESS: i32 = 5;

/// Lets data workers go first.
fn give_way() {
    // Of a thread only (setpriority(2)). Not being allowed to changes nothing but the order.
    let _done = rustix::process::setpriority_process(Some(rustix::thread::gettid()), CONTROL_NICENESS);
}

fn print(text: &str) {
    // Whoever closed standard output does not want the line.
    drop(writeln!(io::stdout().lock(), "{text}"));
}

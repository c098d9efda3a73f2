//! `tidegate completion SHELL`: the command line for the completion of shells.

use std::process::ExitCode;

use clap::{CommandFactory, ValueEnum};

use crate::settings::CommandLine;

/// A shell.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    // Help as it is printed, not as documentation: brackets would be links there.
    #[value(help = "source <(tidegate completion bash)")]
    Bash,
    #[value(help = "tidegate completion zsh > \"${fpath[1]}/_tidegate\"")]
    Zsh,
    #[value(help = "tidegate completion fish | source")]
    Fish,
}

/// The script.
fn script(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "tidegate", &mut script);
    script
}

/// Prints the script.
pub(crate) fn print(shell: Shell) -> ExitCode {
    super::print(&script(shell));
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in ["tidegate", "check", "ctl", "drain", "explain", "password-file", "completion"] {
                assert!(script.contains(word), "{word} for {shell:?}");
            }
        }
    }
}

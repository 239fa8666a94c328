//! `completion`: scripts that make a shell complete commands and options.

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Result;
use crate::output::Output;

/// `socialctl completion SHELL`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(socialctl completion bash)
  socialctl completion zsh > \"${fpath[1]}/_socialctl\"
  socialctl completion fish > ~/.config/fish/completions/socialctl.fish")]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Name,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
pub(crate) fn run(output: &Output, completion: &Completion) -> Result<()> {
    let shell = match completion.shell {
        Name::Bash => Shell::Bash,
        Name::Zsh => Shell::Zsh,
        Name::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "socialctl", &mut script);
    output.print(&String::from_utf8_lossy(&script))
}

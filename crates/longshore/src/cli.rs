//! The command line as clap sees it: global options and the list of commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::commands;
use crate::output::Format;
use crate::{exit, timeout};

/// Persistent volumes for containers, on the storage that you already have.
#[derive(Debug, Parser)]
#[command(
    name = "longshore",
    version,
    max_term_width = 110,
    long_about = "Longshore gives containers persistent volumes on iSCSI storage. It needs nothing installed on the \
                  host, and it never formats a device that is not proven blank."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where what must survive a reboot is kept
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_STATE_DIR",
        hide_env_values = true,
        default_value = "/var/lib/longshore",
        value_name = "DIR"
    )]
    pub(crate) state_dir: PathBuf,
    /// Where sockets, locks and staging mounts are
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_RUN_DIR",
        hide_env_values = true,
        default_value = "/run/longshore",
        value_name = "DIR"
    )]
    pub(crate) run_dir: PathBuf,
    /// How results are printed
    #[arg(
        short = 'o',
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,
    /// How long the whole command may take (90s, 2m, 500ms)
    #[arg(long, global = true, value_parser = timeout::parse, default_value = "120s", value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Show every step on standard error (a terminal shows what takes over a second anyway)
    #[arg(long, global = true)]
    pub(crate) progress: bool,
    /// Log to standard error; twice for more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(commands::up::Up),
    Down(commands::down::Down),
    Mount(commands::mount::Mount),
    Umount(commands::umount::Umount),
    Attach(commands::attach::Attach),
    Detach(commands::detach::Detach),
    Discover(commands::discover::Discover),
    Ls(commands::ls::Ls),
    Show(commands::show::Show),
    Forget(commands::forget::Forget),
    Initiator(commands::initiator::Initiator),
    Doctor(commands::doctor::Doctor),
    Target(commands::target::TargetCommand),
    Demo(commands::demo::Demo),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
    Version(commands::version::Version),
    Dataplane(commands::processes::Dataplane),
    Hold(commands::processes::Hold),
}

/// The command line with the exit codes in its help.
pub(crate) fn command() -> clap::Command {
    let exit_codes = exit::table();
    Cli::command()
        .after_help(exit_codes.clone())
        .after_long_help(exit_codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::from_arg_matches(&command().try_get_matches_from(args)?)
    }

    #[test]
    fn the_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn output_stands_before_or_after_the_command() {
        assert_eq!(
            parse(&["longshore", "-o", "json", "ls"])
                .expect("parses")
                .global
                .output,
            Format::Json
        );
        assert_eq!(
            parse(&["longshore", "ls", "-o", "wide"])
                .expect("parses")
                .global
                .output,
            Format::Wide
        );
        assert_eq!(
            parse(&["longshore", "ls"]).expect("parses").global.output,
            Format::Human
        );
    }

    #[test]
    fn mount_keeps_dash_o_for_mount_options() {
        let url = "iscsi://127.0.0.1/iqn.2003-01.org.example:a/0";
        let cli = parse(&[
            "longshore",
            "mount",
            "-o",
            "noatime,nodev",
            "--output",
            "json",
            url,
            "/mnt",
        ])
        .expect("parses");
        assert_eq!(cli.global.output, Format::Json);
        let Command::Mount(mount) = cli.command else {
            panic!("mount")
        };
        assert_eq!(mount.options, ["noatime", "nodev"]);
        let cli = parse(&["longshore", "-o", "json", "mount", url, "/mnt"]).expect("parses");
        assert_eq!(cli.global.output, Format::Json);
    }

    #[test]
    fn no_option_takes_a_secret() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let takes_secret = id.contains("secret") || id.contains("password");
                let by_name_only = id.ends_with("_file") || id.ends_with("_fd") || id == "secrets";
                assert!(!takes_secret || by_name_only, "{} {id}", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&command());
    }
}

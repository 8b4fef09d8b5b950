//! What can be typed.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use clap_complete::Shell;

use super::bench_args::{self, BenchArgs};
use super::exit;
use crate::auth::keys::Algorithm;
use crate::base::ids::UserId;
use crate::config::Flags;

const EXAMPLES: &str = "\
Examples:
  Try it on this machine: open to everybody here, nothing to set up
    fanfare serve

  Serve others: the API and sessions need keys
    export FANFARE_API_KEYS=$(openssl rand -hex 32)
    export FANFARE_AUTH_SECRET=$(openssl rand -hex 32)
    fanfare serve --listen 0.0.0.0:8000

  Make a token for a session
    fanfare token --user ada --subscribe 'news.*' --publish chat --expires-in 1h

  Start a configuration file, and see what it would run
    fanfare config > fanfare.toml
    fanfare check --config fanfare.toml";

const SERVE_HELP: &str = "\
The file is overridden by the environment, and that by flags. `fanfare config` lists the keys; the
variable for hub.lanes is FANFARE_HUB_LANES.

There are no flags for keys and secrets: others on the machine can read the arguments of a process.
Use FANFARE_API_KEYS and FANFARE_AUTH_SECRET, or api.keys_file and auth.secret_file.

Without any keys everything is open, which is allowed on a loopback address only. With keys for
sessions alone the API is closed. With keys for the API alone it does not start. --insecure allows
all of it.

SIGTERM and SIGINT drain: what is accepted is delivered, and sessions are closed one by one over
drain.window_ms. A second signal skips the rest of the window. SIGHUP has the configuration and the certificates read again.";

const TOKEN_HELP: &str = "\
Signs with the first secret of the configuration (auth.secret, auth.keys), or with a private key.
Only the token goes to stdout:
  TOKEN=$(fanfare token --user ada --subscribe 'news.*')
  fanfare token --user ada --subscribe '*' --private-key-file key.pem --algorithm ES256";

const COMPLETIONS_HELP: &str = "\
Where the shells look, for this user:
  fanfare completions bash > ~/.local/share/bash-completion/completions/fanfare
  fanfare completions zsh  > ~/.zfunc/_fanfare        (a folder of fpath)
  fanfare completions fish > ~/.config/fish/completions/fanfare.fish";

const MAN_HELP: &str = "\
To read one, and to install all of them:
  fanfare man serve | man -l -
  fanfare man > fanfare.1
  for c in serve check token bench config; do fanfare man $c > fanfare-$c.1; done";

fn help(own: &str) -> String {
    format!("{own}\n\n{}", exit::TABLE)
}

/// One message in, as many copies out as there are subscribers: a WebSocket gateway.
#[derive(Debug, Parser)]
#[command(name = "fanfare", version, arg_required_else_help = true, after_help = help(EXAMPLES))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway
    #[command(after_help = help(SERVE_HELP))]
    Serve(SettingsArgs),
    /// Say whether a configuration is good, and what would run
    #[command(after_help = help(SERVE_HELP))]
    Check(CheckArgs),
    /// Make a token for a session
    #[command(after_help = help(TOKEN_HELP))]
    Token(TokenArgs),
    /// Put load on a WebSocket server and measure it
    #[command(after_help = bench_args::HELP, arg_required_else_help = true)]
    Bench(BenchArgs),
    /// Print every key of the configuration with its default, unit and meaning, as TOML
    #[command(after_help = exit::TABLE)]
    Config,
    /// Print a script by which a shell completes what is typed
    #[command(after_help = help(COMPLETIONS_HELP))]
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the manual page of the program, or of one of its commands, as roff
    #[command(after_help = help(MAN_HELP))]
    Man {
        /// A command: serve, check, token
        #[arg(value_name = "COMMAND")]
        of: Option<String>,
    },
}

/// What a configuration is loaded from.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArgs {
    /// The configuration, in TOML; otherwise FANFARE_CONFIG names it, or there is none
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any key: --set hub.outbox_bytes_max=65536 (can be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SettingsArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// The IP address and port to listen on [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Allow an address that others can reach without keys
    #[arg(long)]
    insecure: bool,
    /// The form of log lines on stderr: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Ask a running gateway instead whether it serves: http://127.0.0.1:8000
    #[arg(long, value_name = "URL", exclusive = true)]
    pub(crate) url: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// Who it is for
    #[arg(long, value_name = "USER", value_parser = user)]
    pub(crate) user: Option<UserId>,
    /// Channels to subscribe to: a name, a prefix as in 'news.*', or '*' (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    pub(crate) subscribe: Vec<String>,
    /// Channels to publish to, likewise
    #[arg(long, value_name = "PATTERN")]
    pub(crate) publish: Vec<String>,
    /// How long it is good, in s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
    pub(crate) expires_in: u64,
    /// The claim iss [default: auth.issuer]
    #[arg(long)]
    pub(crate) issuer: Option<String>,
    /// The claim aud [default: auth.audience]
    #[arg(long)]
    pub(crate) audience: Option<String>,
    /// Of the configured keys the one with this id; with a private key, its id
    #[arg(long)]
    pub(crate) kid: Option<String>,
    /// Sign with this private key, in PEM (PKCS #8), instead of a configured secret
    #[arg(long, value_name = "FILE", requires = "algorithm")]
    pub(crate) private_key_file: Option<PathBuf>,
    /// What the private key is for
    #[arg(
        long,
        requires = "private_key_file",
        value_parser = PossibleValuesParser::new(pair_algorithms()),
    )]
    pub(crate) algorithm: Option<String>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

impl From<SourceArgs> for Flags {
    fn from(typed: SourceArgs) -> Self {
        Self { config: typed.config, set: typed.set, ..Self::default() }
    }
}

impl From<SettingsArgs> for Flags {
    fn from(typed: SettingsArgs) -> Self {
        Self {
            listen: typed.listen,
            insecure: typed.insecure,
            log_format: typed.log_format,
            ..typed.source.into()
        }
    }
}

/// The names of the algorithms whose keys are pairs.
fn pair_algorithms() -> Vec<&'static str> {
    let pairs = Algorithm::ALL.into_iter().filter(|one| one.secret_bytes_min().is_none());
    pairs.map(Algorithm::name).collect()
}

fn user(typed: &str) -> Result<UserId, String> {
    UserId::new(typed).map_err(|error| error.to_string())
}

/// Ten years, in seconds: what is meant to be good for longer wants another way to be taken back.
const SECONDS_MAX: u64 = 3_650 * 86_400;

fn seconds(typed: &str) -> Result<u64, String> {
    let unit = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    unit.iter()
        .find_map(|(letter, seconds)| {
            let number = typed.strip_suffix(*letter)?;
            let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
            number.parse::<u64>().ok().filter(|_| is_plain)?.checked_mul(*seconds)
        })
        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
        .ok_or_else(|| "write a number and s, m, h or d, up to 3650d: 30m".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_are_a_number_and_a_unit() {
        for (typed, good) in [("90s", 90), ("2m", 120), ("1h", 3_600), ("3650d", SECONDS_MAX)] {
            assert_eq!(seconds(typed), Ok(good), "{typed}");
        }
        for typed in ["", "h", "1", "1w", "0s", "-1h", "+1h", "1.5h", "3651d", "1 h", "1h30m"] {
            assert!(seconds(typed).is_err(), "{typed}");
        }
        assert!(seconds("99999999999999999999d").is_err() && seconds("9999999999999999d").is_err());
    }
}

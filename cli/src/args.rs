//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

mod author;
mod multisig;

pub(crate) use author::{Build, Dev, Init, Make, Release, Template, Version};
pub(crate) use multisig::{
    AddKey, Commit, GetKey, KeyCommand, Multisig, MultisigCommand, MultisigOptions, RemoveKey, Request, Sign,
};

/// Make, release and serve apps that update themselves peer to peer.
#[derive(Debug, Parser)]
#[command(
    name = "bosc",
    version,
    disable_version_flag = true,
    arg_required_else_help = true,
    after_help = "An app of one's own: bosc init my-app, then in it bosc dev, bosc release, bosc seed LINK."
)]
pub(crate) struct Args {
    /// Print the version
    #[arg(long, short = 'v', short_alias = 'V', action = clap::ArgAction::Version)]
    version: (),
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command. What the environment says is read by [`Args::with_environment`]: clap would else name it in every usage.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Folder of the store that holds drives and their secret keys [default: the system's data folder, bosc/] [env: BOSC_STORAGE]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// DHT nodes to join through, as host:port, separated by commas [default: the public network] [env: BOSC_BOOTSTRAP]
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = host_port,
        alias = "dht-bootstrap"
    )]
    pub(crate) bootstrap: Vec<String>,
    /// Blind relays to meet peers at to whom no way opens, as public keys, separated by commas [env: BOSC_RELAY]
    #[arg(long, global = true, value_name = "KEY", value_delimiter = ',')]
    pub(crate) relay: Vec<base::PublicKey>,
    /// How much to tell on stderr of what happens: off, error, warn, info, debug or trace; for parts of it see BOSC_LOG
    #[arg(long, short = 'L', global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<LevelFilter>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Args {
    /// Takes what the command line does not say from the environment.
    ///
    /// # Errors
    /// A usage error if a variable holds what its option would not take.
    pub(crate) fn with_environment(mut self) -> Result<Self, clap::Error> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let global = &mut self.global;
        global.storage = global
            .storage
            .take()
            .or_else(|| set("BOSC_STORAGE").map(PathBuf::from));
        if global.bootstrap.is_empty() {
            global.bootstrap = listed("BOSC_BOOTSTRAP", set("BOSC_BOOTSTRAP"), host_port)?;
        }
        if global.relay.is_empty() {
            let key = |text: &str| text.parse().map_err(|error| format!("{error}"));
            global.relay = listed("BOSC_RELAY", set("BOSC_RELAY"), key)?;
        }
        Ok(self)
    }
}

/// What a variable lists, separated by commas.
fn listed<T>(
    name: &str,
    value: Option<std::ffi::OsString>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, clap::Error> {
    let value = value.unwrap_or_default();
    let parts = value.to_string_lossy();
    let parts = parts.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            parse(part).map_err(|why| {
                let sentence = format!("invalid value '{part}' of {name} in the environment: {why}");
                Args::command().error(ErrorKind::ValueValidation, sentence)
            })
        })
        .collect()
}

fn host_port(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .and_then(|(host, port)| (!host.is_empty()).then_some(port));
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("expected host:port, such as 127.0.0.1:49737".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Begin a new app in a folder of its own
    Init(Init),
    /// Run an app while it is written: what changes is seen at once
    Dev(Dev),
    /// Make a new link; its secret key stays in this machine's store
    Touch(Touch),
    /// Set or raise the version in package.json
    Version(Version),
    /// Make what people install of an app
    Make(Make),
    /// Gather bundles into a deployment folder
    Build(Build),
    /// Put a deployment folder onto a link of yours
    Stage(Stage),
    /// Put one version of a staged link onto the link that apps follow
    Provision(Provision),
    /// Version, make, build, stage and provision in one
    Release(Release),
    /// Release by quorum, so that no single machine can ship an update
    Multisig(Multisig),
    /// Serve a link to peers
    Seed(Seed),
    /// Show what a link holds
    Info(Info),
    /// Write what a link holds into a folder
    Dump(Dump),
    /// Show what changed from version to version
    Changelog(Changelog),
    /// Look for what the disk spoilt, and repair it
    Check(Check),
    /// Say what stands between an app and its updates, and what to do
    Doctor(Doctor),
    /// Run a DHT of your own, for an offline machine or a closed network
    Dht(Dht),
    /// Pass on what peers send each other that find no way to each other; what it is, it cannot read
    Relay(Relay),
    /// Print what a shell needs to complete commands
    Completions(Completions),
    /// Write manual pages into a folder
    Man(Man),
}

impl Command {
    /// The name in JSON output.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Dev(_) => "dev",
            Self::Touch(_) => "touch",
            Self::Version(_) => "version",
            Self::Make(_) => "make",
            Self::Build(_) => "build",
            Self::Stage(_) => "stage",
            Self::Provision(_) => "provision",
            Self::Release(_) => "release",
            Self::Multisig(multisig) => multisig.name(),
            Self::Seed(_) => "seed",
            Self::Info(_) => "info",
            Self::Dump(_) => "dump",
            Self::Changelog(_) => "changelog",
            Self::Check(_) => "check",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Doctor(_) => "doctor",
            Self::Dht(_) => "dht",
            Self::Relay(_) => "relay",
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Touch {
    /// Letters of z-base-32 that the new link's key is to begin with; four take a minute or two
    #[arg(long, value_name = "LETTERS")]
    pub(crate) vanity: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Changelog {
    /// A link, or a folder with a CHANGELOG.md
    #[arg(default_value = ".", value_name = "LINK|DIR")]
    pub(crate) link: String,
    /// Versions to show at most, the newest
    #[arg(long, short = 'm', default_value_t = 10, value_name = "N")]
    pub(crate) max: usize,
    /// Versions to show, such as ^1.2 [default: those of the newest major version]
    #[arg(long, value_name = "RANGE", conflicts_with = "full")]
    pub(crate) of: Option<String>,
    /// Show all versions
    #[arg(long)]
    pub(crate) full: bool,
    /// Seconds to look for peers if the link is not stored here
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// The folder to write
    #[arg(default_value = "man", value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// The link to look at [default: everything in the store]
    #[arg(value_name = "LINK")]
    pub(crate) link: Option<String>,
    /// Mend what can be computed anew, drop what is rotten, and fetch it from peers again
    #[arg(long)]
    pub(crate) repair: bool,
    /// How long to wait without any peer sending what is missing, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) timeout: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Stage {
    /// A link of yours, as `bosc touch` made it
    pub(crate) link: String,
    /// The deployment folder
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,
    /// Show what would change, and change nothing
    #[arg(long, short = 'd')]
    pub(crate) dry_run: bool,
    /// Paths and globs to leave out, separated by commas; a leading ! takes one back in
    #[arg(long, value_delimiter = ',', value_name = "PATHS")]
    pub(crate) ignore: Vec<String>,
    /// The only paths to take, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "PATHS")]
    pub(crate) only: Vec<String>,
    /// Delete from the drive what is ignored
    #[arg(long)]
    pub(crate) purge: bool,
    /// Cut the drive to this length first; it moves to a new fork
    #[arg(long, value_name = "LENGTH")]
    pub(crate) truncate: Option<u64>,
    /// Take repositories, .env files, keys and the like as well, which are left out by their names otherwise
    #[arg(long)]
    pub(crate) no_default_ignore: bool,
    /// Take what links out of the folder lead to
    #[arg(long)]
    pub(crate) follow_links: bool,
    /// Stage files that look like secrets
    #[arg(long, short = 'f')]
    pub(crate) force: bool,
    /// Read every file, also those that the disk says were not touched since they were last staged
    #[arg(long)]
    pub(crate) read_all: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Provision {
    /// The versioned link that `bosc stage` printed
    pub(crate) source: String,
    /// A link of yours, the one that apps follow
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// The versioned link that is in production; for the first time pear://0.0.TARGET-KEY
    pub(crate) production: String,
    /// Show what would change, and change nothing
    #[arg(long, short = 'd')]
    pub(crate) dry_run: bool,
    /// Seconds to wait, after showing what changes, before it is written
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub(crate) cooldown: u64,
    /// Provision a version that is not newer than what is there, which no installed app takes
    #[arg(long, short = 'f')]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Seed {
    /// The link to serve
    pub(crate) link: String,
    /// End once these peers hold everything (their public keys)
    #[arg(long, value_name = "KEY")]
    pub(crate) until_sync: Vec<String>,
    /// Milliseconds between two reports
    #[arg(long, value_name = "MS")]
    pub(crate) stats_interval: Option<u64>,
    /// Plain lines instead of a line that is redrawn
    #[arg(long)]
    pub(crate) no_tty: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Info {
    /// The link [default: this program, its machine and its store]
    pub(crate) link: Option<String>,
    /// Show the signers of the link
    #[arg(long)]
    pub(crate) manifest: bool,
    /// Seconds to look for peers if the link is not stored here
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Dump {
    /// The link, with a version or path if wanted
    pub(crate) link: String,
    /// The folder to write; - prints the one file that the link names
    #[arg(required_unless_present = "list")]
    pub(crate) dir: Option<String>,
    /// List the paths instead
    #[arg(long)]
    pub(crate) list: bool,
    /// Show what would change, and change nothing
    #[arg(long, short = 'd')]
    pub(crate) dry_run: bool,
    /// The drive at this length
    #[arg(long, value_name = "LENGTH")]
    pub(crate) checkout: Option<u64>,
    /// The only paths to take, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "PATHS")]
    pub(crate) only: Vec<String>,
    /// Write into a folder that is not empty; files that the link does not have are deleted
    #[arg(long, short = 'f')]
    pub(crate) force: bool,
    /// Keep files that the link does not have
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// Seconds to look for peers if the link is not stored here, and to wait without any of them sending what is missing
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// The link that updates come from [default: what the app's package.json says]
    pub(crate) link: Option<String>,
    /// An installed app, a folder or an AppImage, or the folder of its project
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) app: Option<PathBuf>,
    /// The app's data folder, if it is not started with the usual one
    #[arg(long, value_name = "DIR", requires = "app")]
    pub(crate) app_storage: Option<PathBuf>,
    /// Seconds to look for peers
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Dht {
    /// IPv4 address to bind
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: std::net::IpAddr,
    /// UDP port of the bootstrap node; 0 takes a free one
    #[arg(long, default_value_t = 49737)]
    pub(crate) port: u16,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Relay {
    /// File with the relay's secret key; it is made if there is none [default: relay.key in the storage folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// UDP port, which others have to reach; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Clients at once
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub(crate) clients: usize,
    /// Pairs of one client at once
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub(crate) pairs: usize,
    /// Kilobytes a second that one pair may pass on, both ways together [default: no limit]
    #[arg(long, value_name = "KB")]
    pub(crate) rate: Option<u64>,
}

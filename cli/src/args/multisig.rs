//! The arguments of `bosc multisig`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

#[derive(Debug, ClapArgs)]
pub(crate) struct Multisig {
    #[command(flatten)]
    pub(crate) options: MultisigOptions,
    #[command(subcommand)]
    pub(crate) command: MultisigCommand,
}

/// Flags of every `bosc multisig` command.
#[derive(Debug, ClapArgs)]
pub(crate) struct MultisigOptions {
    /// File with the `multisig` object: publicKeys, quorum, namespace
    #[arg(long, global = true, value_name = "FILE", default_value = "pear.json")]
    pub(crate) config: PathBuf,
    /// Folder of signing keys [default: .pear in the home folder, which `pear` uses too]
    #[arg(long, global = true, value_name = "DIR", env = "BOSC_KEYS")]
    pub(crate) keys_dir: Option<PathBuf>,
    /// Show what would be done, and do nothing
    #[arg(long, short = 'd', global = true)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MultisigCommand {
    /// Your signing keys, and those that you know
    Keys {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Print the link that follows from the team in pear.json
    Link,
    /// Make a request to sign one version of a link
    Request(Request),
    /// Sign a request
    Sign(Sign),
    /// Show what a request would release, and check request and responses
    Verify(Commit),
    /// Release what enough signers signed
    Commit(Commit),
}

impl Multisig {
    /// The name in JSON output.
    pub(crate) fn name(&self) -> &'static str {
        match self.command {
            MultisigCommand::Keys { .. } => "keys",
            _ => "multisig",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Print the public key of a name; makes the key if there is none
    Get(GetKey),
    /// Keep a key that was made elsewhere
    Add(AddKey),
    /// Delete a key
    Remove(RemoveKey),
    /// List the keys in the folder
    List,
    /// Print where the files of a key are
    Paths {
        /// Name of the key
        #[arg(default_value = "default")]
        name: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GetKey {
    /// Name of the key
    #[arg(default_value = "default")]
    pub(crate) name: String,
    /// Print the encrypted secret key too, for a backup or another machine
    #[arg(long)]
    pub(crate) secret: bool,
    /// The encrypted secret key in the form that hypercore-sign 3 reads
    #[arg(long, requires = "secret")]
    pub(crate) legacy: bool,
    #[command(flatten)]
    pub(crate) password: Password,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AddKey {
    /// Name to keep it under
    pub(crate) name: String,
    /// The public key, or a file that holds it
    pub(crate) public: String,
    /// The encrypted secret key, or a file that holds it
    pub(crate) secret: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RemoveKey {
    /// Name of the key
    pub(crate) name: String,
    /// Delete the secret key as well
    #[arg(long, short = 'f')]
    pub(crate) force: bool,
}

/// Where the password of a key comes from.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub(crate) struct Password {
    /// Read the password from this file descriptor (0 is stdin) instead of asking for it
    #[arg(long, value_name = "FD")]
    pub(crate) password_fd: Option<u32>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Request {
    /// The versioned link to release: as `bosc provision` printed it
    pub(crate) link: String,
    /// Make it though fewer than two other machines hold the link whole
    #[arg(long)]
    pub(crate) force: bool,
    /// A request that hypercore-sign 3 can sign
    #[arg(long)]
    pub(crate) legacy: bool,
    #[command(flatten)]
    pub(crate) wait: PeerWait,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Sign {
    /// The request
    pub(crate) request: String,
    /// Name of the key to sign with
    #[arg(default_value = "default")]
    pub(crate) name: String,
    /// Sign for another team than that of pear.json
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) password: Password,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Commit {
    /// The link that the request was made with
    pub(crate) link: String,
    /// The request
    pub(crate) request: String,
    /// What the signers answered
    pub(crate) responses: Vec<String>,
    /// Go on though fewer than two other machines hold the source and the released drive whole, and wait for nobody afterwards
    #[arg(long, alias = "force-dangerous")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) wait: PeerWait,
}

/// How long to wait for peers.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub(crate) struct PeerWait {
    /// Milliseconds that each check waits for peers to connect or catch up
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub(crate) peer_update_timeout: u64,
}

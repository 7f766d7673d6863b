//! One version of a source drive against what the team's drive holds: the guards of a request and of a commit, the changes that
//! a signer approves, and the commit itself (npm `hyper-multisig` index.js, lib/verify.js, lib/sign.js).

use std::collections::BTreeSet;
use std::future::Future;

use app::{Document, MAX_PACKAGE_BYTES, layout};
use core_store::{Core, CoreError, DownloadRange};
use corestore::{Corestore, GetOptions};
use hyperblobs::Blobs;
use hypercore::Key;
use hyperdrive::{Diff, DiffOp, Drive, DriveError, Entry, Hyperdrive};

use crate::ballot::CoreSignatures;
use crate::error::{MultisigError, Part};
use crate::guard::{MIN_PEERS, Patience, Shortage, long_enough, well_seeded};
use crate::request::{Content, Request};
use crate::team::Team;

/// A version of a source drive, and the drive of the team that is to hold it.
pub struct Release {
    source: Hyperdrive,
    length: u64,
    team: Team,
    target: Core,
    target_contents: Core,
}

/// A changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The path, and the bytes that come and go.
    pub diff: Diff,
    /// Where it leads from now on, if it is a link.
    pub linkname: Option<String>,
    /// Whether it may be run from now on.
    pub executable: bool,
}

/// The `version` of `/package.json` before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// What is released now, if anything.
    pub from: Option<String>,
    /// What this release holds.
    pub to: Option<String>,
}

/// What a signer approves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Paths that change, in order.
    pub files: Vec<FileChange>,
    /// Names of fields beside the files that change (npm `pear` keeps its own there).
    pub fields: Vec<String>,
    /// Versions of the app.
    pub versions: Versions,
}

/// What a commit wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Blocks that the entries grew by; 0 if they were there already.
    pub entries: u64,
    /// Blocks that the contents grew by.
    pub contents: u64,
}

impl Release {
    /// Opens the team's drive in the store, for `length` entries of `source`.
    pub fn open(
        store: &Corestore,
        source: Hyperdrive,
        length: u64,
        team: Team,
    ) -> Result<Self, MultisigError> {
        let open = |manifest| {
            let options = GetOptions {
                manifest: Some(manifest),
                ..GetOptions::default()
            };
            store
                .get(options)
                .map_err(|error| MultisigError::Drive(error.into()))
        };
        Ok(Self {
            target: open(team.manifest())?,
            target_contents: open(team.blobs_manifest())?,
            source,
            length,
            team,
        })
    }

    /// The source drive.
    pub fn source(&self) -> &Hyperdrive {
        &self.source
    }

    /// Length of the source's entries that is released.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A core of the team's drive.
    pub fn target(&self, part: Part) -> &Core {
        match part {
            Part::Entries => &self.target,
            Part::Contents => &self.target_contents,
        }
    }

    /// Whether the team has released nothing yet, as far as this store and its peers know.
    pub fn is_first(&self) -> bool {
        self.target.length() == 0
    }

    /// The team's key: what its link names.
    pub fn key(&self) -> Key {
        self.team.key()
    }

    /// Refuses a source that is too short or was truncated.
    pub async fn check_source(&self, patience: Patience) -> Result<(), MultisigError> {
        self.source_has(Part::Entries, self.source.core(), self.length, patience)
            .await?;
        self.check_fork()
    }

    fn check_fork(&self) -> Result<(), MultisigError> {
        match self.source.fork() {
            0 => Ok(()),
            fork => Err(MultisigError::SourceForked {
                source_key: self.source.key(),
                fork,
            }),
        }
    }

    /// Refuses a source that too few peers hold.
    pub async fn check_source_seeded(
        &self,
        part: Part,
        length: u64,
        patience: Patience,
    ) -> Result<(), MultisigError> {
        let core = self.source_core(part).await?;
        self.source_has(part, &core, length, patience).await?;
        let (source_key, needed) = (self.source.key(), MIN_PEERS);
        well_seeded(&core, length, patience)
            .await
            .map_err(|shortage| match shortage {
                Shortage::Peers(found) => MultisigError::SourcePeers {
                    source_key,
                    found,
                    needed,
                },
                Shortage::Copies(found, state) => MultisigError::SourceNotSeeded {
                    part,
                    source_key,
                    found,
                    needed,
                    state,
                },
            })
    }

    /// Refuses a target that too few peers hold; one that holds nothing yet, or the release already, passes.
    pub async fn check_target_seeded(
        &self,
        part: Part,
        length: u64,
        patience: Patience,
    ) -> Result<(), MultisigError> {
        let core = self.target(part);
        let present = core.length();
        if self.is_first() || present == 0 || present == length {
            return Ok(());
        }
        let (target, needed) = (self.team.key(), MIN_PEERS);
        well_seeded(core, present, patience)
            .await
            .map_err(|shortage| match shortage {
                Shortage::Peers(found) => MultisigError::TargetPeers {
                    part,
                    target,
                    found,
                    needed,
                },
                Shortage::Copies(found, state) => MultisigError::TargetNotSeeded {
                    part,
                    target,
                    found,
                    needed,
                    state,
                },
            })
    }

    /// Refuses a source that is no continuation of the target, at `length` blocks of this part.
    pub async fn check_lineage(&self, part: Part, length: u64) -> Result<(), MultisigError> {
        let (source, target) = (self.source_core(part).await?, self.target(part));
        let present = target.length();
        if present > length {
            return Err(MultisigError::TargetTooBig {
                part,
                found: present,
                wanted: length,
            });
        }
        if present == 0 || source.fetch_tree_hash(present).await? == target.tree_hash(present)? {
            return Ok(());
        }
        let target = self.team.key();
        Err(if self.is_first() {
            MultisigError::TargetNotEmpty { target }
        } else {
            MultisigError::Incompatible { part, target }
        })
    }

    /// Fetches the list of entries, as far as the release goes.
    pub async fn fetch_entries(&self) -> Result<(), MultisigError> {
        Ok(fetch(self.source.core(), 0, self.length).await?)
    }

    /// Length and tree hash of the contents that the release needs. Reads the list of entries.
    pub async fn content(&self, patience: Patience) -> Result<Content, MultisigError> {
        let length = self.source.blobs_length(self.length).await?;
        let contents = self.source.blobs().await?;
        self.source_has(Part::Contents, &contents, length, patience)
            .await?;
        let tree_hash = contents.fetch_tree_hash(length).await?;
        Ok(Content { length, tree_hash })
    }

    /// The request to sign this release. `legacy` makes version 2, for signers with `hypercore-sign` 3.
    pub async fn request(&self, content: Content, legacy: bool) -> Result<Request, MultisigError> {
        let tree_hash = self.source.core().fetch_tree_hash(self.length).await?;
        // It may have been truncated since it was looked at first, and the hash is of its present fork.
        self.check_fork()?;
        let manifest = self.team.manifest();
        Ok(Request::new(manifest, self.length, tree_hash, content, legacy)?)
    }

    /// Refuses a request that was made over another source, or for another team.
    pub async fn check_request(
        &self,
        request: &Request,
        patience: Patience,
    ) -> Result<Content, MultisigError> {
        if request.manifest() != &self.team.manifest() {
            return Err(MultisigError::OtherTeam {
                requested: request.key(),
                configured: self.team.key(),
            });
        }
        let content = *request.content();
        let source_key = self.source.key();
        let contents = self.source.blobs().await?;
        let expected = [
            (
                Part::Entries,
                self.source.core(),
                self.length,
                request.tree_hash(),
            ),
            (Part::Contents, &contents, content.length, &content.tree_hash),
        ];
        for (part, core, length, hash) in expected {
            self.source_has(part, core, length, patience).await?;
            if core.fetch_tree_hash(length).await? != *hash {
                return Err(MultisigError::SourceMismatch { part, source_key });
            }
        }
        Ok(content)
    }

    /// Refuses contents that end before those of some entry: the quorum would release a file that nobody can have. Reads the
    /// list of entries, so call it after that was fetched.
    pub async fn check_content(&self, content: &Content) -> Result<(), MultisigError> {
        let needed = self.source.blobs_length(self.length).await?;
        self.expect_content(content, needed)
    }

    /// What changes for those who follow the team's drive. Call after the lineage was checked: the source then holds what is
    /// released now, too. Refuses files that `content` has only the beginning of, as far as their block maps say, which the
    /// list of entries does not show.
    pub async fn changes(&self, content: &Content) -> Result<Changes, MultisigError> {
        let present = self.target.length();
        // At length 0 a drive has no entries.
        let (old, new) = (self.source.checkout(present), self.source.checkout(self.length));
        let mut files = Vec::new();
        for entry in new.diff(present, "/").await? {
            let (before, after) = (entry.right.as_ref(), entry.left.as_ref());
            if let Some(after) = after {
                self.check_chunks(after, content).await?;
            }
            if let Some(key) = after.or(before).map(|entry| &entry.key) {
                files.push(self.change(key, before, after).await?);
            }
        }
        let (fields_before, fields_after) = (old.fields().await?, new.fields().await?);
        let fields: BTreeSet<&String> = fields_before.keys().chain(fields_after.keys()).collect();
        let fields = fields
            .into_iter()
            .filter(|name| fields_before.get(*name) != fields_after.get(*name))
            .cloned()
            .collect();
        let versions = Versions {
            from: version_of(&old).await?,
            to: version_of(&new).await?,
        };
        Ok(Changes {
            files,
            fields,
            versions,
        })
    }

    /// An honest writer appends a block map after the chunks that it lists; another may list what comes later.
    async fn check_chunks(&self, entry: &Entry, content: &Content) -> Result<(), MultisigError> {
        let Some(id) = entry.blob.filter(|id| id.block_map) else {
            return Ok(());
        };
        let blobs = Blobs::new(self.source.blobs().await?);
        let runs = blobs.runs(&id).await.map_err(DriveError::from)?;
        let needed = runs.into_iter().map(|(_, end)| end).max().unwrap_or(0);
        self.expect_content(content, needed)
    }

    fn expect_content(&self, content: &Content, needed: u64) -> Result<(), MultisigError> {
        if content.length >= needed {
            return Ok(());
        }
        Err(MultisigError::ContentTooSmall {
            source_key: self.source.key(),
            stated: content.length,
            needed,
        })
    }

    async fn change(
        &self,
        key: &str,
        before: Option<&Entry>,
        after: Option<&Entry>,
    ) -> Result<FileChange, MultisigError> {
        let op = match (before, after) {
            (None, _) => DiffOp::Add,
            (_, None) => DiffOp::Remove,
            _ => DiffOp::Change,
        };
        Ok(FileChange {
            diff: Diff {
                op,
                key: key.to_owned(),
                bytes_added: self.size(after).await?,
                bytes_removed: self.size(before).await?,
            },
            linkname: after.and_then(|entry| entry.linkname.clone()),
            executable: after.is_some_and(|entry| entry.executable),
        })
    }

    async fn size(&self, entry: Option<&Entry>) -> Result<u64, MultisigError> {
        Ok(match entry {
            Some(entry) => self.source.size(entry).await?,
            None => 0,
        })
    }

    /// First block of the contents that the team's drive lacks here.
    pub fn contents_start(&self) -> u64 {
        self.target_contents.contiguous_length()
    }

    /// Fetches from the source what the team's drive lacks of the contents here, so that this machine holds all of the release
    /// afterwards, also if somebody else committed it.
    pub async fn fetch_contents(&self, content: &Content) -> Result<(), MultisigError> {
        let contents = self.source.blobs().await?;
        Ok(fetch(&contents, self.contents_start(), content.length).await?)
    }

    /// Writes the release into the team's drive: contents first, then entries, each in one transaction. What is there already
    /// stays, so a commit that was interrupted is run again.
    pub async fn commit(
        &self,
        content: &Content,
        signatures: &CoreSignatures,
    ) -> Result<Committed, MultisigError> {
        self.check_content(content).await?;
        let contents = self.source.blobs().await?;
        let steps = [
            (Part::Contents, &contents, content.length, &signatures.contents),
            (
                Part::Entries,
                self.source.core(),
                self.length,
                &signatures.entries,
            ),
        ];
        let mut committed = Committed {
            entries: 0,
            contents: 0,
        };
        for (part, source, length, signature) in steps {
            let target = self.target(part);
            let before = target.length();
            let after = target
                .append_from(source, length, signature)
                .map_err(|source| MultisigError::CommitFailed { part, source })?;
            match part {
                Part::Entries => committed.entries = after - before,
                Part::Contents => committed.contents = after - before,
            }
        }
        Ok(committed)
    }

    async fn source_core(&self, part: Part) -> Result<Core, MultisigError> {
        Ok(match part {
            Part::Entries => self.source.core().clone(),
            Part::Contents => self.source.blobs().await?,
        })
    }

    async fn source_has(
        &self,
        part: Part,
        core: &Core,
        wanted: u64,
        patience: Patience,
    ) -> Result<(), MultisigError> {
        if long_enough(core, wanted, patience).await {
            return Ok(());
        }
        Err(MultisigError::SourceTooSmall {
            part,
            source_key: self.source.key(),
            wanted,
            found: core.length(),
        })
    }
}

fn fetch(core: &Core, start: u64, end: u64) -> impl Future<Output = Result<(), CoreError>> {
    let download = core.download(DownloadRange {
        start,
        end: Some(end),
    });
    async move { download.done().await }
}

/// `version` of a drive's `/package.json`, if it has one.
async fn version_of(drive: &Hyperdrive) -> Result<Option<String>, MultisigError> {
    let path = layout::PACKAGE_ON_DRIVE;
    let package = match drive.get_at_most(path, MAX_PACKAGE_BYTES).await {
        Ok(package) => package,
        Err(DriveError::TooLarge { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let package = package.and_then(|bytes| Document::parse(&bytes, path).ok());
    Ok(package.and_then(|package| package.field("version").map(str::to_owned)))
}

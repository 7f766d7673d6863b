//! What will be made, checked before anything is written; and making it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use app::{Host, Layout, Manifest, layout};

use crate::icons::Icons;
use crate::place::Beside;
use crate::sign::Signing;
use crate::stop::Stop;
use crate::tree::Tree;
use crate::{
    Format, PackagingError, Program, appimage_file, bundle, deb, desktop, folder, macos, msix, time, zip_file,
};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The app's folder, which holds package.json.
    pub dir: PathBuf,
    /// The machine that it is made for.
    pub host: Host,
    /// Its program for that machine.
    pub program: Program,
    /// Where to put what is made; `None` for `out/` in the app's folder.
    pub out: Option<PathBuf>,
    /// The formats to make.
    pub formats: Vec<Format>,
}

/// What will be made.
#[derive(Debug)]
pub struct Plan {
    request: Request,
    manifest: Manifest,
    /// Each format once, in the order in which they were asked for, with where it will be.
    results: Vec<(Format, PathBuf)>,
    /// Read once for all formats that show them; none if no format does.
    icons: Icons,
    time: u32,
    signing: Signing,
}

/// What happens meanwhile.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// cargo builds the app's program.
    Building,
    /// What the environment names signs a bundle, or a file made of it.
    Signing,
    /// A format is begun.
    Making(Format),
    /// It is made.
    Made(&'a Made),
}

/// One format, made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The format.
    pub format: Format,
    /// Where it is.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// How long that took, without the program's build.
    pub took: Duration,
}

impl Plan {
    /// Looks at everything that is needed.
    ///
    /// # Errors
    /// The first thing that keeps it from being made. Nothing is written.
    pub fn new(request: Request) -> Result<Self, PackagingError> {
        let dir = &request.dir;
        let manifest = Manifest::read(&layout::manifest(dir))?;
        manifest.release()?;
        let page = dir.join(&manifest.page);
        if !page.is_file() {
            return Err(PackagingError::NoPage { path: page });
        }
        let (host, here) = (request.host.clone(), Host::current());
        if host != here && !Host::ALL.contains(&host) {
            let advice = match host.meant() {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!(
                    "name one of {}",
                    Host::ALL.map(|host| host.to_string()).join(", ")
                ),
            };
            return Err(PackagingError::UnknownHost { host, advice });
        }
        let out = request.out.clone().unwrap_or_else(|| dir.join("out"));
        let folder = out.join(format!("{}-{host}", manifest.product_name));
        let mut results: Vec<(Format, PathBuf)> = Vec::new();
        for format in request.formats.iter().copied() {
            if let Some(why) = format.refused(&host, &here) {
                return Err(PackagingError::Elsewhere { format, host, why });
            }
            if results.iter().all(|(other, _)| *other != format) {
                results.push((format, folder.join(format.file_name(&host, &manifest))));
            }
        }
        request.program.check(dir, &host)?;
        if host.platform() == "darwin" {
            macos::check(&manifest)?;
        }
        let sizes: BTreeSet<u32> = results
            .iter()
            .flat_map(|(format, _)| format.icon_sizes(&host))
            .collect();
        let icons = if sizes.is_empty() {
            Icons::default()
        } else {
            Icons::read(dir, &sizes)?
        };
        // Its program may not be built yet.
        let files = bundle::tree(dir, &manifest, &host, &icons, Path::new(""))?;
        for (format, _) in &results {
            match format {
                Format::Folder | Format::Zip | Format::AppImage | Format::Dmg => {}
                Format::Deb => deb::check(&manifest)?,
                Format::Msix => msix::check(dir, &files, &icons, &manifest)?,
            }
        }
        Ok(Self {
            time: time::source_date()?,
            request,
            manifest,
            results,
            icons,
            signing: Signing::default(),
        })
    }

    /// The app.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The machine that it is made for.
    pub fn host(&self) -> &Host {
        &self.request.host
    }

    /// What will be made, and where.
    pub fn results(&self) -> &[(Format, PathBuf)] {
        &self.results
    }

    /// Has what is made signed.
    ///
    /// # Errors
    /// If what signs is not there.
    pub fn signed(mut self, signing: Signing) -> Result<Self, PackagingError> {
        signing.check()?;
        self.signing = signing;
        Ok(self)
    }

    /// Makes it. Each result takes its place once it is whole. Blocks.
    ///
    /// # Errors
    /// What could not be read or written. What was made before stays.
    pub fn run(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Vec<Made>, PackagingError> {
        self.run_until(&Stop::default(), progress)
    }

    /// As [`run`](Self::run), until `stop` says otherwise.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`PackagingError::Stopped`].
    pub fn run_until(
        &self,
        stop: &Stop,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<Made>, PackagingError> {
        if matches!(self.request.program, Program::Cargo { .. }) {
            progress(Progress::Building);
        }
        let program = self.request.program.get_until(&self.request.dir, stop)?;
        let bundle = bundle::tree(
            &self.request.dir,
            &self.manifest,
            self.host(),
            &self.icons,
            &program,
        )?;
        let mut signed = None;
        if let (Some(folder), false) = (self.folder(), self.signing.is_none()) {
            progress(Progress::Signing);
            signed = Some(
                self.signing
                    .bundle(&bundle, &self.manifest, self.host(), folder, stop)?,
            );
        }
        let bundle = signed.as_ref().map_or(&bundle, |(signed, _)| signed);
        let mut all = Vec::new();
        for (format, to) in &self.results {
            progress(Progress::Making(*format));
            let since = Instant::now();
            let beside = Beside::new(to, stop)?;
            self.write(*format, bundle, &beside.path())?;
            self.signing.file(*format, &beside.path(), stop)?;
            beside.keep()?;
            let made = Made {
                format: *format,
                path: to.clone(),
                bytes: size(to)?,
                took: since.elapsed(),
            };
            progress(Progress::Made(&made));
            all.push(made);
        }
        self.write_entitlements(stop)?;
        Ok(all)
    }

    /// Writes what signs an app for macOS is told to give it, beside what was made.
    fn write_entitlements(&self, stop: &Stop) -> Result<(), PackagingError> {
        let Some(folder) = self.folder().filter(|_| self.host().platform() == "darwin") else {
            return Ok(());
        };
        let to = folder.join(format!("{}.entitlements", self.manifest.product_name));
        let beside = Beside::new(&to, stop)?;
        let entitlements = macos::entitlements(&self.manifest)?;
        fs::write(beside.path(), entitlements).map_err(PackagingError::io("write", &to))?;
        beside.keep()
    }

    /// Writes one format of the bundle, which is whole, and signed if it is to be.
    fn write(&self, format: Format, bundle: &Tree, to: &Path) -> Result<(), PackagingError> {
        match format {
            Format::Folder => folder::write(bundle, to),
            Format::Zip => {
                let mut tree = Tree::default();
                tree.put_all(&self.bundle_name(), bundle.clone())?;
                zip_file::write(&tree, self.time, to)
            }
            Format::AppImage => {
                let name = Path::new(&self.manifest.product_name);
                let program = Layout::of(self.host(), layout::Format::Folder).program(name);
                let program = program.file_name().unwrap_or_default().to_string_lossy();
                let tree = desktop::app_dir(bundle.clone(), &self.icons, &self.manifest, &program)?;
                appimage_file::write(&tree, self.time, to)
            }
            Format::Deb => deb::write(bundle, &self.icons, &self.manifest, self.host(), self.time, to),
            Format::Dmg => {
                let product = &self.manifest.product_name;
                macos::dmg::write(bundle.clone(), &self.bundle_name(), product, to)
            }
            Format::Msix => msix::write(bundle, &self.icons, &self.manifest, self.host(), self.time, to),
        }
    }

    /// Where all results are; nowhere if none is asked for.
    fn folder(&self) -> Option<&Path> {
        self.results.first().and_then(|(_, path)| path.parent())
    }

    /// What the bundle is called as a folder.
    fn bundle_name(&self) -> String {
        Layout::of(self.host(), layout::Format::Folder).bundle_name(&self.manifest.product_name)
    }
}

/// The size of a file, or of all files in a folder, in bytes.
fn size(path: &Path) -> Result<u64, PackagingError> {
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(path) {
        let found = entry.and_then(|entry| entry.metadata());
        let found = found.map_err(|error| PackagingError::io("read", path)(error.into()))?;
        if found.is_file() {
            bytes += found.len();
        }
    }
    Ok(bytes)
}

//! `bosc build`: bundles for several machines become one deployment folder (npm `pear-build`).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use app::{Fits, Host, Layout, Manifest, layout};
use hyperdrive::{LocalDrive, MirrorOptions, mirror};
use serde_json::json;

use crate::args;
use crate::output::Output;

pub(crate) async fn run(args: &args::Build, output: &Output) -> anyhow::Result<()> {
    let manifest = Manifest::read(&args.package)?;
    manifest.release()?;
    let (name, product, version) = (&manifest.name, &manifest.product_name, &manifest.version);
    let target = args
        .target
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}-{version}")));
    let given = [
        ("darwin-arm64", &args.darwin_arm64_app),
        ("darwin-x64", &args.darwin_x64_app),
        ("linux-arm64", &args.linux_arm64_app),
        ("linux-x64", &args.linux_x64_app),
        ("win32-arm64", &args.win32_arm64_app),
        ("win32-x64", &args.win32_x64_app),
    ];
    let mut apps: Vec<(Host, &Path)> = Vec::new();
    for (host, app) in given {
        if let Some(app) = app {
            apps.push((host.parse()?, app));
        }
    }
    if apps.is_empty() {
        bail!(
            "at least one app build must be specified, such as --linux-x64-app out/{product}-linux-x64/{product}"
        );
    }
    // Everything is checked before anything is written.
    for (host, app) in &apps {
        check(host, app, product)?;
        check_bundle(&manifest, host, app, output)?;
    }
    output.tag(
        "building",
        json!({ "name": name, "version": version.to_string(), "target": target.display().to_string() }),
    );
    for (host, app) in &apps {
        let app = std::fs::canonicalize(app).with_context(|| format!("cannot read {}", app.display()))?;
        let (Some(parent), Some(base)) = (app.parent(), app.file_name()) else {
            bail!("{} has no name", app.display())
        };
        let folder = layout::bundles(&layout::hosts(&target).join(host.to_string()));
        let prefix = format!("/{}", base.to_string_lossy());
        let options = MirrorOptions {
            prefix: vec![prefix],
            ..MirrorOptions::default()
        };
        let (from, to) = (LocalDrive::new(parent), LocalDrive::new(&folder));
        mirror(&from, &to, options).finish().await?;
        output.tag(
            "executable",
            json!({ "file": folder.join(base).display().to_string(), "origin": app.display().to_string() }),
        );
    }
    let announced = layout::manifest(&target);
    std::fs::write(&announced, manifest.document.text())
        .with_context(|| format!("cannot write {}", announced.display()))?;
    output.say(&format!(
        "built {name} {version} for {}",
        apps.iter()
            .map(|(host, _)| host.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    ));
    output.path(&target);
    output.done(json!({ "target": target.display().to_string() }));
    Ok(())
}

fn check(host: &Host, app: &Path, product: &str) -> anyhow::Result<()> {
    if !app.exists() {
        bail!(
            "{} does not exist: make the bundle first with `bosc make`",
            app.display()
        );
    }
    let base = app.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let layout = Layout::at(host, app);
    if !layout.is_named(&base, product) {
        bail!(
            "expected {} but got {base} for {host}: installed apps look for the bundle by package.json's productName",
            layout.bundle_name(product)
        );
    }
    Ok(())
}

/// Fails unless a bundle is the release that `manifest` announces, and its own package.json one that an app starts with. A bundle
/// that keeps no package.json where ours do is another kind of app's, and only named.
pub(crate) fn check_bundle(
    manifest: &Manifest,
    host: &Host,
    app: &Path,
    output: &Output,
) -> anyhow::Result<()> {
    let announced = &manifest.document;
    let fits = app::check_bundle(announced, host, app)
        .with_context(|| format!("{} is not the release of {}", app.display(), announced.origin()))?;
    match fits {
        Fits::Same(inner) => {
            Manifest::of(inner)
                .map_err(app::Unfit::Package)
                .with_context(|| format!("{} does not start", app.display()))?;
        }
        Fits::OneFile => {}
        Fits::NoPackage(inner) => output.say(&format!(
            "{} is missing: an app on Bosc would refuse this bundle",
            inner.display()
        )),
    }
    Ok(())
}

//! `bosc build`: bundles for several machines become one deployment folder (npm `pear-build`).

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bosc_runtime::layout::{self, Fits};
use hyperdrive::{LocalDrive, MirrorOptions, mirror};
use serde_json::json;

use crate::args;
use crate::output::Output;
use crate::package::Package;

pub(crate) async fn run(args: &args::Build, output: &Output) -> anyhow::Result<()> {
    let package = Package::read(&args.package)?;
    let (name, product, version) = (
        package.name()?.to_owned(),
        package.product_name()?.to_owned(),
        package.version()?,
    );
    package.upgrade()?;
    let target = args
        .target
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}-{version}")));
    let apps: Vec<(&str, &Path)> = [
        ("darwin-arm64", &args.darwin_arm64_app),
        ("darwin-x64", &args.darwin_x64_app),
        ("linux-arm64", &args.linux_arm64_app),
        ("linux-x64", &args.linux_x64_app),
        ("win32-arm64", &args.win32_arm64_app),
        ("win32-x64", &args.win32_x64_app),
    ]
    .into_iter()
    .filter_map(|(host, app)| Some((host, app.as_deref()?)))
    .collect();
    if apps.is_empty() {
        bail!(
            "at least one app build must be specified, such as --linux-x64-app out/{product}-linux-x64/{product}"
        );
    }
    // Everything is checked before anything is written.
    for (host, app) in &apps {
        check(host, app, &product)?;
        check_bundle(&package, host, app, output)?;
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
        let folder = target.join("by-arch").join(host).join("app");
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
    std::fs::write(target.join("package.json"), &package.text)
        .with_context(|| format!("cannot write {}", target.join("package.json").display()))?;
    output.say(&format!(
        "built {name} {version} for {}",
        apps.iter().map(|(host, _)| *host).collect::<Vec<_>>().join(", ")
    ));
    output.path(&target);
    output.done(json!({ "target": target.display().to_string() }));
    Ok(())
}

fn check(host: &str, app: &Path, product: &str) -> anyhow::Result<()> {
    if !app.exists() {
        bail!(
            "{} does not exist: make the bundle first with `bosc make`",
            app.display()
        );
    }
    let base = app.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if layout::product(app) != product {
        bail!(
            "expected {product} but got {base} for {host}: the bundle must be named as package.json's productName"
        );
    }
    Ok(())
}

/// Fails unless a bundle is the release that `package` announces. A bundle that keeps no package.json where ours do is another
/// kind of app's, and only named.
pub(crate) fn check_bundle(package: &Package, host: &str, app: &Path, output: &Output) -> anyhow::Result<()> {
    let fits = layout::check_bundle(&package.value, host, app).with_context(|| {
        format!(
            "{} is not the release of {}",
            app.display(),
            package.path.display()
        )
    })?;
    if fits == Fits::NoPackage {
        let inner = layout::package_path(app);
        output.say(&format!(
            "{} is missing: an app on Bosc would refuse this bundle",
            inner.display()
        ));
    }
    Ok(())
}

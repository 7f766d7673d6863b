//! The app's icon, read once and scaled to the sizes that what is made shows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use app::layout;
use image::codecs::png::{CompressionType, FilterType as Filter, PngEncoder};
use image::imageops::FilterType;
use image::{DynamicImage, ImageEncoder, ImageFormat, ImageReader, Limits};

use crate::PackagingError;

/// The widest icon that is read, in pixels: four times the largest that is shown.
const MAX_WIDTH: u32 = 4096;

/// The app's icon in some widths, by those, each as a PNG; none if the app has no icon.
#[derive(Debug, Default)]
pub(crate) struct Icons(BTreeMap<u32, Vec<u8>>);

impl Icons {
    /// Reads the icon of the app in a folder, and scales it to those of the widths that are not above its own.
    pub(crate) fn read(dir: &Path, sizes: &BTreeSet<u32>) -> Result<Self, PackagingError> {
        let path = dir.join(layout::ICON);
        if !path.exists() {
            return Ok(Self::default());
        }
        scaled(&path, sizes).map(Self)
    }

    pub(crate) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// The PNG of a width; `None` if that was not asked for, or the app's icon is smaller.
    pub(crate) fn get(&self, size: u32) -> Option<&[u8]> {
        self.0.get(&size).map(Vec::as_slice)
    }
}

fn scaled(path: &Path, sizes: &BTreeSet<u32>) -> Result<BTreeMap<u32, Vec<u8>>, PackagingError> {
    let unusable = |why: String| PackagingError::Icon {
        path: path.to_owned(),
        why,
    };
    let bytes = std::fs::read(path).map_err(PackagingError::io("read", path))?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_WIDTH), Some(MAX_WIDTH));
    reader.limits(limits);
    let icon = reader
        .decode()
        .map_err(|error| unusable(format!("it is no PNG that can be read ({error})")))?;
    let (width, height) = (icon.width(), icon.height());
    if width != height || width < 48 {
        return Err(unusable(format!(
            "it is {width} pixels wide and {height} high; it must be a square of at least 48, better 512"
        )));
    }
    sizes
        .iter()
        .copied()
        .filter(|size| *size <= width)
        .map(|size| {
            Ok((
                size,
                png(&icon, size).map_err(|error| unusable(error.to_string()))?,
            ))
        })
        .collect()
}

fn png(icon: &DynamicImage, size: u32) -> Result<Vec<u8>, image::ImageError> {
    let small = icon.resize_exact(size, size, FilterType::Lanczos3).into_rgba8();
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Best, Filter::Adaptive).write_image(
        small.as_raw(),
        size,
        size,
        image::ExtendedColorType::Rgba8,
    )?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [u32; 6] = [16, 48, 64, 128, 150, 256];

    fn icon(width: u32, height: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("icon.png");
        DynamicImage::new_rgba16(width, height).save(&path).unwrap();
        (dir, path)
    }

    #[test]
    fn an_icon_is_scaled_down_and_never_up() {
        let (_dir, path) = icon(130, 130);
        let all = scaled(&path, &SIZES.into()).unwrap();
        let sizes: Vec<u32> = all.keys().copied().collect();
        assert_eq!(sizes, [16, 48, 64, 128]);
        for (size, png) in &all {
            let read = image::load_from_memory(png).unwrap();
            assert_eq!((read.width(), read.height()), (*size, *size));
        }
        assert_eq!(scaled(&path, &SIZES.into()).unwrap(), all);
    }

    #[test]
    fn what_is_no_icon_is_refused_in_words() {
        for (width, height) in [(64, 32), (32, 32)] {
            let (_dir, path) = icon(width, height);
            let error = scaled(&path, &SIZES.into()).unwrap_err().to_string();
            assert!(error.contains(&format!("{width} pixels wide")), "{error}");
        }
        let (dir, path) = icon(64, 64);
        std::fs::write(&path, "<svg/>").unwrap();
        let error = scaled(&path, &SIZES.into()).unwrap_err().to_string();
        assert!(error.contains("no PNG") && error.contains("icon.png"), "{error}");
        drop(dir);
    }
}

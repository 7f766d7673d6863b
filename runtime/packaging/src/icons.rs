//! The app's icon in the sizes that desktops ask for.

use std::io::Cursor;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType as Filter, PngEncoder};
use image::imageops::FilterType;
use image::{DynamicImage, ImageEncoder, ImageFormat, ImageReader, Limits};

use crate::PackagingError;

/// The widths that the hicolor theme has and desktops use, in pixels.
const SIZES: [u32; 8] = [16, 24, 32, 48, 64, 128, 256, 512];

/// The widest icon that is read, in pixels: eight times the largest that is shown.
const MAX_WIDTH: u32 = 4096;

/// All sizes up to the icon's own, each as a PNG.
pub(crate) fn scaled(path: &Path) -> Result<Vec<(u32, Vec<u8>)>, PackagingError> {
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
    SIZES
        .into_iter()
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

    fn icon(width: u32, height: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("icon.png");
        DynamicImage::new_rgba16(width, height).save(&path).unwrap();
        (dir, path)
    }

    #[test]
    fn an_icon_is_scaled_down_and_never_up() {
        let (_dir, path) = icon(130, 130);
        let all = scaled(&path).unwrap();
        let sizes: Vec<u32> = all.iter().map(|(size, _)| *size).collect();
        assert_eq!(sizes, [16, 24, 32, 48, 64, 128]);
        for (size, png) in &all {
            let read = image::load_from_memory(png).unwrap();
            assert_eq!((read.width(), read.height()), (*size, *size));
        }
        assert_eq!(scaled(&path).unwrap(), all);
    }

    #[test]
    fn what_is_no_icon_is_refused_in_words() {
        for (width, height) in [(64, 32), (32, 32)] {
            let (_dir, path) = icon(width, height);
            let error = scaled(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("{width} pixels wide")), "{error}");
        }
        let (dir, path) = icon(64, 64);
        std::fs::write(&path, "<svg/>").unwrap();
        let error = scaled(&path).unwrap_err().to_string();
        assert!(error.contains("no PNG") && error.contains("icon.png"), "{error}");
        drop(dir);
    }
}

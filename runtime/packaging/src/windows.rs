//! What Windows wants in a bundle besides the app: its icon, for shortcuts.

use image::ExtendedColorType;
use image::codecs::ico::{IcoEncoder, IcoFrame};

use crate::PackagingError;
use crate::icons::Icons;
use crate::tree::{Item, Tree};

/// The widths that Windows asks for, in pixels.
pub(crate) const ICON_SIZES: [u32; 6] = [16, 24, 32, 48, 64, 256];

/// Where the icon is in a bundle.
const ICON: &str = "resources/icon.ico";

/// Puts the icon into a bundle, if the app has one.
pub(crate) fn complete(bundle: &mut Tree, icons: &Icons) -> Result<(), PackagingError> {
    let failed =
        |error: image::ImageError| PackagingError::io("write", ICON.as_ref())(std::io::Error::other(error));
    let mut frames = Vec::new();
    for size in ICON_SIZES {
        if let Some(png) = icons.get(size) {
            frames.push(IcoFrame::with_encoded(png, size, size, ExtendedColorType::Rgba8).map_err(failed)?);
        }
    }
    if frames.is_empty() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    IcoEncoder::new(&mut bytes)
        .encode_images(&frames)
        .map_err(failed)?;
    bundle.put(ICON, Item::bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Source;

    #[test]
    fn a_bundle_has_an_icon_of_all_sizes_if_the_app_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut bundle = Tree::default();
        complete(&mut bundle, &Icons::default()).unwrap();
        assert_eq!(bundle, Tree::default());
        std::fs::create_dir(dir.path().join("build")).unwrap();
        let red = image::RgbaImage::from_pixel(100, 100, image::Rgba([255, 0, 0, 128]));
        red.save(dir.path().join("build/icon.png")).unwrap();
        let icons = Icons::read(dir.path(), &ICON_SIZES.into()).unwrap();
        complete(&mut bundle, &icons).unwrap();
        let (path, item) = bundle.items().next().unwrap();
        assert_eq!(path, "resources/icon.ico");
        let Item::File {
            from: Source::Bytes(ico),
            ..
        } = item
        else {
            panic!("no file");
        };
        // Reserved, kind, number of images; then 16 bytes for each, which begin with its width.
        assert_eq!(ico[..6], [0, 0, 1, 0, 5, 0]);
        let widths: Vec<u8> = (0..5).map(|n| ico[6 + n * 16]).collect();
        assert_eq!(widths, [16, 24, 32, 48, 64]);
        let largest = image::load_from_memory_with_format(ico, image::ImageFormat::Ico).unwrap();
        assert_eq!(
            (largest.width(), largest.into_rgba8().get_pixel(9, 9).0),
            (64, [255, 0, 0, 128])
        );
    }
}

//! The icon of an app on macOS: one file with all sizes.

use std::io;

use icns::{IconElement, IconFamily, Image, OSType, PixelFormat};

use crate::PackagingError;
use crate::icons::Icons;

/// The widths that are in it, in pixels.
pub(crate) const SIZES: [u32; 7] = [16, 32, 64, 128, 256, 512, 1024];

/// Those that are PNGs, by the name that the format gives them; some widths stand for one size on two kinds of screens.
const PNGS: [(&[u8; 4], u32); 8] = [
    (b"ic11", 32),
    (b"ic12", 64),
    (b"ic07", 128),
    (b"ic13", 256),
    (b"ic08", 256),
    (b"ic14", 512),
    (b"ic09", 512),
    (b"ic10", 1024),
];

/// Those that are pixels: as PNGs, systems show them wrongly.
const PIXELS: [u32; 2] = [16, 32];

/// The file; `None` if the app has no icon.
pub(super) fn icns(icons: &Icons) -> Result<Option<Vec<u8>>, PackagingError> {
    if !icons.any() {
        return Ok(None);
    }
    let failed = |error: io::Error| PackagingError::io("write", super::ICON.as_ref())(error);
    let mut family = IconFamily::new();
    for size in PIXELS {
        if let Some(png) = icons.get(size) {
            let pixels = image::load_from_memory(png).map_err(|error| failed(io::Error::other(error)))?;
            let pixels = pixels.into_rgba8().into_raw();
            let image = Image::from_data(PixelFormat::RGBA, size, size, pixels).map_err(failed)?;
            family.add_icon(&image).map_err(failed)?;
        }
    }
    for (name, size) in PNGS {
        if let Some(png) = icons.get(size) {
            let element = IconElement::new(OSType(*name), png.to_vec());
            family.elements.push(element);
        }
    }
    let mut bytes = Vec::new();
    family.write(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use icns::IconType;

    use super::*;

    #[test]
    fn all_sizes_up_to_the_icons_own_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(icns(&Icons::default()).unwrap(), None);
        std::fs::create_dir(dir.path().join("build")).unwrap();
        let red = image::RgbaImage::from_pixel(256, 256, image::Rgba([255, 0, 0, 128]));
        red.save(dir.path().join("build/icon.png")).unwrap();
        let icons = Icons::read(dir.path(), &SIZES.into()).unwrap();
        let family = IconFamily::read(icns(&icons).unwrap().unwrap().as_slice()).unwrap();
        for kind in [
            IconType::RGB24_16x16,
            IconType::RGB24_32x32,
            IconType::RGBA32_16x16_2x,
            IconType::RGBA32_32x32_2x,
            IconType::RGBA32_128x128,
            IconType::RGBA32_128x128_2x,
            IconType::RGBA32_256x256,
        ] {
            let image = family.get_icon_with_type(kind).unwrap();
            assert_eq!(
                (image.width(), image.height()),
                (kind.pixel_width(), kind.pixel_height())
            );
            let image = image.convert_to(PixelFormat::RGBA);
            assert_eq!(image.data()[..4], [255, 0, 0, 128], "{kind:?}");
        }
        // Scaled down, never up.
        assert!(!family.has_icon_with_type(IconType::RGBA32_512x512));
    }
}

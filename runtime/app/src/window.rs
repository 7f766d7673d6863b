//! `bosc.window`: how the window looks before the page says anything.

use std::ops::RangeInclusive;

use crate::ManifestError;
use crate::error::quoted;
use crate::fields::Fields;

/// Sizes that can be asked for, in logical pixels: none that nobody could find, or that no graphics card can fill.
const SIZES: RangeInclusive<f64> = 100.0..=16384.0;

/// An RGB colour, written `"#rrggbb"` in `package.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// Reads `#rrggbb` or `#rgb`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix('#')?;
        if !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let n = u32::from_str_radix(hex, 16).ok()?;
        match hex.len() {
            6 => Some(Color((n >> 16) as u8, (n >> 8) as u8, n as u8)),
            3 => {
                let wide = |v: u32| ((v & 15) * 17) as u8;
                Some(Color(wide(n >> 8), wide(n >> 4), wide(n)))
            }
            _ => None,
        }
    }
}

/// How the window looks before the page says anything, from `bosc.window`.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowConfig {
    /// Title; `productName` if absent.
    pub title: String,
    /// Inner width in logical pixels, 960 if absent.
    pub width: f64,
    /// Inner height in logical pixels, 680 if absent.
    pub height: f64,
    /// Smallest inner width in logical pixels, 360 if absent.
    pub min_width: f64,
    /// Smallest inner height in logical pixels, 320 if absent.
    pub min_height: f64,
    /// Colour behind the page until it has painted, with a light system theme; white if absent.
    pub background: Color,
    /// The same with a dark system theme; `background` if absent.
    pub background_dark: Color,
}

impl WindowConfig {
    pub(crate) fn read(bosc: &Fields<'_>, product_name: &str) -> Result<Self, ManifestError> {
        let window = bosc.inner("window")?;
        let background = color(&window, "backgroundColor", Color(255, 255, 255))?;
        let min_width = size(&window, "minWidth", 360.0)?;
        let min_height = size(&window, "minHeight", 320.0)?;
        Ok(Self {
            title: window.text("title")?.unwrap_or(product_name).to_owned(),
            width: size(&window, "width", 960.0)?.max(min_width),
            height: size(&window, "height", 680.0)?.max(min_height),
            min_width,
            min_height,
            background,
            background_dark: color(&window, "backgroundColorDark", background)?,
        })
    }
}

fn size(window: &Fields<'_>, name: &str, default: f64) -> Result<f64, ManifestError> {
    match window.number(name)? {
        None => Ok(default),
        Some(size) if SIZES.contains(&size) => Ok(size),
        Some(size) => {
            let what = format!("is {size}; it must be between 100 and 16384 pixels");
            Err(window.refuse(name, &what))
        }
    }
}

fn color(window: &Fields<'_>, name: &str, default: Color) -> Result<Color, ManifestError> {
    let Some(text) = window.text(name)? else {
        return Ok(default);
    };
    Color::parse(text).ok_or_else(|| {
        window.refuse(
            name,
            &format!("is {}; write a colour as \"#rrggbb\"", quoted(text)),
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_are_read_in_both_forms() {
        assert_eq!(Color::parse("#fa0"), Some(Color(0xff, 0xaa, 0)));
        assert_eq!(Color::parse("#102030"), Some(Color(0x10, 0x20, 0x30)));
        for text in ["", "#", "fa0", "#fa", "#fa00", "#+12345", "#10203040", "#ggg"] {
            assert_eq!(Color::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = Color::parse(&text);
            let _ = Color::parse(&format!("#{text}"));
        }
    }
}

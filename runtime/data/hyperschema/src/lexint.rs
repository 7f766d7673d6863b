//! Numbers whose bytes sort as they do: `lexint` of npm `compact-encoding`.

use base::wire::{Reader, Writer};

use crate::error::Fault;
use crate::primitive::MAX_SAFE;

/// Numbers below this are one byte.
const ONE_BYTE: u64 = 251;

/// Writes a number. Above 2^43 the lowest bits do not fit, as in JavaScript.
pub(crate) fn encode(number: u64, out: &mut Writer) -> Result<(), Fault> {
    let rest = number.wrapping_sub(ONE_BYTE);
    match number {
        0..251 => out.u8(number as u8),
        251..256 => out.u8(251).u8(rest as u8),
        256..0x1_0000 => out.u8(252).raw(&(rest as u16).to_be_bytes()),
        0x1_0000..0x100_0000 => {
            let [_, bytes @ ..] = (rest as u32).to_be_bytes();
            out.u8(253).raw(&bytes)
        }
        0x100_0000..0x1_0000_0000 => out.u8(254).raw(&(rest as u32).to_be_bytes()),
        _ if rest < 1 << 32 => {
            return Err(Fault::new(
                "a lexint cannot hold numbers from 2^32 to 2^32 + 250: npm's readers do not find back to them",
            ));
        }
        _ => {
            let rest = rest as f64;
            let exponent = (rest.ln() / 2f64.ln()).floor() as i32 - 32;
            let scaled = (rest / 2f64.powi(exponent - 11)) as u64;
            let [_, _, bytes @ ..] = scaled.to_be_bytes();
            out.u8(255).u8(exponent as u8).raw(&bytes)
        }
    };
    Ok(())
}

/// Reads a number.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    let mut big_endian = |bytes: usize| -> Result<u64, Fault> {
        let read = reader.raw(bytes)?;
        Ok(read.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    match big_endian(1)? {
        flag @ 0..251 => Ok(flag),
        flag @ 251..255 => Ok(big_endian((flag - 250) as usize)? + ONE_BYTE),
        _ => {
            let exponent = big_endian(1)?;
            let scaled = big_endian(6)? as f64;
            let number = scaled * 2f64.powi(exponent as i32 - 11) + ONE_BYTE as f64;
            if number.fract() == 0.0 && number <= MAX_SAFE as f64 {
                Ok(number as u64)
            } else {
                Err(Fault::new("a lexint is no whole number, or too large"))
            }
        }
    }
}
